"""Figures of the page on trees of text pieces."""

from functools import cache
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray

from dlkb.retrieval.hierarchical_nodes import level_by_traversal, levels, split_tree, traversal_cost
from scripts.figures.explorable import Explorable, Slider

Array = NDArray[np.float64]

FANS = (2, 4, 8)
DEPTHS = (1, 2, 3)
ROOTS = (1, 3, 10, 30, 100)


class Cost(NamedTuple):
    """What it takes to get the nodes of the last level, by the size of the tree.

    Attributes:
        nodes: In the tree.
        traversal: Comparisons of two nodes, by the law.
        build: Nodes looked at to sort all into levels, once.
        level: Nodes of the level, which a caller goes through afterwards.
    """

    nodes: Array
    traversal: Array
    build: Array
    level: Array


@cache
def cost_data(fan: int, depth: int) -> Cost:
    """Return the cost for each number of roots in `ROOTS`."""
    nodes = [m * sum(fan**d for d in range(depth + 1)) for m in ROOTS]
    steps = [traversal_cost(roots=m, fan_out=fan, depth=depth) for m in ROOTS]
    level = [m * fan**depth for m in ROOTS]
    return Cost(*(np.asarray(values, dtype=np.float64) for values in (nodes, steps, nodes, level)))


def counted(roots: int, fan: int, depth: int) -> tuple[int, bool]:
    """Return the comparisons counted on a tree, and whether a dictionary finds the same nodes."""
    size = fan**depth
    tree = split_tree(roots * size, sizes=[fan**d for d in range(depth, -1, -1)])
    walk = level_by_traversal(tree, depth=depth)
    return walk.comparisons, levels(tree)[depth] == walk.nodes


def cost() -> Explorable:
    """Draw comparisons against nodes: by traversal, and by a dictionary of levels."""
    figure, ax = plt.subplots(figsize=(6.2, 2.3))
    (traversal,) = ax.plot([], [], color="C1", label="traversal, each time")
    (build,) = ax.plot([], [], color="C0", linestyle="--", label="dictionary, once")
    (level,) = ax.plot([], [], color="C2", linestyle=":", label="nodes of the level")
    ax.set(xscale="log", yscale="log", xlim=(2.5, 1e5), ylim=(1.5, 1e10))
    ax.set(xlabel="nodes in the tree", ylabel="steps")
    ax.legend(loc="upper left")

    def show(fan: float, depth: float) -> str:
        data = cost_data(int(fan), int(depth))
        for line, values in zip((traversal, build, level), data[1:], strict=True):
            line.set_data(data.nodes, values)
        return (
            f"In {data.nodes[-1]:.0f} nodes the traversal compares {data.traversal[-1]:,.0f} "
            f"times, to find {data.level[-1]:.0f}."
        )

    sliders = (Slider("children of a node", FANS, 1), Slider("level", DEPTHS, 1))
    return Explorable(figure, sliders, (traversal, build, level), show)


def cost_says() -> dict[str, bool]:
    """Return what alt text and caption say of the first frame, and whether it is so."""
    data = cost_data(FANS[1], DEPTHS[1])
    slope = np.polyfit(np.log(data.nodes[2:]), np.log(data.traversal[2:]), 1)[0]
    return {
        f"In a tree of {data.nodes[-1]:.0f} nodes, four children each, getting the "
        f"{data.level[-1]:.0f} of level 2 takes {data.traversal[-1]:,.0f} comparisons "
        "by traversal": FANS[1] == 4 and DEPTHS[1] == 2,
        "Sorting all nodes into a dictionary looks at each once": bool(
            (data.build == data.nodes).all()
        ),
        "Ten times the nodes: a hundred times the comparisons, each time a level is asked "
        "for": bool(abs(slope - 2) < 0.02),
    }
