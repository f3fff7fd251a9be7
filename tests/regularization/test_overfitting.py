import math

import numpy as np
import pytest
import torch
from scipy import integrate, optimize, stats
from sklearn.linear_model import Ridge
from torch.optim.lr_scheduler import ReduceLROnPlateau

from dlkb.regularization.overfitting import (
    Progress,
    best_filter,
    expected_maximum,
    filter_risk,
    filtered_least_squares,
    fixed_design_errors,
    flow_filter,
    gaussian_design_error,
    gd_filter,
    optimism,
    progress_init,
    progress_step,
    ridge_filter,
    standard_error,
    stopping_point,
)
from tests.cases import Case
from tests.close import assert_close


def ridge_shrink(s):
    return ridge_filter(s, penalty=0.7)


def started(rng, mode):
    """Return a state as it is in mid-training, and a score that improves on half of it."""
    best = rng.normal(size=6)
    score = best + np.asarray([-1.0, -0.2, 0.0, 0.2, 1.0, math.nan])
    ints = (np.arange(6, dtype=np.int32), np.full(6, 2, np.int32), np.full(6, 8, np.int32))
    return (Progress(best, *ints), score), {"min_delta": 0.5, "mode": mode}


LINEAR_IN_Y = {"batch": (), "fixed": ("X",), "law": lambda w, by: w * by["y"]}
CASES = [
    Case(optimism, lambda rng: ((5 * rng.random(4),), {"n": 20, "noise_variance": 0.7})),
    Case(fixed_design_errors, lambda rng: ((), {"n": 20, "d": 5, "noise_variance": 0.7})),
    Case(gaussian_design_error, lambda rng: ((), {"n": 20, "d": 5, "noise_variance": 0.7})),
    Case(
        gaussian_design_error,
        lambda rng: ((), {"n": 5, "d": 20, "noise_variance": 0.7, "signal": 2.0}),
        "interpolates",
    ),
    Case(gd_filter, lambda rng: ((2 * rng.random((3, 4)),), {"lr": 0.9, "steps": 7})),
    Case(flow_filter, lambda rng: ((2 * rng.random((3, 4)),), {"time": 1.5})),
    Case(ridge_filter, lambda rng: ((2 * rng.random((3, 4)),), {"penalty": 0.3})),
    Case(
        filtered_least_squares,
        lambda rng: ((rng.normal(size=(7, 3)), rng.normal(size=7), ridge_shrink), {}),
        half=False,  # no singular value decomposition in bfloat16
        scale=10,
        **LINEAR_IN_Y,
    ),
    Case(
        filtered_least_squares,
        lambda rng: ((rng.normal(size=(3, 7)), rng.normal(size=(3, 2)), ridge_shrink), {}),
        "wide",
        half=False,
        scale=10,
        **LINEAR_IN_Y,
    ),
    Case(filter_risk, lambda rng: ((rng.random(5), rng.random(5)), {"noise_variance": 0.3})),
    Case(best_filter, lambda rng: ((rng.random(5),), {"noise_variance": 0.3})),
    *(
        Case(
            progress_init, lambda rng, mode=mode: ((rng.normal(size=(2, 3)),), {"mode": mode}), mode
        )
        for mode in ("min", "max")
    ),
    Case(progress_step, lambda rng: started(rng, "min"), "min"),
    Case(progress_step, lambda rng: started(rng, "max"), "max"),
    Case(stopping_point, lambda rng: ((rng.normal(size=(9, 4)),), {"patience": 3}), batch=()),
    Case(
        stopping_point,
        lambda rng: (
            (rng.normal(size=(9, 4)),),
            {"patience": 3, "min_delta": 0.5, "mode": "max"},
        ),
        "max",
        batch=(),
    ),
    Case(
        standard_error,
        lambda rng: ((rng.random(5),), {"n": 30}),
        fixed=("accuracy",),  # in [0, 1]
    ),
    Case(expected_maximum, lambda rng: ((5,), {})),
]


# Optimism


