import copy

import numpy as np
import pytest
import torch
from torch import nn

from dlkb.nn import MultiheadAttention
from tests.close import assert_close


def draw(*shape, seed=0, dtype=torch.float64):
    return torch.tensor(np.random.default_rng(seed).normal(size=shape), dtype=dtype)


def pair(**options):
    """Return our layer and torch's with its weights, none of which is zero."""
    torch.manual_seed(0)
    theirs = nn.MultiheadAttention(8, 2, dtype=torch.float64, **options)
    with torch.no_grad():
        for seed, p in enumerate(theirs.parameters()):
            p.copy_(draw(*p.shape, seed=seed) / 2)
    ours = MultiheadAttention(8, 2, dtype=torch.float64, **options)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


OPTIONS = {
    "plain": {},
    "batch first": {"batch_first": True},
    "no bias": {"bias": False},
    "other widths": {"kdim": 5, "vdim": 6},
    "bias of keys": {"add_bias_kv": True},
    "zeros": {"add_zero_attn": True},
    "both, other widths": {"add_bias_kv": True, "add_zero_attn": True, "kdim": 5, "vdim": 6},
}
SHUT = draw(4, 6, seed=9) > 0.5
MASKS = {
    "none": {},
    "shut": {"attn_mask": SHUT},
    "added": {"attn_mask": draw(4, 6, seed=9)},
    "each head": {"attn_mask": draw(6, 4, 6, seed=9) > 0.7},
    "padding": {"key_padding_mask": draw(3, 6, seed=8) > 0.7},
    "padding, added": {"key_padding_mask": draw(3, 6, seed=8)},
    "both": {"key_padding_mask": draw(3, 6, seed=8) > 0.9, "attn_mask": SHUT},
}


def inputs(layer, batch=(3,)):
    q, k, v = draw(4, *batch, 8), draw(6, *batch, layer.kdim), draw(6, *batch, layer.vdim)
    if layer.batch_first and batch:
        q, k, v = (x.transpose(0, 1) for x in (q, k, v))
    return [x.requires_grad_() for x in (q, k, v)]


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("masks", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize("need_weights", [True, False])
def test_values_and_gradients_are_those_of_torch(options, masks, need_weights):
    results = []
    for layer in pair(**options):
        tensors = inputs(layer)
        read, weights = layer(*tensors, need_weights=need_weights, **masks)
        loss = (read * draw(*read.shape, seed=5)).sum()
        grads = torch.autograd.grad(loss, [*tensors, *layer.parameters()])
        results.append((read, weights, grads))
    (read, weights, grads), (wanted, others, theirs) = results
    assert_close(read, wanted)
    assert (weights is None) == (others is None) == (not need_weights)
    if need_weights:
        assert_close(weights, others)
    for grad, other in zip(grads, theirs, strict=True):
        assert_close(grad, other, scale=100)


def test_without_a_batch_and_each_head_by_itself():
    for layer, other in (pair(), pair(batch_first=True)):
        q, k, v = inputs(layer, batch=())
        options = {"average_attn_weights": False, "key_padding_mask": draw(6, seed=8) > 0.5}
        for found, wanted in zip(layer(q, k, v, **options), other(q, k, v, **options), strict=True):
            assert found.shape == wanted.shape
            assert_close(found, wanted)


@pytest.mark.parametrize("need_weights", [True, False])
def test_the_same_seed_drops_the_weights_that_torch_drops(need_weights):
    ours, theirs = pair(dropout=0.4)
    results = []
    for layer in (ours, theirs):
        torch.manual_seed(3)
        results.append(layer(*inputs(layer), need_weights=need_weights)[0])
    assert_close(*results)
    assert_close(ours.eval()(*inputs(ours))[0], theirs.eval()(*inputs(theirs))[0])


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_it_takes_the_place_of_torchs(options):
    ours, theirs = pair(**options)
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    theirs.load_state_dict(copy.deepcopy(ours).state_dict())
    drawn = []
    for kind in (MultiheadAttention, nn.MultiheadAttention):
        torch.manual_seed(1)
        drawn.append(kind(8, 2, **options).state_dict())
    for name, value in drawn[0].items():
        assert torch.equal(value, drawn[1][name]), name


def test_it_serves_torchs_encoder_layer():
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, dtype=torch.float64)
    x = draw(4, 3, 8)
    mask = nn.Transformer.generate_square_subsequent_mask(4, dtype=torch.float64)
    expected = layer.eval()(x, src_mask=mask, is_causal=True)
    ours = MultiheadAttention(8, 2, dtype=torch.float64).eval()
    ours.load_state_dict(layer.self_attn.state_dict())
    layer.self_attn = ours
    assert_close(layer(x, src_mask=mask, is_causal=True), expected)
    with torch.no_grad():  # where torch's layer takes a path of its own, from the weights
        assert_close(layer(x, src_mask=mask, is_causal=True), expected)


