import math

import numpy as np
import pytest
import ranx
import torch
import torchmetrics.functional.retrieval as of_torchmetrics
from sklearn.metrics import average_precision_score, dcg_score, ndcg_score

from dlkb.retrieval.ranking_metrics import (
    average_precision,
    dcg,
    gains,
    ndcg,
    precision,
    recall,
    reciprocal_rank,
)
from dlkb.retrieval.ranking_order import ranked
from tests.cases import Case
from tests.close import assert_close


def grades(rng, shape=(3, 6)):
    return rng.integers(0, 4, size=shape).astype(np.float64)


def hits(rng, shape=(3, 6)):
    return rng.integers(0, 2, size=shape).astype(np.float64)


def total(rng):
    return np.asarray([6.0, 8.0, 0.0])


def times(name):
    return lambda result, factors: result * factors[name]


CASES = [
    Case(precision, lambda rng: ((hits(rng),), {"k": 4})),
    Case(precision, lambda rng: ((hits(rng),), {"k": 9}), "beyond"),
    Case(recall, lambda rng: ((hits(rng), total(rng)), {"k": 4})),
    Case(reciprocal_rank, lambda rng: ((hits(rng, (9, 6)),), {"k": 2})),
    Case(average_precision, lambda rng: ((hits(rng), total(rng)), {"k": 4})),
    Case(gains, lambda rng: ((grades(rng),), {"gain": "linear"}), "linear"),
    Case(
        gains, lambda rng: ((grades(rng),), {"gain": "exponential"}), "exponential", fixed=(
            "relevance",
        )
    ),
    Case(dcg, lambda rng: ((grades(rng),), {"k": 4})),
    Case(ndcg, lambda rng: ((grades(rng), grades(rng)), {"k": 4})),
]  # fmt: skip


@pytest.fixture(scope="module")
def runs():
    """Twenty queries: grades of 12 documents each, and scores without ties of the 9 retrieved."""
    rng = np.random.default_rng(0)
    relevance = rng.integers(0, 4, size=(20, 12)) * (rng.uniform(size=(20, 12)) < 0.5)
    relevance[:, 0] = 1  # ranx leaves no query out, but warns of none
    scores = rng.permuted(np.arange(1.0, 10.0)[None].repeat(20, 0), axis=1)
    return relevance.astype(np.float64), scores


@pytest.mark.filterwarnings("ignore:.*(unsafe cast|Cannot cache)")  # within ranx, by Numba
@pytest.mark.parametrize("k", [1, 3, 9, 12])
def test_values_are_those_of_ranx(runs, k):
    relevance, scores = runs
    qrels = {
        f"q{i:02}": {f"d{j:02}": int(r) for j, r in enumerate(row) if r}
        for i, row in enumerate(relevance)
    }
    run = {f"q{i:02}": {f"d{j:02}": s for j, s in enumerate(row)} for i, row in enumerate(scores)}
    names = [f"{m}@{k}" for m in ("precision", "recall", "mrr", "map", "ndcg", "ndcg_burges")]
    theirs = ranx.evaluate(ranx.Qrels(qrels), ranx.Run(run), names, return_mean=False)
    order = ranked(scores, relevance[:, :9])
    binary, relevant = (order > 0) * 1.0, (relevance > 0).sum(1) * 1.0
    exponential = {"gain": "exponential"}
    ours = [
        precision(binary, k=k),
        recall(binary, relevant, k=k),
        reciprocal_rank(order, k=k),
        average_precision(order, relevant, k=k),
        ndcg(order, relevance, k=k),
        ndcg(gains(order, **exponential), gains(relevance, **exponential), k=k),
    ]
    for name, found in zip(names, ours, strict=True):
        assert_close(found, theirs[name], scale=10)


@pytest.mark.parametrize("k", [1, 4, 9])
def test_values_are_those_of_scikit_learn(runs, k):
    relevance, scores = runs
    relevance = relevance[:, :9]
    order = ranked(scores, relevance)
    assert_close(dcg(order, k=k).mean(), dcg_score(relevance, scores, k=k))
    assert_close(ndcg(order, relevance, k=k).mean(), ndcg_score(relevance, scores, k=k))
    binary = (order > 0) * 1.0
    found = average_precision(order, binary.sum(-1))
    theirs = [average_precision_score(r > 0, s) for r, s in zip(relevance, scores, strict=True)]
    assert_close(found, np.asarray(theirs))


