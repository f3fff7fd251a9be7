import math

import numpy as np
import pytest
import torch

from dlkb.optimizers.adagrad import (
    AdagradState,
    RMSpropState,
    adagrad,
    adagrad_init,
    rmsprop,
    rmsprop_init,
)
from dlkb.optimizers.adam import AdamState, adam, spike_step
from tests.cases import Case
from tests.close import assert_close

HUGE = {"float64 huge grad": "the state holds squares, which do not fit"}
SQUARES = HUGE | {"float16 large grad": "the state holds squares, which do not fit"}
THETA = {"float64 huge theta": "the penalty's gradient is squared, too"}
ALL = {
    "float64 huge all": "the state holds squares, which do not fit",
    "float16 large all": "the state holds squares, which do not fit",
}
SHAPE = (4, 3)


def drawn(rng, *, count=0):
    """Parameters, gradient and `count` positive arrays."""
    theta, grad = rng.normal(size=(2, *SHAPE))
    return theta, grad, *(0.3 * rng.uniform(0.5, 1.5, size=SHAPE) for _ in range(count))


def of_adagrad(rng, step):
    theta, grad, total = drawn(rng, count=1)
    return theta, grad, AdagradState(step, total)


def of_rmsprop(rng, *, centered=False, buffer=False):
    theta, grad, v = drawn(rng, count=1)
    mean = 0.2 * rng.normal(size=SHAPE) if centered else None
    return theta, grad, RMSpropState(v, mean, rng.normal(size=SHAPE) if buffer else None)


ONE = {"lr": 0.1, "eps": 0.05}
MORE = ONE | {"weight_decay": 0.3, "maximize": True}
CASES = [
    Case(adagrad_init, lambda rng: ((rng.normal(size=SHAPE),), {})),
    Case(
        adagrad_init,
        lambda rng: ((rng.normal(size=SHAPE),), {"initial_accumulator_value": 0.1}),
        "started",
    ),
    Case(adagrad, lambda rng: (of_adagrad(rng, np.asarray(7)), ONE), unless=SQUARES),
    Case(adagrad, lambda rng: (of_adagrad(rng, 7), {}), "defaults", unless=SQUARES),
    Case(
        adagrad,
        lambda rng: (of_adagrad(rng, np.asarray(7)), MORE | {"lr_decay": 0.2}),
        "decays",
        unless=SQUARES,
    ),
    Case(rmsprop_init, lambda rng: ((rng.normal(size=SHAPE),), {})),
    Case(
        rmsprop_init,
        lambda rng: ((rng.normal(size=SHAPE),), {"centered": True, "momentum": True}),
        "all",
    ),
    Case(rmsprop, lambda rng: (of_rmsprop(rng), ONE), unless=HUGE),
    Case(
        rmsprop,
        lambda rng: (of_rmsprop(rng, buffer=True), MORE | {"momentum": 0.9, "alpha": 0.9}),
        "momentum",
        unless=SQUARES | THETA,
    ),
    Case(
        rmsprop,
        lambda rng: (of_rmsprop(rng, centered=True), ONE | {"alpha": 0.8}),
        "centered",
        unless=SQUARES | ALL,
    ),
]


def compare(oracle, take, state, names, *, shape=SHAPE, dtype=torch.float64, steps=30, scale=1.0):
    """Take the steps of torch's optimizer and of the formula; compare after each."""
    rng = np.random.default_rng(1)
    theta = torch.tensor(rng.normal(size=shape), dtype=dtype)
    p = torch.nn.Parameter(theta.clone())
    optimizer = oracle([p])
    state = state(theta)
    for t in range(steps):
        # Growing, then shrinking gradients.
        grad = rng.normal(size=shape) * math.exp(-abs(t - 10) / 5)
        grad = p.grad = torch.tensor(grad, dtype=dtype)
        optimizer.step()
        theta, state = take(theta, grad, state)
        assert theta.dtype == dtype
        assert_close(theta, p, scale=scale)
    for mine, name in names.items():
        assert_close(getattr(state, mine), optimizer.state[p][name], scale=scale)


SHAPES = pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 0, 2), (5, 4)])


@SHAPES
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"lr": 0.3, "lr_decay": 0.1, "eps": 1e-2},
        {"initial_accumulator_value": 0.5},
        {"weight_decay": 0.4, "maximize": True},
    ],
    ids=str,
)
def test_adagrad_takes_the_steps_of_torch(options, shape):
    rest = dict(options)
    start = rest.pop("initial_accumulator_value", 0.0)
    compare(
        lambda params: torch.optim.Adagrad(params, **options),
        lambda theta, grad, state: adagrad(theta, grad, state, **rest),
        lambda theta: adagrad_init(theta, initial_accumulator_value=start),
        {"step": "step", "sum": "sum"} if options else {"sum": "sum"},
        shape=shape,
    )