@pytest.mark.parametrize(("n", "d"), [(1, 1), (6, 0), (7, 3), (12, 12)])
def test_fixed_design_against_the_projection(n, d):
    X = np.random.default_rng(0).normal(size=(n, d))
    residual = np.eye(n) - X @ np.linalg.pinv(X)
    train = 0.7 * np.trace(residual.T @ residual) / n
    test = 0.7 * (1 + np.trace(X @ np.linalg.pinv(X)) / n)
    errors = fixed_design_errors(n=n, d=d, noise_variance=0.7)
    found = np.asarray([*errors, optimism(d, n=n, noise_variance=0.7)])
    assert_close(found, np.asarray([train, test, test - train]))


@pytest.mark.parametrize("shrink", [ridge_shrink, lambda s: gd_filter(s, lr=0.02, steps=9)])
def test_optimism_of_a_filter_is_twice_the_covariance_of_fit_and_target(shrink):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 5))
    truth = np.sin(X.sum(1))  # not linear: optimism does not ask for a true model
    noise = rng.normal(size=(30, 40_000))
    fits = X @ filtered_least_squares(X, truth[:, None] + noise, shrink)
    gap = ((truth[:, None] + rng.normal(size=noise.shape) - fits) ** 2).mean(0)
    gap -= ((truth[:, None] + noise - fits) ** 2).mean(0)
    dof = shrink(np.linalg.svd(X, compute_uv=False) ** 2).sum()
    expected = optimism(dof, n=30, noise_variance=1.0)
    assert abs(gap.mean() - expected) < 5 * gap.std() / 200
    assert expected > 20 * gap.std() / 200


@pytest.mark.parametrize(("n", "d"), [(30, 4), (12, 8), (8, 12), (4, 30), (5, 0)])
def test_gaussian_design_against_simulation(n, d):
    rng = np.random.default_rng(1)
    repeats = 20_000
    X = rng.normal(size=(repeats, n, d))
    w = np.full((d, 1), 0.5)
    y = X @ w + 0.8 * rng.normal(size=(repeats, n, 1))
    error = ((np.linalg.pinv(X) @ y - w) ** 2).sum((1, 2)) + 0.64
    expected = gaussian_design_error(n=n, d=d, noise_variance=0.64, signal=0.25 * d)
    assert abs(error.mean() - expected) < 5 * error.std() / repeats**0.5 + 1e-12


def test_gaussian_design_at_its_edges():
    for n in (19, 20, 21):
        assert gaussian_design_error(n=n, d=20, noise_variance=1.0) == math.inf
    assert gaussian_design_error(n=1, d=0, noise_variance=1.0) == 1.0
    assert gaussian_design_error(n=1, d=0, noise_variance=0.0) == 0.0
    for n, without_noise in ((15, 0.25), (19, 0.05), (20, 0.0), (21, 0.0)):
        error = gaussian_design_error(n=n, d=20, noise_variance=0.0, signal=1.0)
        assert abs(error - without_noise) < 1e-12
    assert gaussian_design_error(n=22, d=20, noise_variance=1.0) == 21.0
    assert gaussian_design_error(n=18, d=20, noise_variance=1.0) == 19.0
    few = gaussian_design_error(n=10, d=20, noise_variance=0.1, signal=1.0)
    more = gaussian_design_error(n=17, d=20, noise_variance=0.1, signal=1.0)
    assert few < more
    fixed = fixed_design_errors(n=50, d=20, noise_variance=1.0)
    assert gaussian_design_error(n=50, d=20, noise_variance=1.0) > fixed.test


# Filters


@pytest.mark.parametrize("shape", [(9, 4), (4, 9), (6, 6), (3, 1), (1, 3)])
@pytest.mark.parametrize("steps", [0, 1, 2, 50])
def test_gd_filter_against_gradient_descent(shape, steps, device):
    rng = np.random.default_rng(0)
    X = torch.tensor(rng.normal(size=shape), device=device)
    y = torch.tensor(rng.normal(size=shape[0]), device=device)
    lr = 1.7 / float(torch.linalg.matrix_norm(X, 2) ** 2)  # overshoots in the first direction
    w = torch.zeros(shape[1], dtype=X.dtype, device=device, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=lr)
    for _ in range(steps):
        optimizer.zero_grad()
        (((X @ w - y) ** 2).sum() / 2).backward()
        optimizer.step()
    ours = filtered_least_squares(X, y, lambda s: gd_filter(s, lr=lr, steps=steps))
    assert_close(ours, w.detach(), scale=10)


