import numpy as np
import pytest

from dlkb.experiments.finetuning import finetune
from scripts.figures.finetuning import regimes as figures
from tests.figures.drawn import assert_draws


def test_a_result_is_that_of_the_best_rate():
    found = figures.result("head only", 15)
    tuned = finetune(figures.start(15), rates=figures.RATES, factors=(0, 0, 1), steps=60)
    best = tuned.new_error.mean(1).argmin()
    assert np.array_equal(found.new, tuned.new_error[best])
    assert np.array_equal(found.old, tuned.old_error[best])
    assert (figures.untrained(15).new > found.new).all()
    assert (figures.untrained(15).old < found.old).mean() >= 0.8


def test_by_angle_draws_its_data():
    points = {name: figures.result(name, 15) for name in figures.REGIMES}
    points["before tuning"] = figures.untrained(15)
    assert_draws(
        figures.by_angle(),
        lines={name: ([p.new.mean()], [p.old.mean()]) for name, p in points.items()},
        legend=[*figures.REGIMES, "before tuning"],
        xlabel="error on the new task",
        ylabel="error on the old task",
    )


@pytest.mark.parametrize("angle", figures.ANGLES)
def test_what_the_slider_shows_lies_in_the_frame(angle):
    said = figures.by_angle().show(angle)
    assert f"{figures.result('full', angle).new.mean():.2f} in full" in said
    for name in figures.REGIMES:
        found = figures.result(name, angle)
        assert 0.07 < found.new.mean() < 1
        assert 0.04 < found.old.mean() < 1


def test_which_regime_forgets_least_depends_on_the_distance():
    def least(angle):
        return min(figures.REGIMES, key=lambda name: figures.result(name, angle).old.mean())

    assert (least(15), least(90)) == ("head only", "full")


@pytest.mark.parametrize("name", figures.REGIMES[1:])
def test_on_the_near_task_a_larger_rate_forgets_more(name):
    assert (np.diff(figures.tune(name, 15).old_error.mean(1)) > 0).all()


def test_lora_leaves_the_head_as_it_is():
    head = figures.start(15).networks.theta[:, -330:]
    assert (figures.tune("LoRA, r = 8", 15).theta[..., -330:] == head).all()
    assert (figures.tune("LoRA and head", 15).theta[..., -330:] != head).any()


def test_a_longer_run_says_the_same():
    assert (np.diff(figures.tune("full", 15, 200).old_error.mean(1)) > 0).all()
    full, scratch = (
        {angle: figures.result(name, angle, 200).new for angle in (15, 90)}
        for name in ("full", "from scratch")
    )
    assert (full[15] < scratch[15]).mean() >= 0.8
    assert (scratch[90] < full[90]).mean() >= 0.6
    assert scratch[90].mean() < full[90].mean() - 0.01


def test_last_layers_draws_its_data():
    shares = figures.costs()
    assert_draws(
        figures.last_layers(),
        lines={name: (np.arange(1, 13), row) for name, row in shares.items()},
        legend=list(shares),
        xlabel="last layers that are trained, of 12",
        ylabel="% of training all",
    )
    for row in shares.values():
        assert row[-1] == 100
        assert (np.diff(row) > 0).all()


@pytest.mark.parametrize("says", [figures.by_angle_says, figures.last_layers_says])
def test_alt_texts_and_captions_are_true(says):
    assert [phrase for phrase, true in says().items() if not true] == []
