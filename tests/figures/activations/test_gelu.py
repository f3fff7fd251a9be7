import numpy as np
import torch

from dlkb.activations.gelu import gelu, quick_gelu, silu
from scripts.figures.activations import gelu as figures
from tests.figures.drawn import assert_draws

GRID = figures.GRID


def test_the_known_distances():
    one, quick, sharp = (figures.gap(beta) for beta in (1.0, 1.702, 25.0))
    assert (round(one.largest, 4), round(one.at, 2)) == (0.1930, 1.97)
    assert (round(quick.largest, 4), round(quick.at, 2)) == (0.0203, 2.27)
    assert np.allclose(one.values, silu(GRID), atol=1e-12)
    assert np.allclose(quick.difference, quick_gelu(GRID) - gelu(GRID), atol=1e-12)
    assert abs(sharp.values - np.maximum(GRID, 0)).max() < 0.012  # 0.2785 / 25
    near = [figures.gap(beta).largest for beta in (1.0, 1.25, 1.5, 1.702)]
    assert (np.diff(near) < 0).all()


def test_no_slider_leaves_the_axes():
    (slider,) = figures.swish_and_gelu().sliders
    for beta in slider.values:
        data = figures.gap(beta)
        assert data.values.min() > -1.2
        assert data.difference.min() > -0.6
        assert data.difference.max() < 0.3


def test_swish_and_gelu_draws_three_functions():
    data, relu = figures.gap(1.0), np.maximum(GRID, 0)
    names = ["ReLU", "GELU", "x σ(βx)"]
    assert_draws(
        figures.swish_and_gelu(),
        panel=0,
        lines=dict(
            zip(names, ((GRID, relu), (GRID, gelu(GRID)), (GRID, data.values)), strict=True)
        ),
        legend=names,
        xlabel="x",
        title="activation",
    )
    assert_draws(
        figures.swish_and_gelu(),
        panel=1,
        lines={"ReLU": (GRID, relu - gelu(GRID)), "x σ(βx)": (GRID, data.difference)},
        xlabel="x",
        title="minus GELU",
    )


def test_errors_peak_where_the_page_says():
    x = np.linspace(0, 10, 100_001)
    found = figures.errors(x)
    peaks = {name: (round(error.max(), 5), round(x[error.argmax()], 2)) for name, error in
             found.items()}  # fmt: skip
    assert peaks == {
        "ReLU": (0.16997, 0.75),
        "SiLU": (0.193, 1.97),
        "sigmoid": (0.02033, 2.27),
        "tanh": (0.00047, 2.7),
    }


def test_approximations_draws_the_errors():
    x = figures.DISTANCES
    assert_draws(
        figures.approximations(),
        lines={name: (x, error) for name, error in figures.errors().items()},
        texts=["ReLU", "SiLU", "sigmoid", "tanh"],
        xlabel="distance from 0, |x|",
        ylabel="|difference from GELU|",
    )


def test_a_swap_for_the_same_function_changes_nothing_and_the_others_are_ordered():
    depth = figures.DEPTHS[0]
    found = figures.mismatch(depth)
    x = torch.linspace(-5, 5, 101, dtype=torch.float64)
    assert np.allclose(figures.SWAPS["tanh"](x), gelu(x, approximate="tanh"), atol=1e-12)
    assert np.allclose(figures.SWAPS["sigmoid"](x), quick_gelu(x), atol=1e-12)
    assert found["tanh"].shape == (10,)
    assert (found["tanh"] < found[figures.ROUNDED]).all()
    assert (found[figures.ROUNDED] < found["sigmoid"]).all()
    assert (5 * found["sigmoid"] < found["SiLU"]).all()
    assert (5 * found["sigmoid"] < found["ReLU"]).all()


def test_swapped_draws_medians_and_ranges():
    rows = {
        name: np.stack([figures.mismatch(depth)[name] for depth in figures.DEPTHS])
        for name in ("ReLU", "SiLU", "sigmoid", "tanh", figures.ROUNDED)
    }
    places = np.arange(3)
    assert_draws(
        figures.swapped(),
        lines={
            name: (places + 0.06 * (i - 2), np.median(row, 1))
            for i, (name, row) in enumerate(rows.items())
        },
        texts=list(rows),
        xlabel="hidden layers",
        ylabel="change of the outputs",
    )
