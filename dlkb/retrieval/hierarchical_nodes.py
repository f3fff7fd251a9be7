"""Trees of text pieces: splitting, the nodes of a level, and merging what was retrieved."""

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from dlkb.arrays import check_between, check_count

Node = TypeVar("Node", bound=Hashable)


class Piece(NamedTuple):
    """A stretch of a text.

    Attributes:
        depth: Its level, 0 for the largest pieces.
        start: Its first token.
        stop: One past its last token.
    """

    depth: int
    start: int
    stop: int


def split_tree(length: int, *, sizes: Sequence[int]) -> dict[Piece, Piece | None]:
    """Return the parent of each piece of a text that is split more and more finely.

    Args:
        length: Tokens in the text ≥ 0.
        sizes: Tokens in a piece of each level, falling, the last ≥ 1.

    Returns:
        Pieces, level by level and in the order of the text, and their parents, None at level 0.

    Raises:
        ValueError: If a size is below 1 or not below the one before, or `length` is negative.

    Note:
        The tree of LlamaIndex's `HierarchicalNodeParser`, which splits at sentences and lets
        pieces overlap.

    Example:
        >>> for piece, parent in split_tree(5, sizes=(4, 2)).items():
        ...     print(piece[:], parent and parent[:])
        (0, 0, 4) None
        (0, 4, 5) None
        (1, 0, 2) (0, 0, 4)
        (1, 2, 4) (0, 0, 4)
        (1, 4, 5) (0, 4, 5)
    """
    check_count("length", length, 0)
    parents: dict[Piece, Piece | None] = {}
    wholes: list[Piece | None] = [None]
    for depth, size in enumerate(sizes):
        check_between(f"sizes[{depth}]", size, 1, sizes[depth - 1] - 1 if depth else math.inf)
        level: list[Piece | None] = []
        for whole in wholes:
            start, stop = (whole.start, whole.stop) if whole else (0, length)
            for first in range(start, stop, size):
                piece = Piece(depth, first, min(first + size, stop))
                parents[piece] = whole
                level.append(piece)
        wholes = level
    return parents


def levels(parents: Mapping[Node, Node | None]) -> dict[int, list[Node]]:
    """Return the nodes of each level, found in one pass.

    Args:
        parents: The parent of each node, None for roots, in any order.

    Returns:
        Depth, from 0 for the roots, to its nodes in the order of `parents`.

    Raises:
        ValueError: If nodes are each other's ancestors, or a parent is no node.

    Example:
        >>> levels({"page": None, "left": "page", "right": "page", "word": "left"})
        {0: ['page'], 1: ['left', 'right'], 2: ['word']}
    """
    depth: dict[Node, int] = {}
    found: dict[int, list[Node]] = {}
    for node in parents:
        path: dict[Node, None] = {}
        at: Node | None = node
        while at is not None and at not in depth:
            if at not in parents:
                raise ValueError(f"parents has no node {at!r}, though it is a parent: add it")
            if at in path:
                raise ValueError(f"parents makes {at!r} its own ancestor: give the root None")
            path[at] = None
            at = parents[at]
        top = -1 if at is None else depth[at]
        for step, new in enumerate(reversed(path), 1):
            depth[new] = top + step
        found.setdefault(depth[node], []).append(node)
    return {level: found[level] for level in sorted(found)}


class Walk(NamedTuple):
    """Nodes of one level, and what it cost to find them.

    Attributes:
        nodes: In the order of the list that was searched.
        comparisons: How often two nodes were compared.
    """

    nodes: list[object]
    comparisons: int


def level_by_traversal(parents: Mapping[Node, Node | None], *, depth: int) -> Walk:
    """Return the nodes of a level as LlamaIndex's `get_deeper_nodes` finds them.

    From level to level it lists the children of the nodes, then looks for each node of the tree
    in this list, from its beginning.

    Args:
        parents: The parent of each node, None for roots.
        depth: The level, ≥ 0.

    Returns:
        The nodes, and how often two were compared: at most N · C a level and at least half of
        that, of N nodes in the tree and C in the level below.

    Raises:
        ValueError: If `depth` is negative.

    Example:
        >>> tree = {"page": None, "left": "page", "right": "page"}
        >>> level_by_traversal(tree, depth=1)
        Walk(nodes=['left', 'right'], comparisons=5)
    """
    check_count("depth", depth, 0)
    children: dict[Node, list[Node]] = {}
    for node, parent in parents.items():
        if parent is not None:
            children.setdefault(parent, []).append(node)
    found = [node for node, parent in parents.items() if parent is None]
    comparisons = 0
    for _ in range(depth):
        wanted = [child for node in found for child in children.get(node, [])]
        place = {node: i for i, node in enumerate(wanted)}  # counts what a search would compare
        comparisons += sum(place.get(node, len(wanted) - 1) + 1 for node in parents)
        found = [node for node in parents if node in place]
    return Walk(list(found), comparisons)


