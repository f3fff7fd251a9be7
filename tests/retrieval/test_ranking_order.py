import itertools

import numpy as np
import pytest
import ranx

from dlkb.retrieval.ranking_metrics import (
    average_precision,
    dcg,
    ndcg,
    precision,
    recall,
    reciprocal_rank,
)
from dlkb.retrieval.ranking_order import bpref, condensed, ranked, running_sum
from tests.cases import Case
from tests.close import assert_close


def scored(rng, shape=(3, 6)):
    return rng.integers(0, 3, size=shape) * 0.5, rng.integers(0, 4, size=shape) * 1.0


def judged(rng, shape=(3, 6)):
    return rng.uniform(size=shape) < 0.6


def counts(rng):
    return np.asarray([4.0, 6.0, 5.0]), np.asarray([3.0, 7.0, 2.0])


CASES = [
    *(
        Case(
            ranked,
            lambda rng, ties=ties: (scored(rng), {"ties": ties}),
            ties,
        )
        for ties in ("first", "mean", "best", "worst")
    ),
    Case(running_sum, lambda rng: ((scored(rng)[1],), {})),
    Case(condensed, lambda rng: ((scored(rng)[1], judged(rng)), {})),
    Case(
        bpref,
        lambda rng: (
            (scored(rng)[1], judged(rng), counts(rng)[0]),
            {"irrelevant": counts(rng)[1]},
        ),
        fixed=("total", "irrelevant"),
    ),
]  # fmt: skip


def test_ties_in_the_mean_are_expected_values_of_linear_metrics():
    scores = np.asarray([2.0, 1.0, 1.0, 1.0, 0.0, 0.0])
    relevance = np.asarray([0.0, 3.0, 0.0, 1.0, 0.0, 1.0])
    orders = [
        np.concatenate([relevance[:1], relevance[list(a)], relevance[list(b)]])
        for a in itertools.permutations((1, 2, 3))
        for b in itertools.permutations((4, 5))
    ]
    mean = ranked(scores, relevance, ties="mean")
    best, worst = (ranked(scores, relevance, ties=ties) for ties in ("best", "worst"))
    three = np.asarray(3.0)
    for k in (1, 2, 3, 5, 6):
        for metric in (
            lambda x, k=k: dcg(x, k=k),
            lambda x, k=k: precision(x, k=k),
            lambda x, k=k: recall(x, three, k=k),
        ):
            values = [metric(order) for order in orders]
            assert_close(metric(mean), np.mean(values))
            assert_close(metric(best), max(values))
            assert_close(metric(worst), min(values))


def test_orders_of_equal_scores():
    scores, relevance = np.asarray([0.0, 1.0, 1.0, 1.0]), np.asarray([9.0, 1.0, 3.0, 2.0])
    for ties, expected in {
        "first": [1, 3, 2, 9],
        "best": [3, 2, 1, 9],
        "worst": [1, 2, 3, 9],
        "mean": [2, 2, 2, 9],
    }.items():
        assert_close(ranked(scores, relevance, ties=ties), np.asarray(expected) * 1.0)
    assert np.isneginf(ranked(np.asarray([-np.inf, 0.0]), np.asarray([-np.inf, 1.0]))[1])


def test_condensed_lists_leave_out_what_nobody_judged():
    relevance = np.asarray([np.nan, 2.0, np.nan, 0.0, 1.0])
    kept = np.asarray([False, True, False, True, True])
    assert_close(condensed(relevance, kept), np.asarray([2.0, 0, 1, 0, 0]))
    assert_close(condensed(relevance, ~kept & False), np.zeros(5))


@pytest.mark.filterwarnings("ignore:.*(unsafe cast|Cannot cache)")  # within ranx, by Numba
def test_bpref_is_that_of_ranx():
    rng = np.random.default_rng(0)
    qrels, run, ours = {}, {}, []
    for q in range(30):
        relevance = (rng.uniform(size=12) < 0.4) * 1.0
        relevance[:2] = 1, 0
        is_judged = rng.uniform(size=12) < 0.6
        is_judged[:2] = True
        scores = rng.permutation(12) + 1.0
        qrels[f"q{q:02}"] = {f"d{j:02}": int(relevance[j]) for j in np.flatnonzero(is_judged)}
        run[f"q{q:02}"] = {f"d{j:02}": scores[j] for j in range(12) if j != 2}
        order = np.argsort(-np.delete(scores, 2))
        relevant, seen = (np.delete(z, 2)[order] for z in (relevance, is_judged))
        R, N = (is_judged & (relevance == r) for r in (1, 0))
        ours.append(bpref(relevant, seen, np.asarray(R.sum() * 1.0),
                          irrelevant=np.asarray(N.sum() * 1.0)))  # fmt: skip
    theirs = ranx.evaluate(ranx.Qrels(qrels), ranx.Run(run), "bpref", return_mean=False)
    assert_close(np.stack(ours), theirs, scale=10)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 16, 17])
