import random

import pytest

from dlkb.retrieval.hierarchical_nodes import (
    Piece,
    level_by_traversal,
    levels,
    merge_parents,
    split_tree,
    traversal_cost,
)
from tests.cases import Case

NUMBERED = {0: None, 1: 0, 2: 0, 3: 1, 4: 1, 5: 2}  # results in numbers can be compared
TREE = {"book": None, "one": "book", "two": "book", **dict.fromkeys("abcd", "one"), "e": "two"}

CASES = [
    Case(split_tree, lambda rng: ((23,), {"sizes": (8, 3)})),
    Case(levels, lambda rng: ((NUMBERED,), {})),
    Case(level_by_traversal, lambda rng: ((NUMBERED,), {"depth": 2})),
    Case(traversal_cost, lambda rng: ((), {"roots": 2, "fan_out": 3, "depth": 2})),
    Case(
        merge_parents,
        lambda rng: (({"a": 0.9, "b": 0.5, "e": 0.1}, TREE), {"threshold": 0.4}),
    ),
]


def children_by_search(nodes, parents):
    """The loops of LlamaIndex's `get_child_nodes`, with its search in a list, counted."""
    ids = [child for node in nodes for child in parents if parents[child] == node]
    found, comparisons = [], 0
    for candidate in parents:
        for wanted in ids:
            comparisons += 1
            if wanted == candidate:
                found.append(candidate)
                break
    return found, comparisons


def even_tree(roots, fan_out, depth):
    parents = {(i,): None for i in range(roots)}
    level = list(parents)
    for _ in range(depth):
        level = [(*node, i) for node in level for i in range(fan_out)]
        parents |= {node: node[:-1] for node in level}
    return parents


@pytest.mark.parametrize(
    ("roots", "fan_out", "depth"), [(1, 1, 0), (1, 3, 3), (4, 2, 3), (5, 1, 2), (2, 5, 1)]
)
def test_the_traversal_is_that_of_llama_index_and_its_cost_is_the_law(roots, fan_out, depth):
    parents = even_tree(roots, fan_out, depth)
    nodes, comparisons = [n for n in parents if parents[n] is None], 0
    for _ in range(depth):
        nodes, more = children_by_search(nodes, parents)
        comparisons += more
    walk = level_by_traversal(parents, depth=depth)
    assert walk == (nodes, comparisons)
    assert comparisons == traversal_cost(roots=roots, fan_out=fan_out, depth=depth)
    assert levels(parents)[depth] == nodes


def test_both_ways_find_the_same_nodes_in_any_order_of_the_list():
    parents = even_tree(3, 3, 3)
    nodes = list(parents)
    random.Random(0).shuffle(nodes)
    shuffled = {node: parents[node] for node in nodes}
    by_level = levels(shuffled)
    assert list(by_level) == [0, 1, 2, 3]
    for depth, found in by_level.items():
        assert found == level_by_traversal(shuffled, depth=depth).nodes
        assert found == [node for node in nodes if len(node) == depth + 1]
    assert level_by_traversal(shuffled, depth=4).nodes == []
    assert levels({}) == {}


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 100])
def test_each_level_covers_the_text_within_its_parents(length):
    sizes = (32, 8, 3)
    parents = split_tree(length, sizes=sizes)
    for depth, size in enumerate(sizes):
        pieces = [piece for piece in parents if piece.depth == depth]
        assert [i for p in pieces for i in range(p.start, p.stop)] == list(range(length))
        for piece in pieces:
            parent = parents[piece]
            assert 0 < piece.stop - piece.start <= size
            assert (parent is None) == (depth == 0)
            if parent:
                assert parent.depth == depth - 1
                assert parent.start <= piece.start < piece.stop <= parent.stop
    if length == 100:
        assert Piece(2, 32, 35) in parents
        assert parents[Piece(2, 38, 40)] == Piece(1, 32, 40)


