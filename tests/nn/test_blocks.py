import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from dlkb.nn import SiLU, TransformerDecoderLayer, TransformerEncoderLayer, mc_dropout
from dlkb.transformers.blocks import block
from scripts.peers.transformers.blocks import torch_params
from tests.close import assert_close

KINDS = {"encoder": TransformerEncoderLayer, "decoder": TransformerDecoderLayer}
THEIRS = {"encoder": nn.TransformerEncoderLayer, "decoder": nn.TransformerDecoderLayer}


def draw(*shape, seed=0, dtype=torch.float64):
    return torch.tensor(np.random.default_rng(seed).normal(size=shape), dtype=dtype)


def pair(kind, **options):
    """Return our layer with torch's weights, none of which is at its start, and torch's."""
    options = {"dropout": 0.0, "dtype": torch.float64, **options}
    theirs = THEIRS[kind](8, 2, 12, **options)
    with torch.no_grad():
        for seed, p in enumerate(theirs.parameters()):
            p.add_(draw(*p.shape, seed=seed) / 4)
    ours = KINDS[kind](8, 2, 12, **options)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def inputs(kind, layer, batch=(3,)):
    """Return the tokens, and for a decoder the memory, in the layer's order of axes."""
    tensors = [draw(4, *batch, 8, seed=1), draw(6, *batch, 8, seed=2)]
    if batch and layer.self_attn.batch_first:
        tensors = [x.transpose(0, 1) for x in tensors]
    return [x.requires_grad_() for x in tensors[: 2 if kind == "decoder" else 1]]


CAUSAL = nn.Transformer.generate_square_subsequent_mask(4, dtype=torch.float64)
PADDED = torch.tensor([[False] * 4, [False] * 3 + [True], [False, True, True, True]])
UNREAD = torch.arange(6)[None] > torch.tensor([5, 2, 3])[:, None]
ENCODER = {
    "none": {},
    "causal": {"src_mask": CAUSAL, "is_causal": True},
    "shut": {"src_mask": torch.ones(4, 4).triu(2).bool()},
    "added": {"src_mask": draw(4, 4, seed=3)},
    "each head": {"src_mask": draw(6, 4, 4, seed=3) > 1},
    "padding": {"src_key_padding_mask": PADDED},
    "both": {"src_mask": torch.ones(4, 4).triu(2).bool(), "src_key_padding_mask": PADDED},
}
DECODER = {
    "none": {},
    "causal": {"tgt_mask": CAUSAL, "tgt_is_causal": True},
    "memory": {"memory_mask": draw(4, 6, seed=3) > 1, "memory_key_padding_mask": UNREAD},
    "all": {
        "tgt_mask": CAUSAL.isinf(),
        "tgt_key_padding_mask": PADDED,
        "memory_mask": torch.ones(4, 6).triu(3).bool(),
        "memory_key_padding_mask": UNREAD,
    },
    "memory, causal": {
        "memory_mask": torch.ones(4, 6).triu(1).bool(),
        "memory_is_causal": True,
    },
}
MASKS = [("encoder", m) for m in ENCODER.values()] + [("decoder", m) for m in DECODER.values()]
NAMES = [f"encoder {n}" for n in ENCODER] + [f"decoder {n}" for n in DECODER]
OPTIONS = {
    "post": {},
    "pre": {"norm_first": True},
    "pre, gelu": {"norm_first": True, "activation": "gelu", "batch_first": True},
    "post, gelu": {"activation": "gelu", "layer_norm_eps": 0.1},
    "function": {"activation": nn.functional.silu},
    "module": {"activation": nn.GELU("tanh"), "batch_first": True},
    "no bias": {"bias": False, "norm_first": True},
}


def same(kind, layers, batch=(3,), **masks):
    """Assert that two layers give the same tokens and gradients."""
    results = []
    for layer in layers:
        tensors = inputs(kind, layer, batch)
        out = layer(*tensors, **masks)
        loss = (out * draw(*out.shape, seed=5)).sum()
        results.append((out, torch.autograd.grad(loss, [*tensors, *layer.parameters()])))
    (out, grads), (expected, others) = results
    assert_close(out, expected, scale=10)
    for grad, other in zip(grads, others, strict=True):
        assert_close(grad, other, scale=1000)


@pytest.mark.parametrize(("kind", "masks"), MASKS, ids=NAMES)
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_values_and_gradients_are_those_of_torch(kind, masks, options):
    same(kind, pair(kind, **options), **masks)


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_batch(kind):
    same(kind, pair(kind, batch_first=True), batch=())
    same(kind, pair(kind, norm_first=True), batch=())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("norm_first", [False, True])
