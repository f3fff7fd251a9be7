import itertools
import math

import numpy as np
import pytest
import torch

from dlkb.gradients.loss_explosion import stable_lr
from dlkb.optimizers.sgd import (
    batch_variance,
    epoch_ball,
    expected_square,
    noise_ball,
    penalized_gradient,
    sgd,
)
from tests.cases import Case
from tests.close import assert_close

OPTIONS = {"weight_decay": 0.3, "maximize": True}


def pair(rng):
    return tuple(rng.normal(size=(2, 4, 3)))


def positive(rng):
    return rng.uniform(0.2, 1.5, size=(4, 3))


CASES = [
    Case(penalized_gradient, lambda rng: (pair(rng), {})),
    Case(penalized_gradient, lambda rng: (pair(rng), OPTIONS), "options"),
    Case(sgd, lambda rng: (pair(rng), {"lr": 0.1})),
    Case(sgd, lambda rng: (pair(rng), OPTIONS | {"lr": 0.1}), "options"),
    Case(batch_variance, lambda rng: ((positive(rng),), {"batch": 4})),
    Case(batch_variance, lambda rng: ((positive(rng),), {"batch": 4, "examples": 9}), "epoch"),
    Case(
        noise_ball,
        lambda rng: ((positive(rng), positive(rng)), {"lr": 0.3, "momentum": 0.7}),
        broadcasts=("curvature", "variance"),
    ),
    Case(
        expected_square,
        lambda rng: ((*pair(rng)[:1], positive(rng), positive(rng)), {"lr": 0.3, "step": 5}),
        fixed=("curvature",),
        broadcasts=("start", "curvature", "variance"),
    ),
    Case(
        epoch_ball,
        lambda rng: ((positive(rng), positive(rng)), {"lr": 0.3, "examples": 7}),
        fixed=("curvature",),
        broadcasts=("curvature", "variance"),
        scale=4,
    ),
]


@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 0, 2), (5, 4)])
@pytest.mark.parametrize(
    "options", [{}, {"lr": 0.3}, {"weight_decay": 0.4}, {"weight_decay": 0.4, "maximize": True}]
)
def test_ten_steps_are_those_of_torch(options, shape):
    rng = np.random.default_rng(1)
    theta = np.asarray(rng.normal(size=shape))
    p = torch.nn.Parameter(torch.tensor(theta))
    oracle = torch.optim.SGD([p], **options)
    for _ in range(10):
        grad = np.asarray(rng.normal(size=shape))
        p.grad = torch.tensor(grad)
        oracle.step()
        theta = sgd(theta, grad, **options)
        assert_close(theta, p)


def test_infinite_parameters_stay_without_decay():
    theta = np.asarray([np.inf, -np.inf])
    assert_close(sgd(theta, np.zeros(2), lr=0.1), theta)
    assert_close(sgd(theta, np.zeros(2), lr=0.1, maximize=True), theta)


@pytest.mark.parametrize("batch", [1, 2, 3, 5])
def test_batch_variance_is_that_of_all_batches(batch):
    values = np.random.default_rng(2).normal(size=5)
    without = [np.mean(b) for b in itertools.combinations(values, batch)]
    assert np.mean(without) == pytest.approx(values.mean(), rel=1e-12)
    expected = batch_variance(values.var(), batch=batch, examples=5)
    assert np.var(without) == pytest.approx(expected, rel=1e-12, abs=1e-15)
    replaced = [np.mean(b) for b in itertools.product(values, repeat=batch)]
    assert np.mean(replaced) == pytest.approx(values.mean(), rel=1e-12)
    assert np.var(replaced) == pytest.approx(batch_variance(values.var(), batch=batch), rel=1e-12)


def test_a_single_example_has_no_variance():
    assert batch_variance(0.0, batch=1, examples=1) == 0
    assert batch_variance(np.ones(2), batch=3, examples=3).tolist() == [0, 0]


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("rate", [0.01, 0.5, 1.7])
def test_noise_ball_is_the_covariance_that_a_step_keeps(momentum, rate):
    """Solve P = A P Aᵀ + noise for (error, velocity): the Lyapunov equation of SciPy."""
    from scipy.linalg import solve_discrete_lyapunov

    curvature, variance = 3.0, 0.7
    lr = rate / curvature
    step = np.asarray([[1 - lr * curvature, -lr * momentum], [curvature, momentum]])
    into = np.asarray([-lr, 1.0])
    covariance = solve_discrete_lyapunov(step, variance * np.outer(into, into))
    ball = noise_ball(np.asarray(curvature), variance, lr=lr, momentum=momentum)
    assert_close(ball, np.asarray(covariance[0, 0]), scale=100)


def test_noise_ball_is_infinite_from_the_limit_on():
    curvature = np.asarray([1.0, 2.0])
    for momentum in (0.0, 0.9):
        limit = stable_lr(2.0, momentum=momentum)
        below = noise_ball(curvature, 1.0, lr=0.999 * limit, momentum=momentum)
        assert np.isfinite(below).all()
        at = noise_ball(curvature, 1.0, lr=limit, momentum=momentum)
        assert np.isinf(at).tolist() == [False, True]
    assert np.isinf(epoch_ball(curvature, 1.0, lr=1.0, examples=3)).tolist() == [False, True]
    assert np.isfinite(epoch_ball(curvature, 1.0, lr=0.999, examples=3)).all()
    assert epoch_ball(curvature, 1.0, lr=0.0, examples=3).tolist() == [0.0, 0.0]


def test_expected_square_follows_the_recursion():
    start, curvature, variance, lr = np.asarray([2.0, -1.0]), np.asarray([0.5, 3.0]), 0.4, 0.2
    square = start**2
    for t in range(30):
        found = expected_square(start, curvature, variance, lr=lr, step=t)
        assert_close(found, square)
        square = (1 - lr * curvature) ** 2 * square + lr**2 * variance