def test_parents_take_the_place_of_most_of_their_children():
    scores = {"a": 0.9, "b": 0.5, "c": 0.1}
    assert merge_parents(scores, TREE) == {"one": pytest.approx(0.5)}
    assert merge_parents(scores, TREE, threshold=0.75) == scores  # 3 of 4 is not above
    assert merge_parents(scores, TREE, threshold=0.74) == {"one": pytest.approx(0.5)}
    half = {"a": 0.9, "b": 0.5}
    assert merge_parents(half, TREE) == half
    assert merge_parents({}, TREE) == {}
    assert list(merge_parents({"b": 0.1, "a": 0.5}, TREE)) == ["a", "b"]


def test_the_order_of_what_was_found_does_not_matter():
    tree = split_tree(64, sizes=(64, 16, 4, 2))
    rng = random.Random(0)
    for _ in range(200):
        found = rng.sample(list(tree), rng.randint(1, 20))  # of all levels at once
        scores = {node: rng.random() for node in found}
        one = merge_parents(scores, tree, threshold=0.5)
        rng.shuffle(found)
        other = merge_parents({node: scores[node] for node in found}, tree, threshold=0.5)
        assert one == pytest.approx(other)


def test_the_lowest_are_merged_first():
    # Two of three pages were found; the third is filled by its pieces, and counts in the mean.
    tree = {"book": None, **dict.fromkeys("abc", "book"), "left": "c", "right": "c"}
    scores = {"a": 0.9, "b": 0.8, "left": 0.1, "right": 0.1}
    assert merge_parents(scores, tree) == {"book": pytest.approx(0.6)}


def test_merging_goes_on_up_to_the_root():
    scores = {"a": 0.9, "b": 0.5, "c": 0.1, "e": 0.7}
    assert merge_parents(scores, TREE) == {"book": pytest.approx(0.6)}
    halves = {"left": "all", "right": "all", "third": "all", "all": None, "last": "third"}
    halves |= dict.fromkeys("abcd", "third")  # the third has five, of which one is found
    assert merge_parents({"left": 1, "right": 0, "last": 2}, halves) == {"all": 0.5}
    assert merge_parents({"third": 1, "last": 2}, halves, threshold=0.9) == {"third": 1}
    with_parent = {"a": 0.2, "b": 0.2, "c": 0.2, "one": 0.4}
    assert merge_parents(with_parent, TREE) == {"one": 0.4}
    assert merge_parents(with_parent | {"one": 0.1}, TREE) == {"one": pytest.approx(0.2)}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: split_tree(-1, sizes=(4,)), "length is -1"),
        (lambda: split_tree(5, sizes=(0,)), r"sizes\[0\] is 0"),
        (lambda: split_tree(5, sizes=(4, 4)), r"sizes\[1\] is 4: it must lie in \[1, 3\]"),
        (lambda: levels({"a": "b", "b": "a"}), "parents makes 'a' its own .*: give the root None"),
        (lambda: levels({"a": "b"}), "parents has no node 'b', though it is a parent: add it"),
        (lambda: level_by_traversal({}, depth=-1), "depth is -1"),
        (lambda: traversal_cost(roots=0, fan_out=1, depth=0), "roots is 0"),
        (lambda: traversal_cost(roots=1, fan_out=0, depth=0), "fan_out is 0"),
        (lambda: traversal_cost(roots=1, fan_out=1, depth=-1), "depth is -1"),
        (lambda: merge_parents({}, {}, threshold=1.1), "threshold is 1.1"),
        (lambda: merge_parents({"c": 1.0}, {"a": None}), "scores has 'c', which is not in parents"),
        (lambda: merge_parents({"a": 1.0}, {"a": "b", "b": "a"}), "parents makes 'a' its own"),
        (lambda: merge_parents({}, {"a": "a"}), "parents makes 'a' its own"),
        (lambda: merge_parents({"a": 1.0}, {"a": "b"}), "parents has no node 'b'"),
    ],
)
def test_errors_name_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()