def test_running_sums_are_those_of_numpy(n):
    x = np.random.default_rng(n).normal(size=(2, n))
    assert_close(running_sum(x), np.cumsum(x, axis=-1))


def test_bpref_at_its_ends():
    first, last = np.asarray([1.0, 1, 0, 0]), np.asarray([0.0, 0, 1, 1])
    all_judged, two = np.ones(4, dtype=bool), np.asarray(2.0)
    assert bpref(first, all_judged, two, irrelevant=two) == 1
    assert bpref(last, all_judged, two, irrelevant=two) == 0
    assert bpref(first, all_judged, two, irrelevant=np.asarray(0.0)) == 1
    assert bpref(0 * first, all_judged, np.asarray(0.0), irrelevant=two) == 0
    assert bpref(last, np.asarray([False, False, True, True]), two, irrelevant=two) == 1


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: ranked(x[0], x), ValueError, "scores has shape"),
        (lambda x: ranked(x, x, ties="last"), ValueError, "ties is 'last'"),
        (lambda x: ranked(x, x.astype(int)), TypeError, "relevance has dtype"),
        (lambda x: ranked(x[:, :0], x[:, :0]), ValueError, "must hold the documents"),
        (lambda x: condensed(x, x[0] > 0), ValueError, "judged has shape"),
        (lambda x: condensed(x.astype(int), x > 0), TypeError, "relevance has dtype"),
        (lambda x: condensed(x, x.astype(int)), TypeError, "judged has dtype int64: booleans"),
        (lambda x: running_sum(x.astype(int)), TypeError, "x has dtype"),
        (lambda x: running_sum(x[:, :0]), ValueError, r"x has shape \(2, 0\)"),
        (lambda x: bpref(x, x[0] > 0, x[:, 0], irrelevant=x[:, 0]), ValueError, "judged has"),
        (
            lambda x: bpref(x, x.astype(int), x[:, 0], irrelevant=x[:, 0]),
            TypeError,
            "judged has dtype int64: booleans",
        ),
        (lambda x: bpref(x, x > 0, x[0], irrelevant=x[:, 0]), ValueError, "total has shape"),
        (lambda x: bpref(x, x > 0, x[:, 0], irrelevant=x[0]), ValueError, "irrelevant has"),
        (
            lambda x: bpref(x, x > 0, x[:, 0], irrelevant=np.ones(2, int)),
            TypeError,
            "irrelevant has dtype",
        ),
    ],
)
def test_errors_name_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call(np.ones((2, 3)))


def test_values_are_those_that_trec_eval_printed():
    """Version 10.0-rc3 of `trec_eval -q`: equal scores in falling order of the documents' names."""
    qrels = [
        {"d1": 3, "d2": 0, "d3": 1, "d4": 2, "d5": 0, "d9": 2},
        {"d1": 0, "d2": 1, "d3": 0, "d6": 0},
    ]
    runs = [
        {"d7": 4, "d5": 7, "d4": 2, "d3": 7, "d2": 7, "d1": 5},
        {"d7": 8, "d6": 8, "d3": 9, "d2": 8},
    ]
    printed = {  # precision at 3 and 10, reciprocal rank, map, map at 3, ndcg, ndcg at 3, bpref
        0: (0.3333, 0.3, 0.5, 0.375, 0.125, 0.4630, 0.1199, 0.125),
        1: (0.0, 0.1, 0.25, 0.25, 0.0, 0.4307, 0.0, 0.0),
    }
    judged_only = {0: (0.4, 0.4737), 1: (0.3333, 0.5)}  # map and ndcg with -J
    for q, (judgements, run) in enumerate(zip(qrels, runs, strict=True)):
        scores = np.asarray(list(run.values())) * 1.0
        grades = np.asarray([judgements.get(name, 0) for name in run]) * 1.0
        seen = np.asarray([name in judgements for name in run])
        order, is_judged = (ranked(scores, x * 1.0) for x in (grades, seen))
        is_judged = is_judged > 0
        ideal = np.asarray(list(judgements.values())) * 1.0
        R, N = (np.asarray(((ideal > 0) == which).sum() * 1.0) for which in (True, False))
        binary = (order > 0) * 1.0
        found = (
            precision(binary, k=3),
            precision(binary, k=10),
            reciprocal_rank(order),
            average_precision(order, R),
            average_precision(order, R, k=3),
            ndcg(order, ideal),
            ndcg(order, ideal, k=3),
            bpref(order, is_judged, R, irrelevant=N),
        )
        np.testing.assert_allclose(found, printed[q], atol=6e-5)
        short = condensed(order, is_judged)
        found = average_precision(short, R), ndcg(short, ideal)
        np.testing.assert_allclose(found, judged_only[q], atol=6e-5)
