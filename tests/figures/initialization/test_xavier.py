import numpy as np
import pytest

from scripts.figures.initialization import xavier as figures
from tests.figures.drawn import assert_draws

RELU, TANH = figures.PANELS
CHANCE = np.log(10)


def final(rule, panel, **options):
    return figures.losses(rule, panel, **options)[:, -20:].mean(axis=1)


def middle_and_edges(rows):
    low, middle, high = np.percentile(rows, [5, 50, 95], axis=0)
    return middle, (low, high)


def test_each_slope_has_a_gain_at_which_signal_and_gradient_stay():
    for slope in figures.SLOPES:
        factors = [figures.through(gain, slope).factor for gain in figures.GAINS]
        (fits,) = np.flatnonzero(np.isclose(factors, 1))
        data = figures.through(figures.GAINS[fits], slope)
        for rows in (data.signal[:, -1], data.gradient[:, 0]):
            assert 0.2 < np.median(rows) < 5
        assert np.allclose(data.expected, 1)


@pytest.mark.parametrize("slope", figures.SLOPES)
def test_networks_follow_the_factor_of_a_layer(slope):
    for gain in figures.GAINS:
        data = figures.through(gain, slope)
        assert data.factor == pytest.approx(gain**2 * (1 + slope**2) / 2)
        logs = np.log(data.signal[:, -1]) / (figures.LAYERS - 1)
        assert np.exp(logs.mean()) == pytest.approx(data.factor, rel=0.06)
        back = np.log(data.gradient[:, 0]) / (figures.LAYERS - 1)
        assert np.exp(back.mean()) == pytest.approx(data.factor, rel=0.06)


def test_the_reading_says_whether_the_gain_fits():
    show = figures.gain_and_slope().show
    assert show(1.0, 0.0) == (
        "Each layer multiplies the mean square by 0.50. The gain does not fit."
    )
    assert show(2**0.5, 0.0) == "Each layer multiplies the mean square by 1.00. The gain fits."


@pytest.mark.parametrize("rule", ["PyTorch", "Xavier"])
def test_a_deep_relu_network_stays_at_chance_without_the_gain(rule):
    assert (np.abs(final(rule, RELU) - CHANCE) < 0.1).mean() >= 0.9


@pytest.mark.parametrize("rule", ["He", "orthogonal"])
def test_a_deep_relu_network_learns_with_the_gain(rule):
    assert (final(rule, RELU) < CHANCE - 0.2).mean() >= 0.8


@pytest.mark.parametrize("depth", [10, 20])
@pytest.mark.parametrize("lr", [0.02, 0.05])
def test_tanh_learns_faster_from_orthogonal_weights(depth, lr):
    ends = [final(rule, TANH, depth=depth, lr=lr) for rule in ("orthogonal", "LeCun")]
    assert (ends[0] < ends[1]).mean() >= 0.8


def test_a_gaussian_product_loses_directions_and_an_orthogonal_keeps_all():
    gaussian, orthogonal = figures.spectrum("xavier"), figures.spectrum("orthogonal")
    np.testing.assert_allclose(orthogonal.smallest, 1, rtol=1e-10)
    np.testing.assert_allclose(orthogonal.largest, 1, rtol=1e-10)
    assert (gaussian.smallest[:, -1] < 1e-9).all()
    assert (gaussian.largest[:, -1] > 2).mean() >= 0.9


def test_the_product_rule_that_telescopes():
    first, last = {}, {}
    for rule in figures.RULES:
        data = figures.chain(rule)
        assert data.signal.shape == (10, figures.CHAIN + 1)
        first[rule], last[rule] = data.gradient[:, 0], data.signal[:, -1]
    # Xavier loses 4ab/(a+b)² = 0.64 for each pair of layers, both ways; the others do not.
    np.testing.assert_allclose(np.log(last["Xavier"]).mean(), 8 * np.log(0.64), atol=0.8)
    np.testing.assert_allclose(np.log(first["Xavier"]).mean(), 8 * np.log(0.64), atol=0.8)
    for rule in ("fan-in", "fan-out", "geometric"):
        for ends in (first[rule], last[rule]):
            assert ((ends > 0.2) & (ends < 5)).mean() >= 0.8


def test_fan_in_swings_backwards_and_fan_out_forwards():
    ratio = figures.WIDE / figures.NARROW
    fan_in, fan_out = figures.chain("fan-in"), figures.chain("fan-out")
    swing = fan_in.gradient[:, 1:-1:2] / fan_in.gradient[:, 2::2]
    np.testing.assert_allclose(np.exp(np.log(swing).mean()), 1 / ratio, rtol=0.3)
    steady = fan_in.signal[:, 1::2] / fan_in.signal[:, :-1:2]
    np.testing.assert_allclose(np.exp(np.log(steady).mean()), 1, rtol=0.2)
    forward = fan_out.signal[:, 1::2] / fan_out.signal[:, :-1:2]
    np.testing.assert_allclose(np.exp(np.log(forward).mean()), 1 / ratio, rtol=0.3)


def test_gain_and_slope_draws_the_networks_and_what_is_expected():
    data = figures.through(1.0, 0.0)
    middle, _ = middle_and_edges(data.signal)
    assert_draws(
        figures.gain_and_slope(),
        lines={
            "their median": (data.layer, middle),
            "expected": ([1, figures.LAYERS], [1, 0.5 ** (figures.LAYERS - 1)]),
            "": ([0, 1], [1, 1]),
        },
        legend=["ten networks", "their median", "expected"],
        xlabel="layer",
        ylabel="mean square, layer 1 = 1",
    )


@pytest.mark.parametrize("number", [0, 1])
def test_digits_draws_the_losses_of_each_rule(number):
    panel = figures.PANELS[number]
    steps = np.arange(1, figures.STEPS + 1)
    drawn = {rule: middle_and_edges(figures.losses(rule, panel)) for rule in panel.rules}
    assert_draws(
        figures.digits(),
        panel=number,
        lines={rule: (steps, middle) for rule, (middle, _) in drawn.items()}
        | {"": ([0, 1], [CHANCE, CHANCE])},
        bands={rule: edges for rule, (_, edges) in drawn.items()},
        legend=list(panel.rules),
        xlabel="step",
        title=f"20 {panel.name} layers",
    )


@pytest.mark.parametrize("number", [0, 1])
def test_changing_widths_draws_signal_and_gradient(number):
    drawn = {rule: middle_and_edges(figures.chain(rule)[number]) for rule in figures.RULES}
    assert_draws(
        figures.changing_widths(),
        panel=number,
        lines={rule: (np.arange(17), middle) for rule, (middle, _) in drawn.items()},
        bands={rule: edges for rule, (_, edges) in drawn.items()},
        legend=[] if number else list(figures.RULES),
        xlabel="layer",
        title=("signal, left to right", "gradient, right to left")[number],
    )


def test_products_draws_the_extreme_singular_values():
    drawn = {
        f"{name}, {side}": middle_and_edges(getattr(figures.spectrum(rule), side))
        for name, rule in (("Xavier", "xavier"), ("orthogonal", "orthogonal"))
        for side in ("largest", "smallest")
    }
    assert_draws(
        figures.products(),
        lines={name: (np.arange(1, 31), middle) for name, (middle, _) in drawn.items()},
        bands={name: edges for name, (_, edges) in drawn.items()},
        legend=list(drawn),
        xlabel="layers",
        ylabel="singular value",
    )
