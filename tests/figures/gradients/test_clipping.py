import numpy as np
import pytest

from dlkb.gradients.clipping import adam_recovery_steps
from scripts.figures.gradients import clipping as figures
from tests.figures.drawn import assert_draws


def test_clipping_is_continuous_and_bounded_and_the_constant_factor_is_not():
    norm, clipped, constant = figures.rule_data()
    assert clipped.max() <= 1
    assert np.abs(np.diff(np.log(clipped))).max() < 0.03
    assert constant.max() > 50
    assert np.diff(np.log(constant)).min() < np.log(0.02)
    assert (clipped[norm < 1] == norm[norm < 1]).all()


def test_only_the_global_norm_keeps_the_direction():
    data = figures.direction_data()
    assert data.together.shape == (31, figures.SEEDS)
    assert figures.SEEDS >= 10
    np.testing.assert_allclose(data.together, 1, rtol=1e-9)
    assert ((data.each[0] < 0.8) & (data.value[0] < 0.8)).all()
    assert (data.value[0] > 1 / np.sqrt(4000)).all()
    np.testing.assert_allclose(data.each[-1], 1)
    np.testing.assert_allclose(data.value[-1], 1)


def test_the_spike_is_remembered_for_thousands_of_steps_unless_clipped():
    free, clipped = figures.spike_data(clip=False), figures.spike_data(clip=True)
    n = int(adam_recovery_steps(np.asarray(figures.SPIKE)))
    assert 5000 < n < 6000
    assert (free[200 : n - 10] < 0.5).all()
    assert (free[n + 10 :] > 0.5).all()
    assert free[0] > 3
    assert ((clipped > 0.9) & (clipped < 1.2)).all()


def test_rules_draws_both_rules():
    norm, clipped, constant = figures.rule_data()
    jump = int((norm <= 1).sum())
    assert_draws(
        figures.rules(),
        lines={
            "as it is": (norm, norm),
            "clipped: min(1, t/‖g‖)": (norm, clipped),
            "constant: 0.01 if ‖g‖ > t": (norm[:jump], constant[:jump]),
            "": (norm[jump:], constant[jump:]),
        },
        legend=["as it is", "clipped: min(1, t/‖g‖)", "constant: 0.01 if ‖g‖ > t"],
        xlabel="‖g‖ before, t = 1",
        ylabel="‖g‖ after",
    )


def test_direction_draws_medians_and_bands():
    data = figures.direction_data()
    names = ("global norm", "norm of each array", "value")
    assert_draws(
        figures.direction(),
        lines={
            name: (data.thresholds, np.median(rows, axis=1))
            for name, rows in zip(names, data[1:], strict=True)
        },
        bands={
            name: (rows.min(1), rows.max(1)) for name, rows in zip(names, data[1:], strict=True)
        },
        legend=list(names),
        xlabel="threshold / largest value of what is limited",
        ylabel="cosine to the gradient",
    )


def test_adam_spike_draws_both_paths():
    shown = figures.SHOWN
    assert (shown[0], shown[-1]) == (1, figures.STEPS)
    assert_draws(
        figures.adam_spike(),
        lines={
            "clipped to norm 2": (shown, figures.spike_data(clip=True)[shown - 1]),
            "as they are": (shown, figures.spike_data()[shown - 1]),
            "": ([0, 1], [0.5, 0.5]),
        },
        legend=["clipped to norm 2", "as they are"],
        xlabel="step, the spike is at 1",
        ylabel="step / lr",
    )


@pytest.mark.parametrize(("spike", "beta2"), [(10, 0.95), (100, 0.999), (1000, 0.99), (30, 0.999)])
def test_the_sentence_under_the_sliders_counts_the_short_steps(spike, beta2):
    said = figures.adam_spike().show(spike, beta2)
    predicted = float(adam_recovery_steps(np.asarray(float(spike)), beta2=beta2))
    count = int(said.split(", and ")[1].split()[0])
    assert predicted - 60 < count <= max(predicted + 1, 0)
