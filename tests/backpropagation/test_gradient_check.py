import numpy as np
import pytest
import torch
from scipy.optimize import approx_fprime, minimize_scalar

from dlkb.arrays import namespace
from dlkb.backpropagation.gradient_check import (
    best_step,
    complex_step,
    difference,
    error_bound,
    relative_error,
)
from tests.cases import Case
from tests.close import assert_close


def total(x):
    """Σ eˣ sin x, on any library, real or complex."""
    xp = namespace(x)
    return xp.sum(xp.exp(x) * xp.sin(x))


def total_grad(x):
    return np.exp(x) * (np.sin(x) + np.cos(x))


def pair(rng):
    return rng.normal(size=(2, 3)), rng.normal(size=(2, 3))


OF_F = {"fixed": ("x", "v"), "batch": ()}


def gradients(rng):
    a, b = rng.normal(size=(2, 3)), rng.normal(size=4)
    return (a, b), (a + 0.5 * rng.normal(size=(2, 3)), b)


CASES = [
    # Differences amplify rounding by 1/h: a coarse step. The extremes are those of f, not ours.
    Case(difference, lambda rng: ((total, *pair(rng)), {"step": 0.5}), scale=10, **OF_F),
    Case(
        difference,
        lambda rng: ((total, *pair(rng)), {"step": 0.5, "scheme": "forward"}),
        "forward",
        scale=10,
        **OF_F,
    ),
    Case(complex_step, lambda rng: ((total, *pair(rng)), {}), half=False, scale=5, **OF_F),
    Case(
        complex_step,
        lambda rng: ((total, *pair(rng)), {"step": 1e-3}),
        "coarse",
        half=False,
        scale=5,
        **OF_F,
    ),
    Case(best_step, lambda rng: ((), {"value": 2.0, "derivative": 3.0, "eps": 0.1})),
    Case(best_step, lambda rng: ((), {"value": 2.0, "scheme": "forward"}), "forward"),
    Case(
        error_bound,
        lambda rng: ((np.asarray([1e-2, 0.5]),), {"value": 2.0, "eps": 0.1, "derivative": 3.0}),
    ),
    Case(
        error_bound,
        lambda rng: ((np.asarray([1e-2, 0.5]),), {"eps": 0.1, "scheme": "forward"}),
        "forward",
    ),
    Case(relative_error, lambda rng: (gradients(rng), {}), batch=()),
]


def test_orders_of_the_errors():
    x, v = np.linspace(-1, 1, 4), np.asarray([1.0, -2.0, 0.5, 3.0])
    exact = v @ total_grad(x)
    for scheme, order in (("forward", 1), ("central", 2)):
        coarse, fine = (
            abs(difference(total, x, v, step=h, scheme=scheme) - exact) for h in (1e-2, 1e-3)
        )
        assert np.log10(coarse / fine) == pytest.approx(order, abs=0.05)


def test_it_is_scipys_forward_difference():
    x = np.linspace(-1, 1, 4)
    ours = [difference(total, x, e, step=1e-6, scheme="forward") for e in np.eye(4)]
    assert np.allclose(ours, approx_fprime(x, total, 1e-6), rtol=1e-8, atol=0)


def test_complex_step_has_all_digits_and_ignores_its_size():
    x, v = np.linspace(-1, 1, 4), np.asarray([1.0, -2.0, 0.5, 3.0])
    exact = v @ total_grad(x)
    for step in (1e-8, 1e-20, 1e-200):
        assert complex_step(total, x, v, step=step) == pytest.approx(exact, rel=1e-14)
    x32, v32 = x.astype(np.float32), v.astype(np.float32)
    found = complex_step(total, x32, v32)
    assert found.dtype == np.float32
    assert found == pytest.approx(exact, rel=1e-6)


def test_complex_step_is_autograd(device):
    x = torch.linspace(-1, 1, 5, dtype=torch.float64, device=device, requires_grad=True)
    v = torch.arange(5.0, dtype=torch.float64, device=device)
    (grad,) = torch.autograd.grad(total(x), x)
    assert_close(complex_step(total, x.detach(), v), grad @ v)


def test_functions_of_several_values():
    x, v = np.asarray([1.0, 2.0]), np.asarray([0.0, 1.0])
    assert_close(complex_step(lambda x: x**3, x, v), np.asarray([0.0, 12.0]))
    assert_close(difference(lambda x: x**2, x, v, step=0.5), np.asarray([0.0, 4.0]))
    assert_close(
        difference(lambda x: x**2, x, v, step=0.5, scheme="forward"), np.asarray([0.0, 4.5])
    )


