"""Figures of the page on metrics of rankings."""

import math
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dlkb.book.draw.kept import kept
from dlkb.retrieval.query_bootstrap import bootstrap_interval
from dlkb.retrieval.ranking_metrics import ndcg, precision, reciprocal_rank
from dlkb.retrieval.ranking_order import ranked
from scripts.figures.explorable import Explorable, Slider

Array = NDArray[np.float64]

DOCUMENTS = (10, 20, 50, 200)
CUTOFFS = (1, 3, 5, 10)


class Chance(NamedTuple):
    """Expected scores of a random order, by how many documents are relevant.

    Attributes:
        share: Of the documents that are relevant.
        ndcg: nDCG at the cutoff.
        reciprocal: Reciprocal rank, 0 beyond the cutoff.
        precision: Precision at the cutoff.
    """

    share: Array
    ndcg: Array
    reciprocal: Array
    precision: Array


@kept
def chance_data(documents: int, cutoff: int) -> Chance:
    """Return what ordering at random scores.

    nDCG and precision are linear in relevance, so that equal scores, with ties in the mean, give
    their expectation. The first relevant document stands at rank r with probability
    C(n − r, R − 1) / C(n, R).
    """
    counts = np.unique(np.linspace(1, documents, min(documents, 25)).round().astype(int))
    by_ndcg, by_rank, by_precision = [], [], []
    for relevant in counts.tolist():
        hits = (np.arange(documents) < relevant) * 1.0
        mean = ranked(np.zeros(documents), hits, ties="mean")
        by_ndcg.append(float(ndcg(mean, hits, k=cutoff)))
        by_precision.append(float(precision(mean, k=cutoff)))
        orders = math.comb(documents, relevant)
        last = min(cutoff, documents - relevant + 1)
        first = [math.comb(documents - r, relevant - 1) / orders for r in range(1, last + 1)]
        by_rank.append(sum(p / r for r, p in enumerate(first, 1)))
    return Chance(counts / documents, *map(np.asarray, (by_ndcg, by_rank, by_precision)))


def chance() -> Explorable:
    """Draw what a random order scores against how many documents are relevant."""
    figure, ax = plt.subplots(figsize=(6.2, 2.5))
    lines = [
        ax.plot([], [], color=f"C{i}", linestyle=style, label=name)[0]
        for i, (name, style) in enumerate(
            (("reciprocal rank", "-"), ("nDCG", "--"), ("precision", ":"))
        )
    ]
    ax.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="share of relevant documents")
    ax.set_ylabel("score of a random order")
    ax.legend(loc="lower right")

    def show(documents: float, cutoff: float) -> str:
        data = chance_data(int(documents), int(cutoff))
        for line, values in zip(lines, (data.reciprocal, data.ndcg, data.precision), strict=True):
            line.set_data(data.share, values)
        half = int(np.argmin(abs(data.share - 0.5)))
        scores = f"nDCG {data.ndcg[half]:.2f}, reciprocal rank {data.reciprocal[half]:.2f}"
        return f"With {100 * data.share[half]:.0f} % relevant, a random order scores {scores}."

    sliders = (Slider("documents", DOCUMENTS, 1), Slider("cutoff k", CUTOFFS, 3))
    return Explorable(figure, sliders, tuple(lines), show)


def chance_says() -> dict[str, bool]:
    """Return what alt text and caption say of the first frame, and whether it is so."""
    data = chance_data(DOCUMENTS[1], CUTOFFS[3])
    quarter = int(np.argmin(abs(data.share - 0.25)))
    half = int(np.argmin(abs(data.share - 0.5)))
    return {
        f"Of {DOCUMENTS[1]} documents in a random order, cut off at {CUTOFFS[3]}": True,
        f"With a quarter relevant the expected reciprocal rank is {data.reciprocal[quarter]:.2f}, "
        f"nDCG {data.ndcg[quarter]:.2f}, precision {data.precision[quarter]:.2f}": bool(
            abs(data.share[quarter] - 0.25) < 1e-9
        ),
        "All three rise to one where all are relevant": bool(
            all((np.diff(y) > 0).all() and y[-1] > 1 - 1e-9 for y in data[1:])
        ),
        "A score says little before it is compared with that of a random order": bool(
            data.ndcg[half] > 0.4 and data.reciprocal[half] > 0.6
        ),
    }


QUERIES = np.asarray([25, 50, 100, 200, 400, 800, 1600])
REPEATS = 20


def reciprocal_ranks(queries: int, *, seed: int) -> tuple[Array, Array]:
    """Return reciprocal ranks of two systems on the same queries, one relevant document in 20.

    A query is as hard for the one as for the other, and half of the noise is shared.
    """
    rng = np.random.default_rng(seed)
    hits = (np.arange(20) == 0) * np.ones((queries, 1))
    ease = rng.normal(loc=1.5, size=(queries, 1)) * hits
    shared = rng.normal(size=(queries, 20))
    found = []
    for better in (0.0, 0.3):
        noise = (shared + rng.normal(size=(queries, 20))) / math.sqrt(2)
        found.append(reciprocal_rank(ranked(ease + better * hits + noise, hits)))
    return found[0], found[1]


@kept
def width_data() -> dict[str, Array]:
    """Return mean widths of 95 % intervals by how many queries there are, over `REPEATS` seeds."""
    widths: dict[str, list[Array]] = {"one system": [], "difference, unpaired": [], "paired": []}
    for n in QUERIES.tolist():
        rows = []
        for seed in range(REPEATS):
            one, other = reciprocal_ranks(n, seed=seed)
            rng = np.random.default_rng(1000 + seed)
            unpaired = rng.permutation(other) - one
            intervals = [
                bootstrap_interval(values, generator=rng, samples=200)
                for values in (one, unpaired, other - one)
            ]
            rows.append([float(i.high - i.low) for i in intervals])
        for name, mean in zip(widths, np.mean(rows, axis=0), strict=True):
            widths[name].append(mean)
    return {name: np.asarray(values) for name, values in widths.items()}


def widths() -> Figure:
    """Draw how wide intervals of confidence are against the number of queries."""
    figure, ax = plt.subplots(figsize=(6.2, 2.5))
    for i, (name, values) in enumerate(width_data().items()):
        ax.plot(QUERIES, values, color=f"C{i}", marker="os^"[i], markersize=5, label=name)
    ax.set(xscale="log", yscale="log", xlabel="queries", ylabel="width of interval")
    ax.set(xticks=[25, 100, 400, 1600], yticks=[0.03, 0.1, 0.3])
    ax.set_xticklabels(["25", "100", "400", "1600"])
    ax.set_yticklabels(["0.03", "0.1", "0.3"])
    ax.minorticks_off()
    ax.legend(loc="upper right")
    return figure


def widths_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    one, unpaired, paired = width_data().values()
    slopes = [np.polyfit(np.log(QUERIES), np.log(w), 1)[0] for w in (one, unpaired, paired)]
    return {
        f"The width for one system falls from {one[0]:.2f} at 25 queries to {one[-1]:.2f} "
        "at 1600": QUERIES[0] == 25 and QUERIES[-1] == 1600,
        "for the difference of two systems, paired by query, it is smaller than unpaired": bool(
            (paired < 0.9 * unpaired).all()
        ),
        "Four times as many queries halve an interval": bool(np.allclose(slopes, -0.5, atol=0.05)),
    }
