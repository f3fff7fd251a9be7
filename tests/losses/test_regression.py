import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch
import torch.nn.functional as F
from scipy import integrate, optimize, stats
from sklearn.metrics import mean_pinball_loss, mean_squared_log_error

from dlkb.losses.cross_entropy import REDUCTIONS
from dlkb.losses.regression import (
    absolute_error,
    absolute_error_vjp,
    huber,
    huber_efficiency,
    huber_vjp,
    log_cosh,
    log_cosh_vjp,
    log_scale_bias,
    quantile_loss,
    quantile_loss_vjp,
    smooth_l1,
    smooth_l1_vjp,
    squared_error,
    squared_error_vjp,
    squared_log_error,
    squared_log_error_vjp,
)
from tests.cases import Case
from tests.close import assert_close

PAIRS = {
    squared_error: squared_error_vjp,
    absolute_error: absolute_error_vjp,
    huber: huber_vjp,
    smooth_l1: smooth_l1_vjp,
    log_cosh: log_cosh_vjp,
    quantile_loss: quantile_loss_vjp,
    squared_log_error: squared_log_error_vjp,
}
OPTIONS = {huber: {"delta": 1.5}, smooth_l1: {"beta": 0.5}, quantile_loss: {"q": 0.8}}


def numbers(rng, shape=(5, 4), *, positive=False):
    """Return predictions and targets whose errors lie on both sides of 1.5, and of 0.5."""
    prediction, target = 2 * rng.normal(size=shape), rng.normal(size=shape)
    return (np.exp(prediction), np.exp(target)) if positive else (prediction, target)


def cases(loss, reduction):
    """Return a case of a loss and one of its gradient."""
    options = {**OPTIONS.get(loss, {}), "reduction": reduction}
    positive = loss is squared_log_error
    shape = (5, 4) if reduction == "none" else ()
    together = {} if reduction == "none" else {"batch": ()}

    def of_loss(rng):
        return numbers(rng, positive=positive), dict(options)

    def of_vjp(rng):
        return (*numbers(rng, positive=positive), np.asarray(rng.normal(size=shape))), dict(options)

    return [
        Case(loss, of_loss, reduction, **together),
        Case(PAIRS[loss], of_vjp, reduction, **together),
    ]


def by_column(rng):
    return numbers(rng), {"q": np.asarray([0.1, 0.4, 0.5, 0.9]), "reduction": "none"}


CASES = [
    *(case for loss in PAIRS for reduction in REDUCTIONS for case in cases(loss, reduction)),
    Case(quantile_loss, by_column, "columns", fixed=("q",), batch=("prediction", "target"),
         broadcasts=("q",)),
    Case(huber_efficiency, lambda rng: ((), {"delta": 1.345})),
    Case(log_scale_bias, lambda rng: ((), {"sigma": 0.7})),
]  # fmt: skip


def torch_loss(loss, x, y, reduction):
    """Return what PyTorch computes, or where it has no such loss, plain arithmetic."""
    each = {
        squared_error: lambda: F.mse_loss(x, y, reduction="none"),
        absolute_error: lambda: F.l1_loss(x, y, reduction="none"),
        huber: lambda: F.huber_loss(x, y, reduction="none", delta=1.5),
        smooth_l1: lambda: F.smooth_l1_loss(x, y, reduction="none", beta=0.5),
        log_cosh: lambda: (x - y).cosh().log(),
        quantile_loss: lambda: torch.maximum(0.8 * (y - x), -0.2 * (y - x)),
        squared_log_error: lambda: ((1 + x).log() - (1 + y).log()) ** 2,
    }[loss]()
    return each if reduction == "none" else getattr(each, reduction)()


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("loss", PAIRS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 1, 4), (2, 1, 1)])
def test_values_and_gradients_are_those_of_torch(loss, reduction, shape):
    rng = np.random.default_rng(1)
    x, y = map(torch.tensor, numbers(rng, shape, positive=loss is squared_log_error))
    x.requires_grad_()
    options = {**OPTIONS.get(loss, {}), "reduction": reduction}
    expected = torch_loss(loss, x, y, reduction)
    cotangent = torch.tensor(rng.normal(size=tuple(expected.shape)))
    (wanted,) = torch.autograd.grad(expected, x, cotangent)
    actual = loss(x, y, **options)
    (ours,) = torch.autograd.grad(actual, x, cotangent)
    assert_close(actual, expected, scale=8)
    assert_close(ours, wanted, scale=8)
    assert_close(PAIRS[loss](x.detach(), y, cotangent, **options), wanted, scale=8)


