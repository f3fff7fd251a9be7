"""Figures of the page on trees of text pieces."""

from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray

from dlkb.book.draw.kept import kept
from dlkb.retrieval.hierarchical_nodes import (
    Piece,
    level_by_traversal,
    levels,
    merge_parents,
    split_tree,
    traversal_cost,
)
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


@kept
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
        "Ten times the roots: a hundred times the comparisons, each time a level is asked "
        "for": bool(abs(slope - 2) < 0.02),
    }


TREE = split_tree(12, sizes=(12, 4, 1))
ORDER = (5, 4, 0, 6, 9, 2, 1, 10, 7, 3, 8, 11)
"""Which of the twelve leaves is found first, second, …"""
FOUND = (1, 2, 3, 4, 5, 6, 7, 8)
THRESHOLDS = (0.2, 0.5, 0.7)


class Merged(NamedTuple):
    """Places in the drawing: the middle of a piece, and minus its depth."""

    found: Array
    handed: Array


def _places(pieces: list[Piece]) -> Array:
    return np.asarray([((p.start + p.stop) / 2, -p.depth) for p in pieces], dtype=np.float64)


@kept
def merged_data(found: int, threshold: float) -> Merged:
    """Return the leaves that are found, and the pieces that are handed over."""
    leaves = [Piece(2, i, i + 1) for i in ORDER[:found]]
    handed = merge_parents(dict.fromkeys(leaves, 1.0), TREE, threshold=threshold)
    return Merged(_places(leaves), _places(list(handed)))


def merging() -> Explorable:
    """Draw a tree, the leaves that were found, and what takes their place."""
    figure, ax = plt.subplots(figsize=(6.2, 2.0))
    for piece, parent in TREE.items():
        if parent is not None:
            ax.plot(*_places([piece, parent]).T, color=plt.rcParams["grid.color"], linewidth=1)
    (handed,) = ax.plot([], [], "o", color="C1", markersize=11, label="handed over")
    (leaves,) = ax.plot([], [], "o", color="C0", markersize=5, label="found")
    ax.set(xlim=(0, 12), ylim=(-2.35, 0.45), yticks=[0, -1, -2], xticks=[])
    ax.set_yticklabels(["0", "1", "2"])
    ax.set_ylabel("level")
    ax.grid(visible=False)
    ax.legend(loc="upper left")

    def show(found: float, threshold: float) -> str:
        data = merged_data(int(found), threshold)
        handed.set_data(*data.handed.T)
        leaves.set_data(*data.found.T)
        return f"{len(data.found)} leaves are found, {len(data.handed)} pieces are handed over."

    sliders = (Slider("leaves found", FOUND, 4), Slider("threshold", THRESHOLDS, 1))
    return Explorable(figure, sliders, (handed, leaves), show)


def merging_says() -> dict[str, bool]:
    """Return what alt text and caption say of the first frame, and whether it is so."""
    data = merged_data(FOUND[4], THRESHOLDS[1])
    levels_of = sorted(-data.handed[:, 1])
    return {
        "Five of twelve leaves are found": len(data.found) == 5 and len(ORDER) == 12,
        "Three of the four below the second piece are, so it takes their place": bool(
            sum(data.found[:, 0] // 4 == 1) == 3 and levels_of == [1, 2, 2]
        ),
        f"At a threshold of {THRESHOLDS[0]} one leaf alone brings the whole text": bool(
            np.array_equal(merged_data(1, THRESHOLDS[0]).handed, [[6, 0]])
        ),
    }
