import numpy as np
import peft
import pytest
import scipy.stats
import torch

from dlkb.finetuning.lora import (
    Factors,
    Gradients,
    forward_macs,
    lora,
    lora_branch,
    lora_init,
    lora_parameters,
    lora_scaling,
    lora_vjp,
    low_rank,
    merge,
    training_bytes,
    training_macs,
    unmerge,
)
from tests.cases import Case
from tests.close import assert_close

SHAPES = {  # batch axes, in, out, r
    "rows": ((5,), 7, 4, 2),
    "wide": ((5,), 4, 7, 2),
    "sequence": ((3, 6), 5, 4, 2),
    "one vector": ((), 5, 4, 2),
    "rank 1": ((5,), 7, 4, 1),
    "rank above both": ((5,), 3, 4, 6),
    "width 1": ((5,), 1, 1, 1),
    "empty batch": ((0,), 7, 4, 2),
    "empty axis": ((0, 3), 7, 4, 2),
}
ONE_WIDE = dict.fromkeys(SHAPES, ()) | {"width 1": ("x",)}


def layer(rng, batch, n_in, n_out, r):
    x, W = rng.standard_normal((*batch, n_in)), rng.standard_normal((n_out, n_in))
    return x, W, rng.standard_normal((r, n_in)), rng.standard_normal((n_out, r))


def make(shape, *pick, **keywords):
    def build(rng):
        arrays = dict(zip("xWAB", layer(rng, *SHAPES[shape]), strict=True))
        return tuple(arrays[name] for name in pick), keywords

    return build


def make_vjp(shape):
    def build(rng):
        x, W, A, B = layer(rng, *SHAPES[shape])
        return (x, W, A, B, rng.standard_normal((*x.shape[:-1], W.shape[0]))), {"scaling": 0.5}

    return build


CASES = [
    *(
        # An input of one row is a batch of 1.
        Case(lora, make(s, *"xWAB", scaling=0.5), s, scale=3, batch=("x",), broadcasts=ONE_WIDE[s])
        for s in SHAPES
    ),
    Case(
        lora,
        lambda rng: (
            layer(rng, *SHAPES["rows"]),
            {"scaling": 2.0, "bias": rng.standard_normal(4)},
        ),
        "bias",
        scale=3,
        batch=("x",),
    ),
    *(Case(lora_vjp, make_vjp(s), s, scale=10, batch=()) for s in SHAPES),
    Case(lora_branch, make("sequence", *"xAB", scaling=0.5), scale=3, batch=("x",)),
    Case(merge, make("rows", *"WAB", scaling=0.5), scale=3, batch=()),
    Case(unmerge, make("rows", *"WAB", scaling=0.5), scale=3, batch=()),
    Case(
        lora_init,
        lambda rng: ((rng.standard_normal((4, 7)),), {"r": 3, "generator": rng}),
        "uniform",
    ),
    Case(
        lora_init,
        lambda rng: ((rng.standard_normal((4, 7)),), {"r": 3, "generator": rng, "std": 0.2}),
        "gaussian",
    ),
    *(
        Case(
            low_rank,
            make("rows", "W", r=r),
            label,
            scale=10,
            half=False,
            batch=(),
            law=lambda M, by: M * by["M"],
        )
        for r, label in ((2, ""), (9, "full"))
    ),
    *(
        Case(lora_scaling, lambda _, rule=rule: ((16.0, 4), {"rule": rule}), rule)
        for rule in ("lora", "rslora", "alpha")
    ),
    Case(lora_parameters, lambda _: ((7, 4), {"r": 2})),
    Case(forward_macs, lambda _: ((7, 4), {"r": 2})),
    Case(training_macs, lambda _: ((7, 4), {"r": 2})),
    Case(training_bytes, lambda _: ((22,), {"moments": 1, "itemsize": 2})),
]


def tensors(shape, device="cpu"):
    arrays = layer(np.random.default_rng(0), *SHAPES[shape])
    return [torch.tensor(a, device=device) for a in arrays]