def test_a_query_whose_keys_are_all_masked_reads_zeros():
    ours, theirs = pair()
    mask = torch.ones(4, 6, dtype=torch.bool)
    assert theirs(*inputs(theirs), attn_mask=mask)[0].isnan().all()
    read, weights = ours(*inputs(ours), attn_mask=mask)
    assert torch.equal(weights, torch.zeros_like(weights))
    assert_close(read, ours.out_proj.bias.expand(4, 3, 8))


def test_errors():
    with pytest.raises(
        ValueError, match="embed_dim is 9: it must be a positive multiple of 2 heads"
    ):
        MultiheadAttention(9, 2)
    with pytest.raises(ValueError, match=r"dropout is 1\.5"):
        MultiheadAttention(8, 2, dropout=1.5)
    with pytest.raises(RuntimeError, match="Need attn_mask"):
        pair()[0](*inputs(pair()[0]), is_causal=True)


@pytest.mark.parametrize(
    ("masks", "error", "message"),
    [
        (
            {"attn_mask": SHUT.long(), "key_padding_mask": MASKS["padding"]["key_padding_mask"]},
            TypeError,
            r"attn_mask has dtype torch.int64: .* may not be read",
        ),
        ({"key_padding_mask": torch.zeros(3, 6).int()}, TypeError, "key_padding_mask has dtype"),
        ({"key_padding_mask": torch.zeros(6)}, ValueError, r"key_padding_mask .* \(N, S\)"),
        ({"key_padding_mask": torch.zeros(1, 6)}, ValueError, r"\(1, 6\) .* needed, \(3, 6\)"),
        ({"key_padding_mask": torch.zeros(3, 1)}, ValueError, r"\(3, 1\) .* needed, \(3, 6\)"),
        ({"attn_mask": torch.zeros(3, 4, 6)}, ValueError, r"needed, \(4, 6\), .*, \(6, 4, 6\)"),
        ({"attn_mask": torch.zeros(2, 4, 6)}, ValueError, r"\(2, 4, 6\): .* its 2 heads share"),
        ({"attn_mask": torch.zeros(1, 4, 6)}, ValueError, r"attn_mask has shape \(1, 4, 6\)"),
        ({"attn_mask": torch.zeros(3, 1, 4, 6)}, ValueError, r"attn_mask has shape \(3, 1, 4, 6\)"),
        ({"attn_mask": torch.zeros(1, 6)}, ValueError, r"attn_mask has shape \(1, 6\)"),
        ({"attn_mask": torch.zeros(6)}, ValueError, r"attn_mask has shape \(6,\)"),
        ({"attn_mask": torch.zeros(4, 5)}, ValueError, r"mask has shape .*5\)"),
    ],
    ids=str,
)
def test_masks_that_do_not_fit_are_named(masks, error, message):
    layer, theirs = pair()
    with pytest.raises(error, match=message):
        layer(*inputs(layer), **masks)
    if error is ValueError:
        with pytest.raises((AssertionError, RuntimeError)):
            theirs(*inputs(theirs), **masks)
    with pytest.raises(ValueError, match="have 4, 4 and 4 axes"):
        layer(*(x[None] for x in inputs(layer)))


@pytest.mark.parametrize("batch", [2, 3])
def test_masks_of_heads_and_of_sequences_are_repeated_as_said(batch):
    layer, _ = pair(batch_first=True)
    q, k, v = draw(batch, 4, 8), draw(batch, 6, 8), draw(batch, 6, 8)
    for_heads, for_batch = draw(2, 4, 6, seed=1), draw(batch, 4, 6, seed=2)
    with pytest.raises(ValueError, match=r"attn_mask has shape \(2, 4, 6\)"):
        layer(q, k, v, attn_mask=for_heads)
    each = {"average_attn_weights": False, "need_weights": True}
    _, plain = layer(q, k, v, **each)
    _, heads = layer(q, k, v, attn_mask=for_heads.repeat(batch, 1, 1), **each)
    assert_close(heads, (plain.log() + for_heads).softmax(-1))
    _, own = layer(q, k, v, attn_mask=for_batch.repeat_interleave(2, 0), **each)
    assert_close(own, (plain.log() + for_batch[:, None]).softmax(-1))


def test_a_hint_is_believed_by_torch_alone():
    ours, theirs = pair()
    mask = torch.zeros(4, 4, dtype=torch.bool)
    q, _, _ = inputs(ours)
    options = {"attn_mask": mask, "need_weights": False}
    expected = theirs(q, q, q, **options)[0]
    assert_close(ours(q, q, q, is_causal=True, **options)[0], expected)
    assert not torch.allclose(theirs(q, q, q, is_causal=True, **options)[0], expected)


def test_half_precision_and_compile():
    layer = MultiheadAttention(8, 2, batch_first=True)
    x = draw(3, 4, 8, dtype=torch.float32)
    expected = layer(x, x, x)[0]
    torch.compiler.reset()
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    assert_close(compiled(x, x, x)[0], expected)
    half = copy.deepcopy(layer).bfloat16()
    assert_close(half(*3 * [x.bfloat16()])[0], expected.bfloat16(), dtype="bfloat16", scale=4)
