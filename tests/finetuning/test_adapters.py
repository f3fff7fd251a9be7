import numpy as np
import pytest
import scipy.stats
import torch
from torch.nn import functional as F

from dlkb.finetuning.adapters import (
    ACTIVATIONS,
    FusionGradients,
    Gradients,
    Weights,
    adapter,
    adapter_init,
    adapter_parameters,
    adapter_vjp,
    branch,
    fusion,
    fusion_parameters,
    fusion_vjp,
    fusion_weights,
)
from tests.cases import Case
from tests.close import assert_close

SHAPES = {  # batch axes, d, m
    "rows": ((5,), 6, 2),
    "sequence": ((2, 3), 6, 4),
    "one vector": ((), 5, 2),
    "wider inside": ((4,), 3, 7),
    "width 1": ((3,), 1, 1),
    "one row": ((1,), 4, 2),
    "empty batch": ((0,), 6, 2),
    "empty axis": ((2, 0), 6, 2),
}
ONE_WIDE = dict.fromkeys(SHAPES, ()) | {"width 1": ("h",)}
REFERENCE = {"relu": F.relu, "gelu": F.gelu, "swish": F.silu, "identity": lambda x: x}


def weights(rng, d, m):
    return rng.normal(size=(m, d)), rng.normal(size=(d, m)), rng.normal(size=m), rng.normal(size=d)


def make(shape, more=(), **keywords):
    def build(rng):
        batch, d, m = SHAPES[shape]
        h = rng.normal(size=(*batch, d))
        cotangent = (rng.normal(size=h.shape),) if more else ()
        return (h, *weights(rng, d, m), *cotangent), keywords

    return build


def fusing(shape, adapters=3, vjp=False, only_weights=False, bias=True):
    def build(rng):
        batch, d, _ = SHAPES[shape]
        h, z = rng.normal(size=(*batch, d)), rng.normal(size=(*batch, adapters, d))
        Q, K, V = 0.3 * rng.normal(size=(3, d, d))
        matrices = (Q, K) if only_weights else (Q, K, V)
        cotangent = (rng.normal(size=h.shape),) if vjp else ()
        return (h, z, *matrices, *cotangent), {"query_bias": rng.normal(size=d)} if bias else {}

    return build


OVERFLOW = "the product of input and weight overflows: inf · 0 in the activation's far tail"
SMOOTH = {  # for GELU and swish, whose tails are products
    a: {"float64 huge all": OVERFLOW, "float16 large all": OVERFLOW} for a in ("gelu", "swish")
}
CUT = {"relu": {"float64 huge all": "products of input and weight overflow: ∞ − ∞, or cut off"}}
LARGE = {"float64 large all": "the scores overflow"}
HUGE = LARGE | {"float64 huge all": "the scores overflow"}

CASES = [
    *(
        Case(
            branch,
            make("rows", activation=a, scaling=0.5),
            a,
            scale=10,
            batch=("h",),
            unless=SMOOTH.get(a, {}),
            either=CUT.get(a, {}),
        )
        for a in ACTIVATIONS
    ),
    *(
        Case(adapter, make(s, scaling=0.5), s, scale=10, batch=("h",), broadcasts=ONE_WIDE[s])
        for s in ("sequence", "one vector", "width 1", "empty batch")
    ),
    *(
        Case(
            adapter,
            make("rows", activation=a),
            a,
            scale=10,
            batch=("h",),
            unless=SMOOTH.get(a, {}),
        )
        for a in ACTIVATIONS[1:]
    ),
    *(
        Case(adapter_vjp, make("sequence", "g", activation=a, scaling=0.5), a, scale=20, batch=())
        for a in ACTIVATIONS
    ),
    Case(adapter_vjp, make("empty batch", "g"), "empty", scale=10, batch=()),
    Case(adapter_init, lambda rng: ((rng.normal(size=(2, 5)),), {"m": 3, "generator": rng})),
    Case(
        adapter_init,
        lambda rng: ((rng.normal(size=5),), {"m": 3, "generator": rng, "std": 0.02}),
        "normal",
    ),
    *(
        Case(fusion_weights, fusing(s, only_weights=True), s, scale=10, batch=("h", "z"), unless=u)
        for s, u in (("rows", HUGE), ("empty axis", {}))
    ),
    *(
        Case(fusion, fusing(s), s, scale=10, batch=("h", "z"), unless=u)
        for s, u in (("sequence", LARGE), ("one vector", LARGE), ("empty batch", {}))
    ),
    Case(fusion, fusing("rows", bias=False), "no bias", scale=10, batch=("h", "z"), unless=LARGE),
    Case(
        fusion,
        fusing("rows", adapters=1),
        "one adapter",
        scale=10,
        batch=("h", "z"),
        unless=LARGE,
    ),
    Case(fusion_vjp, fusing("sequence", vjp=True), scale=20, batch=(), unless=HUGE),
    Case(
        fusion_vjp,
        fusing("rows", vjp=True, bias=False),
        "no bias",
        scale=20,
        batch=(),
        unless=HUGE,
    ),
    Case(adapter_parameters, lambda _: ((7,), {"m": 2})),
    Case(fusion_parameters, lambda _: ((7,), {})),
]


