"""What libraries take for nDCG and average precision, found by running them.

Each cell is decided alike: the library's value on one ranking, and the words of the only
convention that gives it. The row of trec_eval, a program in C, links to the lines that were read.
"""

import math
import warnings
from collections.abc import Sequence

import numpy as np
import ranx  # type: ignore[import-untyped]
import torch
from sklearn.metrics import (
    average_precision_score,
    label_ranking_average_precision_score,
    ndcg_score,
)
from torchmetrics.functional.retrieval import (
    retrieval_average_precision,
    retrieval_normalized_dcg,
    retrieval_precision,
    retrieval_recall,
    retrieval_reciprocal_rank,
)

from dlkb.retrieval.ranking_metrics import average_precision, gains, ndcg
from dlkb.retrieval.ranking_order import ranked

LIBRARIES = ("ranx", "scikit-learn", "torchmetrics")

GRADES = (1.0, 0.0, 3.0, 0.0, 2.0, 0.0)
SCORES = (6.0, 5.0, 4.0, 3.0, 2.0, 1.0)
TIED = (2.0, 2.0, 2.0, 2.0, 1.0, 1.0)
HITS = (1.0, 0.0, 1.0, 0.0, 1.0, 0.0)


def which(found: float, conventions: dict[str, float]) -> str:
    """Return the words of the only convention that gives this."""
    same = [
        words for words, value in conventions.items() if math.isclose(found, value, rel_tol=1e-5)
    ]
    if len(same) != 1:
        raise LookupError(f"{len(same)} conventions give {found}: {same}, of {conventions}")
    return same[0]


def gain_words(found: float) -> str:
    """Say which gain the nDCG of `GRADES` in their order was taken with."""
    r = np.asarray(GRADES)
    exponential = gains(r, gain="exponential")
    return which(
        found,
        {"linear": float(ndcg(r, r)), "2ʳ − 1": float(ndcg(exponential, exponential))},
    )


def tie_words(found: float) -> str:
    """Say in which order the tied documents of `TIED` stand."""
    r, s = np.asarray(GRADES), np.asarray(TIED)
    return which(
        found,
        {
            "as given": float(ndcg(ranked(s, r), r)),
            "**as given, reversed**": float(ndcg(ranked(s[::-1], r[::-1]), r)),
            "mean over orders": float(ndcg(ranked(s, r, ties="mean"), r)),
        },
    )


def sorted_words() -> str:
    """Say up to how many documents of one score ranx keeps or reverses the order, and then."""

    def orders(n: int) -> tuple[str, str]:
        first = [1.0, *[0.0] * (n - 1)]
        words = []
        for plain in (False, True):
            found = [
                by_ranx("mrr", grades, [1.0] * n, plain=plain) for grades in (first, first[::-1])
            ]
            as_given = math.isclose(found[0], 1) and math.isclose(found[1], 1 / n)
            backwards = math.isclose(found[0], 1 / n) and math.isclose(found[1], 1)
            words.append("as given" if as_given else "**reversed**" if backwards else "scrambled")
        return words[0], words[1]

    lost = next(n for n in range(2, 100) if "scrambled" in orders(n))
    (early,) = {orders(n) for n in range(2, lost)}
    if any(orders(n) != ("scrambled", "scrambled") for n in range(lost, 100)):
        raise LookupError(f"the order is lost at {lost} documents, and kept at more")
    words = f"{early[0]} in a `Run`, {early[1]} in a dict"
    return f"up to {lost - 1} documents {words}; **scrambled** from {lost} on"


def divisor_words(found: float) -> str:
    """Say what the average precision of the first four of `HITS` is divided by."""
    hits = np.asarray(HITS)
    every, early = (np.asarray(n) for n in (hits.sum(), hits[:4].sum()))
    return which(
        found,
        {
            "all relevant": float(average_precision(hits, every, k=4)),
            "**relevant among the first k**": float(average_precision(hits, early, k=4)),
        },
    )


def nothing_words(*found: float) -> str:
    """Say what a query scores of which no document is relevant."""
    if len(set(found)) != 1:
        raise LookupError(f"metrics differ: {found}")
    return f"{found[0]:g}"


