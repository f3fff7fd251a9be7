import numpy as np
import pytest
import torch

from dlkb.initialization.signal_scale import rectifier_spread
from scripts.figures.initialization import signal_scale as figures
from tests.figures.drawn import assert_draws


def middle_and_edges(rows):
    low, middle, high = np.percentile(rows, [5, 50, 95], axis=0)
    return middle, (low, high)


@pytest.mark.parametrize("std", figures.STD.values())
def test_every_seed_follows_the_expected_line(std):
    data = figures.relu_depths(std)
    assert data.measured.shape == (figures.SEEDS, figures.DEPTH + 1)
    assert figures.SEEDS >= 10
    # Within a factor of 10 at every layer, while the three lines end 20 decades apart.
    assert (np.abs(np.log10(data.measured / data.expected)) < 1).mean() > 0.99


def test_three_scales_three_fates():
    one, root, he = (figures.relu_depths(std).measured[:, -1] for std in figures.STD.values())
    assert (one > 1e40).all()
    assert (root > 1e16).all()
    assert (root < 1e20).all()
    assert ((he > 0.1) & (he < 10)).mean() >= 0.9


def test_variance_one_over_root_n_multiplies_by_half_the_root():
    data = figures.relu_depths(figures.WIDTH**-0.25)
    factor = (data.measured[:, -1] / data.measured[:, 0]) ** (1 / figures.DEPTH)
    np.testing.assert_allclose(factor, figures.WIDTH**0.5 / 2, rtol=0.2)


@pytest.mark.parametrize("name", figures.MAPS)
def test_one_is_a_fixed_point_of_all_three_maps(name):
    data = figures.length_maps_data(name)
    assert data.image[np.searchsorted(data.q, 1 - 1e-9)] == pytest.approx(1, abs=1e-3)


def test_tanh_comes_back_relu_stays_gelu_leaves():
    tanh, relu, gelu = (figures.length_maps_data(name).paths for name in figures.MAPS)
    assert (np.abs(tanh[:, -1] - 1) < 0.02).all()
    np.testing.assert_allclose(relu, np.tile(figures.STARTS[:, None], 13), rtol=1e-10)
    assert gelu[0, -1] < 0.1
    assert gelu[2, -1] > 5
    assert (np.diff(gelu[0]) < 0).all()
    assert (np.diff(gelu[2]) > 0).all()


def test_narrow_networks_stray_further():
    ends = {width: figures.width_spread_data(width) for width in figures.WIDTHS}
    wide = [np.diff(np.percentile(np.log10(rows[:, -1]), [5, 95]))[0] for rows in ends.values()]
    assert wide[0] > 1.9 * wide[1] > 3.6 * wide[2]
    # The expectation is 1 at every width; the median falls below it.
    assert np.median(ends[32][:, -1]) < 0.1
    assert np.median(ends[512][:, -1]) > 0.7


@pytest.mark.parametrize(("width", "layer"), [(512, 50), (128, 20), (32, 3)])
def test_the_spread_is_the_one_in_the_legend(width, layer):
    # Six standard errors of the mean of squares, estimated from the draws themselves.
    q = figures.width_spread_data(width)[:, layer]
    expected = rectifier_spread(fan_in=width, depth=layer)
    assert abs((q**2).mean() - expected) < 6 * (q**2).std() / len(q) ** 0.5


@pytest.mark.parametrize("gain", [0.7, 1.0, 1.5929, 3.0])
def test_tanh_networks_follow_the_limit_of_large_width(gain):
    data = figures.tanh_depths(gain, 20)
    assert data.signal.shape == data.gradient.shape == (10, 20)
    assert (data.gradient[:, -1] > 0.5).all()
    for rows, expected in (
        (data.signal, data.expected_signal),
        (data.gradient, data.expected_gradient),
    ):
        # Less than a decade at the end, while the gradient goes over ten with gain 3.
        assert (np.abs(np.log10(np.median(rows / expected, axis=0))) < 0.7).all()


