import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from dlkb.transformers.blocks import ACTIVATIONS, Linear
from dlkb.transformers.gpt import GPTParams, gpt
from scripts.peers.transformers.blocks import gpt2_params, linear_of, redrawn
from tests.cases import Case, map_arrays
from tests.close import assert_close
from tests.transformers.test_blocks import WIDTH, block_params, scale


def model(rng):
    blocks = tuple(block_params(rng) for _ in range(2))
    return GPTParams(rng.normal(size=(11, WIDTH)), rng.normal(size=(9, WIDTH)), blocks, scale(rng))


def drawn(rng):
    return rng.integers(0, 11, size=(2, 6)), model(rng)


CASES = [
    Case(
        gpt,
        lambda rng, a=activation: (drawn(rng), {"heads": 2, "activation": a, "eps": 1e-3}),
        activation,
        scale=100.0,
        fixed=("params",),
        batch=("tokens",),
        broadcasts=("tokens", "params"),
    )
    for activation in ACTIVATIONS
]


def params_of(peer):
    body = peer.transformer
    return GPTParams(
        body.wte.weight, body.wpe.weight, tuple(map(gpt2_params, body.h)), linear_of(body.ln_f)
    )


def test_logits_and_gradients_are_those_of_gpt2():
    config = GPT2Config(
        vocab_size=30,
        n_positions=12,
        n_embd=16,
        n_layer=3,
        n_head=4,
        bos_token_id=None,
        eos_token_id=None,
    )
    peer = redrawn(GPT2LMHeadModel(config))
    tokens = torch.randint(0, 30, (2, 9), generator=torch.Generator().manual_seed(0))
    params = params_of(peer)
    found, expected = gpt(tokens, params, heads=4), peer(tokens, use_cache=False).logits
    assert_close(found, expected, scale=10)
    grads = [
        torch.autograd.grad(z.square().mean(), peer.transformer.wte.weight)[0]
        for z in (found, expected)
    ]
    assert_close(*grads, scale=100)


def test_a_text_longer_than_the_positions_is_refused():
    params = model(np.random.default_rng(0))
    gpt(np.zeros(9, int), params, heads=2)
    with pytest.raises(ValueError, match="vectors for 9 positions, cut the text"):
        gpt(np.zeros(10, int), params, heads=2)


@pytest.mark.parametrize("convert", [np.asarray, torch.as_tensor])
def test_bad_input_is_named(convert):
    params = map_arrays(convert, model(np.random.default_rng(0)))
    narrow = params._replace(position=params.position[:, :1])
    for tokens, given, error, message in (
        (np.zeros(3), params, TypeError, "tokens has dtype .*float64: integers are needed"),
        (np.zeros(3, bool), params, TypeError, "tokens has dtype .*bool: integers are needed"),
        (np.asarray([3, 11]), params, ValueError, r"tokens holds 11: .* lie in \[0, 10\]"),
        (np.asarray([[0, -100]]), params, ValueError, "tokens holds -100: of 11 entries"),
        (np.zeros((), int), params, ValueError, r"tokens has shape \(\): \(..., length\)"),
        (np.zeros(3, int), narrow, ValueError, r"params.position has shape \(9, 1\)"),
    ):
        with pytest.raises(error, match=message):
            gpt(convert(tokens), given, heads=2)


def test_without_blocks_it_compares_embeddings():
    one = Linear(np.ones(2), np.zeros(2))
    z = gpt(np.asarray([[0, 1]]), GPTParams(np.eye(2), np.zeros((2, 2)), (), one), heads=1)
    assert_close(z, np.asarray([[[1.0, -1.0], [-1.0, 1.0]]]), dtype="float16")