@pytest.mark.parametrize("examples", [2, 3, 5])
@pytest.mark.parametrize("rate", [0.05, 0.8, 1.6])
def test_epoch_ball_is_the_mean_over_all_orders(examples, rate):
    """Stationary: the mean square is what an epoch over a random order makes of itself."""
    curvature, lr = 2.0, rate / 2.0
    noise = np.random.default_rng(3).normal(size=examples)
    noise -= noise.mean()
    q = 1 - rate
    ends = []
    for order in itertools.permutations(noise):
        error = 0.0
        for g in order:
            error = q * error - lr * g
        ends.append(error)
    expected = np.mean(np.square(ends)) / (1 - q ** (2 * examples))
    found = epoch_ball(np.asarray(curvature), noise.var(), lr=lr, examples=examples)
    assert_close(found, np.asarray(expected), scale=10)


@pytest.mark.parametrize("examples", [2, 3, 4, 9, 50])
def test_epochs_are_quieter_below_one_and_noisier_above(examples):
    for rate in (0.01, 0.5, 0.95, 1.05, 1.5, 1.99):
        epochs = epoch_ball(np.asarray(rate), 1.0, lr=1.0, examples=examples)
        ratio = epochs / noise_ball(np.asarray(rate), 1.0, lr=1.0)
        assert (ratio < 1) == (rate < 1)
        assert ratio <= examples / (examples - 1) * (1 + 1e-9)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_epoch_ball_counts_beyond_half_precision(dtype):
    curvature = torch.tensor([0.125, 1.0], dtype=dtype)
    # The second: squares that half precision has no numbers for.
    for lr, examples, variance in ((2**-7, 5000, 1.0), (2**-13, 10, 2.0**39)):
        found = epoch_ball(curvature, variance, lr=lr, examples=examples)
        expected = epoch_ball(curvature.double(), variance, lr=lr, examples=examples)
        assert found.dtype == dtype
        assert_close(found, expected.numpy(), dtype=str(dtype)[6:])


def test_epoch_ball_goes_with_the_cube_of_a_small_rate():
    for n in (2, 10):
        lr = 1e-6
        found = epoch_ball(np.asarray(3.0), 2.0, lr=lr, examples=n)
        assert found == pytest.approx(lr**3 * 3.0 * 2.0 * n * (n + 1) / 24, rel=1e-3)


@pytest.mark.parametrize("rate", [1e-9, 1e-7, 1e-4, 0.3, 0.499, 0.5, 1.0, 1.9])
def test_a_small_rate_keeps_its_digits_in_float32(rate):
    """1 − ηλ has few of them left, and is 1 from 3e-8 on."""
    one, short = np.ones(1), np.ones(1, dtype=np.float32)
    found = epoch_ball(short, 1.0, lr=rate, examples=10)
    assert found == pytest.approx(epoch_ball(one, 1.0, lr=rate, examples=10), rel=1e-5)
    assert found > 0
    step = round(1 / rate)
    found = expected_square(short, short, 1.0, lr=rate, step=step)
    kept = (1 - rate) ** (2 * step) if rate > 0.1 else np.exp(-2 - rate)
    expected = kept + (1 - kept) * rate / (2 - rate)
    assert found == pytest.approx(expected, rel=1e-5)


def test_a_rate_of_numpy_does_not_widen_the_parameters():
    theta, grad = np.ones((2, 2), dtype=np.float32), np.ones((2, 2), dtype=np.float32)
    rates = {"lr": np.float64(0.1), "weight_decay": np.float64(0.1)}
    assert sgd(theta, grad, **rates).dtype == np.float32
    found = penalized_gradient(theta, grad, weight_decay=np.float64(0.1))
    assert found.dtype == np.float32


ONE = np.ones(2)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: sgd(np.ones(2, int), ONE), TypeError, "theta has dtype int64"),
        (lambda: sgd(ONE, ONE.astype(complex)), TypeError, "grad has dtype complex128"),
        (lambda: sgd(ONE, ONE.astype("f4")), TypeError, "grad has dtype float32 but theta"),
        (lambda: sgd(ONE, np.ones(3)), ValueError, r"grad has shape \(3,\)"),
        (lambda: sgd(ONE, ONE, lr=-1.0), ValueError, r"lr is -1.0: .* \[0, inf\)"),
        (lambda: sgd(ONE, ONE, weight_decay=-1.0), ValueError, "weight_decay is -1.0"),
        (lambda: batch_variance(1.0, batch=0), ValueError, r"batch is 0: .* \[1, inf\)"),
        (lambda: batch_variance(1.0, batch=4, examples=3), ValueError, r"batch is 4: .* \[1, 3\]"),
        (lambda: noise_ball(ONE, 1.0, lr=-1.0), ValueError, "lr is -1.0"),
        (lambda: noise_ball(2.0, 1.0, lr=0.1), TypeError, "curvature is float"),
        (lambda: noise_ball(ONE, 1.0, lr=0.1, momentum=1.0), ValueError, "momentum is 1.0"),
        (lambda: expected_square(ONE, ONE, 1.0, lr=0.1, step=-1), ValueError, "step is -1"),
        (lambda: expected_square([1.0], ONE, 1.0, lr=0.1, step=1), TypeError, "start is list"),
        (lambda: epoch_ball(ONE, 1.0, lr=0.1, examples=1), ValueError, "examples is 1"),
        (lambda: epoch_ball(ONE, 1.0, lr=math.nan, examples=2), ValueError, "lr is nan"),
        (lambda: epoch_ball(np.ones(2, int), 1.0, lr=0.1, examples=2), TypeError, "curvature has"),
    ],
)
def test_errors_name_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call()
