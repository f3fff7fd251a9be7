import numpy as np
import pytest
from scipy import stats

from scripts.figures.regularization import stochastic_depth as figures
from scripts.figures.regularization.stochastic_depth import BLOCKS, LAST, START, depth_data
from tests.figures.drawn import assert_draws


def test_depths_draws_its_data():
    data = depth_data(LAST[START[0]], blocks := BLOCKS[START[1]])
    figure = figures.depths()
    assert_draws(
        figure,
        panel=0,
        lines={"": (data.block / blocks, data.survival)},
        xlabel="block i / L",
        ylabel="survival",
    )
    assert_draws(
        figure,
        panel=1,
        lines={
            "": (data.depth / blocks, data.chance),
            "mean": ([data.mean / blocks] * 2, [0, data.chance.max()]),
        },
        xlabel="share of blocks that survive",
        ylabel="chance",
    )


def test_the_sentence_is_that_of_the_data():
    explorable = figures.depths()
    for blocks in BLOCKS:
        data = depth_data(0.8, blocks)
        assert explorable.show(0.8, blocks) == (
            f"Of {blocks} blocks {data.mean:.2f} survive on average, give or take {data.std:.1f}."
        )


def test_row_or_batch_draws_law_and_draws():
    data = figures.noise_data()
    assert np.allclose(data.row, data.law, rtol=0.15)
    assert np.allclose(data.batch, 1 / 3, rtol=0.15)
    assert_draws(
        figures.row_or_batch(),
        lines={
            "drawn": (data.size, data.row),
            "one draw for each: p/((1 − p) B)": (data.size, data.law),
            "one draw for the batch": (data.size, data.batch),
        },
        xlabel="examples in the batch, B",
        ylabel="variance of the batch's mean",
    )


@pytest.mark.parametrize("blocks", BLOCKS)
def test_the_distribution_is_that_of_draws(blocks):
    data, rng = depth_data(0.5, blocks), np.random.default_rng(0)
    drawn = (rng.random((20_000, blocks)) < data.survival).sum(1)
    assert abs(drawn.mean() - data.mean) < 0.1
    assert abs(drawn.std() - data.std) < 0.1
    near_normal = stats.norm.pdf(data.depth, data.mean, data.std)
    assert np.abs(near_normal - data.chance).max() < 0.1 * data.chance.max()