@pytest.mark.parametrize("k", [1, 4])
def test_ties_are_averaged_as_in_scikit_learn(k):
    rng = np.random.default_rng(1)
    relevance, scores = grades(rng, (30, 8)), rng.integers(0, 3, size=(30, 8)) * 1.0
    mean = ranked(scores, relevance, ties="mean")
    assert_close(ndcg(mean, relevance, k=k).mean(), ndcg_score(relevance, scores, k=k))
    for row in range(5):
        pair = torch.tensor(scores[row]) + 1, torch.tensor(relevance[row]).long()
        theirs = of_torchmetrics.retrieval_normalized_dcg(*pair, top_k=k)
        assert_close(ndcg(mean[row], relevance[row], k=k), theirs.double(), dtype="float32")


def test_values_are_those_of_the_definitions():
    relevance = np.asarray([0.0, 1.0, 1.0, 0.0, 1.0])
    four = np.asarray(4.0)
    assert_close(precision(relevance, k=3), 2 / 3)
    assert_close(precision(relevance, k=10), 3 / 10)
    assert_close(recall(relevance, four), 3 / 4)
    assert_close(recall(relevance, four, k=2), 1 / 4)
    assert_close(reciprocal_rank(relevance), 1 / 2)
    assert reciprocal_rank(relevance, k=1) == 0
    assert_close(average_precision(relevance, four), (1 / 2 + 2 / 3 + 3 / 5) / 4)
    assert_close(average_precision(relevance, four, k=3), (1 / 2 + 2 / 3) / 4)
    assert_close(dcg(relevance), 1 / math.log2(3) + 1 / 2 + 1 / math.log2(6))


def test_what_was_not_retrieved_counts_in_the_ideal():
    found, every = np.asarray([1.0, 0.0]), np.asarray([1.0, 0.0, 3.0])
    assert_close(ndcg(found, every), 1 / (3 + 1 / math.log2(3)))
    assert_close(ndcg(found, every, k=1), 1 / 3)


def test_without_relevant_documents_a_query_scores_zero():
    nothing, none = np.zeros((2, 3)), np.zeros(2)
    for value in (
        recall(nothing, none),
        average_precision(nothing, none),
        ndcg(nothing, nothing),
        reciprocal_rank(nothing),
    ):
        assert_close(value, np.zeros(2))


def test_precision_is_one_where_all_are_relevant():
    for k in range(1, 100):
        assert precision(np.ones(k), k=k) == 1
    assert precision(np.asarray([1.0, 1.0, 1.0, 0.0]), k=10) == 0.3


def test_half_precision_counts_beyond_its_integers():
    many = torch.ones(3000, dtype=torch.float16)  # float16 counts to 2048
    assert precision(many, k=3000) == 1
    assert recall(many, torch.tensor(6000.0, dtype=torch.float16)) == 0.5
    assert_close(average_precision(many, torch.tensor(3000.0, dtype=torch.float16)), 1.0)
    late = torch.zeros(3001, dtype=torch.bfloat16)
    late[3000] = 1
    assert_close(reciprocal_rank(late) * 3001, 1.0, dtype="bfloat16")
    last = torch.zeros(70_001, dtype=torch.float16)  # a rank that float16 does not hold
    last[-1] = 1
    assert reciprocal_rank(last) > 0


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: precision(x, k=0), ValueError, r"k is 0: .* \[1, inf\)"),
        (lambda x: precision(x.astype(int), k=1), TypeError, "relevance has dtype int64"),
        (lambda x: precision(np.zeros((2, 0)), k=1), ValueError, "must hold the documents"),
        (lambda x: recall(x, np.ones(3)), ValueError, "total has shape"),
        (lambda x: recall(x, np.ones(2, int)), TypeError, "total has dtype"),
        (lambda x: average_precision(x, np.ones(3)), ValueError, "total has shape"),
        (lambda x: average_precision(x, np.ones(2, int)), TypeError, "total has dtype"),
        (lambda x: reciprocal_rank(x, k=0), ValueError, "k is 0"),
        (lambda x: gains(x, gain="log"), ValueError, "gain is 'log'"),
        (lambda x: gains(x.astype(int), gain="linear"), TypeError, "relevance has dtype"),
        (lambda x: dcg(x, k=-1), ValueError, "k is -1"),
        (lambda x: ndcg(x, x[0]), ValueError, r"ideal\[..., 0\] has shape"),
        (lambda x: ndcg(x, np.zeros((2, 0))), ValueError, r"ideal has shape \(2, 0\): its last"),
        (lambda x: ndcg(x, x.astype(int)), TypeError, "ideal has dtype"),
        (lambda x: ndcg(x.astype(int), x), TypeError, "gain has dtype"),
        (lambda x: dcg(x.astype(int)), TypeError, "gain has dtype"),
    ],
)
def test_errors_name_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call(np.ones((2, 3)))