@SHAPES
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"lr": 0.3, "alpha": 0.8, "eps": 1e-2},
        {"momentum": 0.9},
        {"centered": True},
        {"centered": True, "momentum": 0.5, "weight_decay": 0.4, "maximize": True},
    ],
    ids=str,
)
def test_rmsprop_takes_the_steps_of_torch(options, shape):
    rest = dict(options)
    centered = rest.pop("centered", False)
    names = {"v": "square_avg"}
    names |= {"mean": "grad_avg"} if centered else {}
    names |= {"buffer": "momentum_buffer"} if "momentum" in options else {}
    compare(
        lambda params: torch.optim.RMSprop(params, **options),
        lambda theta, grad, state: rmsprop(theta, grad, state, **rest),
        lambda theta: rmsprop_init(theta, centered=centered, momentum="momentum" in rest),
        names,
        shape=shape,
        scale=100 if centered else 1,  # the variance cancels digits
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize(
    ("oracle", "formula", "start"),
    [
        (torch.optim.Adagrad, adagrad, adagrad_init),
        (torch.optim.RMSprop, rmsprop, rmsprop_init),
    ],
    ids=["adagrad", "rmsprop"],
)
def test_dtype_is_kept_and_follows_torch(oracle, formula, start, dtype):
    options = {"eps": 1e-2}  # the defaults are zero in float16
    compare(
        lambda params: oracle(params, **options),
        lambda theta, grad, state: formula(theta, grad, state, **options),
        start,
        {},
        dtype=dtype,
        steps=15,
        scale=2,
    )


def steps_of(formula, gradients, state, **options):
    """Step through scalar gradients from zero; return the steps and the last state."""
    theta, steps = np.asarray(0.0), []
    for grad in gradients:
        new, state = formula(theta, np.asarray(float(grad)), state, **options)
        steps.append(theta - new)
        theta = new
    return np.asarray(steps), state


ZERO = np.asarray(0.0)


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3])
def test_adagrads_step_does_not_know_the_size_of_the_gradient(size):
    steps, _ = steps_of(adagrad, [size] * 50, adagrad_init(ZERO), lr=0.1, eps=0.0)
    assert_close(steps, 0.1 / np.sqrt(np.arange(1, 51)))


@pytest.mark.parametrize("formula", [adagrad, rmsprop], ids=lambda f: f.__name__)
def test_scale_cancels_and_eps_has_the_unit_of_the_gradient(formula):
    start = {adagrad: adagrad_init, rmsprop: rmsprop_init}[formula](ZERO)
    gradients = np.random.default_rng(4).normal(size=40)
    expected, _ = steps_of(formula, gradients, start, lr=0.1, eps=1e-3)
    for scale in (1e-6, 1e6):
        steps, _ = steps_of(formula, scale * gradients, start, lr=0.1, eps=1e-3 * scale)
        assert_close(steps, expected)


def test_eps_is_outside_the_root():
    steps, _ = steps_of(adagrad, [1e-4], adagrad_init(ZERO), lr=1.0, eps=1e-4)
    assert_close(steps, np.asarray([0.5]))
    steps, _ = steps_of(rmsprop, [1e-3], rmsprop_init(ZERO), lr=1.0, alpha=0.99, eps=1e-4)
    assert_close(steps, np.asarray([5.0]))


def test_rmsprop_is_adam_without_first_average_and_correction():
    gradients = np.random.default_rng(5).normal(size=40)
    steps, _ = steps_of(rmsprop, gradients, rmsprop_init(ZERO), lr=0.1, alpha=0.9)
    late = AdamState(math.inf, ZERO, ZERO)  # without correction, as for t → ∞
    expected, _ = steps_of(adam, gradients, late, lr=0.1, betas=(0.0, 0.9))
    assert_close(steps, expected)
    assert steps[0] == pytest.approx(np.sign(gradients[0]) * 0.1 / math.sqrt(0.1))


@pytest.mark.parametrize("alpha", [0.9, 0.99, 0.999])
def test_no_step_of_rmsprop_is_longer_than_after_silence(alpha):
    bound = spike_step(lr=1.0, betas=(0.0, alpha))
    assert bound == pytest.approx((1 - alpha) ** -0.5)
    rng = np.random.default_rng(6)
    for gradients in (rng.normal(size=300), rng.standard_cauchy(size=300), 2.0 ** np.arange(60)):
        steps, _ = steps_of(rmsprop, gradients, rmsprop_init(ZERO), lr=1.0, alpha=alpha, eps=0.0)
        assert np.all(np.abs(steps) <= bound * (1 + 1e-12))
        assert abs(steps[0]) == pytest.approx(bound)


