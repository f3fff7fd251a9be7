import numpy as np
import pytest
from matplotlib.figure import Figure

from scripts.figures.gradients import vanishing_exploding as figures


def per_layer(name: str) -> np.ndarray:
    """Factor by which the norm of the gradient changes a layer, between depth 10 and 50."""
    data = figures.ratio_data()[name]
    return 10 ** ((data[-1] - data[2]) / 40)


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("sigmoid", 0.2, 0.25),  # at most the largest slope
        ("ReLU, Xavier's scale", 0.68, 0.74),  # 1/√2
        ("ReLU, twice Xavier's", 1.36, 1.46),  # √2
        ("ReLU, He", 0.96, 1.03),
        ("ReLU, He, batch norm", 1.18, 1.28),  # √(π/(π − 1)) = 1.21 for large batches
        ("ReLU, He, skip", 1.36, 1.46),  # √(1 + 1)
        ("sigmoid, layer norm", 0.3, 0.5),
        ("sigmoid, skip", 1.0, 1.03),
        ("sigmoid, batch norm", 0.98, 1.1),
    ],
)
def test_gradients_change_by_these_factors_for_every_seed(name, low, high):
    found = per_layer(name)
    assert found.shape == (figures.SEEDS,)
    assert ((low < found) & (found < high)).all()


def test_a_scaled_skip_keeps_the_gradient_at_any_depth():
    data = figures.ratio_data()["ReLU, He, skip / √L"]
    assert (abs(data) < np.log10(2)).all()  # e^(1/2) = 1.65 in the limit


def test_the_closed_form_is_the_dashed_line():
    for name, sigma_w in (("ReLU, Xavier's scale", 1.0), ("ReLU, twice Xavier's", 2.0)):
        for depth, ratio in zip(figures.DEPTHS, figures.ratio_data()[name], strict=True):
            factor = figures.rectifier_gradient_factor(sigma_w=sigma_w, depth=depth)
            np.testing.assert_allclose(np.median(ratio), np.log10(factor) / 2, atol=0.35)


@pytest.mark.parametrize(
    "name",
    [
        "nothing",
        "lr × 10",
        "lr × 100",
        "clipping at 1",
        "L2 penalty",
        "batch × 4",
        "Adam",
        "weights × 4",
        "layer norm",
    ],
)
def test_what_does_not_help_against_vanishing(name):
    outcome = figures.remedies_data()[0][name]
    assert (outcome.accuracy < 0.15).sum() >= 9
    assert np.isfinite(outcome.losses).all()
    assert (outcome.moved < -1).all()  # the first layer moves less than the last


@pytest.mark.parametrize(
    ("name", "accuracy"),
    [
        ("batch norm", 0.7),
        ("residual", 0.7),
        ("tanh, orthogonal", 0.75),
        ("1 layer, lr × 10", 0.75),
    ],
)
def test_what_helps_against_vanishing(name, accuracy):
    outcome = figures.remedies_data()[0][name]
    assert (outcome.accuracy > accuracy).sum() >= 9
    assert (outcome.moved > -1).all()


def test_he_cures_the_gradient_and_not_yet_the_training():
    outcome = figures.remedies_data()[0]["ReLU, He"]
    assert (abs(outcome.moved) < 0.7).all()
    assert (outcome.accuracy > 0.12).sum() >= 8
    assert (outcome.accuracy < 0.5).all()


@pytest.mark.parametrize("name", ["nothing", "L2 penalty", "batch × 4"])
def test_what_does_not_help_against_explosion(name):
    outcome = figures.remedies_data()[1][name]
    assert (~np.isfinite(outcome.losses)).any(axis=0).sum() >= 9


@pytest.mark.parametrize("name", ["lr / 10⁵", "clipping at 1", "Adam"])
def test_what_keeps_the_numbers_finite_but_does_not_train(name):
    outcome = figures.remedies_data()[1][name]
    assert np.isfinite(outcome.losses).all()
    assert (outcome.accuracy < 0.35).sum() >= 9


def test_what_helps_against_explosion():
    data = figures.remedies_data()[1]
    for name in ("residual / √L", "2 layers"):
        assert (data[name].accuracy > 0.85).sum() >= 9
    assert (data["batch norm"].accuracy > 0.2).sum() >= 9
    assert np.isfinite(data["He"].losses).all()


def test_the_probe_sees_what_the_caption_says():
    data = figures.probe_data()
    sigmoid, relu, residual = data.values()
    assert (np.diff(np.log(sigmoid.gradients)) > 0).all()  # monotone in the layer
    assert sigmoid.gradients[0] < 1e-9 * sigmoid.gradients[-1]
    for probe in (relu, residual):
        assert 0.1 < probe.gradients[0] / probe.gradients[-1] < 10
    assert sigmoid.singular_values[0] < 1e-9
    assert relu.singular_values[0] > 1
    assert relu.singular_values[16] < 1e-9  # half of all directions are gone
    assert residual.singular_values[0] / residual.singular_values[-1] < 100


@pytest.mark.parametrize("draw", [figures.depth, figures.remedies, figures.probe])
def test_figures_are_drawn(draw):
    assert isinstance(draw(), Figure)