@pytest.mark.parametrize("loss", PAIRS, ids=lambda f: f.__name__)
def test_by_the_target_the_gradient_is_that_of_torch_too(loss):
    x, y = map(torch.tensor, numbers(np.random.default_rng(2), positive=loss is squared_log_error))
    y.requires_grad_()
    (wanted,) = torch.autograd.grad(torch_loss(loss, x, y, "mean"), y)
    (ours,) = torch.autograd.grad(loss(x, y, **OPTIONS.get(loss, {})), y)
    assert_close(ours, wanted, scale=8)


def test_values_are_those_of_optax_and_scikit_learn():
    rng = np.random.default_rng(3)
    x, y = numbers(rng)
    assert_close(log_cosh(x, y, reduction="none"), np.asarray(optax.log_cosh(x, y)))
    assert_close(
        huber(x, y, delta=0.7, reduction="none"), np.asarray(optax.huber_loss(x, y, delta=0.7))
    )
    for q in (0.1, 0.5, 0.9):
        assert_close(quantile_loss(x, y, q=q), np.float64(mean_pinball_loss(y, x, alpha=q)))
    levels = np.asarray([0.1, 0.4, 0.5, 0.9])
    each = [mean_pinball_loss(y[:, k], x[:, k], alpha=q) for k, q in enumerate(levels)]
    assert_close(quantile_loss(x, y, q=levels, reduction="none").mean(0), np.asarray(each))
    x, y = numbers(rng, positive=True)
    assert_close(squared_log_error(x, y), np.float64(mean_squared_log_error(y, x)))


ROUND = (squared_error, huber, smooth_l1, log_cosh)


@pytest.mark.parametrize("loss", ROUND, ids=lambda f: f.__name__)
def test_no_error_has_no_gradient_and_a_curvature(loss):
    x = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    value = loss(x, torch.zeros_like(x), reduction="sum", **OPTIONS.get(loss, {}))
    (grad,) = torch.autograd.grad(value, x, create_graph=True)
    assert value == 0
    assert (grad == 0).all()
    assert PAIRS[loss](x.detach(), torch.zeros_like(x), torch.tensor(1.0)).abs().max() == 0


def test_the_slopes_at_the_joints():
    zero, one = np.zeros(1), np.asarray([1.0])
    assert absolute_error_vjp(zero, zero, one, reduction="none") == 0
    assert quantile_loss_vjp(zero, zero, one, q=0.9, reduction="none") == pytest.approx(0.1)
    x = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    for loss, wanted in ((absolute_error, 0.0), (quantile_loss, 0.1)):
        options = {} if loss is absolute_error else {"q": 0.9}
        (grad,) = torch.autograd.grad(loss(x, torch.zeros_like(x), **options), x)
        assert grad.item() == pytest.approx(wanted)
    for r in (-1.5, 1.5):
        assert huber_vjp(r * one, zero, one, delta=1.5, reduction="none") == r


@pytest.mark.parametrize("loss", PAIRS, ids=lambda f: f.__name__)
def test_the_slopes_of_jax_at_the_joints(loss):  # which halves the slope of a clip at its ends
    x = jnp.asarray([0.5, 1.0, 1.5, 2.0])
    zeros, options = jnp.zeros_like(x), {"reduction": "sum", **OPTIONS.get(loss, {})}
    wanted = PAIRS[loss](x, zeros, jnp.asarray(1.0), **options)
    found = jax.grad(lambda x: loss(x, zeros, **options))(x)
    assert_close(np.asarray(found), np.asarray(wanted))


@pytest.mark.parametrize("loss", PAIRS, ids=lambda f: f.__name__)
def test_gradients_of_gradients(loss):
    x, y = map(torch.tensor, numbers(np.random.default_rng(4), positive=loss is squared_log_error))
    x.requires_grad_()
    assert torch.autograd.gradgradcheck(lambda x: loss(x, y, **OPTIONS.get(loss, {})), (x,))