def tensors(arrays):
    return [torch.tensor(a, requires_grad=True) for a in arrays]


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("shape", SHAPES)
def test_values_and_gradients_are_those_of_torch(shape, activation):
    arrays, _ = make(shape)(np.random.default_rng(0))
    h, down, up, b, c = leaves = tensors(arrays)
    inside = REFERENCE[activation](F.linear(h, down, b))
    expected = h + 0.7 * F.linear(inside, up, c)
    plain = [t.detach() for t in leaves]
    y = adapter(*plain, activation=activation, scaling=0.7)
    assert_close(y, expected)
    parallel = branch(*plain, activation=activation, scaling=0.7)
    assert_close(parallel, expected - h)
    g = torch.linspace(-1, 2, expected.numel(), dtype=h.dtype).reshape(expected.shape)
    ours = adapter_vjp(*plain, g, activation=activation, scaling=0.7)
    assert isinstance(ours, Gradients)
    for mine, other in zip(ours, torch.autograd.grad(expected, leaves, g), strict=True):
        assert_close(mine, other, scale=10)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("adapters", [1, 2, 5])
@pytest.mark.parametrize("shape", SHAPES)
def test_fusion_is_attention_over_the_adapters(shape, adapters, bias):
    rng = np.random.default_rng(1)
    arrays, keywords = fusing(shape, adapters, bias=bias)(rng)
    h, z, Q, K, V = leaves = tensors(arrays)
    b = tensors(keywords.values())
    q = F.linear(h, Q, *b)[..., None, :]
    # One query a token, no scale, the adapters as its sequence.
    expected = F.scaled_dot_product_attention(q, F.linear(z, K), F.linear(z, V), scale=1.0)
    plain = [t.detach() for t in leaves]
    more = {k: torch.tensor(v) for k, v in keywords.items()}
    assert_close(fusion(*plain, **more), expected[..., 0, :], scale=10)
    s = fusion_weights(*plain[:4], **more)
    assert_close(s.sum(-1), torch.ones(h.shape[:-1], dtype=h.dtype))
    mean = (s[..., None] * plain[1]).sum(-2)
    assert_close(fusion(*plain, **more), F.linear(mean, plain[4]), scale=10)
    g = torch.tensor(rng.normal(size=h.shape))
    ours = fusion_vjp(*plain, g, **more)
    assert isinstance(ours, FusionGradients)
    wanted = torch.autograd.grad(expected[..., 0, :], [*leaves, *b], g)
    for mine, other in zip(ours, wanted, strict=False):
        assert_close(mine, other, scale=20)
    assert (ours.query_bias is None) == (not bias)


def test_a_bias_of_the_keys_cancels():
    (h, z, Q, K), _ = fusing("rows", only_weights=True, bias=False)(np.random.default_rng(0))
    q, shift = h @ Q.T, np.random.default_rng(1).normal(size=6)
    scores = ((z @ K.T + shift) * q[:, None]).sum(-1)
    e = np.exp(scores - scores.max(-1, keepdims=True))
    assert_close(fusion_weights(h, z, Q, K), e / e.sum(-1, keepdims=True), scale=10)


def test_large_scores_choose_one_adapter_and_stay_finite():
    z = np.asarray([[300.0, 0.0], [0.0, 300.0]], dtype=np.float16)
    h, eye = np.asarray([200.0, 100.0], dtype=np.float16), np.eye(2, dtype=np.float16)
    assert fusion_weights(h, z, eye, eye).tolist() == [1.0, 0.0]  # scores of 60000 and 30000
    assert fusion(h, z, eye, eye, eye).tolist() == [300.0, 0.0]
    wide = np.eye(2, dtype=np.float16) * np.float16(200)  # a score beyond float16
    assert np.isfinite(fusion_vjp(h, z, wide, eye, eye, h).value).all()


def test_the_first_law_starts_at_the_identity_and_the_second_near_it():
    rng = np.random.default_rng(0)
    h = rng.normal(size=(4, 900))
    drawn = adapter_init(h, m=30, generator=rng)
    assert isinstance(drawn, Weights)
    assert np.array_equal(adapter(h, *drawn), h)
    uniform = scipy.stats.uniform(-1 / 30, 2 / 30)
    assert scipy.stats.kstest(drawn.down.ravel(), uniform.cdf).pvalue > 0.01
    near = adapter_init(h, m=30, generator=rng, std=0.01)
    for matrix in near[:2]:
        assert scipy.stats.kstest(matrix.ravel(), scipy.stats.norm(0, 0.01).cdf).pvalue > 0.01
    assert 0 < np.abs(adapter(h, *near) - h).max() < 0.1
    for weight in (*drawn[2:], *near[2:]):
        assert not weight.any()


