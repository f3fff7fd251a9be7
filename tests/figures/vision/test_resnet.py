import numpy as np
import pytest

from scripts.figures.vision import resnet as figures
from scripts.figures.vision.resnet import DEPTHS, KINDS, LAYERS, SCALES, START
from tests.figures.drawn import assert_draws


def test_gradient_draws_its_medians():
    depth, scale = DEPTHS[START[0]], SCALES[START[1]]
    back = np.arange(depth)
    assert_draws(
        figures.gradient(),
        lines={
            "closed form": (back, figures.law(depth)),
            "": ([0, 1], [1, 1]),
            **{kind: (back, figures.median(kind, depth, scale)) for kind in KINDS},
        },
        legend=[*KINDS, "closed form"],
        xlabel="layers back from the last one",
        ylabel="norm of the gradient / at the last",
    )


@pytest.mark.parametrize("depth", DEPTHS)
def test_the_closed_form_is_that_of_skips_with_batch_norm(depth):
    found = figures.median("skips, batch norm", depth, 1.0)
    np.testing.assert_allclose(found, figures.law(depth), rtol=0.2)
    assert figures.law(depth)[0] == 1


def test_exponential_without_both_a_power_with_both():
    for kind in ("plain", "skips"):
        for scale in (1.0, 2.0):
            ends = np.log([figures.median(kind, depth, scale)[-1] for depth in DEPTHS])
            early, late = np.diff(ends) / np.diff(DEPTHS)
            assert late == pytest.approx(early, rel=0.2)  # one factor a layer
    ends = np.log([figures.median("skips, batch norm", depth, 1.0)[-1] for depth in DEPTHS])
    early, late = np.diff(ends)
    assert late == pytest.approx(early, rel=0.1)  # one factor a doubling


def test_batch_norm_undoes_the_scale():
    for kind in ("plain, batch norm", "skips, batch norm"):
        small, large = (figures.gradients(kind, 8, scale) for scale in (1.0, 2.0))
        np.testing.assert_allclose(small, large, rtol=1e-2)  # up to ε


def test_the_sentence_is_that_of_the_data():
    said = figures.gradient().show(8, 2.0)
    assert said.startswith("Back through 8 layers the gradient's norm becomes ")
    for kind in KINDS:
        assert f"{figures.median(kind, 8, 2.0)[-1]:.2g} ({kind})" in said


def test_degradation_draws_the_loss():
    lines, bands = {}, {}
    for skip, name in ((0.0, "plain"), (1.0, "with skips")):
        loss = figures.final_loss(skip)
        lines[name] = (LAYERS, np.median(loss, axis=1))
        bands[name] = (loss.min(1), loss.max(1))
    assert_draws(
        figures.degradation(),
        lines=lines,
        bands=bands,
        texts=["plain", "with skips"],
        xlabel="hidden layers",
        ylabel="training loss",
    )


@pytest.mark.parametrize("lr", [0.1, 0.3, 1.0])
def test_degradation_is_not_that_of_one_learning_rate(lr):
    """Each of the ten plain networks of 12 layers ends above each of 3 layers."""
    shallow, deep = (figures.trained(depth, 0.0, lr).loss[:, -10:].mean(1) for depth in (3, 12))
    assert shallow.max() < deep.min()


@pytest.mark.parametrize("lr", [0.03, 0.1, 0.3])
def test_with_five_times_the_steps_the_deepest_still_fit_worst(lr):
    loss = [figures.trained(depth, 0.0, lr, 200, 3).loss[:, -10:].mean(1) for depth in (3, 12, 24)]
    assert loss[0].max() < loss[1].min()
    assert loss[1].max() < loss[2].min()