@pytest.mark.parametrize("loss", [squared_error, huber, smooth_l1, log_cosh])
def test_the_second_derivative_at_no_error_is_that_of_a_parabola(loss):
    x = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    (grad,) = torch.autograd.grad(loss(x, x.detach(), reduction="sum"), x, create_graph=True)
    (second,) = torch.autograd.grad(grad.sum(), x)
    assert_close(second, np.full(3, 2.0 if loss is squared_error else 1.0))


@pytest.mark.parametrize("loss", [huber, smooth_l1, log_cosh], ids=lambda f: f.__name__)
def test_an_error_whose_square_overflows(loss):
    x = torch.tensor([1e200, -1e200, 1e-200], dtype=torch.float64, requires_grad=True)
    each = loss(x, torch.zeros_like(x), reduction="none")
    (grad,) = torch.autograd.grad(each.sum(), x)
    assert_close(each / 1e200, np.asarray([1.0, 1.0, 0.0]))
    assert_close(grad, np.asarray([1.0, -1.0, 0.0]))


def test_log_cosh_keeps_its_digits():
    r = np.geomspace(1e-12, 700, 400)
    r = np.concatenate([r, [np.nextafter(1, 0), 1.0, np.nextafter(1, 2)]])
    wide = r.astype(np.longdouble)
    expected = np.log1p(2 * np.sinh(wide / 2) ** 2)
    found = log_cosh(r, np.zeros_like(r), reduction="none")
    assert np.abs(found / expected - 1).max() < 1e-15


def test_the_mean_of_nothing_is_nan_and_its_sum_zero():
    none = np.zeros((0, 3))
    for loss, vjp in PAIRS.items():
        assert math.isnan(loss(none, none))
        assert loss(none, none, reduction="sum") == 0
        assert loss(none, none, reduction="none").shape == (0, 3)
        assert vjp(none, none, np.asarray(1.0)).shape == (0, 3)


def test_dtypes_promote_and_half_precision_rounds_once():
    x, y = torch.tensor([300.0, 0.0, 0.0]).half(), torch.zeros(3)
    assert squared_error(x, y).dtype == torch.float32
    assert squared_error(x.bfloat16(), x).dtype == torch.float32
    assert squared_error_vjp(x, y, torch.tensor(1.0)).dtype == torch.float16
    assert squared_error(x, y.half()) == torch.tensor(30000.0).half()
    ones = torch.ones(5000, dtype=torch.float16)
    assert absolute_error(ones * 20, ones * 0, reduction="mean") == 20


TARGETS = np.random.default_rng(5).normal(size=101) ** 3


@pytest.mark.parametrize(
    ("loss", "statistic"),
    [
        (squared_error, np.mean),
        (absolute_error, np.median),
        (quantile_loss, lambda y: np.quantile(y, 0.8)),
    ],
    ids=lambda f: getattr(f, "__name__", ""),
)
def test_which_constant_is_best(loss, statistic):
    def cost(c):
        return float(loss(np.full(101, c), TARGETS, **OPTIONS.get(loss, {})))

    best = optimize.minimize_scalar(cost, bounds=(-10, 10), method="bounded").x
    assert abs(best - statistic(TARGETS)) < 1e-3


def test_a_bias_beyond_float64_is_infinite():
    assert 1e306 < log_scale_bias(sigma=37.6) < log_scale_bias(sigma=40.0) == np.inf


