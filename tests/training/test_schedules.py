import math
import warnings
from functools import partial

import numpy as np
import pytest
import torch
import transformers
from torch.optim import lr_scheduler

from dlkb.optim import lr_lambda
from dlkb.training.schedules import (
    cosine,
    exponential,
    inverse_root,
    linear,
    one_cycle,
    step_decay,
    warm_up,
    warmup_stable_decay,
)
from tests.cases import Case
from tests.close import assert_close


def steps(rng):
    return (rng.integers(0, 120, size=(3, 4)).astype(float),)


def case(function, label="", **options):
    # Steps are counts: a step times 1e200 is none.
    return Case(function, lambda rng: (steps(rng), options), label, fixed=("step",))


CASES = [
    case(warm_up, warmup=40),
    case(warm_up, "start", warmup=40, start=0.25),
    case(warm_up, "none", warmup=0),
    case(step_decay, every=30),
    case(step_decay, "gamma", every=32, gamma=0.5),
    case(exponential, gamma=0.97),
    case(linear, total=100),
    case(linear, "warmup-end", total=100, warmup=20, end=0.1),
    case(cosine, total=100),
    case(cosine, "warmup-end", total=100, warmup=20, end=0.1),
    case(inverse_root, warmup=20),
    case(one_cycle, total=100),
    case(one_cycle, "options", total=100, pct_start=0.2, div_factor=5.0, final_div_factor=10.0),
    case(warmup_stable_decay, total=100, decay=20),
    case(warmup_stable_decay, "root", total=100, decay=20, warmup=10, shape="root"),
    case(warmup_stable_decay, "linear", total=100, decay=30, warmup=10, shape="linear"),
]

LR = 0.3


def run(scheduler, count=130):
    """Return the learning rate at each update, relative to the first argument of the optimizer."""
    found = []
    for _ in range(count):
        found.append(scheduler.get_last_lr()[0] / LR)
        scheduler.optimizer.step()
        scheduler.step()
    return np.asarray(found)


def optimizer():
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=LR)


def at(function, count=130, **options):
    return function(np.arange(count, dtype=float), **options)


@pytest.mark.parametrize(
    ("theirs", "ours", "options"),
    [
        (
            partial(lr_scheduler.LinearLR, start_factor=0.25, end_factor=1, total_iters=40),
            warm_up,
            {"warmup": 40, "start": 0.25},
        ),
        (
            partial(lr_scheduler.LinearLR, start_factor=1, end_factor=0.1, total_iters=100),
            linear,
            {"total": 100, "end": 0.1},
        ),
        (
            partial(lr_scheduler.PolynomialLR, total_iters=100, power=1),
            linear,
            {"total": 100},
        ),
        (partial(lr_scheduler.StepLR, step_size=30), step_decay, {"every": 30}),
        (
            partial(lr_scheduler.StepLR, step_size=7, gamma=0.8),
            step_decay,
            {"every": 7, "gamma": 0.8},
        ),
        (partial(lr_scheduler.ExponentialLR, gamma=0.95), exponential, {"gamma": 0.95}),
    ],
)
def test_it_is_the_scheduler_of_torch(theirs, ours, options):
    assert_close(at(ours, **options), run(theirs(optimizer())))


def test_cosine_is_that_of_torch_up_to_the_end_where_torch_rises_again():
    theirs = run(lr_scheduler.CosineAnnealingLR(optimizer(), T_max=100, eta_min=0.1 * LR))
    ours = at(cosine, total=100, end=0.1)
    assert_close(ours[:101], theirs[:101])
    assert (np.diff(theirs[100:]) > 0).all()
    assert (ours[100:] == 0.1).all()


@pytest.mark.parametrize("options", [{}, {"pct_start": 0.2, "div_factor": 5.0}])
def test_one_cycle_is_that_of_torch(options):
    theirs = lr_scheduler.OneCycleLR(
        optimizer(), max_lr=LR, total_steps=100, final_div_factor=50.0, **options
    )
    ours = at(one_cycle, 100, total=100, final_div_factor=50.0, **options)
    found = [theirs.get_last_lr()[0]]
    for _ in range(100):
        theirs.optimizer.step()
        theirs.step()
        found.append(theirs.get_last_lr()[0])
    assert_close(ours, np.asarray(found[:-1]) / LR)
    assert found[-1] > 1.05 * found[-2]
    with pytest.raises(ValueError, match="Tried to step 101 times"):
        theirs.step()
    assert at(one_cycle, 130, total=100)[-1] == at(one_cycle, 100, total=100)[-1]