def traversal_cost(*, roots: int, fan_out: int, depth: int) -> int:
    r"""Return how often `level_by_traversal` compares nodes of a tree that is split evenly.

    $$T = \sum_{l=1}^{D}\Bigl(\frac{C_l(C_l+1)}{2}+(N-C_l)\,C_l\Bigr),\qquad C_l = m f^l,\quad
      N = \sum_{l=0}^D C_l$$

    Args:
        roots: m ≥ 1.
        fan_out: f ≥ 1, the children of each node above the last level.
        depth: D ≥ 0, the last level, which is looked for.

    Returns:
        The number of comparisons.

    Raises:
        ValueError: If a number is out of its range.

    Example:
        >>> traversal_cost(roots=1, fan_out=2, depth=1)
        5
    """
    check_count("roots", roots, 1)
    check_count("fan_out", fan_out, 1)
    check_count("depth", depth, 0)
    counts = [roots * fan_out**level for level in range(depth + 1)]
    nodes = sum(counts)
    return sum(c * (c + 1) // 2 + (nodes - c) * c for c in counts[1:])


def merge_parents(
    scores: Mapping[Node, float], parents: Mapping[Node, Node | None], *, threshold: float = 0.5
) -> dict[Node, float]:
    """Return what was retrieved, with a parent in the place of its children where most are there.

    Again and again, the lowest first, until nothing changes: a parent whose retrieved share of
    children is above the threshold replaces them and gets their mean score. What then lies within
    another kept node is left out: its text is there already.

    Args:
        scores: The score of each node that was retrieved.
        parents: The parent of each node of the tree, None for roots.
        threshold: In [0, 1]: the share must be above it.

    Returns:
        Nodes and scores, the highest score first.

    Raises:
        ValueError: If `threshold` is out of its range, a retrieved node is none of the tree, nodes
            are each other's ancestors, or a parent is no node.

    Note:
        As LlamaIndex's `AutoMergingRetriever` merges. That also fills in a node which two results,
        one after the other in the list, have between them, keeps a parent twice that was retrieved
        itself (here once, with the higher score), keeps a node beside its grandparent, and merges
        children and grandchildren of one list at once, not the lowest first.

    Example:
        >>> tree = {"page": None, "left": "page", "middle": "page", "right": "page"}
        >>> merge_parents({"left": 0.75, "right": 0.25}, tree)
        {'page': 0.5}
    """
    check_between("threshold", threshold, 0, 1)
    by_level = levels(parents)  # refuses what is no tree, where climbing would not end
    depth = {node: level for level, nodes in by_level.items() for node in nodes}
    for node in scores:
        if node not in parents:
            raise ValueError(f"scores has {node!r}, which is not in parents: give it one, or None")
    children: dict[Node, int] = {}
    for parent in parents.values():
        if parent is not None:
            children[parent] = children.get(parent, 0) + 1
    kept = dict(scores)
    while True:
        together: dict[Node, list[Node]] = {}
        for node in kept:
            parent = parents[node]
            if parent is not None:
                together.setdefault(parent, []).append(node)
        full = {p: c for p, c in together.items() if len(c) / children[p] > threshold}
        if not full:
            break
        # What is filled may fill its parent: it comes first, whatever the order of `scores`.
        lowest = max(depth[parent] for parent in full)
        ready = {p: c for p, c in full.items() if depth[p] == lowest}
        for parent, found in ready.items():
            mean = sum(kept.pop(node) for node in found) / len(found)
            kept[parent] = max(mean, kept.get(parent, mean))
    outer = [node for node in kept if not _within(node, kept, parents)]
    return {node: kept[node] for node in sorted(outer, key=lambda node: -kept[node])}


def _within(node: Node, kept: Mapping[Node, float], parents: Mapping[Node, Node | None]) -> bool:
    above = parents[node]
    while above is not None and above not in kept:
        above = parents[above]
    return above is not None