def peft_linear(W, A, B, bias=None, **config):
    """A peft layer that holds our factors."""
    base = torch.nn.Linear(W.shape[1], W.shape[0], bias=bias is not None, dtype=W.dtype)
    config = peft.LoraConfig(target_modules=["0"], r=A.shape[0], **config)
    model = peft.get_peft_model(torch.nn.Sequential(base).to(W.device), config)
    linear = model.base_model.model[0]
    with torch.no_grad():
        linear.base_layer.weight.copy_(W)
        if bias is not None:
            linear.base_layer.bias.copy_(bias)
        linear.lora_A["default"].weight.copy_(A)
        linear.lora_B["default"].weight.copy_(B)
    return linear


@pytest.mark.parametrize("rule", ["lora", "rslora"])
@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_values_and_gradients_are_those_of_peft(shape, with_bias, rule, device):
    x, W, A, B = tensors(shape, device)
    bias = torch.arange(W.shape[0], dtype=W.dtype, device=device) if with_bias else None
    theirs = peft_linear(W, A, B, bias, lora_alpha=6, use_rslora=rule == "rslora")
    scaling = lora_scaling(6, A.shape[0], rule=rule)
    assert theirs.scaling["default"] == scaling
    x.requires_grad_()
    expected = theirs(x)
    assert_close(lora(x, W, A, B, scaling=scaling, bias=bias), expected)

    cotangent = torch.linspace(-1, 2, expected.numel(), dtype=W.dtype, device=device)
    cotangent = cotangent.reshape(expected.shape)
    factors = [theirs.lora_A["default"].weight, theirs.lora_B["default"].weight]
    gradients = torch.autograd.grad(expected, [x, *factors], cotangent)
    ours = lora_vjp(x.detach(), W, A, B, cotangent, scaling=scaling)
    for mine, other in zip(ours, gradients, strict=True):
        assert_close(mine, other, scale=10)

    theirs.merge()
    assert_close(merge(W, A, B, scaling=scaling), theirs.get_base_layer().weight)


@pytest.mark.parametrize("shape", SHAPES)
def test_vjp_is_that_of_autograd(shape, device):
    x, W, A, B = (t.requires_grad_() for t in tensors(shape, device))
    y = lora(x, W, A, B, scaling=0.7)
    cotangent = torch.linspace(-1, 2, y.numel(), dtype=y.dtype, device=device).reshape(y.shape)
    expected = torch.autograd.grad(y, [x, A, B], cotangent)
    for mine, other in zip(lora_vjp(x, W, A, B, cotangent, scaling=0.7), expected, strict=True):
        assert_close(mine, other, scale=10)


@pytest.mark.parametrize("shape", SHAPES)
def test_merged_weight_gives_the_same_output(shape):
    x, W, A, B = layer(np.random.default_rng(1), *SHAPES[shape])
    merged = merge(W, A, B, scaling=0.5)
    assert_close(x @ merged.T, lora(x, W, A, B, scaling=0.5), scale=10)
    assert_close(unmerge(merged, A, B, scaling=0.5), W, scale=10)


def test_unmerge_by_subtraction_is_not_bit_exact():
    _, W, A, B = (t.to(torch.bfloat16) for t in tensors("rows"))
    back = unmerge(merge(W, A, B, scaling=0.5), A, B, scaling=0.5)
    assert not torch.equal(back, W)
    assert (back - W).abs().max() < 0.1


@pytest.mark.parametrize("shape", SHAPES)
def test_update_has_rank_r_at_most(shape):
    _, W, A, B = layer(np.random.default_rng(2), *SHAPES[shape])
    rank = np.linalg.matrix_rank(merge(W, A, B, scaling=0.5) - W)
    assert rank == min(*W.shape, A.shape[0])


def test_first_gradients():
    x, W, A, _ = layer(np.random.default_rng(3), *SHAPES["rows"])
    cotangent = np.ones((5, 4))
    first = lora_vjp(x, W, A, np.zeros((4, 2)), cotangent, scaling=1.0)
    assert np.all(first.A == 0)
    assert np.abs(first.B).max() > 0.1
    stuck = lora_vjp(x, W, np.zeros((2, 7)), np.zeros((4, 2)), cotangent, scaling=1.0)
    assert np.all(stuck.A == 0)
    assert np.all(stuck.B == 0)


def test_results_are_named():
    factors = lora_init(np.ones((4, 7)), r=2, generator=np.random.default_rng(0))
    assert isinstance(factors, Factors)
    assert factors.A.shape == (2, 7)
    assert factors.B.shape == (4, 2)
    x, W, A, B = layer(np.random.default_rng(0), *SHAPES["rows"])
    gradients = lora_vjp(x, W, A, B, np.ones((5, 4)), scaling=1.0)
    assert isinstance(gradients, Gradients)
    assert gradients.x.shape == x.shape


