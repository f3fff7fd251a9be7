import itertools
import math

import numpy as np
import pytest
import torch

from dlkb.gradients.loss_explosion import convergence_rate, optimal_heavy_ball
from dlkb.optimizers.momentum import (
    critical_momentum,
    effective_lr,
    momentum,
    optimal_nesterov,
    oscillation_period,
)
from tests.cases import Case
from tests.close import assert_close


def arrays(rng, *, first=False):
    theta, grad, velocity = rng.normal(size=(3, 4, 3))
    return theta, grad, None if first else velocity


def case(label, *, first=False, **options):
    return Case(momentum, lambda rng: (arrays(rng, first=first), {"lr": 0.1} | options), label)


CASES = [
    case("heavy ball", momentum=0.8),
    case("first", first=True, dampening=0.5),
    case("average", momentum=0.8, dampening=0.8, weight_decay=0.3, maximize=True),
    case("nesterov", momentum=0.8, nesterov=True, weight_decay=0.3),
    Case(
        effective_lr,
        lambda rng: ((0.1,), {"steps": np.asarray([1.0, 7.0]), "momentum": 0.8, "nesterov": True}),
        fixed=("steps",),
    ),
    Case(effective_lr, lambda rng: ((0.1,), {"momentum": 0.8, "dampening": 0.5}), "limit"),
    Case(critical_momentum, lambda rng: ((rng.uniform(0.2, 3, size=(4, 3)),), {"lr": 0.3})),
    Case(
        oscillation_period,
        lambda rng: ((rng.uniform(0.5, 3, size=(4, 3)),), {"lr": 0.3, "momentum": 0.7}),
    ),
    Case(
        optimal_nesterov,
        lambda rng: ((rng.uniform(0.2, 1, size=3), rng.uniform(1, 9, size=3)), {}),
        unless={
            f"float16 {size} {name}": "the condition number does not fit"
            for size, name in (("large", "highest"), ("small", "lowest"))
        },
        scale=4,
    ),
]

OPTIONS = [
    {"momentum": 0.9},
    {"momentum": 0.9, "dampening": 0.5},
    {"momentum": 0.9, "dampening": 0.9, "weight_decay": 0.2},
    {"momentum": 0.7, "nesterov": True},
    {"momentum": 0.7, "nesterov": True, "weight_decay": 0.2, "maximize": True},
    {"momentum": 1.0, "lr": 0.01},
    {"momentum": 0.0, "lr": 0.01},
]


@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 0, 2), (5, 4)])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_twenty_steps_are_those_of_torch(options, shape):
    rng = np.random.default_rng(1)
    theta, velocity = np.asarray(rng.normal(size=shape)), None
    p = torch.nn.Parameter(torch.tensor(theta))
    oracle = torch.optim.SGD([p], **options)
    for _ in range(20):
        grad = np.asarray(rng.normal(size=shape))
        p.grad = torch.tensor(grad)
        oracle.step()
        theta, velocity = momentum(theta, grad, velocity, **options)
        assert_close(theta, p)
    if options["momentum"]:
        assert_close(velocity, oracle.state[p]["momentum_buffer"])


def steps(gradients, *, velocity=None, **options):
    theta, found = np.asarray(0.0), []
    for grad in gradients:
        theta, velocity = momentum(theta, np.asarray(grad), velocity, **options)
        found.append(float(theta))
    return np.asarray(found)


def test_zeros_make_the_velocity_a_moving_average_and_none_does_not():
    gradients = np.random.default_rng(2).normal(size=30)
    options = {"momentum": 0.9, "dampening": 0.9, "lr": 0.5}
    average, expected, m, theta = [], [], 0.0, 0.0
    for g in gradients:
        m = 0.9 * m + 0.1 * g
        theta -= 0.5 * m
        expected.append(theta)
    average = steps(gradients, velocity=np.asarray(0.0), **options)
    assert_close(average, np.asarray(expected))
    assert_close(average, steps(gradients, momentum=0.9, lr=0.05))  # heavy ball, a tenth of lr
    assert abs(steps(gradients, **options) - average).max() > 0.01


def test_the_first_velocity_is_not_the_memory_of_the_gradient():
    grad = np.ones(2)
    _, velocity = momentum(np.zeros(2), grad, None)
    velocity += 1
    assert grad.tolist() == [1, 1]


@pytest.mark.parametrize("nesterov", [False, True])
def test_effective_lr_is_how_far_one_gradient_goes(nesterov):
    options = {"momentum": 0.8, "nesterov": nesterov}
    path = -steps([1.0] + 29 * [0.0], lr=0.3, **options)
    assert_close(path, effective_lr(0.3, steps=np.arange(1.0, 31), **options))
    assert effective_lr(0.3, **options) == pytest.approx(1.5, rel=1e-12)
    assert effective_lr(0.3, momentum=0.0) == 0.3
    assert effective_lr(0.3, momentum=0.8, dampening=0.5) == pytest.approx(0.75, rel=1e-12)


