import numpy as np
import pytest

from dlkb.training.float_formats import limits
from scripts.figures.training import mixed_precision as figures
from tests.figures.drawn import assert_draws


def test_every_gradient_has_a_fate_and_numpy_agrees_in_float16():
    sizes = figures.activation_gradients()
    assert sizes.min() > 2.0 ** figures.EDGES[0]
    for power in (0, 8, 28):
        data = figures.fates(power, 5)
        assert sum(map(np.sum, data)) == pytest.approx(100)
        with np.errstate(over="ignore"):
            half = (sizes * 2.0**power).astype(np.float16)
        assert data.zero.sum() == pytest.approx(100 * np.mean(half == 0))
        assert data.infinite.sum() == pytest.approx(100 * np.mean(np.isinf(half)))


def test_what_the_sliders_show_is_so():
    powers, exponents = figures.gradient_window().sliders
    assert list(exponents.values) == list(figures.FORMATS)
    for exponent in exponents.values:
        zero = [figures.fates(p, exponent).zero.sum() for p in powers.values]
        infinite = [figures.fates(p, exponent).infinite.sum() for p in powers.values]
        assert (np.diff(zero) <= 0).all()
        assert (np.diff(infinite) >= 0).all()
        low, high = figures.window(exponent)
        assert 2.0**low == limits(figures.FORMATS[exponent]).smallest / 2
        assert 2.0**high == pytest.approx(limits(figures.FORMATS[exponent]).largest)
        assert max(np.max(f) for p in powers.values for f in figures.fates(p, exponent)) < 20
    sentence = figures.gradient_window().show(0, 5)
    assert f"{figures.fates(0, 5).zero.sum():.1f} %" in sentence


def test_stairs_are_a_histogram():
    corners = figures.stairs(np.ones(len(figures.EDGES) - 1))
    assert corners[0].tolist() == [figures.EDGES[0], 0]
    assert corners[-1].tolist() == [figures.EDGES[-1], 0]
    assert corners[1:-1, 1].tolist() == [1.0] * (len(corners) - 2)


def test_gradient_window_draws_its_window():
    low, high = figures.window(5)
    drawn = figures.gradient_window()
    drawn.moving[3].set_label("low")
    drawn.moving[4].set_label("high")
    assert_draws(
        drawn,
        lines={"low": ([low, low], [0, 20]), "high": ([high, high], [0, 20])},
        legend=["zero", "kept", "infinite"],
        xlabel="size of the scaled gradient",
        ylabel="% of the gradients",
    )
    for shape, shares in zip(drawn.moving[:3], figures.fates(0, 5), strict=True):
        np.testing.assert_allclose(shape.get_xy()[:-1], figures.stairs(shares))


def test_lost_updates_draws_its_data():
    data = figures.lost_data()
    steps = np.arange(figures.SMOOTH, figures.STEPS + 1)
    assert_draws(
        figures.lost_updates(),
        lines={name: (steps, np.median(losses, 0)) for name, losses in data.items()},
        bands={
            f"all {name}": (data[name].min(0), data[name].max(0))
            for name in ("exact", "bfloat16, to nearest")
        },
        legend=list(figures.RULES),
        xlabel="step",
        ylabel="training loss",
    )
    assert all(np.isfinite(losses).all() and losses.max() < 2.6 for losses in data.values())


def test_zero_memory_draws_its_data():
    data = figures.zero_data()
    assert_draws(
        figures.zero_memory(),
        lines={name: (figures.PROCESSES, size) for name, size in data.items()},
        texts=list(data),
        xlabel="processes",
        ylabel="GB in each",
    )
    assert all(size.min() > 0.8 and size.max() < 200 for size in data.values())
