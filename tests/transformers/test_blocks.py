import math

import numpy as np
import pytest
import torch
from torch import nn
from transformers import BertConfig, GPT2Config, LlamaConfig
from transformers.models.bert.modeling_bert import BertLayer
from transformers.models.gpt2.modeling_gpt2 import GPT2Block
from transformers.models.llama.modeling_llama import LlamaDecoderLayer, LlamaRotaryEmbedding

from dlkb.transformers.blocks import (
    ACTIVATIONS,
    AttentionParams,
    BlockParams,
    FeedForwardParams,
    Linear,
    attend,
    block,
    feed_forward,
    normalize,
)
from scripts.peers.transformers.blocks import (
    bert_params,
    gpt2_params,
    llama_params,
    redrawn,
    torch_params,
)
from tests.cases import Case
from tests.close import assert_close

WIDTH, HIDDEN = 8, 12


def layer(rng, out, into, bias=True):
    weight = rng.normal(size=(out, into)) / math.sqrt(into)
    return Linear(weight, 0.1 * rng.normal(size=out) if bias else None)


def scale(rng, bias=True):
    gain = rng.uniform(0.5, 1.5, size=WIDTH)
    return Linear(gain, 0.1 * rng.normal(size=WIDTH) if bias else None)


def attention_params(rng, kv=WIDTH, bias=True):
    sizes = ((WIDTH, WIDTH), (kv, WIDTH), (kv, WIDTH), (WIDTH, WIDTH))
    return AttentionParams(*(layer(rng, *size, bias) for size in sizes))


def mlp_params(rng, gated=False, bias=True):
    up, down = layer(rng, HIDDEN, WIDTH, bias), layer(rng, WIDTH, HIDDEN, bias)
    return FeedForwardParams(up, down, layer(rng, HIDDEN, WIDTH, bias) if gated else None)


def block_params(rng, *, cross=False, gated=False, kv=WIDTH, bias=True):
    return BlockParams(
        scale(rng, bias),
        attention_params(rng, kv, bias),
        scale(rng, bias),
        mlp_params(rng, gated, bias),
        *((scale(rng, bias), attention_params(rng, kv, bias)) if cross else ()),
    )


def tokens(rng, length=5):
    return rng.normal(size=(2, length, WIDTH))


WEIGHTS = ("params", "scale")
OVERFLOW = "what is added up overflows: inf − inf"
SCORES = {"float64 huge all": "the scores overflow"}


def case(function, make, label="", batch=("x",), unless=None):
    return Case(
        function,
        make,
        label,
        scale=30.0,
        fixed=WEIGHTS,
        batch=batch,
        broadcasts=("mask", "memory_mask"),
        unless=unless or {},
    )


CASES = [
    case(feed_forward, lambda rng: ((tokens(rng), mlp_params(rng)), {})),
    *(
        case(
            feed_forward,
            lambda rng, a=name: ((tokens(rng), mlp_params(rng, True)), {"activation": a}),
            name,
            unless={"float16 large x": OVERFLOW},
        )
        for name in ACTIVATIONS
    ),
    case(normalize, lambda rng: ((tokens(rng), scale(rng)), {"eps": 0.1})),
    case(normalize, lambda rng: ((tokens(rng), scale(rng, False)), {"rms": True}), "rms"),
    case(
        attend,
        lambda rng: ((tokens(rng), tokens(rng, 6), attention_params(rng)), {"heads": 2}),
        batch=("x", "memory"),
        unless=SCORES,
    ),
    case(
        attend,
        lambda rng: (
            (tokens(rng), tokens(rng), attention_params(rng, kv=4)),
            {"heads": 4, "kv_heads": 2, "is_causal": True, "rotary_base": 100.0},
        ),
        "grouped, causal, rotary",
        batch=("x", "memory"),
        unless=SCORES,
    ),
    case(
        attend,
        lambda rng: (
            (tokens(rng), tokens(rng), attention_params(rng)),
            {"heads": 2, "mask": np.tri(5, dtype=bool)},
        ),
        "mask",
        batch=("x", "memory"),
        unless=SCORES,
    ),
    case(
        block,
        lambda rng: ((tokens(rng), block_params(rng)), {"heads": 2, "activation": "gelu_tanh"}),
    ),
    case(
        block,
        lambda rng: (
            (tokens(rng), block_params(rng)),
            {"heads": 2, "pre_norm": False, "activation": "relu", "eps": 1e-12, "is_causal": True},
        ),
        "post-norm",
        unless={"float64 huge x": "the scores overflow"},
    ),
    case(
        block,
        lambda rng: (
            (tokens(rng), block_params(rng, gated=True, kv=4, bias=False)),
            {"heads": 4, "kv_heads": 2, "rms": True, "activation": "silu", "rotary_base": 100.0},
        ),
        "Llama",
    ),
    case(
        block,
        lambda rng: (
            (tokens(rng), block_params(rng, cross=True)),
            {
                "heads": 2,
                "memory": tokens(rng, 6),
                "mask": np.tri(5, dtype=bool),
                "memory_mask": np.tri(5, 6, 1, dtype=bool),
            },
        ),
        "memory",
        batch=("x", "memory"),
    ),
]