@pytest.mark.parametrize("r", [2, 64])
def test_uniform_init_has_the_law_of_torch_and_peft(r):
    W = np.zeros((4, 400))
    A, B = lora_init(W, r=r, generator=np.random.default_rng(0))
    torch.manual_seed(0)
    base = torch.nn.Sequential(torch.nn.Linear(400, 4))
    theirs = peft.get_peft_model(base, peft.LoraConfig(target_modules=["0"], r=r))
    theirs = theirs.base_model.model[0].lora_A["default"].weight.detach().numpy()
    assert scipy.stats.ks_2samp(A.ravel(), theirs.ravel()).pvalue > 0.01
    uniform = scipy.stats.uniform(-1 / 20, 2 / 20)  # sqrt(400) = 20
    assert scipy.stats.kstest(A.ravel(), uniform.cdf).pvalue > 0.01
    assert np.all(B == 0)


def test_gaussian_init_has_the_given_deviation():
    A, B = lora_init(np.zeros((4, 400)), r=8, generator=np.random.default_rng(0), std=0.3)
    assert scipy.stats.kstest(A.ravel(), scipy.stats.norm(0, 0.3).cdf).pvalue > 0.01
    assert np.all(B == 0)


def test_init_draws_from_a_torch_generator_too(device):
    W = torch.zeros(4, 7, dtype=torch.bfloat16, device=device)
    generator = torch.Generator(device).manual_seed(0)
    A, B = lora_init(W, r=2, generator=generator)
    assert A.dtype == B.dtype == torch.bfloat16
    assert A.device.type == B.device.type == device
    assert 0 < A.abs().max() <= 7**-0.5 * 1.01


def test_init_stays_with_the_weight_whatever_the_defaults():
    W = torch.zeros(4, 7, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    torch.set_default_device("meta")
    try:
        for std in (None, 0.5):
            A, B = lora_init(W, r=2, generator=generator, std=std)
            assert (A.device.type, B.device.type) == ("cpu", "cpu")
            assert A.dtype == B.dtype == torch.float64
    finally:
        torch.set_default_device(None)


@pytest.mark.parametrize("r", [1, 2, 3, 4])
def test_low_rank_is_the_best_approximation(r):
    M = np.random.default_rng(4).standard_normal((6, 4))
    nearest = low_rank(M, r=r)
    assert np.linalg.matrix_rank(nearest) == r
    tail = np.linalg.svd(M, compute_uv=False)[r:]
    assert_close(np.linalg.norm(M - nearest), np.linalg.norm(tail))


def test_counts_are_those_of_torch():
    _, W, A, B = tensors("rows")
    model = peft_linear(W, A, B)
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert lora_parameters(7, 4, r=2) == trainable
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad])
    model(torch.ones(1, 7, dtype=W.dtype)).sum().backward()
    optimizer.step()
    held = [p.grad for p in model.parameters() if p.requires_grad]
    held += [s[k] for s in optimizer.state.values() for k in ("exp_avg", "exp_avg_sq")]
    assert training_bytes(trainable, itemsize=8) == sum(t.numel() * 8 for t in held)
    assert training_bytes(10, moments=0) == 40


def flops(run):
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def test_macs_are_those_that_torch_counts():
    x, W, A, B = tensors("rows")
    n = x.shape[0]
    x.requires_grad_()
    A.requires_grad_()
    B.requires_grad_()

    def train(x, W, A, B):
        y = x @ W.T if A is None else lora(x, W, A, B, scaling=0.5)
        y.sum().backward()

    # Two operations a multiply-accumulate.
    assert flops(lambda: lora(x, W, A, B, scaling=0.5)) == 2 * n * forward_macs(7, 4, r=2)
    assert flops(lambda: x @ W.T) == 2 * n * forward_macs(7, 4)
    assert flops(lambda: train(x, W, A, B)) == 2 * n * training_macs(7, 4, r=2)
    W.requires_grad_()
    assert flops(lambda: train(x, W, None, None)) == 2 * n * training_macs(7, 4)