def test_it_is_the_formula(kind, norm_first):
    layer, _ = pair(kind, norm_first=norm_first, batch_first=True, activation="gelu")
    x, *memory = inputs(kind, layer)
    params = torch_params(layer, cross=kind == "decoder")
    options = {"heads": 2, "pre_norm": norm_first, "activation": "gelu"}
    found = block(x, params, memory=memory[0] if memory else None, **options)
    assert_close(layer(x, *memory), found)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_it_takes_the_place_of_torchs(kind, options):
    ours, theirs = pair(kind, **options)
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    fresh = THEIRS[kind](8, 2, 12, dtype=torch.float64, **options)
    fresh.load_state_dict(ours.state_dict())
    assert torch.equal(fresh.linear2.weight, theirs.linear2.weight)
    drawn = []
    for made in (KINDS, THEIRS):
        torch.manual_seed(1)
        drawn.append(made[kind](8, 2, 12, **options).state_dict())
    for name, value in drawn[0].items():
        assert torch.equal(value, drawn[1][name]), name


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
def test_one_seed_drops_what_torch_drops(kind, norm_first, batch_first):
    layers = pair(kind, dropout=0.4, norm_first=norm_first, batch_first=batch_first)
    results = []
    for layer in layers:
        torch.manual_seed(3)
        results.append(layer(*inputs(kind, layer)))
    assert_close(*results, scale=10)
    same(kind, [layer.eval() for layer in layers])


def test_defaults_are_those_of_torch():
    for kind in KINDS:
        ours, theirs = (made[kind](8, 2) for made in (KINDS, THEIRS))
        assert repr(ours) == repr(theirs)
        assert (ours.norm_first, ours.self_attn.batch_first) == (False, False)
        assert ours.linear1.out_features == 2048
        x = torch.tensor([-1.0, 0.5])
        assert torch.equal(ours.activation(x), theirs.activation(x))


@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize("norm_first", [False, True])
def test_it_serves_in_torchs_stacks(norm_first, grad):
    results = []
    for made in (KINDS, THEIRS):
        torch.manual_seed(0)
        options = {"batch_first": True, "norm_first": norm_first, "dtype": torch.float64}
        layers = [made[kind](8, 2, 12, **options) for kind in KINDS]
        encoder = nn.TransformerEncoder(layers[0], 2, enable_nested_tensor=False)
        decoder = nn.TransformerDecoder(layers[1], 2)
        with torch.no_grad():
            for seed, p in enumerate((*encoder.parameters(), *decoder.parameters())):
                p.add_(draw(*p.shape, seed=seed) / 4)
        source, target = draw(3, 6, 8), draw(3, 4, 8, seed=1)
        with torch.set_grad_enabled(grad):  # without, torch's layers take paths of their own
            memory = encoder.eval()(source, src_key_padding_mask=UNREAD)
            out = decoder.eval()(target, memory, tgt_mask=CAUSAL, memory_key_padding_mask=UNREAD)
        results.append((memory[~UNREAD], out))
    for found, expected in zip(*results, strict=True):
        assert_close(found, expected, scale=100)


@pytest.mark.parametrize("kind", KINDS)
def test_it_compiles_is_copied_and_computes_in_half_precision(kind):
    for activation in ("relu", "gelu"):
        layer, _ = pair(kind, activation=activation, batch_first=True, dtype=torch.float32)
        tensors = [x.detach().float() for x in inputs(kind, layer)]
        expected = layer(*tensors)
        torch.compiler.reset()
        compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
        assert_close(compiled(*tensors), expected)
        loss = torch.autograd.grad(compiled(*tensors).sum(), layer.linear1.weight)[0]
        assert_close(loss, torch.autograd.grad(expected.sum(), layer.linear1.weight)[0], scale=100)
        for again in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
            assert torch.equal(again(*tensors), expected)
        half = copy.deepcopy(layer).bfloat16()(*(x.bfloat16() for x in tensors))
        assert half.dtype == torch.bfloat16
        assert_close(half, expected.bfloat16(), dtype="bfloat16", scale=8)


def test_an_activation_may_be_ours():
    ours, theirs = pair("encoder"), pair("encoder", activation=nn.functional.silu)
    layer = TransformerEncoderLayer(8, 2, 12, 0.0, SiLU(), dtype=torch.float64)
    layer.load_state_dict(theirs[1].state_dict())
    same("encoder", (layer, theirs[1]))
    assert not torch.allclose(layer(draw(4, 8)), ours[0](draw(4, 8)), atol=1e-3)