def test_gd_filter_keeps_its_digits_where_the_eigenvalue_is_small():
    z = np.asarray([0.0, 1e-20, 1e-9, 0.3, 0.49999, 0.5, 1.0, 1.5, 2.0])
    exact = [0.0, 7e-20, 7e-9 - 21e-18, *(1 - (1 - z[3:]) ** 7)]
    np.testing.assert_allclose(gd_filter(z, lr=1.0, steps=7), exact, rtol=1e-14)
    assert_close(gd_filter(np.asarray([2.0]), lr=1.0, steps=3), np.asarray([2.0]))


def test_flow_is_the_limit_of_small_steps():
    s = np.asarray([0.0, 1e-18, 0.1, 1.0, 30.0])
    flow = flow_filter(s, time=2.0)
    np.testing.assert_allclose(flow, [0, 2e-18, *(1 - np.exp(-2 * s[2:]))], rtol=1e-14)
    for steps, bound in ((10**4, 1e-3), (10**7, 1e-6)):
        assert np.abs(gd_filter(s, lr=2.0 / steps, steps=steps) - flow).max() < bound


@pytest.mark.parametrize("shape", [(9, 4), (4, 9)])
@pytest.mark.parametrize("penalty", [1e-3, 0.7, 1e4])
def test_ridge_filter_against_scikit_learn(shape, penalty):
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=shape), rng.normal(size=(shape[0], 2))
    theirs = Ridge(alpha=penalty, fit_intercept=False, solver="svd").fit(X, Y).coef_.T
    ours = filtered_least_squares(X, Y, lambda s: ridge_filter(s, penalty=penalty))
    assert_close(ours, theirs, scale=100)


def test_a_direction_without_data_stays_at_zero():
    X = np.diag([2.0, 0.0, 1.0])
    w = filtered_least_squares(X, np.ones(3), lambda s: gd_filter(s, lr=0.1, steps=10**6))
    assert_close(w, np.asarray([0.5, 0.0, 1.0]))
    for shape in ((0, 3), (3, 0)):
        empty = filtered_least_squares(np.ones(shape), np.ones(shape[0]), ridge_shrink)
        assert_close(empty, np.zeros(shape[1]))


def test_the_gradient_of_a_filtered_solution(device):
    X = torch.tensor(np.random.default_rng(0).normal(size=(6, 3)), device=device)
    y = torch.tensor(np.random.default_rng(1).normal(size=6), device=device, requires_grad=True)
    assert torch.autograd.gradcheck(lambda y: filtered_least_squares(X, y, ridge_shrink), (y,))


def test_filter_risk_against_draws():
    rng = np.random.default_rng(0)
    factor, mu = np.asarray([0.0, 0.3, 1.0, 1.4]), np.asarray([2.0, -1.0, 0.5, 0.0])
    z = mu + 0.6 * rng.normal(size=(400_000, 4))
    risk = filter_risk(factor, mu**2, noise_variance=0.36)
    fits = factor * z
    assert np.abs((fits.mean(0) - mu) ** 2 - risk.bias).max() < 0.01
    assert np.abs(fits.var(0) - risk.variance).max() < 0.01


def test_no_factor_beats_the_best_filter():
    signal = np.asarray([0.01, 0.5, 3.0, 100.0])
    best = best_filter(signal, noise_variance=0.4)
    for i, s in enumerate(signal):

        def total(f, s=s):
            risk = filter_risk(np.asarray([f]), np.asarray([s]), noise_variance=0.4)
            return float((risk.bias + risk.variance)[0])

        found = optimize.minimize_scalar(total, bounds=(0, 1), method="bounded")
        assert abs(found.x - best[i]) < 1e-4
        assert total(best[i]) <= found.fun + 1e-12
    assert_close(best_filter(np.zeros(2), noise_variance=1.0), np.zeros(2))


