import numpy as np
import pytest
from scipy import optimize

from dlkb.losses.regression import absolute_error, huber, quantile_loss
from scripts.figures.losses import regression as figures
from tests.figures.drawn import assert_draws


def cost(loss, y, **options):
    return lambda line: float(loss(figures.design(figures.X) @ line, y, **options))


@pytest.mark.parametrize("height", [0.0, 4.0, 12.0])
def test_no_other_line_costs_less(height):
    y = figures.targets(height)
    rng = np.random.default_rng(0)
    pairs = [(absolute_error, {}, figures.quantile_line(figures.X, y, 0.5))]
    pairs += [(huber, {"delta": d}, figures.huber_line(figures.X, y, d)) for d in figures.DELTAS]
    for loss, options, line in pairs:
        of = cost(loss, y, **options)
        near = [of(line + 0.01 * rng.normal(size=2)) for _ in range(200)]
        assert of(line) <= min(near)
        found = optimize.minimize(of, np.zeros(2), method="Nelder-Mead", tol=1e-10)
        assert of(line) <= found.fun + 1e-9


def test_the_quantile_line_is_that_of_a_linear_program():
    x, y = figures.scattered(101, 5)
    n = len(x)
    for q in figures.LEVELS:
        parts = np.concatenate([figures.design(x), np.eye(n), -np.eye(n)], axis=1)
        costs = np.concatenate([[0, 0], np.full(n, q), np.full(n, 1 - q)])
        bounds = [(None, None)] * 2 + [(0, None)] * (2 * n)
        least = optimize.linprog(costs, A_eq=parts, b_eq=y, bounds=bounds).fun / n
        line = figures.quantile_line(x, y, q)
        assert quantile_loss(figures.design(x) @ line, y, q=q) == pytest.approx(least)


def test_what_the_sliders_show_is_so():
    heights, deltas = (slider.values for slider in figures.outlier().sliders)
    for delta in deltas:
        found = figures.errors(delta)
        assert found.max() < 0.9
        assert (found[:, 0] == figures.errors(1.0)[:, 0]).all()
        for height in heights:
            (at,) = np.flatnonzero(np.isclose(figures.HEIGHTS, height))
            assert (found[at] == figures.fits(height, delta).error).all()
    near = np.abs(figures.errors(10.0)[:, 2] - figures.errors(10.0)[:, 0])
    assert near.max() < 1e-6  # Huber's loss with a large δ is the squared error
    assert figures.errors(0.1)[-1, 2] < 0.3 * figures.errors(10.0)[-1, 2]


def test_outlier_draws_its_data():
    data = figures.fits(9.0, 1.0)
    explorable = figures.outlier()
    others = np.arange(figures.POINTS) != figures.BAD
    assert_draws(
        explorable,
        panel=0,
        lines={
            "": (figures.X[others], figures.targets(0.0)[others]),
            **{name: (figures.ENDS, y) for name, y in zip(figures.NAMES, data.lines, strict=True)},
            "outlier": ([figures.X[figures.BAD]], [9.0]),
        },
        legend=[*figures.NAMES, "outlier"],
        xlabel="x",
        title="three fitted lines",
    )
    by_height = zip(figures.NAMES, figures.errors(1.0).T, strict=True)
    assert_draws(
        explorable,
        panel=1,
        lines={
            **{name: (figures.HEIGHTS, y) for name, y in by_height},
            **{
                f"{name} here": ([9.0], [y])
                for name, y in zip(figures.NAMES, data.error, strict=True)
            },
        },
        xlabel="height of the outlier",
        title="error of the line",
    )


def test_slopes_are_the_slopes_of_the_losses():
    for name, (loss, slope) in figures.curves().items():
        smooth = name in ("½ r²", "Huber, δ = 1", "log cosh")
        numeric = np.gradient(loss, figures.R)[1:-1]
        off = np.abs(numeric - slope[1:-1]) > 0.02
        assert off.sum() <= (0 if smooth else 2)


@pytest.mark.parametrize("panel", [0, 1])
def test_losses_draws_the_curves(panel):
    curves = {name: (figures.R, pair[panel]) for name, pair in figures.curves().items()}
    assert_draws(
        figures.losses(),
        panel=panel,
        lines=curves,
        **({"legend": list(curves)} if panel else {}),
        xlabel="error: prediction − target",
        title=("loss", "slope")[panel],
    )


def test_quantiles_draws_points_and_lines():
    data = figures.spread()
    assert data.y.max() < 8
    lines = {f"q = {q}": (figures.ENDS, y) for q, y in zip(figures.LEVELS, data.lines, strict=True)}
    assert_draws(
        figures.quantiles(),
        lines={"points": (data.x, data.y), **lines},
        texts=list(lines),
        xlabel="x",
        ylabel="y",
    )
