import numpy as np
import peft
import pytest
import torch
from torch.nn import functional as F
from transformers import GPT2Config, GPT2LMHeadModel

from dlkb.finetuning.prefix_tuning import (
    cache_bytes,
    ia3,
    ia3_merge,
    prefix_attention,
    prefix_gate,
    prefix_parameters,
)
from dlkb.transformers.attention import attention
from tests.cases import Case
from tests.close import assert_close

SHAPES = {  # axes in front, queries, keys, prefix, width
    "tokens": ((), 4, 5, 3, 6),
    "heads": ((2, 3), 4, 4, 2, 5),
    "one query": ((2,), 1, 6, 3, 4),
    "prefix of one": ((), 3, 3, 1, 2),
    "no prefix": ((2,), 3, 3, 0, 4),
    "no batch": ((0,), 3, 3, 2, 4),
    "no query": ((2,), 0, 3, 2, 4),
}


def arrays(rng, shape):
    axes, queries, keys, length, d = SHAPES[shape]
    sizes = (queries, keys, keys, length, length)
    return [rng.normal(size=(*axes, n, d)) for n in sizes]


def make(shape, gate=False, **keywords):
    def build(rng):
        q, k, v, prefix_k, prefix_v = arrays(rng, shape)
        return ((q, k, prefix_k) if gate else (q, k, v, prefix_k, prefix_v)), keywords

    return build


HUGE = {"float64 huge all": "all scores overflow"}


def linear(bias=True, x=True):
    def build(rng):
        weight, factor = rng.normal(size=(3, 4)), rng.normal(size=3)
        more = {"bias": rng.normal(size=3)} if bias else {}
        return ((rng.normal(size=(2, 4)),) if x else ()) + (weight, factor), more

    return build


CASES = [
    *(
        Case(prefix_attention, make(s), s, scale=10, unless={} if "no " in s else HUGE)
        for s in SHAPES
    ),
    Case(prefix_attention, make("heads", is_causal=True), "causal", scale=10, unless=HUGE),
    Case(prefix_attention, make("tokens", scale=0.3), "scale", scale=10, unless=HUGE),
    Case(prefix_gate, make("tokens", gate=True), scale=10, unless=HUGE),
    Case(prefix_gate, make("no prefix", gate=True), "no prefix", scale=10),
    Case(prefix_gate, make("heads", gate=True, is_causal=True), "causal", scale=10, unless=HUGE),
    Case(prefix_gate, make("tokens", gate=True, scale=0.3), "scale", scale=10, unless=HUGE),
    Case(ia3, linear(), "bias", scale=3, batch=("x",)),
    Case(ia3, linear(bias=False), scale=3, batch=("x",)),
    Case(ia3_merge, linear(x=False), "bias", batch=()),
    Case(ia3_merge, linear(bias=False, x=False), batch=()),
    Case(prefix_parameters, lambda _: ((6,), {"length": 3, "layers": 2})),
    Case(cache_bytes, lambda _: ((7,), {"width": 6, "layers": 2, "itemsize": 4})),
]


def tensors(shape):
    found = arrays(np.random.default_rng(0), shape)
    return [torch.tensor(a, requires_grad=True) for a in found]


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("shape", [s for s in SHAPES if s != "no query"])
def test_values_and_gradients_are_those_of_torch(shape, causal):
    q, k, v, prefix_k, prefix_v = leaves = tensors(shape)
    keys, values = torch.cat([prefix_k, k], -2), torch.cat([prefix_v, v], -2)
    mask = None
    if causal:
        own = torch.ones(q.shape[-2], k.shape[-2], dtype=torch.bool).tril()
        mask = torch.cat([torch.ones(q.shape[-2], prefix_k.shape[-2], dtype=torch.bool), own], 1)
    expected = F.scaled_dot_product_attention(q, keys, values, attn_mask=mask)
    found = prefix_attention(*leaves, is_causal=causal)
    assert_close(found, expected, scale=10)
    g = torch.linspace(-1, 2, expected.numel(), dtype=torch.float64).reshape(expected.shape)
    wanted = torch.autograd.grad(expected, leaves, g, allow_unused=True)
    mine = torch.autograd.grad(found, leaves, g, allow_unused=True)
    for a, b in zip(mine, wanted, strict=True):
        assert_close(a, b, scale=10)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("scale", [None, 2.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_prefix_is_a_mixture_of_two_attentions(shape, scale, causal):
    q, k, v, prefix_k, prefix_v = arrays(np.random.default_rng(1), shape)
    options = {"is_causal": causal, "scale": scale}
    gate = prefix_gate(q, k, prefix_k, **options)[..., None]
    own = attention(q, k, v, **options)
    other = attention(q, prefix_k, prefix_v, scale=scale)
    found = prefix_attention(q, k, v, prefix_k, prefix_v, **options)
    assert found.shape == own.shape
    assert_close(found, (1 - gate) * own + gate * other, scale=10)
    if prefix_k.shape[-2]:
        assert (gate > 0).all()
    else:
        assert not gate.any()


def test_the_gate_is_a_sigmoid_of_the_difference_of_log_sums():
    q, k, _, prefix_k, _ = tensors("heads")
    d = q.shape[-1]
    prefix, own = (torch.logsumexp(q @ x.mT / d**0.5, -1) for x in (prefix_k, k))
    assert_close(prefix_gate(q, k, prefix_k), torch.sigmoid(prefix - own), scale=10)


def gpt():
    torch.manual_seed(0)
    sizes = {"n_positions": 32, "n_embd": 8, "n_layer": 2, "n_head": 2, "vocab_size": 20}
    off = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0)
    config = GPT2Config(**sizes, **off, bos_token_id=0, eos_token_id=0)
    return GPT2LMHeadModel(config).eval()


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing:FutureWarning")
def test_the_attention_is_that_of_peft():
    """Of each layer of GPT-2, whose projections are read off, with peft's own prefix."""
    config = peft.PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3)
    model = peft.get_peft_model(gpt(), config).eval()
    layers = [block.attn for block in model.base_model.transformer.h]
    seen = {}
    for i, layer in enumerate(layers):
        layer.c_attn.register_forward_hook(lambda _, args, out, i=i: seen.update({(i, "qkv"): out}))
        layer.c_proj.register_forward_hook(
            lambda _, args, out, i=i: seen.update({(i, "out"): args[0]})
        )
    ids = torch.arange(5)[None]
    with torch.no_grad():
        logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
        prompt = model.prompt_encoder["default"].embedding.weight
    assert logits.shape == (1, 5, 20)  # no longer than the input
    # (tokens, layers · 2 · heads · width of a head), key before value
    pairs = prompt.view(3, 4, 2, 4).permute(1, 2, 0, 3)[:, None]
    for i in range(2):
        q, k, v = (t.view(1, 5, 2, 4).transpose(1, 2) for t in seen[i, "qkv"].split(8, dim=2))
        found = prefix_attention(q, k, v, pairs[2 * i], pairs[2 * i + 1], is_causal=True)
        assert_close(found.transpose(1, 2).reshape(1, 5, 8), seen[i, "out"], scale=10)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert prefix_parameters(8, length=3, layers=2) == trained
    held = prompt.numel() * prompt.element_size()
    assert cache_bytes(3, width=8, layers=2, itemsize=4) == held
    assert cache_bytes(3, width=8, layers=2) == held / 2


