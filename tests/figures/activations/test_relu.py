import numpy as np

from scripts.figures.activations import relu as figures
from tests.figures.drawn import assert_draws


def test_dying_draws_the_median():
    data = figures.deaths()
    steps = np.arange(0, 601, 10)
    assert_draws(
        figures.dying(),
        lines={"median of ten networks": (steps, 100 * np.median(data.inactive, 0))},
        xlabel="step",
        ylabel="units inactive on all images, %",
    )


def test_units_die_at_large_steps_whatever_the_slope():
    for slope in figures.SLOPES:
        small, large = (figures.deaths(lr, slope) for lr in (0.3, 4.0))
        assert small.inactive.shape == (10, 61)
        assert small.inactive.max() < 0.3
        assert np.median(small.accuracy) > 0.8
        assert np.median(large.inactive[:, 6]) > 0.7


def test_networks_with_a_slope_may_come_back_and_those_without_do_not():
    assert np.median(figures.deaths(2.0, 0.0).accuracy) < 0.2
    assert np.median(figures.deaths(2.0, 0.01).accuracy) > 0.4


def test_the_first_column_is_before_training():
    start = {tuple(figures.deaths(lr).inactive[:, 0]) for lr in figures.RATES}
    assert len(start) == 1


def test_shapes_draws_values_and_slopes():
    data, figure = figures.shapes_data(), figures.shapes()
    assert_draws(
        figure,
        panel=0,
        lines={name: (data.x, row) for name, row in zip(figures.NAMES, data.values, strict=True)},
        legend=figures.NAMES,
        xlabel="x",
        title="value",
    )
    sides = {}
    for name, row in zip(figures.NAMES, data.slopes, strict=True):
        for side, where in (("below", data.x <= 0), ("above", data.x > 0)):
            sides[f"{name}, {side}"] = (data.x[where], row[where])
    assert_draws(figure, panel=1, lines=sides, xlabel="x", title="slope")


def test_the_slopes_are_those_of_the_values():
    data = figures.shapes_data()
    away = np.abs(data.x) > 0.05
    found = np.gradient(data.values, data.x, axis=1)
    np.testing.assert_allclose(found[:, away], data.slopes[:, away], atol=1e-3)
