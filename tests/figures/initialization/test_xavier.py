import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy import stats

from scripts.figures.initialization import xavier as figures

RELU, TANH = figures.PANELS


def final(rule, panel):
    return figures.losses(rule, panel.activation, panel.gain)[:, -10:].mean(axis=1)


def test_seeds():
    assert figures.losses("He", "relu", RELU.gain).shape == (figures.SEEDS, figures.STEPS)
    assert figures.SEEDS >= 10


@pytest.mark.parametrize("rule", ["PyTorch", "Xavier"])
def test_a_deep_relu_network_stays_at_chance_without_the_gain(rule):
    assert (np.abs(final(rule, RELU) - np.log(10)) < 0.1).mean() >= 0.9


@pytest.mark.parametrize("rule", ["He", "orthogonal"])
def test_a_deep_relu_network_learns_with_the_gain(rule):
    assert (final(rule, RELU) < 2).mean() >= 0.8


def test_tanh_learns_and_learns_faster_from_orthogonal_weights():
    assert (np.abs(final("PyTorch", TANH) - np.log(10)) < 0.1).all()
    assert (final("LeCun", TANH) < 1.2).all()
    assert (final("orthogonal", TANH).max() < final("LeCun", TANH)).mean() >= 0.9


def test_the_correction_of_signs_makes_the_angles_even():
    # The real eigenvalues ±1 apart, Haar angles are close to uniform; Q as it comes leans to 180°.
    raw, haar = (figures.angles(corrected) for corrected in (False, True))
    left = [(np.abs(rows) > np.pi / 2).mean() for rows in (raw, haar)]
    assert left[0] > 0.55
    assert abs(left[1] - 0.5) < 0.01
    # The trace of a Haar matrix has mean 0: within five standard errors; without it is far off.
    traces = [np.cos(rows).sum(axis=1) for rows in (raw, haar)]
    errors = [t.mean() / (t.std() / len(t) ** 0.5) for t in traces]
    assert abs(errors[1]) < 5
    assert errors[0] < -20
    assert stats.ttest_ind(*traces).pvalue < 1e-20


def test_a_gaussian_product_loses_directions_and_an_orthogonal_keeps_all():
    gaussian, orthogonal = figures.spectrum("Xavier"), figures.spectrum("orthogonal")
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


@pytest.mark.parametrize(
    "draw", [figures.digits, figures.haar, figures.products, figures.changing_widths]
)
def test_figures_are_drawn(draw):
    assert isinstance(draw(), Figure)
