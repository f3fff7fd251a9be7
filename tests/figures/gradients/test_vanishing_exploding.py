import numpy as np
import pytest

from dlkb.gradients.vanishing_exploding import rectifier_gradient_factor
from scripts.figures.gradients import vanishing_exploding as figures
from tests.figures.drawn import assert_draws

SCALED = figures.SKIPS[1]


def at_first(scale, skip, name):
    return figures.ratios(scale, skip).found[name][:, 0]


def test_gradients_follow_the_closed_forms():
    for scale in figures.SCALES:
        for skip in figures.SKIPS:
            data = figures.ratios(scale, skip)
            assert data.found["ReLU"].shape == (figures.SEEDS, figures.LAYERS)
            assert abs(data.medians["ReLU"] - data.expected).max() < 0.35
            for rows in data.found.values():
                assert (rows[:, -1] == 0).all()
    plain = figures.ratios(2.0, 0.0).expected
    factor = rectifier_gradient_factor(sigma_w=2.0, depth=figures.LAYERS - 1)
    assert np.isclose(plain[0], np.log10(factor) / 2)
    with_skip = figures.ratios(2.0, 1.0).expected
    assert np.isclose(with_skip[0], (figures.LAYERS - 1) * np.log10(1 + 2.0) / 2)


def test_sigmoid_vanishes_at_each_scale_without_a_skip():
    for scale in figures.SCALES:
        assert (at_first(scale, 0.0, "sigmoid") < -3).all()
        assert (abs(at_first(scale, 1.0, "sigmoid")) < 1).all()


def test_one_scale_fits_the_relu():
    for scale in figures.SCALES:
        fits = (abs(at_first(scale, 0.0, "ReLU")) < 1).all()
        assert fits == (scale == 2**0.5)
    assert (at_first(2**0.5, 1.0, "ReLU") > 3).all()
    assert (abs(at_first(2**0.5, SCALED, "ReLU")) < 0.3).all()


def test_no_slider_leaves_the_axes():
    for scale in figures.SCALES:
        for skip in figures.SKIPS:
            for rows in figures.ratios(scale, skip).medians.values():
                assert -30 < rows.min() <= rows.max() < 18


def test_weight_scale_draws_the_medians():
    made = figures.weight_scale()
    for values in ((1.0, 0.0), (2.0, 1.0)):
        sentence = made.show(*values)
        data = figures.ratios(*values)
        for name, rows in data.medians.items():
            assert f"{rows[0]:.1f} for {name}".replace("-", "−") in sentence
    data = figures.ratios(1.0, 0.0)
    lines = {name: (data.layers, rows) for name, rows in data.medians.items()}
    assert_draws(
        made,
        lines=lines
        | {
            "ReLU, closed form": (data.layers, data.expected),
            "": ([0, 1], [0, 0]),
        },
        legend=[*figures.ACTIVATIONS, "ReLU, closed form"],
        xlabel="layer",
        ylabel="log₁₀ of the gradient's norm",
    )


@pytest.mark.parametrize("name", figures.vanishing_remedies())
def test_against_vanishing(name):
    outcome = figures.remedies_data()[0][name]
    assert outcome.finite.all()
    low, high = {
        **dict.fromkeys(figures.CURES, (0.5, 1.0)),
        "ReLU, He": (0.05, 0.5),
        "4 layers, Adam": (0.4, 0.9),
    }.get(name, (0.05, 0.15))
    assert ((outcome.accuracy > low) & (outcome.accuracy < high)).all()


@pytest.mark.parametrize("name", figures.exploding_remedies())
def test_against_explosion(name):
    outcome = figures.remedies_data()[1][name]
    if name in figures.DIVERGED:
        assert not outcome.finite.any()
        return
    assert outcome.finite.all()
    slow = name in figures.SLOW
    assert ((outcome.accuracy < 0.5) if slow else (outcome.accuracy > 0.75)).all()


def test_remedies_draws_each_seed():
    figure = figures.remedies()
    for panel, part in enumerate(figures.remedies_data()):
        rows = {
            name: (outcome.accuracy, np.full(figures.SEEDS, float(row)))
            for row, (name, outcome) in enumerate(part.items())
        }
        bad = [f"NaN, {figures.SEEDS} of {figures.SEEDS}"] if panel else []
        assert_draws(
            figure,
            panel=panel,
            lines=rows | {"": ([0.1, 0.1], [0, 1])},  # chance
            texts=bad,
            xlabel="accuracy after 100 steps",
            title=("20 sigmoid layers", "20 ReLU layers, σ_w = 2.5")[panel],
        )
        ticks = [text.get_text() for text in figure.axes[panel].get_yticklabels()]
        assert ticks == list(part)
