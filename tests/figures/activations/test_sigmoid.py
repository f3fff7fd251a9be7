import numpy as np
from scipy import integrate, special, stats

from scripts.figures.activations import sigmoid as figures
from tests.figures.drawn import assert_draws


def test_slopes_draws_both():
    curve = special.expit(figures.X)
    assert_draws(
        figures.slopes(),
        lines={
            "slope of sigmoid": (figures.X, curve * (1 - curve)),
            "slope of tanh": (figures.X, 1 - np.tanh(figures.X) ** 2),
        },
        legend=["pre-activations", "slope of sigmoid", "slope of tanh"],
        xlabel="pre-activation z",
    )


def test_the_mean_slopes_are_those_of_quadrature():
    for spread in figures.SPREADS:
        for mean in figures.MEANS:
            data = figures.mean_slopes(spread, mean)
            normal = stats.norm(mean, spread)
            assert np.allclose(data.density, normal.pdf(figures.X))

            def mean_of(slope, normal=normal):
                # The slopes are negligible beyond ±40.
                return integrate.quad(lambda z: slope(z) * normal.pdf(z), -40, 40, limit=200)[0]

            sigmoid = mean_of(lambda z: special.expit(z) * special.expit(-z))
            tanh = mean_of(lambda z: np.cosh(z) ** -2.0)
            assert np.allclose([data.sigmoid, data.tanh], [sigmoid, tanh], rtol=1e-3)


def test_softplus_error_draws_both_forms():
    data = figures.softplus_errors()
    lines = {f"{name}, as written": (data.x, data.naive[name]) for name in data.naive}
    lines |= {f"{name}, stable": (data.x, data.stable[name]) for name in data.stable}
    assert_draws(
        figures.softplus_error(),
        lines=lines,
        texts=list(lines),
        xlabel="x",
        ylabel="relative error",
    )


def test_the_errors_grow_to_one_as_x_falls():
    data = figures.softplus_errors()
    for name, gone in (("float32", -16.7), ("float64", -36.8)):
        assert (data.naive[name][data.x < gone - 0.5] == 1).all()
        assert data.naive[name][-1] < 1e-5
        assert data.stable[name].max() < 1e-6
