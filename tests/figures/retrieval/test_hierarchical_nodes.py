import pytest

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