@pytest.fixture
def x():
    return torch.randn(3, 7, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_it_is_the_block_of_gpt2(x):
    config = GPT2Config(n_embd=16, n_head=4, n_inner=24)
    peer = redrawn(GPT2Block(config))
    params = gpt2_params(peer)
    causal = torch.full((7, 7), -math.inf, dtype=torch.float64).triu(1)[None, None]
    expected = peer(x, attention_mask=causal)
    expected = expected[0] if isinstance(expected, tuple) else expected
    assert_close(block(x, params, heads=4, activation="gelu_tanh", is_causal=True), expected)


def test_it_is_the_layer_of_bert(x):
    peer = redrawn(BertLayer(BertConfig(hidden_size=16, num_attention_heads=4)))
    params = bert_params(peer)
    expected = peer(x)
    expected = expected[0] if isinstance(expected, tuple) else expected
    assert_close(block(x, params, heads=4, pre_norm=False, eps=1e-12), expected)


def test_it_is_the_layer_of_llama(x):
    config = LlamaConfig(
        hidden_size=16, intermediate_size=24, num_attention_heads=4, num_key_value_heads=2
    )
    peer = redrawn(LlamaDecoderLayer(config, 0))
    params = llama_params(peer)
    turn = LlamaRotaryEmbedding(config)(x, torch.arange(7)[None])
    causal = torch.full((7, 7), -math.inf, dtype=torch.float64).triu(1)[None, None]
    expected = peer(x, attention_mask=causal, position_embeddings=turn)
    expected = expected[0] if isinstance(expected, tuple) else expected
    found = block(
        x,
        params,
        heads=4,
        kv_heads=2,
        rms=True,
        activation="silu",
        is_causal=True,
        rotary_base=config.rope_parameters["rope_theta"],
        eps=config.rms_norm_eps,
    )
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)  # angles in float32 there


@pytest.mark.parametrize("pre_norm", [False, True])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_it_is_the_layers_of_torch(x, pre_norm, activation):
    options = {"dropout": 0.0, "activation": activation, "batch_first": True}
    memory = x.flip(1)[:, :5] + 1
    causal = nn.Transformer.generate_square_subsequent_mask(7, dtype=torch.float64)
    encoder = redrawn(nn.TransformerEncoderLayer(16, 4, 24, **options, norm_first=pre_norm))
    ours = {"heads": 4, "pre_norm": pre_norm, "activation": activation}
    params = torch_params(encoder)
    with torch.no_grad():
        expected = encoder.train()(x)
    assert_close(block(x, params, **ours), expected)
    decoder = redrawn(nn.TransformerDecoderLayer(16, 4, 24, **options, norm_first=pre_norm))
    params = torch_params(decoder, cross=True)
    seen = torch.ones(7, 5, dtype=torch.bool)
    seen[2, 3:] = False
    expected = decoder(x, memory, tgt_mask=causal, memory_mask=~seen)
    found = block(x, params, memory=memory, memory_mask=seen, is_causal=True, **ours)
    assert_close(found, expected)
    grad = torch.autograd.grad(found.square().sum(), params.attention.q.weight)[0]
    whole = torch.autograd.grad(expected.square().sum(), decoder.self_attn.in_proj_weight)[0]
    assert_close(grad, whole[:16], scale=100)


def test_a_causal_block_does_not_read_what_follows():
    rng = np.random.default_rng(0)
    x, params = tokens(rng), block_params(rng)
    changed = x.copy()
    changed[:, 3] *= -1
    for causal, same in ((True, True), (False, False)):
        before, after = (block(y, params, heads=2, is_causal=causal) for y in (x, changed))
        assert np.allclose(before[:, :3], after[:, :3]) == same
        assert not np.allclose(before[:, 3:], after[:, 3:])


def test_errors():
    rng = np.random.default_rng(0)
    x = tokens(rng)
    with pytest.raises(ValueError, match=r"memory is given and params\.cross is not"):
        block(x, block_params(rng), heads=2, memory=x)
    with pytest.raises(ValueError, match=r"memory is missing and params\.cross is not"):
        block(x, block_params(rng, cross=True), heads=2)
    with pytest.raises(ValueError, match="activation is 'tanh': it must be one of"):
        feed_forward(x, mlp_params(rng), activation="tanh")
    narrow = FeedForwardParams(layer(rng, HIDDEN, WIDTH), layer(rng, 1, HIDDEN))
    params = block_params(rng)._replace(feed_forward=narrow)
    with pytest.raises(ValueError, match="the residual branch has shape"):
        block(x, params, heads=2)