def test_the_draw_stays_with_the_array_whatever_the_defaults():
    like = torch.zeros(5, dtype=torch.float64)
    torch.set_default_device("meta")
    try:
        for std in (None, 0.02):
            for weight in adapter_init(like, m=2, generator=np.random.default_rng(0), std=std):
                assert (weight.device.type, weight.dtype) == ("cpu", torch.float64)
    finally:
        torch.set_default_device(None)


@pytest.mark.parametrize(("d", "m"), [(1, 1), (7, 2), (768, 48)])
def test_counts_are_those_of_the_arrays(d, m):
    drawn = adapter_init(np.zeros(d), m=m, generator=np.random.default_rng(0))
    assert adapter_parameters(d, m=m) == sum(w.size for w in drawn)
    assert fusion_parameters(d) == 3 * np.zeros((d, d)).size + 2 * np.zeros(d).size


h, down, up, b, c = make("rows")(np.random.default_rng(0))[0]
_, z, Q, K, V = fusing("rows")(np.random.default_rng(0))[0]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: adapter([1.0], down, up, b, c), TypeError, "h is list"),
        (lambda: adapter(h, down.astype(int), up, b, c), TypeError, "down has dtype int64"),
        (lambda: adapter(h, down, up, b, c.astype(int)), TypeError, "up_bias has dtype int64"),
        (lambda: adapter(h, up, down, b, c), ValueError, r"h has shape \(5, 6\).* d = 2"),
        (lambda: adapter(h, down, up[:3], b, c), ValueError, r"up has shape \(3, 2\)"),
        (lambda: adapter(h, down[:0], up[:, :0], b, c), ValueError, "m >= 1"),
        (lambda: adapter(h, down[0], up, b, c), ValueError, r"down has shape \(6,\)"),
        (lambda: adapter(np.asarray(1.0), down, up, b, c), ValueError, r"h has shape \(\)"),
        (lambda: branch(h, down, up, c, c), ValueError, r"down_bias has shape \(6,\)"),
        (lambda: branch(h, down, up, b, b), ValueError, r"up_bias has shape \(2,\).*\(6,\)"),
        (lambda: branch(h, down, up, b, c, activation="tanh"), ValueError, "activation is 'tanh'"),
        (lambda: adapter_vjp(h, down, up, b, c, h[:2]), ValueError, "cotangent has shape"),
        (lambda: adapter_vjp(h, down, up, b, c, h.astype(int)), TypeError, "cotangent has dtype"),
        (lambda: fusion(h, h, Q, K, V), ValueError, r"h has shape \(5, 6\) and z has shape"),
        (lambda: fusion(h, z[:, :0], Q, K, V), ValueError, "N >= 1 adapters"),
        (lambda: fusion(h, z[:3], Q, K, V), ValueError, r"z has shape \(3, 3, 6\)"),
        (lambda: fusion(h, z, Q[:2], K, V), ValueError, r"query has shape \(2, 6\)"),
        (lambda: fusion(h, z, Q, K[:2], V), ValueError, r"key has shape \(2, 6\)"),
        (lambda: fusion(h, z, Q, K, V[:2]), ValueError, r"value has shape \(2, 6\)"),
        (lambda: fusion(h, z, Q, K, V.astype(int)), TypeError, "value has dtype int64"),
        (lambda: fusion(h, z, Q, K, V, b), ValueError, r"query_bias has shape \(2,\)"),
        (lambda: fusion(h, z, Q, K, V, c.astype(int)), TypeError, "query_bias has dtype int64"),
        (lambda: fusion_vjp(h, z, Q, K, V, h, c.astype(int)), TypeError, "query_bias has dtype"),
        (lambda: fusion_weights(h, z.astype(int), Q, K), TypeError, "z has dtype int64"),
        (lambda: fusion_vjp(h, z, Q, K, V, h[:2]), ValueError, "cotangent has shape"),
        (lambda: adapter_parameters(0, m=1), ValueError, "d is 0"),
        (lambda: adapter_parameters(1, m=0), ValueError, "m is 0"),
        (lambda: fusion_parameters(0), ValueError, "d is 0"),
    ],
)
def test_errors_name_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize(
    ("like", "keywords", "message"),
    [
        (np.zeros(5), {"m": 0}, "m is 0"),
        (np.zeros(5), {"m": 1, "std": 0.0}, "std is 0.0"),
        (np.zeros(()), {"m": 1}, r"like has shape \(\)"),
        (np.zeros((2, 0)), {"m": 1}, r"like has shape \(2, 0\)"),
    ],
)
def test_errors_of_the_draw(like, keywords, message):
    with pytest.raises(ValueError, match=message):
        adapter_init(like, generator=np.random.default_rng(0), **keywords)
