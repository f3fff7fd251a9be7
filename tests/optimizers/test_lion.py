import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch

from dlkb.optimizers.lion import LionState, lion, lion_init
from tests.cases import Case
from tests.close import assert_close


def arguments(rng):
    theta, grad, m = rng.normal(size=(3, 4, 3))
    return theta, grad, LionState(m)


CASES = [
    Case(lion_init, lambda rng: ((rng.normal(size=(4, 3)),), {})),
    Case(lion, lambda rng: (arguments(rng), {"lr": 0.1})),
    Case(
        lion,
        lambda rng: (
            arguments(rng),
            {"lr": 0.1, "betas": (0.5, 0.8), "weight_decay": 0.3, "maximize": True},
        ),
        "all",
    ),
]


@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 0, 2), (5, 4)])
@pytest.mark.parametrize(("betas", "decay"), [((0.9, 0.99), 0.0), ((0.3, 0.6), 0.4)])
def test_steps_are_those_of_optax(shape, betas, decay):
    rng = np.random.default_rng(1)
    theta = rng.normal(size=shape).astype("f4")
    oracle = optax.lion(0.05, *betas, weight_decay=decay)
    theirs, held = jnp.asarray(theta), oracle.init(jnp.asarray(theta))
    state = lion_init(theta)
    for t in range(30):
        grad = np.asarray(rng.normal(size=shape) * np.exp(-abs(t - 10) / 5), dtype="f4")
        update, held = oracle.update(jnp.asarray(grad), held, theirs)
        theirs = optax.apply_updates(theirs, update)
        theta, state = lion(theta, grad, state, lr=0.05, betas=betas, weight_decay=decay)
        assert_close(np.asarray(theta), np.asarray(theirs))


def test_each_step_is_lr_long_and_the_sum_of_both_signs():
    theta, state = np.zeros(1), lion_init(np.zeros(1))
    found = []
    for grad in (1.0, -1e-3, -1.0, 0.0):
        new, state = lion(theta, np.asarray([grad]), state, lr=1.0)
        found.append((new - theta).item())
        theta = new
    # m is 0.01 after the first gradient: c = 0.009 − 0.0001 > 0, then the third overrules it.
    assert found == [-1.0, -1.0, 1.0, 1.0]


def test_to_maximize_is_to_minimize_the_negative():
    rng = np.random.default_rng(2)
    theta, grad, state = arguments(rng)
    options = {"lr": 0.1, "weight_decay": 0.3}
    up, new = lion(theta, grad, state, maximize=True, **options)
    down, old = lion(theta, -grad, state, **options)
    assert_close(up, down)
    assert_close(new.m, old.m)


def test_an_infinite_parameter_without_gradient_stays():
    theta = np.asarray([np.inf])
    assert lion(theta, np.zeros(1), lion_init(np.zeros(1)))[0] == np.inf


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_steps_by_lr_whatever_the_gradient(dtype):
    theta = torch.ones(3, dtype=dtype)
    grad = torch.tensor([1e-3, 1.0, 6e4], dtype=dtype)
    new, state = lion(theta, grad, lion_init(theta), lr=0.25)
    assert new.dtype == state.m.dtype == dtype
    assert new.tolist() == [0.75] * 3


ONE, START = np.ones(2), LionState(np.zeros(2))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: lion_init(np.ones(2, int)), TypeError, "theta has dtype int64"),
        (lambda: lion(np.ones(2, int), ONE, START), TypeError, "theta has dtype int64"),
        (lambda: lion(ONE, ONE.astype(complex), START), TypeError, "grad has dtype complex128"),
        (lambda: lion(ONE, ONE.astype("f4"), START), TypeError, "grad has dtype float32 but theta"),
        (lambda: lion(ONE, np.ones(3), START), ValueError, r"grad has shape \(3,\)"),
        (lambda: lion(ONE, ONE, LionState(np.ones(3))), ValueError, r"state.m has shape \(3,\)"),
        (lambda: lion(ONE, ONE, START, lr=-1.0), ValueError, "lr is -1.0"),
        (lambda: lion(ONE, ONE, START, weight_decay=-1.0), ValueError, "weight_decay is -1.0"),
        (lambda: lion(ONE, ONE, START, betas=(1.0, 0.9)), ValueError, r"betas\[0\] is 1.0"),
        (lambda: lion(ONE, ONE, START, betas=(0.9, -0.1)), ValueError, r"betas\[1\] is -0.1"),
    ],
)
def test_errors_name_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call()
