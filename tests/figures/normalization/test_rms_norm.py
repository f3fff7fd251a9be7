import numpy as np
import pytest
import torch
from torch.nn import functional as F

from scripts.figures.normalization import rms_norm as figures
from scripts.figures.normalization.rms_norm import (
    NORMS,
    SCALES,
    SETTINGS,
    SHIFTS,
    halves_data,
    plane_data,
    span,
)
from tests.figures.drawn import assert_draws


@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize("scale", SCALES)
def test_rows_are_those_of_torch(shift, scale):
    data = plane_data(shift, scale)
    x = torch.tensor(data.x)
    assert np.allclose(data.rms, F.rms_norm(x, (2,), eps=1e-6).numpy())
    assert np.allclose(data.layer, F.layer_norm(x, (2,), eps=1e-6).numpy())
    assert np.allclose((data.x - shift) / scale, plane_data(0.0, 1.0).x)


def test_a_shift_crowds_rms_norm_alone():
    spans = [span(plane_data(shift, 0.3).rms) for shift in SHIFTS]
    assert spans[0] > 2.8
    assert spans[-1] < 0.6
    assert np.isclose(span(plane_data(2.0, 0.3).layer), 8**0.5, atol=0.01)


def test_the_first_frame():
    data, explorable = plane_data(0.5, 0.3), figures.shift_and_scale()
    said = explorable.show(0.5, 0.3)
    assert f"the mean {data.rms.mean():.2f} and lie up to {span(data.rms):.2f} apart" in said
    turn = np.linspace(0, 2 * np.pi, 101)
    lines = {
        "circle": (2**0.5 * np.cos(turn), 2**0.5 * np.sin(turn)),
        "in front": tuple(data.x.T),
        "behind": tuple(data.rms.T),
    }
    assert_draws(explorable.figure, panel=0, lines=lines, title="RMS norm", xlabel="feature 1")
    lines = {
        "no mean": ([-1.7, 1.7], [1.7, -1.7]),
        "in front": tuple(data.x.T),
        "behind": tuple(data.layer.T),
    }
    assert_draws(explorable.figure, panel=1, lines=lines, title="layer norm")


def test_the_division_is_enough_and_the_subtraction_is_not():
    none, centred, rms, layer = halves_data().mean(-1).T
    assert (np.abs(rms - layer) < 0.03).all()
    assert (rms > np.maximum(none, centred) + 0.03).all()


def test_halves_draws_its_data():
    data = halves_data().mean(-1)
    assert data.shape == (len(SETTINGS), len(NORMS))
    bars = {
        name: (np.arange(4) + 0.2 * (k - 1.5), data[:, k]) for k, name in enumerate(NORMS.values())
    }
    assert_draws(figures.halves(), bars=bars, legend=list(NORMS.values()), ylabel="test accuracy")