def test_hooks_fire_and_parts_can_be_replaced_in_eval():
    layer = TransformerEncoderLayer(8, 2, 12, batch_first=True).eval()
    seen = []
    layer.linear1.register_forward_hook(lambda *_: seen.append(1))
    with torch.no_grad():
        before = layer(torch.ones(1, 3, 8))
        layer.linear2 = nn.Linear(12, 8)
        assert not torch.allclose(layer(torch.ones(1, 3, 8)), before, atol=1e-3)
    assert seen == [1, 1]


def test_monte_carlo_dropout_reaches_the_weights_of_attention():
    layer = TransformerEncoderLayer(8, 2, 12, 0.0).eval()
    layer.self_attn.dropout = 0.5
    x = draw(40, 1, 8, dtype=torch.float32)
    with mc_dropout(layer), torch.no_grad():
        assert not torch.equal(layer(x), layer(x))
    assert torch.equal(layer(x), layer(x))


def test_the_mask_counts_and_not_the_hint():
    layers = pair("encoder")
    x = draw(4, 1, 8)
    shut = torch.zeros(4, 4, dtype=torch.float64)
    ours, theirs = (layer(x, src_mask=shut, is_causal=True) for layer in layers)
    assert_close(ours, layers[1](x), scale=10)
    assert_close(theirs, layers[1](x, src_mask=CAUSAL), scale=10)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"nhead": 3}, ValueError, "d_model is 8: it must be a positive multiple of nhead, 3"),
        ({"nhead": 0}, ValueError, "multiple of nhead, 0"),
        ({"d_model": 0}, ValueError, "d_model is 0"),
        ({"dim_feedforward": 0}, ValueError, r"dim_feedforward is 0: it must lie in \[1, inf\)"),
        ({"dropout": 1.5}, ValueError, r"dropout is 1\.5: it must lie in \[0, 1\]"),
        ({"activation": "silu"}, ValueError, "activation is 'silu': names are .*SiLU"),
        ({"activation": 3}, TypeError, "activation is int: give a name or a function"),
    ],
)
def test_what_is_refused_is_refused_before_anything_is_drawn(kind, arguments, error, message):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    with pytest.raises(error, match=message):
        KINDS[kind](**{"d_model": 8, "nhead": 2, **arguments})
    assert torch.equal(torch.get_rng_state(), before)


def test_errors_of_inputs():
    encoder, decoder = pair("encoder")[0], pair("decoder")[0]
    x = draw(4, 3, 8)
    nested = torch.nested.nested_tensor([torch.ones(2, 8), torch.ones(3, 8)], layout=torch.jagged)
    with pytest.raises(TypeError, match=r"src is a nested tensor: .* enable_nested_tensor=False"):
        encoder(nested)
    with pytest.raises(ValueError, match=r"src has shape \(4, 3, 7\): .* the last 8, the d_model"):
        encoder(x[..., :7])
    with pytest.raises(ValueError, match=r"src has shape \(1, 4, 3, 8\)"):
        encoder(x[None])
    with pytest.raises(ValueError, match=r"memory has shape \(4, 3, 7\)"):
        decoder(x, x[..., :7])
    with pytest.raises(ValueError, match="batches, axis 1 of three, must be equal"):
        decoder(x, x[:, :1])
    with pytest.raises(ValueError, match=r"memory has shape \(4, 8\) but tgt has shape"):
        decoder(x, x[:, 0])
    with pytest.raises(ValueError, match="batches, axis 0 of three"):
        pair("decoder", batch_first=True)[0](x, x[:2])
    with pytest.raises(RuntimeError, match=r"hint is True and its mask is None: give src_mask"):
        encoder(x, is_causal=True)
    for hint in ("tgt_is_causal", "memory_is_causal"):
        with pytest.raises(RuntimeError, match="its mask is None"):
            decoder(x, x, **{hint: True})


@pytest.mark.parametrize("grad", [True, False])
def test_a_token_that_may_read_nothing_reads_zeros_and_is_nan_on_torchs_fast_path(grad):
    ours, theirs = (layer.eval() for layer in pair("encoder", batch_first=True))
    shut = torch.ones(4, 4, dtype=torch.bool)
    with torch.set_grad_enabled(grad):
        found, other = (layer(draw(3, 4, 8), src_mask=shut) for layer in (ours, theirs))
    assert found.isfinite().all()
    assert other.isfinite().all() == grad
