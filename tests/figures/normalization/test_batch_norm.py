import numpy as np
import pytest

from dlkb.normalization.batch_moments import averaging_noise
from scripts.figures.normalization import batch_norm as figures
from scripts.figures.normalization.batch_norm import (
    BATCHES,
    MOMENTA,
    RAMP,
    SIZES,
    STEPS,
    few_data,
    shifts_data,
    stored_data,
)
from tests.figures.drawn import assert_draws


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("momentum", MOMENTA)
def test_the_stored_mean_is_the_running_average_of_the_batches(momentum, size):
    data, mean = stored_data(momentum, size), 0.0
    for batch, stored in zip(data.batch, data.stored, strict=True):
        mean += momentum * (batch - mean)
        assert abs(stored - mean) < 1e-12
    assert (data.batch - data.true).std() < 1.3 / size**0.5
    assert data.true[0] == pytest.approx(3 / RAMP)


@pytest.mark.parametrize("size", SIZES)
def test_at_rest_large_momenta_keep_the_noise_that_the_sentence_states(size):
    for momentum in (0.3, 1.0):
        rest = stored_data(momentum, size)
        error = (rest.stored - rest.true)[-45:]
        assert 0.5 < error.std() / averaging_noise(size, momentum=momentum) < 1.7


def test_the_sentence():
    explorable = figures.stored_moments()
    assert explorable.show(0.1, 8) == (
        "When the unit comes to rest the stored mean is 0.58 behind; in the long run it keeps a "
        "noise of 0.08."
    )
    assert "0.00 behind" not in explorable.show(0.01, 128)


def test_the_first_frame():
    data, steps = stored_data(0.1, 8), np.arange(1, STEPS + 1)
    assert_draws(
        figures.stored_moments(),
        lines={
            "all data": (steps, data.true),
            "each batch, as in training": (steps, data.batch),
            "stored, for evaluation": (steps, data.stored),
        },
        legend=["each batch, as in training", "stored, for evaluation"],
        xlabel="step",
        ylabel="mean of a unit",
    )


def test_shifted_networks_learn_faster_than_plain_ones():
    data = shifts_data()
    ends = {name: loss[:, -10:].mean(1) for name, (loss, _) in data.items()}
    assert (ends["batch norm"] < ends["batch norm, shifted"]).all()
    assert (ends["batch norm, shifted"] < ends["plain"] / 5).all()
    assert data["batch norm"][1].max() < 1e-6


def test_shifts_draws_its_data():
    data = shifts_data()
    steps = np.arange(100)
    lines = {name: (steps, np.median(loss, axis=0)) for name, (loss, _) in data.items()}
    moved = {
        name: (steps[1:], np.median(data[name][1], axis=0)[1:])
        for name in ("plain", "batch norm, shifted")
    }
    figure = figures.shifts()
    assert_draws(figure, panel=0, lines=lines, xlabel="step", title="training loss")
    title = "shift of a unit's mean a step"
    assert_draws(figure, panel=1, lines=moved, xlabel="step", title=title)


def test_few_examples_hurt_batch_norm_and_not_layer_norm():
    batch, layer = few_data().values()
    assert (batch[0] < 0.75).all()
    assert (layer[0] > batch[0] + 0.2).all()
    assert batch[2].mean() > layer[2].mean() - 0.02


def test_few_examples_draws_its_data():
    data = few_data()
    assert_draws(
        figures.few_examples(),
        lines={name: (BATCHES, accuracy.mean(1)) for name, accuracy in data.items()},
        bands={name: (a.min(1), a.max(1)) for name, a in data.items()},
        xlabel="batch size",
        ylabel="test accuracy",
    )