def test_centred_steps_grow_while_a_gradient_stays_and_do_not_become_nan():
    start = rmsprop_init(ZERO, centered=True)
    steps, _ = steps_of(rmsprop, [3.0] * 1000, start, lr=1.0, eps=0.0, alpha=0.99)
    power = 0.99 ** np.arange(1, 1001)
    np.testing.assert_allclose(steps, 1 / np.sqrt(power * (1 - power)), rtol=1e-6)
    # In float32 the difference of the averages rounds to less than zero.
    theta = torch.zeros(64)
    state = rmsprop_init(theta, centered=True)
    p = torch.nn.Parameter(theta.clone())
    oracle = torch.optim.RMSprop([p], centered=True, alpha=0.9, lr=1e-3)
    grad = torch.linspace(0.1, 3.0, 64)
    for _ in range(300):
        theta, state = rmsprop(theta, grad, state, alpha=0.9, lr=1e-3)
        p.grad = grad
        oracle.step()
    assert bool(torch.isfinite(theta).all())
    assert bool(torch.isnan(p).any())


def test_lr_decay_divides_from_the_second_step_on():
    steps, state = steps_of(
        adagrad, [1.0, 0.0, 1.0], adagrad_init(ZERO), lr=1.0, lr_decay=0.5, eps=0.0
    )
    assert_close(steps, np.asarray([1.0, 0.0, 1 / 2 / math.sqrt(2)]))
    assert state.step == 3


def test_nothing_is_made_on_a_default_device():
    for start in (adagrad_init, rmsprop_init):
        state = start(torch.empty(3, device="meta"))
        assert {leaf.device.type for leaf in state if leaf is not None} == {"meta"}


VALUES = np.ones(2)
START = {
    adagrad: AdagradState(0, np.zeros(2)),
    rmsprop: RMSpropState(np.zeros(2)),
}


@pytest.mark.parametrize("formula", START, ids=lambda f: f.__name__)
@pytest.mark.parametrize(
    ("theta", "grad", "options", "error", "message"),
    [
        (np.ones(2, int), VALUES, {}, TypeError, "theta has dtype int64"),
        (VALUES, VALUES.astype(complex), {}, TypeError, "grad has dtype complex128"),
        (VALUES, VALUES.astype("f4"), {}, TypeError, "grad has dtype float32 but theta has float"),
        (VALUES, np.ones(3), {}, ValueError, r"grad has shape \(3,\)"),
        (np.ones(3), np.ones(3), {}, ValueError, r"state.\w+ has shape \(2,\)"),
        (VALUES, VALUES, {"lr": -1.0}, ValueError, r"lr is -1.0: .* \[0, inf\)"),
        (VALUES, VALUES, {"eps": -1.0}, ValueError, "eps is -1.0"),
        (VALUES, VALUES, {"weight_decay": -1.0}, ValueError, "weight_decay is -1.0"),
    ],
)
def test_errors_name_the_argument(formula, theta, grad, options, error, message):
    with pytest.raises(error, match=message):
        formula(theta, grad, START[formula], **options)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: adagrad_init(np.ones(2, int)), TypeError, "theta has dtype int64"),
        (lambda: rmsprop_init(np.ones(2, int)), TypeError, "theta has dtype int64"),
        (
            lambda: adagrad_init(VALUES, initial_accumulator_value=-0.1),
            ValueError,
            "initial_accumulator_value is -0.1",
        ),
        (
            lambda: adagrad(VALUES, VALUES, START[adagrad], lr_decay=-0.1),
            ValueError,
            "lr_decay is -0.1",
        ),
        (
            lambda: rmsprop(VALUES, VALUES, START[rmsprop], alpha=1.01),
            ValueError,
            r"alpha is 1.01: it must lie in \[0, 1\]",
        ),
        (
            lambda: rmsprop(VALUES, VALUES, START[rmsprop], momentum=-0.1),
            ValueError,
            "momentum is -0.1",
        ),
        (
            lambda: rmsprop(VALUES, VALUES, START[rmsprop], momentum=0.9),
            ValueError,
            "momentum is 0.9 but state.buffer is None: start with",
        ),
        (
            lambda: rmsprop(VALUES, VALUES, RMSpropState(VALUES, np.ones(3))),
            ValueError,
            r"state.mean has shape \(3,\)",
        ),
    ],
)
def test_errors_of_one_formula(call, error, message):
    with pytest.raises(error, match=message):
        call()