def test_half_precision_is_computed_in_float32():
    large, accuracy = np.asarray(4e4, dtype=np.float16), np.asarray(0.5, dtype=np.float16)
    assert ridge_filter(large, penalty=float(large)) == 0.5
    assert best_filter(large, noise_variance=float(large)) == 0.5
    found = standard_error(accuracy, n=100_000)
    assert found.dtype == np.float16
    assert found == pytest.approx(0.5 / math.sqrt(100_000), rel=1e-3)


# Patience


def by_torch(scores, patience, min_delta, mode):
    """Return best score and first stop of torch's scheduler, which lowers the rate instead."""
    p = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([p], lr=1.0)
    optimizer.step()
    scheduler = ReduceLROnPlateau(
        optimizer, mode, patience=patience - 1, threshold=min_delta, threshold_mode="abs"
    )
    for t, score in enumerate(scores):
        scheduler.step(score)
        if optimizer.param_groups[0]["lr"] < 1:
            return t, scheduler.best
    return len(scores) - 1, scheduler.best


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("min_delta", [0.0, 0.1])
@pytest.mark.parametrize("patience", [1, 2, 5])
def test_patience_against_torch(patience, min_delta, mode):
    rng = np.random.default_rng(0)
    sign = 1 if mode == "min" else -1
    # Rounded, so that ties occur; some not a number, some infinite.
    curves = (sign * (np.exp(-np.arange(40) / 9)[:, None] + rng.normal(size=(40, 60)) / 8)).round(1)
    curves[rng.random(curves.shape) < 0.1] = np.nan
    curves[rng.random(curves.shape) < 0.02] = sign * np.inf
    found = stopping_point(curves, patience=patience, min_delta=min_delta, mode=mode)
    assert len(set(found.last_step.tolist())) > 5 or patience == 1
    for i, curve in enumerate(curves.T):
        last, best = by_torch(curve, patience, min_delta, mode)
        assert found.last_step[i] == last
        if found.best_step[i] < 0:
            assert best == sign * math.inf
        else:
            assert curve[found.best_step[i]] == best


def test_the_rule_by_hand():
    losses = np.asarray([3.0, 2.0, 1.0, 1.5, 1.6, 0.5])
    assert [int(i) for i in stopping_point(losses, patience=2)] == [2, 4]
    assert [int(i) for i in stopping_point(-losses, patience=2, mode="max")] == [2, 4]
    assert [int(i) for i in stopping_point(losses, patience=3)] == [5, 5]
    assert [int(i) for i in stopping_point(losses, patience=1, min_delta=5.0)] == [0, 1]
    equal = np.full(4, 1.0)
    assert [int(i) for i in stopping_point(equal, patience=3)] == [0, 3]
    none = np.full(4, np.nan)
    assert [int(i) for i in stopping_point(none, patience=3)] == [-1, 2]


def test_gains_below_min_delta_add_up():
    slow = 1 - 0.25 * np.arange(16)
    found = stopping_point(slow, patience=3, min_delta=0.6)
    assert [int(i) for i in found] == [15, 15]
    assert [int(i) for i in stopping_point(slow, patience=2, min_delta=0.6)] == [0, 2]


def test_many_curves_at_once_are_each_curve_alone():
    scores = np.random.default_rng(0).normal(size=(12, 2, 3, 0 + 1))
    together = stopping_point(scores, patience=2)
    assert together.best_step.shape == (2, 3, 1)
    for index in np.ndindex(2, 3, 1):
        alone = stopping_point(scores[(slice(None), *index)], patience=2)
        assert alone.best_step == together.best_step[index]
        assert alone.last_step == together.last_step[index]
    assert stopping_point(np.ones((3, 0)), patience=1).best_step.shape == (0,)


def test_integers_count_in_half_precision():
    progress = progress_init(torch.zeros((), dtype=torch.bfloat16))
    for _ in range(300):
        progress = progress_step(progress, torch.ones((), dtype=torch.bfloat16))
    assert int(progress.step) == 300
    assert int(progress.wait) == 299


# Selection


def test_standard_error_against_scipy():
    a = np.asarray([0.0, 0.1, 0.5, 0.97, 1.0])
    assert_close(standard_error(a, n=37), stats.binom(37, a).std() / 37)