@pytest.mark.parametrize("warmup", [0, 1, 20])
def test_it_is_the_scheduler_of_transformers(warmup):
    counts = {"num_warmup_steps": warmup, "num_training_steps": 100}
    theirs = run(transformers.get_linear_schedule_with_warmup(optimizer(), **counts))
    assert_close(at(linear, total=100, warmup=warmup), theirs)
    theirs = run(transformers.get_cosine_schedule_with_warmup(optimizer(), **counts))
    assert_close(at(cosine, 101, total=100, warmup=warmup), theirs[:101])
    theirs = run(transformers.get_constant_schedule_with_warmup(optimizer(), warmup))
    assert_close(at(warm_up, warmup=warmup), theirs)
    for shape, decay_type in (("linear", "linear"), ("root", "1-sqrt")):
        theirs = run(
            transformers.get_wsd_schedule(
                optimizer(), num_decay_steps=30, decay_type=decay_type, **counts
            )
        )
        ours = at(warmup_stable_decay, total=100, decay=30, warmup=warmup, shape=shape)
        assert_close(ours, theirs)
    if warmup:
        theirs = run(transformers.get_inverse_sqrt_schedule(optimizer(), warmup))
        assert_close(at(inverse_root, warmup=warmup), theirs)


def test_inverse_root_is_the_equation_of_the_paper():
    t, d, w = np.arange(1.0, 20_000), 512, 4000
    paper = d**-0.5 * np.minimum(t**-0.5, t * w**-1.5)
    assert_close(inverse_root(t, warmup=w) / (d * w) ** 0.5, paper)


def test_a_warm_up_that_starts_above_zero_is_a_shorter_one():
    t, w = np.arange(30.0), 10
    assert_close(warm_up(t, warmup=w - 1, start=1 / w), np.minimum(1, (t + 1) / w))
    assert (warm_up(t, warmup=0) == 1).all()
    assert (warm_up(t, warmup=0, start=0.5) == 1).all()


def test_no_step_falls_and_steps_between_steps():
    t = np.asarray([9.5, 99.0, 99.5, 100.0])
    assert_close(
        warmup_stable_decay(t, total=100, decay=1, warmup=10), np.asarray([0.95, 1, 0.5, 0])
    )
    assert_close(warmup_stable_decay(t, total=100, decay=0), np.asarray([1.0, 1, 1, 0]))


@pytest.mark.parametrize("shape", [(), (0,), (1, 0, 2), (1,)])
def test_shapes(shape):
    for one in CASES:
        options = one.arguments()
        del options["step"]
        assert one.function(np.zeros(shape), **options).shape == shape


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: warm_up(t, warmup=-1), r"warmup is -1: it must lie in \[0, inf\)"),
        (lambda t: warm_up(t, warmup=1, start=1.5), "start is 1.5"),
        (lambda t: step_decay(t, every=0), "every is 0"),
        (lambda t: step_decay(t, every=1, gamma=0.0), r"gamma is 0.0: it must lie in \(0, 1\]"),
        (lambda t: exponential(t, gamma=1.01), "gamma is 1.01"),
        (lambda t: linear(t, total=0), r"total is 0: it must lie in \(0, inf\)"),
        (lambda t: linear(t, total=5, warmup=5), r"warmup is 5: it must lie in \[0, 5\)"),
        (lambda t: cosine(t, total=5, end=-0.1), r"end is -0.1: it must lie in \[0, 1\]"),
        (lambda t: inverse_root(t, warmup=0), "warmup is 0"),
        (lambda t: one_cycle(t, total=3), "total is 3"),
        (lambda t: one_cycle(t, total=30, pct_start=1.0), "pct_start is 1.0"),
        (lambda t: one_cycle(t, total=30, div_factor=0.5), "div_factor is 0.5"),
        (lambda t: one_cycle(t, total=30, final_div_factor=0.5), "final_div_factor is 0.5"),
        (
            lambda t: warmup_stable_decay(t, total=9, decay=6, warmup=4),
            r"decay is 6: it must lie in \[0, 5\]",
        ),
        (
            lambda t: warmup_stable_decay(t, total=9, decay=6, shape="cosine"),
            'shape is \'cosine\': it must be "linear" or "root"',
        ),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.zeros(1))
    with pytest.raises(TypeError, match="step has dtype int64"):
        call(np.zeros(1, dtype=np.int64))


def test_lr_lambda_in_torch():
    factor = partial(cosine, total=100, warmup=10)
    ours = lr_scheduler.LambdaLR(optimizer(), lr_lambda(factor))
    assert_close(run(ours), at(cosine, total=100, warmup=10))
    value = lr_lambda(factor)(55)
    assert type(value) is float
    assert math.isclose(value, 0.5)


def test_lr_lambda_resumes_and_does_not_look_at_the_defaults():
    factor = lr_lambda(partial(warmup_stable_decay, total=100, decay=30, warmup=10))
    whole = run(lr_scheduler.LambdaLR(optimizer(), factor))
    first = lr_scheduler.LambdaLR(optimizer(), factor)
    begun = run(first, 75)
    second = lr_scheduler.LambdaLR(optimizer(), factor)
    second.load_state_dict(first.state_dict())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the optimizer of the resumed run made no step yet
        assert_close(np.concatenate([begun, run(second, 55)]), whole)
    torch.set_default_device("meta")
    try:
        assert factor(5) == 0.5
    finally:
        torch.set_default_device(None)
    assert factor(33_333_333) == 0.0  # counts that float32 does not hold
