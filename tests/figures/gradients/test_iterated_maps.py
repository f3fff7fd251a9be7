import numpy as np
import pytest

from dlkb.gradients.iterated_maps import iterate_derivative
from scripts.figures.gradients import iterated_maps as figures
from tests.figures.drawn import assert_draws


def test_at_three_and_a_half_plateaus_form_with_cliffs_between_them():
    data = figures.stack_data(3.5)
    last = data.values[-1]
    cycle = [0.38282, 0.50088, 0.82694, 0.87500]
    near = np.abs(last[:, None] - cycle).min(1) < 0.01
    assert near.mean() > 0.8
    assert (data.slopes[-1] < 1e-3).mean() > 0.6
    assert data.slopes[-1].max() > 1e15  # at the ends


def test_at_four_it_is_steep_almost_everywhere():
    slopes = figures.stack_data(4.0, (1, 4, 7)).slopes[-1]
    assert (slopes > 10).mean() > 0.9


def test_the_exponent_is_negative_at_three_and_a_half_and_positive_at_four():
    r, points, exponent = figures.exponent_data()
    at = np.argmin(np.abs(r - 3.5))
    np.testing.assert_allclose(exponent[at], -0.8725, atol=1e-3)
    np.testing.assert_allclose(exponent[-1], np.log(2), atol=0.03)
    assert len(np.unique(points[:, at].round(6))) == 4
    assert len(np.unique(points[:, -1].round(6))) > 50
    assert (exponent[(r > 2.81) & (r < 3.56)] < 0.01).all()


def test_one_step_from_the_cliff_leaves_for_good_and_clipping_arrives():
    assert abs(figures.descent(max_norm=np.inf)[1]) > 300
    path = figures.descent(max_norm=1.0)
    assert len(path) == 401
    assert abs(path[-1] - 1) < 1e-6
    assert (np.abs(np.diff(path)) < 3.01e-4).all()


def test_growth_draws_median_input_zero_and_exponent():
    data, n = figures.growth_data(3.5), np.arange(1, 61)
    np.testing.assert_allclose(data.at_zero, n * np.log10(3.5))
    np.testing.assert_allclose(data.law, n * -0.8725 / np.log(10), rtol=1e-3)
    x = np.random.default_rng(0).uniform(size=500)
    slopes = np.abs(iterate_derivative(x, r=3.5, steps=60))
    np.testing.assert_allclose(data.median[-1], np.median(np.log10(slopes)), rtol=1e-9)
    assert_draws(
        figures.growth(),
        lines={
            "at x = 0": (n, data.at_zero),
            "median": (n, data.median),
            "exponent": (n, data.law),
            "": ([0, 1], [0, 0]),
        },
        legend=["at x = 0", "median", "exponent"],
        xlabel="layers n",
    )


@pytest.mark.parametrize("row", [0, 1, 2])
def test_stacked_draws_three_depths_of_both(row):
    for column, (r, depths, grid) in enumerate(
        ((3.5, (1, 4, 32), figures.EVEN), (4.0, (1, 4, 7), figures.ENDS))
    ):
        n = depths[row]
        values = figures.stack_data(r, (n,), grid).values[0]
        assert_draws(
            figures.stacked(),
            panel=2 * row + column,
            lines={"fⁿ": (grid, values)},
            title=f"r = {r}, n = {n}",
        )


def test_exponents_draws_orbits_and_exponents():
    r, points, exponent = figures.exponent_data()
    orbits = {"orbits": (np.tile(r, 60), points.ravel())}
    assert_draws(figures.exponents(), panel=0, lines=orbits, ylabel="x after 600 steps")
    marks = ([3.5, 4.0], [-0.8725, np.log(2)])
    edge = {"marks": marks, "exponent": (r, exponent), "": ([0, 1], [0, 0])}
    assert_draws(figures.exponents(), panel=1, lines=edge, xlabel="r")


def test_cliff_draws_slope_and_paths():
    w = np.linspace(0.7, 1.15, 500)
    slope = np.abs(100 * (w**50 - 1) * w**49)
    assert_draws(figures.cliff(), panel=0, lines={"slope": (w, slope)}, xlabel="w")
    paths = {
        name: np.abs(figures.descent(max_norm=limit) - 1)
        for name, limit in (("as it is", np.inf), ("clipped to norm 1", 1.0))
    }
    assert_draws(figures.cliff(), panel=1, lines=paths, legend=list(paths), xlabel="step")