def test_the_efficiency_is_that_of_the_integral_and_of_draws():
    for delta in (0.01, 0.5, 1.345, 3.0):
        second, _ = integrate.quad(
            lambda x, d=delta: np.clip(x, -d, d) ** 2 * stats.norm.pdf(x),
            -9,
            9,
            points=(-delta, delta),
        )
        inside = stats.norm.cdf(delta) - stats.norm.cdf(-delta)
        assert huber_efficiency(delta=delta) == pytest.approx(inside**2 / second, rel=1e-6)
    y = np.random.default_rng(6).normal(size=(4000, 50))
    found = np.mean(y, axis=1)
    for _ in range(30):  # Newton's steps on the sum of the clipped errors
        r = y - found[:, None]
        found += np.clip(r, -1.0, 1.0).sum(1) / (np.abs(r) < 1.0).sum(1)
    assert huber_efficiency(delta=1.0) == pytest.approx(1 / 50 / found.var(), rel=0.06)
    assert huber_efficiency(delta=1e-6) == pytest.approx(2 / np.pi, abs=1e-6)
    assert huber_efficiency(delta=40.0) == 1
    assert max(huber_efficiency(delta=k / 100) for k in range(400, 900)) <= 1  # rounded up once
    for tiny in (1e-8, 1e-16, 5e-324):
        assert huber_efficiency(delta=tiny) == pytest.approx(2 / np.pi, abs=1e-7)
    assert huber_efficiency(delta=1e300) == huber_efficiency(delta=math.inf) == 1


def test_the_bias_is_that_of_the_log_normal_law():
    for sigma in (0.0, 0.3, 1.0, 2.0):
        law = stats.lognorm(s=sigma or 1e-12)
        assert log_scale_bias(sigma=sigma) == pytest.approx(law.mean() / law.median())


def test_how_the_losses_are_related():
    x, y = numbers(np.random.default_rng(7))
    assert_close(quantile_loss(x, y), absolute_error(x, y) / 2)
    assert_close(smooth_l1(x, y, beta=0.3) * 0.3, huber(x, y, delta=0.3))
    assert_close(huber(x, y, delta=math.inf), squared_error(x, y) / 2)


@pytest.mark.parametrize("loss", PAIRS, ids=lambda f: f.__name__)
def test_errors(loss):
    x = np.ones(3)
    with pytest.raises(TypeError, match="prediction has dtype int64"):
        loss(np.ones(3, int), x)
    with pytest.raises(TypeError, match="target has dtype int64"):
        loss(x, np.ones(3, int))
    with pytest.raises(ValueError, match=r"target has shape \(3, 1\)"):
        loss(x, np.ones((3, 1)))
    with pytest.raises(ValueError, match="reduction is 'batch'"):
        loss(x, x, reduction="batch")
    with pytest.raises(ValueError, match=r"cotangent has shape \(3,\): it must be \(\)"):
        PAIRS[loss](x, x, x)
    with pytest.raises(ValueError, match=r"cotangent has shape \(\): it must be \(3,\)"):
        PAIRS[loss](x, x, np.asarray(1.0), reduction="none")
    with pytest.raises(TypeError, match="cotangent has dtype int64"):
        PAIRS[loss](x, x, np.asarray(1))


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan])
def test_options_out_of_range(value):
    x = np.ones(2)
    one = np.asarray(1.0)
    for call in (lambda: huber(x, x, delta=value), lambda: huber_vjp(x, x, one, delta=value)):
        with pytest.raises(ValueError, match=rf"delta is {value}: .* \(0, inf\]"):
            call()
    for call in (lambda: smooth_l1(x, x, beta=value), lambda: smooth_l1_vjp(x, x, one, beta=value)):
        with pytest.raises(ValueError, match=rf"beta is {value}: .* \(0, inf\]"):
            call()
    for q in (value, 1.0):
        for call in (
            lambda q=q: quantile_loss(x, x, q=q),
            lambda q=q: quantile_loss_vjp(x, x, one, q=q),
        ):
            with pytest.raises(ValueError, match=rf"q is {q}: .* \(0, 1\)"):
                call()
    with pytest.raises(ValueError, match=r"q has shape \(3,\): it must broadcast"):
        quantile_loss(x, x, q=np.full(3, 0.5))
    with pytest.raises(ValueError, match=rf"delta is {value}: .* \(0, inf\]"):
        huber_efficiency(delta=value)
    if value != 0:
        with pytest.raises(ValueError, match=rf"sigma is {value}: .* \[0, inf"):
            log_scale_bias(sigma=value)


def test_below_the_domain_of_the_logarithm():
    with np.errstate(invalid="ignore"):
        assert np.isnan(squared_log_error(np.asarray(-1.5), np.asarray(0.0)))
    assert np.isfinite(squared_log_error(np.asarray(-0.5), np.asarray(0.0)))