@pytest.mark.parametrize("rate", [0.01, 0.3, 1.0, 2.5])
def test_no_other_momentum_is_faster_in_one_direction(rate):
    curvature = np.asarray(rate)
    best = float(critical_momentum(curvature, lr=1.0))
    found = float(convergence_rate(curvature, lr=1.0, momentum=best))
    assert found == pytest.approx(abs(1 - rate**0.5), abs=1e-7)
    for other in np.linspace(0, 0.999, 500):
        assert convergence_rate(curvature, lr=1.0, momentum=float(other)) >= found - 1e-7


@pytest.mark.parametrize("tune", [optimal_heavy_ball, optimal_nesterov])
@pytest.mark.parametrize("condition", [1.5, 10.0, 300.0])
def test_no_other_parameters_are_faster_on_a_quadratic(tune, condition):
    nesterov = tune is optimal_nesterov
    best = tune(1.0, condition)
    curvatures = np.linspace(1.0, condition, 200)

    def worst(lr, beta):
        options = {"lr": float(lr), "momentum": float(beta), "nesterov": nesterov}
        return convergence_rate(curvatures, **options).max()

    assert worst(best.lr, best.momentum) == pytest.approx(best.rate, abs=1e-6)
    nearby = itertools.product(
        best.lr * np.geomspace(0.5, 2, 41), best.momentum + np.linspace(-0.2, 0.2, 41)
    )
    for lr, beta in nearby:
        if 0 <= beta < 1:
            assert worst(lr, beta) > best.rate - 1e-6
    # Not only a bound from above: a little aside it is slower.
    assert worst(0.97 * best.lr, best.momentum) > best.rate + 1e-4 / condition
    assert worst(1.03 * best.lr, best.momentum) > best.rate + 1e-4 / condition


def test_equal_curvatures_need_one_step():
    assert optimal_nesterov(2.0, 2.0) == (0.5, 0.0, 0.0)


@pytest.mark.parametrize("rate", [0.02, 0.3, 1.0, 2.0])
def test_period_is_what_the_sign_changes_say(rate):
    theta, velocity, errors = np.asarray(1.0), None, []
    options = {"lr": 1.0, "momentum": 0.98}
    for _ in range(600):
        theta, velocity = momentum(theta, rate * theta, velocity, **options)
        errors.append(float(theta))
    changes = np.flatnonzero(np.diff(np.sign(errors)))
    swings = 2 * (changes[-1] - changes[0]) / (len(changes) - 1)
    expected = oscillation_period(np.asarray(rate), **options)
    assert swings == pytest.approx(float(expected), rel=0.02)


def test_period_at_the_borders():
    beta = 0.81
    creeps, flips = (1 - beta**0.5) ** 2, (1 + beta**0.5) ** 2
    borders = np.asarray([0.99 * creeps, 1.01 * creeps, 0.99 * flips, 1.01 * flips])
    period = oscillation_period(borders, lr=1.0, momentum=beta)
    assert np.isinf(period).tolist() == [True, False, False, False]
    assert 2 < period[2] < 2.2
    assert period[3] == 2


ONE = np.ones(2)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: momentum(ONE, ONE, np.ones(3)), ValueError, r"velocity has shape \(3,\)"),
        (lambda: momentum(ONE, np.ones(3), None), ValueError, r"grad has shape \(3,\)"),
        (lambda: momentum(ONE, ONE, None, momentum=-0.1), ValueError, r"-0.1: .* \[0, inf\)"),
        (
            lambda: momentum(ONE, ONE, None, momentum=0.0, nesterov=True),
            ValueError,
            r"momentum is 0.0: .* \(0, inf\)",
        ),
        (
            lambda: momentum(ONE, ONE, None, dampening=0.5, nesterov=True),
            ValueError,
            r"dampening is 0.5: .* \[0, 0\]",
        ),
        (lambda: momentum(ONE, ONE, None, lr=-1.0), ValueError, "lr is -1.0"),
        (lambda: effective_lr(-1.0), ValueError, "lr is -1.0"),
        (lambda: effective_lr(0.1, momentum=1.0), ValueError, "momentum is 1.0"),
        (lambda: effective_lr(0.1, dampening=1.5), ValueError, r"dampening is 1.5: .* \[0, 1\]"),
        (lambda: effective_lr(0.1, dampening=0.5, nesterov=True), ValueError, r"\[0, 0\]"),
        (lambda: critical_momentum(2.0, lr=0.1), TypeError, "curvature is float"),
        (lambda: critical_momentum(ONE, lr=0.0), ValueError, "lr is 0.0"),
        (lambda: oscillation_period(ONE, lr=math.nan), ValueError, "lr is nan"),
        (lambda: oscillation_period(ONE, lr=0.1, momentum=0.0), ValueError, "momentum is 0.0"),
        (lambda: optimal_nesterov(0.0, 1.0), ValueError, "lowest is 0.0"),
        (lambda: optimal_nesterov(2.0, 1.0), ValueError, r"highest is 1.0: .* \[2.0, inf\)"),
        (lambda: optimal_nesterov(ONE, np.ones(3)), ValueError, r"highest has shape \(3,\)"),
    ],
)
def test_errors_name_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call()
