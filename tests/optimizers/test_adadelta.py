import numpy as np
import pytest
import torch

from dlkb.optimizers.adadelta import AdadeltaState, adadelta, adadelta_init
from tests.cases import Case
from tests.close import assert_close
from tests.optimizers.test_adagrad import (
    ALL,
    MORE,
    SHAPE,
    SHAPES,
    SQUARES,
    THETA,
    VALUES,
    ZERO,
    compare,
    drawn,
    steps_of,
)


def arguments(rng):
    theta, grad, v, u = drawn(rng, count=2)
    return theta, grad, AdadeltaState(v, u)


CASES = [
    Case(adadelta_init, lambda rng: ((rng.normal(size=SHAPE),), {})),
    Case(adadelta, lambda rng: (arguments(rng), {"eps": 0.05, "rho": 0.8}), unless=SQUARES | ALL),
    Case(adadelta, lambda rng: (arguments(rng), MORE), "more", unless=SQUARES | THETA | ALL),
]


@SHAPES
@pytest.mark.parametrize(
    "options",
    [{}, {"lr": 0.3, "rho": 0.7, "eps": 1e-3}, {"weight_decay": 0.4, "maximize": True}],
    ids=str,
)
def test_steps_are_those_of_torch(options, shape):
    compare(
        lambda params: torch.optim.Adadelta(params, **options),
        lambda theta, grad, state: adadelta(theta, grad, state, **options),
        adadelta_init,
        {"v": "square_avg", "u": "acc_delta"},
        shape=shape,
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_dtype_is_kept_and_follows_torch(dtype):
    options = {"eps": 1e-2}  # the default is zero in float16
    compare(
        lambda params: torch.optim.Adadelta(params, **options),
        lambda theta, grad, state: adadelta(theta, grad, state, **options),
        adadelta_init,
        {},
        dtype=dtype,
        steps=15,
        scale=2,
    )


def test_scale_cancels_once_both_eps_are_small():
    gradients = np.random.default_rng(4).normal(size=40)
    expected, _ = steps_of(adadelta, gradients, adadelta_init(ZERO), eps=1e-12)
    steps, _ = steps_of(adadelta, 1e6 * gradients, adadelta_init(ZERO), eps=1e-12)
    np.testing.assert_allclose(steps, expected, rtol=1e-9)


def test_eps_is_inside_both_roots():
    steps, _ = steps_of(adadelta, [1.0], adadelta_init(ZERO), rho=0.9, eps=0.1)
    assert_close(steps, np.asarray([(0.1 / 0.2) ** 0.5]))


def test_nothing_is_made_on_a_default_device():
    state = adadelta_init(torch.empty(3, device="meta"))
    assert {leaf.device.type for leaf in state} == {"meta"}


START = AdadeltaState(np.zeros(2), np.zeros(2))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: adadelta_init(np.ones(2, int)), TypeError, "theta has dtype int64"),
        (lambda: adadelta(np.ones(2, int), VALUES, START), TypeError, "theta has dtype int64"),
        (lambda: adadelta(VALUES, np.ones(3), START), ValueError, r"grad has shape \(3,\)"),
        (
            lambda: adadelta(VALUES, VALUES, AdadeltaState(np.ones(3), VALUES)),
            ValueError,
            r"state.v has shape \(3,\)",
        ),
        (
            lambda: adadelta(VALUES, VALUES, AdadeltaState(VALUES, np.ones(3))),
            ValueError,
            r"state.u has shape \(3,\)",
        ),
        (lambda: adadelta(VALUES, VALUES, START, lr=-1.0), ValueError, "lr is -1.0"),
        (lambda: adadelta(VALUES, VALUES, START, rho=-0.1), ValueError, "rho is -0.1"),
        (lambda: adadelta(VALUES, VALUES, START, eps=0.0), ValueError, r"eps is 0.0: .* \(0, inf"),
        (lambda: adadelta(VALUES, VALUES, START, weight_decay=-1.0), ValueError, "weight_decay is"),
    ],
)
def test_errors_name_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call()
