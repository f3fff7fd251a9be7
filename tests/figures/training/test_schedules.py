import numpy as np
import pytest

from scripts.figures.training import schedules as figures
from tests.figures.drawn import assert_draws


def test_a_warm_up_helps_where_the_limit_starts_low_and_only_there():
    learned = [
        [int((figures.start(w, gain).loss[:, -1] < 0.3).sum()) for w in figures.WARMUPS]
        for gain in figures.GAINS
    ]
    assert learned[0] == [10] * 6
    assert learned[1][0] <= 5
    assert learned[1][3:] == [10] * 3
    assert figures.start(0, 1.0).limit[0] > 0.8 > 4 * figures.start(0, 4.0).limit[0]


def test_the_limit_is_measured_at_every_eighth_step():
    data = figures.start(40, 4.0)
    assert data.step.tolist() == list(range(0, 160, 8))
    assert np.allclose(data.rate, np.minimum(0.8, 0.8 * (data.step + 1) / 40))
    assert data.loss.shape == (10, 160)
    assert 0 < data.low <= data.limit.min()


def test_against_the_limit_draws_its_data():
    data = figures.start(0, 4.0)
    steps = np.arange(0, 160, 4)
    assert_draws(
        figures.against_the_limit(),
        panel=0,
        lines={"limit 2/λ": (data.step, data.limit), "learning rate": (data.step, data.rate)},
        legend=["limit 2/λ", "learning rate"],
        xlabel="step",
        ylabel="rate",
    )
    assert_draws(
        figures.against_the_limit(),
        panel=1,
        lines={
            "worst network": (steps, data.loss[:, ::4].max(0)),
            "median": (steps, np.median(data.loss[:, ::4], 0)),
        },
        legend=["worst network", "median"],
        xlabel="step",
        ylabel="loss",
    )


@pytest.mark.parametrize("panel", [0, 1])
def test_shapes_draws_the_schedules(panel):
    names = figures.PANELS[panel]
    t = figures.STEPS_SHOWN
    assert t.tolist() == list(range(101))
    assert_draws(
        figures.shapes(),
        panel=panel,
        lines={name: (t, figures.SHAPES[name](t)) for name in names},
        legend=list(names),
        xlabel="step",
        ylabel=("factor of the peak", "")[panel],
    )


@pytest.mark.parametrize(("panel", "optimizer"), [(0, "SGD"), (1, "Adam")])
def test_decay_pays_draws_the_medians(panel, optimizer):
    assert_draws(
        figures.decay_pays(),
        panel=panel,
        lines={
            name: (figures.RATES[optimizer], np.median(figures.ends(optimizer, name), 1))
            for name in figures.COMPARED
        },
        legend=list(figures.COMPARED) if panel else [],
        xlabel="peak learning rate",
        ylabel=("test loss", "")[panel],
        title=optimizer,
    )


def test_each_schedule_is_compared_at_a_rate_within_its_range():
    for optimizer in figures.RATES:
        at = np.median(figures.ends(optimizer, "constant"), 1).argmin()
        assert 0 < at < len(figures.RATES[optimizer]) - 1
