from itertools import pairwise

import numpy as np
import pytest

from dlkb.finetuning.lora import lora_parameters
from scripts.figures.finetuning import lora as figures
from tests.close import assert_close
from tests.figures.drawn import assert_draws

RATES = np.asarray(figures.RATES)


def test_blocks_are_drawn_to_scale_side_by_side():
    W, B, A, merged = blocks = figures.shape_blocks(figures.IN, figures.OUT, figures.R)
    assert (W.columns, W.rows) == (merged.columns, merged.rows) == (figures.IN, figures.OUT)
    area = A.columns * A.rows + B.columns * B.rows
    assert area == lora_parameters(figures.IN, figures.OUT, r=figures.R)
    assert (B.columns, A.rows) == (figures.R, figures.R)
    for left, right in pairwise(blocks):
        assert left.x + left.columns < right.x
    figure = figures.shapes()
    bars = {b.name: ([b.x + b.columns / 2], [b.rows]) for b in blocks}
    assert_draws(figure, bars=bars, texts=["=", "$B$: out × r", "$A$: r × in"])
    (ax,) = figure.axes
    drawn = [patch.get_bbox().bounds for patch in ax.patches]
    assert drawn == [(b.x, b.y, b.columns, b.rows) for b in blocks]


def test_errors_are_means_over_networks():
    run = figures.tuned("lora", 4)
    assert run.new_error.shape == run.old_error.shape == (len(RATES), 10)
    new, old = figures.errors("lora", 4)
    assert_close(new, run.new_error.mean(1))
    assert_close(old, run.old_error.mean(1))
    rate, error = figures.best("lora", 4)
    assert error == new.min() == new[list(RATES).index(rate)]
    same = (figures.tuned(rule, 1).new_error for rule in figures.RULES[:2])
    assert np.array_equal(*same)  # at rank 1 the rules agree


@pytest.mark.parametrize("panel", [0, 1])
def test_what_the_learning_rate_figure_draws(panel):
    expected = {
        figures.LABELS[method]: (RATES, figures.errors(method, r)[panel])
        for method, r in (("full", None), ("head", None), ("lora", 8), ("rslora", 8))
    }
    assert_draws(
        figures.learning_rate(),
        panel=panel,
        lines=expected,
        xlabel="learning rate",
        title=("new task", "old task")[panel],
    )


def test_the_sentence_of_a_rank_holds_its_numbers():
    explorable = figures.learning_rate()
    assert [slider.values for slider in explorable.sliders] == [figures.RANKS]
    said = explorable.show(4)
    rate, error = figures.best("rslora", 4)
    assert said.startswith("Rank 4: the new task's error is least with α/r ")
    assert f"with α/√r {error:.2f} at the rate {rate:g}," in said
    assert said.endswith(f"in full {figures.best('full')[1]:.2f} at the rate 0.03.")
    assert_close(explorable.moving[0].get_ydata(), figures.errors("lora", 4)[0])
    assert_close(explorable.moving[3].get_ydata(), figures.errors("rslora", 4)[1])


def test_what_the_trade_off_draws():
    names = ("full", "head only", "LoRA, r = 4", "LoRA, r = 16")
    assert_draws(
        figures.trade_off(),
        lines={
            name: tuple(figures.errors(*pair))
            for name, pair in zip(names, figures.TRADED, strict=True)
        },
        legend=names,
        xlabel="test error, new task",
        ylabel="test error, old task",
    )


SLOPES = {  # of log output against log r: what the derivation says
    "independent factors": {"lora": -0.5, "rslora": 0, "alpha": 0.5},
    "one SGD step": {"lora": -1, "rslora": 0, "alpha": 1},
    "one Adam step": {"lora": 0, "rslora": 0.5, "alpha": 1},
}


@pytest.mark.parametrize("regime", figures.REGIMES)
@pytest.mark.parametrize("rule", figures.RULES)
def test_slopes_of_the_scalings(regime, rule):
    sizes = figures.scaling_data()[regime, rule]
    slope = np.polyfit(np.log(figures.SCALING_RANKS), np.log(sizes), 1)[0]
    assert abs(slope - SLOPES[regime][rule]) < 0.06


@pytest.mark.parametrize(("panel", "regime"), list(enumerate(figures.REGIMES)))
def test_what_the_scalings_draw(panel, regime):
    data = figures.scaling_data()
    labels = {"lora": "α/r", "rslora": "α/√r", "alpha": "α"}
    assert_draws(
        figures.scalings(),
        panel=panel,
        lines={
            label: (figures.SCALING_RANKS, data[regime, rule] / data[regime, rule][0])
            for rule, label in labels.items()
        },
        xlabel="rank r",
        title=regime,
    )


def test_rules_meet_at_rank_1():
    data = figures.scaling_data()
    for regime in figures.REGIMES:
        first = [data[regime, rule][0] for rule in figures.RULES]
        assert_close(np.asarray(first), np.full(3, first[0]))


@pytest.mark.parametrize(
    "says",
    [
        figures.shapes_says,
        figures.learning_rate_says,
        figures.trade_off_says,
        figures.scalings_says,
    ],
)
def test_alt_texts_and_captions_are_true(says):
    assert [phrase for phrase, true in says().items() if not true] == []