def test_factors_are_those_of_peft_and_merge():
    config = peft.IA3Config(target_modules=["0"], feedforward_modules=[])
    torch.manual_seed(0)
    model = peft.get_peft_model(torch.nn.Sequential(torch.nn.Linear(4, 3)), config)
    layer = model.base_model.model[0]
    base, factor = layer.base_layer, layer.ia3_l["default"]
    x = torch.randn(5, 4)
    assert_close(ia3(x, base.weight, factor[:, 0], base.bias), base(x))  # ones at the start
    with torch.no_grad():
        factor.normal_()
        args = base.weight, factor[:, 0], base.bias
        assert_close(ia3(x, *args), layer(x))
        weight, bias = ia3_merge(*args)
        layer.merge()
    assert_close(weight, layer.base_layer.weight)
    assert_close(bias, layer.base_layer.bias)
    assert ia3_merge(weight, bias)[1] is None


q, k, v, p, _ = arrays(np.random.default_rng(0), "tokens")
W, factor = np.ones((3, 4)), np.ones(3)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: prefix_attention(q, k, v, p[:, :2], p), ValueError, r"prefix_k has shape \(3, 2"),
        (lambda: prefix_attention(q, k, v, p, p[None]), ValueError, r"prefix_v has shape \(1, 3"),
        (lambda: prefix_attention(q, k, v, p, p[:2]), ValueError, "one value for each key"),
        (lambda: prefix_attention(q, k, v, p.astype(int), p), TypeError, "prefix_k has dtype"),
        (lambda: prefix_attention(q, k, v, p, [1.0]), TypeError, "prefix_v is list"),
        (lambda: prefix_attention(q, k[0], v, p[0], p), ValueError, r"k has shape \(6,\)"),
        (
            lambda: prefix_attention(q[0], k, v, p, p, is_causal=True),
            ValueError,
            r"q has shape \(6,\): it must be \(…, tokens, d\)",
        ),
        (lambda: prefix_gate(q[0], k, p, is_causal=True), ValueError, r"q has shape \(6,\)"),
        (lambda: ia3_merge(W, factor, np.ones(3, int)), TypeError, "bias has dtype int64"),
        (lambda: prefix_gate(q, k, p[..., :1]), ValueError, r"prefix_k has shape \(3, 1\)"),
        (lambda: ia3(np.ones(3), W, factor), ValueError, r"x has shape \(3,\): .* in = 4"),
        (lambda: ia3(np.asarray(1.0), W, factor), ValueError, r"x has shape \(\)"),
        (lambda: ia3(np.ones(4, int), W, factor), TypeError, "x has dtype int64"),
        (lambda: ia3_merge(W[0], factor), ValueError, r"weight has shape \(4,\)"),
        (lambda: ia3_merge(W, factor[:1]), ValueError, r"factor has shape \(1,\): it must be"),
        (lambda: ia3_merge(W, factor, factor[:1]), ValueError, r"bias has shape \(1,\)"),
        (lambda: ia3_merge(W, factor.astype(int)), TypeError, "factor has dtype int64"),
        (lambda: prefix_parameters(0, length=1, layers=1), ValueError, "width is 0"),
        (lambda: prefix_parameters(1, length=-1, layers=1), ValueError, "length is -1"),
        (lambda: prefix_parameters(1, length=1, layers=0), ValueError, "layers is 0"),
        (lambda: cache_bytes(1, width=1, layers=1, itemsize=0), ValueError, "itemsize is 0"),
        (lambda: cache_bytes(-1, width=1, layers=1), ValueError, "tokens is -1"),
    ],
)
def test_errors_name_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call()