def test_peft_defaults():
    config = peft.LoraConfig()
    assert (config.r, config.lora_alpha, config.lora_dropout) == (8, 8, 0.0)
    assert config.use_rslora is False
    assert config.init_lora_weights is True
    assert config.modules_to_save is None


x, W, A, B = layer(np.random.default_rng(0), *SHAPES["rows"])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: lora(x[:, :3], W, A, B, scaling=1.0), ValueError, r"x has shape \(5, 3\)"),
        (lambda: lora([1.0], W, A, B, scaling=1.0), TypeError, "x is list"),
        (lambda: lora(np.asarray(1.0), W, A, B, scaling=1.0), ValueError, r"x has shape \(\)"),
        (lambda: lora(x, W.T, A, B, scaling=1.0), ValueError, r"W has shape \(7, 4\)"),
        (lambda: lora(x, W, A.T, B, scaling=1.0), ValueError, r"A has shape \(7, 2\)"),
        (lambda: lora(x, W, A, B.T, scaling=1.0), ValueError, r"B has shape \(2, 4\)"),
        (lambda: lora(x, W, A[:0], B[:, :0], scaling=1.0), ValueError, "one r >= 1"),
        (lambda: lora(x, W, A[0], B, scaling=1.0), ValueError, r"A has shape \(7,\)"),
        (lambda: lora(x, W, A, B, scaling=1.0, bias=A), ValueError, r"bias has shape \(2, 7\)"),
        (
            lambda: lora(x, W, A, B, scaling=1.0, bias=np.ones(4, int)),
            TypeError,
            "bias has dtype int64",
        ),
        (lambda: lora(x, W, A.astype(int), B, scaling=1.0), TypeError, "A has dtype int64"),
        (lambda: lora(x, W, A, B.astype(int), scaling=1.0), TypeError, "B has dtype int64"),
        (lambda: lora(x, W.astype(int), A, B, scaling=1.0), TypeError, "W has dtype int64"),
        (lambda: lora(x.astype(int), W, A, B, scaling=1.0), TypeError, "x has dtype int64"),
        (lambda: lora_branch(x[:, :2], A, B, scaling=1.0), ValueError, r"x has shape \(5, 2\)"),
        (lambda: merge(W.T, A, B, scaling=1.0), ValueError, r"W has shape \(7, 4\)"),
        (lambda: unmerge(W.T, A, B, scaling=1.0), ValueError, r"W has shape \(7, 4\)"),
        (lambda: lora_vjp(x, W, A, B, x, scaling=1.0), ValueError, r"cotangent has .* \(5, 4\)"),
        (lambda: lora_scaling(0, 4), ValueError, "alpha is 0"),
        (lambda: lora_scaling(16, 0), ValueError, "r is 0"),
        (lambda: lora_scaling(16, 4, rule="sqrt"), ValueError, "rule is 'sqrt'"),
        (lambda: lora_init(W, r=0, generator=None), ValueError, "r is 0"),
        (lambda: lora_init(W[0], r=1, generator=None), ValueError, r"W has shape \(7,\)"),
        (lambda: lora_init(W[:, :0], r=1, generator=None), ValueError, r"W has shape \(4, 0\)"),
        (lambda: lora_init(W, r=1, generator=None), TypeError, "generator is NoneType"),
        (lambda: lora_init(W, r=1, generator=None, std=0.0), ValueError, "std is 0"),
        (lambda: lora_init(W.astype(int), r=1, generator=None), TypeError, "W has dtype int64"),
        (lambda: low_rank(W, r=0), ValueError, "r is 0"),
        (lambda: low_rank(W[0], r=1), ValueError, r"M has shape \(7,\)"),
        (lambda: low_rank(W.astype(int), r=1), TypeError, "M has dtype int64"),
        (lambda: lora_parameters(0, 4, r=1), ValueError, "in_features is 0"),
        (lambda: lora_parameters(4, 0, r=1), ValueError, "out_features is 0"),
        (lambda: forward_macs(4, 4, r=0), ValueError, "r is 0"),
        (lambda: training_macs(0, 4), ValueError, "in_features is 0"),
        (lambda: training_bytes(-1), ValueError, "parameters is -1"),
        (lambda: training_bytes(1, moments=-1), ValueError, "moments is -1"),
        (lambda: training_bytes(1, itemsize=0), ValueError, "itemsize is 0"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