def by_ranx(
    metric: str, grades: Sequence[float], scores: Sequence[float], *, plain: bool = False
) -> float:
    """Run ranx on one query, given as its own classes or as plain dictionaries."""
    names = [f"d{i:02}" for i in range(len(grades))]  # of one length, for which Numba compiles
    qrels = {"q": {n: int(r) for n, r in zip(names, grades, strict=True)}}
    run = {"q": dict(zip(names, scores, strict=True))}
    pair = (qrels, run) if plain else (ranx.Qrels(qrels), ranx.Run(run))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Numba, while it compiles
        return float(ranx.evaluate(*pair, metric))


def shifted(metric: object, scores: Sequence[float]) -> str:
    """Say whether the average precision changes when all scores are lower by ten."""
    if not callable(metric):
        raise TypeError("a metric is needed")
    before, after = (metric([s - by for s in scores]) for by in (0.0, 10.0))
    return "any" if math.isclose(before, after) else "**above 0**: others count as irrelevant"


def which_convention() -> dict[str, tuple[str, ...]]:
    """Return gain, order of ties, divisor, scores allowed and the score of an empty query."""
    r, none, zeros = np.asarray(GRADES), np.zeros(3), (0.0, 0.0, 0.0)
    rising = (1.0, 2.0, 3.0)
    hits = np.asarray(HITS)

    def of_sklearn(scores: Sequence[float]) -> float:
        return float(average_precision_score(hits, scores))

    def of_all_four(scores: Sequence[float]) -> str:
        """Say whether negative scores change any of four metrics, if they change all alike."""
        pair = torch.tensor(HITS).bool()
        words = {
            shifted(lambda s, metric=metric: float(metric(torch.tensor(s), pair)), scores)
            for metric in (
                retrieval_average_precision,
                retrieval_precision,
                retrieval_recall,
                retrieval_reciprocal_rank,
            )
        }
        (same,) = words
        return same

    def of_torchmetrics(scores: Sequence[float], k: int | None = None) -> float:
        pair = torch.tensor(scores), torch.tensor(HITS).bool()
        return float(retrieval_average_precision(*pair, top_k=k))

    def graded(scores: Sequence[float], grades: Sequence[float] = GRADES) -> float:
        pair = torch.tensor(scores), torch.tensor(grades).long()
        return float(retrieval_normalized_dcg(*pair))

    def ours(scores: Sequence[float]) -> float:
        order = ranked(np.asarray(scores), hits)
        return float(average_precision(order, np.asarray(hits.sum())))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there is no relevant document
        empty = float(average_precision_score(none, rising))
    of_labels = label_ranking_average_precision_score([zeros], [rising])
    no_hit = torch.tensor(rising), torch.tensor(zeros).bool()
    row = (
        float(ndcg(r, r)),
        float(ndcg(ranked(np.asarray(TIED), r), r)),
        float(average_precision(hits, np.asarray(hits.sum()), k=4)),
    )
    return {
        "this package": (
            gain_words(row[0]) + ", or 2ʳ − 1",
            tie_words(row[1]) + ", or `ties=`",
            divisor_words(row[2]),
            shifted(ours, SCORES),
            nothing_words(float(ndcg(none, none)), float(average_precision(none, np.asarray(0.0)))),
        ),
        "ranx": (
            gain_words(by_ranx("ndcg", GRADES, SCORES))
            + f"; `ndcg_burges` {gain_words(by_ranx('ndcg_burges', GRADES, SCORES))}",
            sorted_words(),
            divisor_words(by_ranx("map@4", HITS, SCORES)),
            shifted(lambda scores: by_ranx("map", HITS, scores), SCORES),
            nothing_words(by_ranx("ndcg", zeros, rising), by_ranx("map", zeros, rising)),
        ),
        "scikit-learn": (
            gain_words(float(ndcg_score([GRADES], [SCORES]))),
            tie_words(float(ndcg_score([GRADES], [TIED]))),
            "all relevant, no k",
            shifted(of_sklearn, SCORES),
            nothing_words(float(ndcg_score([zeros], [rising])), empty)
            + f"; `label_ranking_…` {of_labels:g}",
        ),
        "torchmetrics": (
            gain_words(graded(SCORES)),
            tie_words(graded(TIED)),
            divisor_words(of_torchmetrics(SCORES, 4)),
            of_all_four(SCORES),
            nothing_words(graded(rising, zeros), float(retrieval_average_precision(*no_hit))),
        ),
    }
