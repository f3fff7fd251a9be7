from itertools import pairwise

import numpy as np
import pytest
from matplotlib.figure import Figure

from dlkb.finetuning.lora import lora_parameters
from scripts.figures.finetuning import lora as figures
from tests.close import assert_close


def test_blocks_are_drawn_to_scale_side_by_side():
    W, B, A, merged = blocks = figures.shape_blocks(figures.IN, figures.OUT, figures.R)
    assert (W.columns, W.rows) == (merged.columns, merged.rows) == (figures.IN, figures.OUT)
    area = A.columns * A.rows + B.columns * B.rows
    assert area == lora_parameters(figures.IN, figures.OUT, r=figures.R)
    assert (B.columns, A.rows) == (figures.R, figures.R)
    for left, right in pairwise(blocks):
        assert left.x + left.columns < right.x


def share(condition):
    return np.mean(condition)


def test_the_error_on_the_new_task_falls_with_the_rank():
    data = figures.finetuning_data()
    errors = np.stack([run.target for run in data.lora])
    assert (data.before.target > 0.8).all()
    assert (data.before.source < 0.1).all()
    means = errors.mean(1)
    assert (np.diff(means[:4]) < 0).all()
    assert means[3] - means[4] < 0.04 < 0.1 < means[0] - means[1]  # ever less is gained
    assert share(errors[2] < errors[0]) == 1
    assert share(errors[3] < data.head.target) == 1
    assert share(errors[0] < data.head.target) <= 0.2  # rank 1 does not beat a new head
    assert share(data.full.target < errors.min(0)) >= 0.9  # full fine-tuning stays ahead


def test_numbers_of_the_alt_text():
    data = figures.finetuning_data()
    found = [data.lora[0].target, data.lora[4].target, data.head.target, data.full.target]
    cuts = [data.truncated[figures.CUTS.index(r)] for r in (1, 16)]
    found += [*cuts, data.full.source, data.before.source]
    stated = [0.40, 0.12, 0.27, 0.08, 0.79, 0.08, 0.7, 0.05]
    np.testing.assert_allclose([values.mean() for values in found], stated, atol=0.03)


def test_parameters_of_the_runs():
    data = figures.finetuning_data()
    assert [run.parameters for run in data.lora] == [256 * r for r in figures.RANKS]
    assert (data.full.parameters, data.head.parameters) == (8970, 650)
    # Rank 2 has fewer parameters than the head.
    assert data.lora[1].parameters < data.head.parameters


def test_every_way_forgets_the_old_task():
    data = figures.finetuning_data()
    for run in (data.head, data.full, *data.lora):
        assert (run.source > data.before.source + 0.1).all()
    # No trend: at every rank some seeds forget more than full fine-tuning does, some less.
    for run in data.lora:
        assert 0.1 <= share(run.source > data.full.source) <= 0.9
        assert abs(run.source.mean() - data.full.source.mean()) < 0.1


def test_training_at_low_rank_beats_cutting_the_full_update():
    data = figures.finetuning_data()
    for r, run in zip(figures.RANKS, data.lora, strict=True):
        cut = data.truncated[figures.CUTS.index(r)]
        if r <= 4:
            assert share(run.target < cut) == 1
        if r == 16:
            assert share(cut < run.target) >= 0.9


def test_singular_values_fall_without_a_gap():
    values = figures.finetuning_data().singular
    assert values.shape == (figures.SEEDS, 2, 64)
    assert (np.diff(values) <= 0).all()
    energy = np.cumsum(values**2, -1) / np.sum(values**2, -1, keepdims=True)
    assert (energy[..., 7] > 0.8).all()  # rank 8 holds most of it
    assert (energy[..., 1] < 0.7).all()  # rank 2 does not
    head = values[..., :16]
    assert (head[..., 1:] / head[..., :-1] > 0.5).all()


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


def test_rules_meet_at_rank_1():
    data = figures.scaling_data()
    for regime in figures.REGIMES:
        first = [data[regime, rule][0] for rule in figures.RULES]
        assert_close(np.asarray(first), np.full(3, first[0]))


def test_what_a_cut_keeps():
    data, cuts = figures.finetuning_data(), [figures.cut_data(r) for r in figures.CUTS]
    left = np.asarray([cut.left for cut in cuts])
    assert (np.diff(left) < 0).all()
    assert left[-1] == 0  # rank 64 is the whole update
    assert_close(np.asarray(cuts[-1].error), np.asarray(data.full.target.mean()))
    first = figures.cut_data(1)
    squares = data.singular**2
    kept = squares[..., 0] / squares.sum(-1)
    np.testing.assert_allclose(first.left, np.sqrt(1 - kept).mean(), rtol=1e-6)
    assert first.parameters == 2 * lora_parameters(64, 64, r=1) == 256


def test_the_sentence_of_a_rank_holds_its_numbers():
    data, explorable = figures.finetuning_data(), figures.rank()
    said, cut = explorable.show(4), figures.cut_data(4)
    assert said.startswith("Rank 4: 1,024 numbers in the factors, 8,192 in the two matrices.")
    assert f"lacks {100 * cut.left:.0f}% of its norm, test error {cut.error:.2f};" in said
    assert said.endswith(f"LoRA has {data.lora[2].target.mean():.2f}.")
    assert "LoRA" not in explorable.show(5)
    # The caption: trained LoRA is ahead of the cut up to rank 4.
    ahead = [
        run.target.mean() < figures.cut_data(r).error
        for r, run in zip(figures.RANKS, data.lora, strict=True)
    ]
    assert ahead[:3] == [True] * 3


@pytest.mark.parametrize(
    "draw", [figures.shapes, figures.rank_error, figures.singular_values, figures.scalings]
)
def test_figures_are_drawn(draw):
    assert isinstance(draw(), Figure)