@pytest.mark.parametrize("scheme", ["forward", "central"])
@pytest.mark.parametrize(("value", "derivative", "eps"), [(1, 1, 2.0**-53), (5, 0.2, 1e-7)])
def test_the_best_step_is_where_the_bound_is_least(scheme, value, derivative, eps):
    options = {"value": value, "derivative": derivative, "eps": eps, "scheme": scheme}
    best = best_step(**options)
    found = minimize_scalar(
        lambda log: np.log(error_bound(np.exp(log), **options)),
        bounds=(np.log(best) - 3, np.log(best) + 3),
        method="bounded",
        options={"xatol": 1e-10},
    )
    assert np.exp(found.x) == pytest.approx(best, rel=1e-5)


def test_a_larger_value_rounds_more():
    assert best_step(value=8.0) == pytest.approx(2 * best_step())
    assert best_step(value=4.0, scheme="forward") == pytest.approx(2 * best_step(scheme="forward"))
    assert error_bound(0.5, value=3.0, derivative=12.0, eps=0.25) == pytest.approx(2.0)
    assert error_bound(0.5, value=3.0, derivative=12.0, eps=0.25, scheme="forward") == 6.0


@pytest.mark.parametrize("scheme", ["forward", "central"])
def test_the_bound_holds_and_is_nearly_reached(scheme):
    # eˣ at 0: all derivatives are one. Powers of two, so that x + h is exact.
    ratios = []
    for k in range(1, 45):
        h = 2.0**-k
        found = difference(np.exp, np.asarray(0.0), np.asarray(1.0), step=h, scheme=scheme)
        top = np.exp(h)
        ratios.append(abs(found - 1) / error_bound(h, value=top, derivative=top, scheme=scheme))
    assert max(ratios) <= 1
    assert max(ratios[:10]) > 0.7


def test_relative_error():
    a, b = np.asarray([3.0, 4.0]), np.asarray([3.0, 0.0])
    assert float(relative_error([a], [b])) == pytest.approx(0.8)
    assert float(relative_error([b], [a])) == pytest.approx(0.8)
    assert float(relative_error([a[:1], a[1:]], [b[:1], b[1:]])) == pytest.approx(0.8)
    assert float(relative_error([a], [-a])) == pytest.approx(2)
    assert float(relative_error([a], [0 * a])) == pytest.approx(1)
    assert float(relative_error([0 * a], [0 * a])) == 0
    assert float(relative_error([a[:0]], [a[:0]])) == 0
    assert float(relative_error([1e-200 * a], [1e-200 * b])) == pytest.approx(0.8)
    half = relative_error([np.asarray([6e4, 6e4], dtype=np.float16)], [np.zeros(2, np.float16)])
    assert half.dtype == np.float16
    assert half == 1
    assert np.isnan(relative_error([a], [np.asarray([np.nan, 0.0])]))
    many = np.ones(70_000, np.float16)  # more than the largest number
    for convert in (np.asarray, torch.as_tensor):
        assert float(relative_error([convert(many)], [convert(0 * many)])) == 1


X = np.ones(2)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: difference(np.sum, X, np.ones(3), step=1.0), ValueError, "v has shape"),
        (lambda: difference(np.sum, X, X, step=0.0), ValueError, "step is 0.0"),
        (lambda: difference(np.sum, X.astype(int), X, step=1.0), TypeError, "x has dtype"),
        (lambda: difference(np.sum, X, X.astype(int), step=1.0), TypeError, "v has dtype"),
        (
            lambda: difference(np.sum, X, X, step=1.0, scheme="back"),
            ValueError,
            "scheme is 'back': it must be one of forward, central",
        ),
        (lambda: complex_step(np.sum, X, X, step=-1.0), ValueError, r"step is -1.0"),
        (lambda: complex_step(np.sum, X, np.ones(3)), ValueError, "v has shape"),
        (lambda: best_step(value=-1.0), ValueError, "value is -1.0"),
        (lambda: best_step(derivative=0.0), ValueError, "derivative is 0.0"),
        (lambda: best_step(eps=-1.0), ValueError, "eps is -1.0"),
        (lambda: best_step(scheme="x"), ValueError, "scheme is 'x'"),
        (lambda: error_bound(0.0), ValueError, "step is 0.0"),
        (lambda: error_bound(1.0, scheme="x"), ValueError, "scheme is 'x'"),
        (lambda: relative_error([], []), ValueError, "a holds 0 arrays and b 0"),
        (lambda: relative_error([X], [X, X]), ValueError, "a holds 1 arrays and b 2"),
        (lambda: relative_error([X], [np.ones(3)]), ValueError, r"b\[0\] has shape"),
        (lambda: relative_error([X.astype(int)], [X]), TypeError, r"a\[0\] has dtype"),
        (lambda: relative_error([X], [X.astype(int)]), TypeError, r"b\[0\] has dtype"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
