import numpy as np
import pytest

from dlkb.backpropagation.training_memory import block_bytes, checkpoint_bytes
from scripts.figures.backpropagation import training_memory as figures
from scripts.figures.backpropagation.training_memory import (
    BATCHES,
    GPU,
    SEQUENCES,
    SHAPES,
    START,
    fit_data,
    measured_data,
    segments_data,
)
from tests.figures.drawn import assert_draws


def test_what_fits_draws_its_data():
    size, batch = tuple(SHAPES)[START[0]], BATCHES[START[1]]
    data = fit_data(size, batch)
    assert_draws(
        figures.what_fits(),
        lines={
            "all kept": (SEQUENCES, data.kept),
            "fused attention": (SEQUENCES, data.fused),
            "fused, a checkpoint each block": (SEQUENCES, data.checkpointed),
            "state alone": (SEQUENCES, np.full(len(SEQUENCES), data.state)),
            "GPU": (SEQUENCES[[0, -1]], [GPU, GPU]),
        },
        legend=["all kept", "fused attention", "fused, a checkpoint each block", "state alone"],
        texts=["80 GB"],
        xlabel="tokens of a sequence, s",
        ylabel="memory in GB",
    )


@pytest.mark.parametrize("size", SHAPES)
@pytest.mark.parametrize("batch", BATCHES)
def test_what_fits_is_that_of_the_formulas(size, batch):
    hidden, heads, depth = SHAPES[size]
    parameters = 12 * hidden**2 * depth
    assert abs(parameters / 1e9 - size) < 0.05
    data = fit_data(size, batch)
    assert data.state == pytest.approx(16 * parameters / 1e9)
    block = block_bytes(2048, hidden=hidden, heads=heads, batch=batch)
    (at,) = np.flatnonzero(SEQUENCES == 2048)
    inner = sum(block) - block.scores
    entries = 2048 * batch * hidden
    each = checkpoint_bytes(np.asarray(1.0), depth=depth, boundary=2.0 * entries, inner=inner)
    assert data.kept[at] == pytest.approx(data.state + depth * sum(block) / 1e9)
    assert data.fused[at] == pytest.approx(data.state + depth * inner / 1e9)
    assert data.checkpointed[at] == pytest.approx(data.state + float(each) / 1e9)


def test_the_sentence_says_what_fits():
    sentence = figures.what_fits().show(1.2, 4)
    assert "take 19 GB of state" in sentence
    data = fit_data(1.2, 4)
    for row, words in ((data.kept, "2048 tokens if all"), (data.fused, "8192 with fused")):
        assert words in sentence
        at = np.flatnonzero(int(words.split()[0]) == SEQUENCES)[0]
        assert row[at] <= GPU < row[at + 1]
    assert "hold 0 tokens" in figures.what_fits().show(6.4, 1)


def test_measured_draws_dots_and_lines():
    data = measured_data()
    for panel, name in enumerate(("batch", "depth")):
        row = data[name]
        assert_draws(
            figures.measured(),
            panel=panel,
            lines={"counted": (row.at, row.counted), "measured": (row.at, row.kept)},
            xlabel=name,
        )
    kept, fused = data["kept"], data["fused"]
    assert_draws(
        figures.measured(),
        panel=2,
        lines={
            "scores kept": (kept.at, kept.counted),
            "measured kept": (kept.at, kept.kept),
            "fused": (fused.at, fused.counted),
            "measured fused": (fused.at, fused.kept),
        },
        xlabel="tokens",
    )
    for row in data.values():
        assert np.allclose(row.kept, row.counted, rtol=0.025)


def test_segments_draws_dots_and_lines():
    tanh, blocks = segments_data("tanh"), segments_data("blocks")
    assert_draws(
        figures.segments(),
        lines={
            "linear layers with tanh": (tanh.along, tanh.curve),
            "measured tanh": (tanh.at, tanh.measured),
            "transformer blocks": (blocks.along, blocks.curve),
            "measured blocks": (blocks.at, blocks.measured),
        },
        xlabel="layers of a segment, k",
        ylabel="peak, in inputs of a layer",
    )
    for data in (tanh, blocks):
        assert np.allclose(data.measured, data.counted, rtol=0.1)
        assert np.allclose(np.interp(data.at, data.along, data.curve), data.counted, rtol=0.01)
        assert data.measured[-1] == pytest.approx(data.plain, rel=0.01)
