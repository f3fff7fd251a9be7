import numpy as np
import pytest

from dlkb.retrieval.hierarchical_nodes import Piece
from scripts.figures.retrieval import hierarchical_nodes as figures
from tests.figures.drawn import assert_draws


@pytest.mark.parametrize("fan", figures.FANS)
@pytest.mark.parametrize("depth", figures.DEPTHS)
def test_the_law_is_what_is_counted(fan, depth):
    data = figures.cost_data(fan, depth)
    for at, roots in enumerate(figures.ROOTS[:3]):
        comparisons, same = figures.counted(roots, fan, depth)
        assert comparisons == data.traversal[at]
        assert same
    assert data.level[-1] == 100 * fan**depth


def test_cost_draws_its_data():
    data = figures.cost_data(4, 2)
    names = ["traversal, each time", "dictionary, once", "nodes of the level"]
    assert_draws(
        figures.cost(),
        lines={name: (data.nodes, y) for name, y in zip(names, data[1:], strict=True)},
        legend=names,
        xlabel="nodes in the tree",
        ylabel="steps",
    )


@pytest.mark.parametrize("found", figures.FOUND)
def test_each_leaf_is_handed_over_within_one_piece(found):
    sizes = {0: 12, 1: 4, 2: 1}
    for threshold in figures.THRESHOLDS:
        data = figures.merged_data(found, threshold)
        held = [0] * 12
        for x, y in data.handed:
            size = sizes[round(-y)]
            start = round(x - size / 2)
            assert Piece(round(-y), start, start + size) in figures.TREE
            for i in range(start, start + size):
                held[i] += 1
        assert max(held) == 1
        assert all(held[int(x)] == 1 for x, _ in data.found)
    fewer = [len(figures.merged_data(found, t).handed) for t in figures.THRESHOLDS]
    assert fewer == sorted(fewer)


def test_merging_draws_the_leaves_and_what_takes_their_place():
    data = figures.merged_data(5, 0.5)
    assert np.ptp(data.handed[:, 1]) == 1
    assert_draws(
        figures.merging(),
        lines={"handed over": tuple(data.handed.T), "found": tuple(data.found.T)},
        legend=["handed over", "found"],
        ylabel="level",
    )