@pytest.mark.parametrize("k", [1, 2, 3, 10, 137, 10_000, 1_000_000])
def test_expected_maximum_against_scipy(k):
    def integrand(x):
        return x * k * stats.norm.pdf(x) * np.exp((k - 1) * stats.norm.logcdf(x))

    expected, _ = integrate.quad(integrand, -9, 9, epsabs=1e-13, epsrel=1e-13, limit=200)
    assert expected_maximum(k) == pytest.approx(expected, rel=1e-11, abs=1e-12)
    assert expected_maximum(k) <= math.sqrt(2 * math.log(k)) + 1e-12


def test_expected_maximum_in_closed_form():
    assert expected_maximum(2) == pytest.approx(1 / math.sqrt(math.pi), rel=1e-12)
    assert expected_maximum(3) == pytest.approx(1.5 / math.sqrt(math.pi), rel=1e-12)


# Errors


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: optimism(1, n=0, noise_variance=1.0), "n is 0"),
        (lambda x: optimism(1, n=5, noise_variance=-1.0), "noise_variance is -1"),
        (lambda x: fixed_design_errors(n=5, d=6, noise_variance=1.0), "d is 6"),
        (lambda x: fixed_design_errors(n=5, d=2, noise_variance=-1.0), "noise_variance is -1"),
        (lambda x: gaussian_design_error(n=0, d=2, noise_variance=1.0), "n is 0"),
        (lambda x: gaussian_design_error(n=5, d=-2, noise_variance=1.0), "d is -2"),
        (lambda x: gaussian_design_error(n=5, d=2, noise_variance=-1.0), "noise_variance is -1"),
        (lambda x: gaussian_design_error(n=5, d=2, noise_variance=1.0, signal=-1), "signal is -1"),
        (lambda x: gd_filter(x, lr=-1.0, steps=1), r"lr is -1\.0"),
        (lambda x: gd_filter(x, lr=1.0, steps=-1), "steps is -1"),
        (lambda x: flow_filter(x, time=-1.0), r"time is -1\.0"),
        (lambda x: ridge_filter(x, penalty=0.0), r"penalty is 0\.0"),
        (lambda x: filtered_least_squares(x, x, ridge_shrink), r"X has shape \(3,\)"),
        (lambda x: filtered_least_squares(np.ones((2, 3)), x, ridge_shrink), r"y has shape \(3,\)"),
        (lambda x: filter_risk(x, x[:2], noise_variance=1.0), r"signal has shape \(2,\)"),
        (lambda x: filter_risk(x, x, noise_variance=-1.0), "noise_variance is -1"),
        (lambda x: best_filter(x, noise_variance=0.0), r"noise_variance is 0\.0"),
        (lambda x: progress_init(x, mode="up"), "mode is 'up'"),
        (lambda x: progress_step(progress_init(x), x, mode="up"), "mode is 'up'"),
        (lambda x: progress_step(progress_init(x), x, min_delta=-0.1), r"min_delta is -0\.1"),
        (lambda x: stopping_point(x, patience=0), "patience is 0"),
        (lambda x: stopping_point(x[:0], patience=1), r"scores has shape \(0,\)"),
        (lambda x: stopping_point(x[0, ...], patience=1), r"scores has shape \(\)"),
        (lambda x: standard_error(x, n=0), "n is 0"),
        (lambda x: expected_maximum(0), "k is 0"),
        (lambda x: expected_maximum(2_000_000), "k is 2000000"),
    ],
)
def test_out_of_range(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.ones(3))


@pytest.mark.parametrize(
    "call",
    [
        lambda x: gd_filter(x, lr=1.0, steps=1),
        lambda x: flow_filter(x, time=1.0),
        lambda x: ridge_filter(x, penalty=1.0),
        lambda x: filtered_least_squares(x, x, ridge_shrink),
        lambda x: filter_risk(x, x, noise_variance=1.0),
        lambda x: best_filter(x, noise_variance=1.0),
        lambda x: progress_init(x),
        lambda x: progress_step(progress_init(x * 1.0), x),
        lambda x: stopping_point(x, patience=1),
        lambda x: standard_error(x, n=3),
    ],
)
def test_integers_are_refused(call):
    with pytest.raises(TypeError, match="dtype int64"):
        call(np.ones(3, dtype=np.int64))