def test_the_gradient_of_the_tanh_networks_is_that_of_autograd():
    rng = np.random.default_rng(0)
    z = torch.tensor(rng.normal(size=(10, 128, 1)), requires_grad=True)
    row, weights = z, [1.5 * 128**-0.5 * rng.normal(size=(10, 128, 128)) for _ in range(4)]
    for weight in weights:
        row = torch.tensor(weight) @ torch.tanh(row)
    row.backward(torch.tensor(rng.normal(size=z.shape)))
    data = figures.tanh_depths(1.5, 5)
    np.testing.assert_allclose(data.signal[:, -1], (row.detach().numpy() ** 2).mean((1, 2)))
    np.testing.assert_allclose(data.gradient[:, 0], (z.grad.numpy() ** 2).mean((1, 2)))


def test_no_scale_keeps_both_signal_and_gradient():
    kept = figures.tanh_depths(1.5929, 20)
    assert 0.8 < np.median(kept.signal[:, -1]) < 1.25
    assert 15 < np.median(kept.gradient[:, 0]) < 30
    still = figures.tanh_depths(1.0, 20)
    assert np.median(still.signal[:, -1]) < 0.1
    assert 0.01 < np.median(still.gradient[:, 0]) < 1
    for gain in figures.scale_and_depth().sliders[0].values:
        data = figures.tanh_depths(gain, 40)
        ends = np.median(data.signal[:, -1]), np.median(data.gradient[:, 0])
        assert max(abs(np.log(end)) for end in ends) > np.log(3)


def test_the_sentence_of_the_tanh_networks():
    said = figures.scale_and_depth().show(3.0, 40)
    assert "layer 40 with mean square 6.5;" in said
    exponent = round(np.log10(np.median(figures.tanh_depths(3.0, 40).gradient[:, 0])))
    assert exponent == 10
    assert said.endswith("layer 1 with 10¹⁰ times what it was.")


@pytest.mark.parametrize("number", [0, 1])
def test_scale_and_depth_draws_medians_and_the_wide_limit(number):
    data = figures.tanh_depths(1.5929, 20)
    rows, expected = (
        (data.signal, data.expected_signal),
        (data.gradient, data.expected_gradient),
    )[number]
    layers = np.arange(1, 21)
    assert_draws(
        figures.scale_and_depth(),
        panel=number,
        lines={"median": (layers, np.median(rows, axis=0)), "wide limit": (layers, expected)},
        xlabel="layer",
        title=("signal, left to right", "gradient, right to left")[number],
    )


def test_depth_draws_bands_and_expectations():
    data = {label: figures.relu_depths(std) for label, std in figures.STD.items()}
    drawn = {label: middle_and_edges(one.measured) for label, one in data.items()}
    layers = np.arange(figures.DEPTH + 1)
    assert_draws(
        figures.depth(),
        lines={label: (layers, middle) for label, (middle, _) in drawn.items()}
        | {f"{label}, expected": (layers, one.expected) for label, one in data.items()},
        bands={label: edges for label, (_, edges) in drawn.items()},
        legend=list(figures.STD),
        xlabel="layer",
        ylabel="mean square of the signal",
    )


def test_length_maps_draws_maps_and_paths():
    data = {name: figures.length_maps_data(name) for name in figures.MAPS}
    assert_draws(
        figures.length_maps(),
        panel=0,
        lines={name: (one.q, one.image) for name, one in data.items()},
        legend=list(figures.MAPS),
        xlabel="q of this layer",
        ylabel="q of the next layer",
    )
    assert_draws(
        figures.length_maps(),
        panel=1,
        lines={
            f"{name} from {start:g}": (np.arange(13), path)
            for name, one in data.items()
            for start, path in zip(figures.STARTS, one.paths, strict=True)
        },
        xlabel="layer",
        ylabel="q",
    )


def test_width_spread_draws_bands_under_their_spread():
    drawn = {}
    for width in figures.WIDTHS:
        spread = rectifier_spread(fan_in=width, depth=50)
        name = f"{width}: E[q²]/E[q]² = {spread:.1f}"
        drawn[name] = middle_and_edges(figures.width_spread_data(width))
    assert_draws(
        figures.width_spread(),
        lines={name: (np.arange(51), middle) for name, (middle, _) in drawn.items()},
        bands={name: edges for name, (_, edges) in drawn.items()},
        legend=list(drawn),
        xlabel="layer",
        ylabel="mean square of the signal",
    )
