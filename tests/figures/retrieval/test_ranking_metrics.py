import numpy as np
import pytest

from dlkb.retrieval.ranking_metrics import ndcg, precision, reciprocal_rank
from scripts.figures.retrieval import ranking_metrics as figures
from tests.figures.drawn import assert_draws


@pytest.mark.parametrize(("documents", "cutoff"), [(10, 1), (20, 10), (50, 5)])
def test_a_random_order_scores_what_draws_score(documents, cutoff):
    data = figures.chance_data(documents, cutoff)
    rng = np.random.default_rng(0)
    for at in (0, len(data.share) // 3, -1):
        hits = np.zeros((4000, documents))
        hits[:, : round(data.share[at] * documents)] = 1
        order = rng.permuted(hits, axis=1)
        for values, drawn in (
            (data.ndcg, ndcg(order, hits, k=cutoff)),
            (data.reciprocal, reciprocal_rank(order, k=cutoff)),
            (data.precision, precision(order, k=cutoff)),
        ):
            assert values[at] == pytest.approx(drawn.mean(), abs=0.02)


def test_what_the_sliders_show_rises_with_the_share():
    for documents in figures.DOCUMENTS:
        for cutoff in figures.CUTOFFS:
            data = figures.chance_data(documents, cutoff)
            for values in data[1:]:
                assert (np.diff(values) > -1e-12).all()
                assert values[-1] == pytest.approx(1)


def test_chance_draws_its_data():
    data = figures.chance_data(20, 10)
    assert_draws(
        figures.chance(),
        lines={
            "reciprocal rank": (data.share, data.reciprocal),
            "nDCG": (data.share, data.ndcg),
            "precision": (data.share, data.precision),
        },
        legend=["reciprocal rank", "nDCG", "precision"],
        xlabel="share of relevant documents",
        ylabel="score of a random order",
    )


def test_the_second_system_is_better():
    one, other = figures.reciprocal_ranks(20_000, seed=0)
    assert 0.05 < (other - one).mean() < 0.1
    assert 0.2 < np.corrcoef(one, other)[0, 1] < 0.8


def test_widths_draws_its_data():
    assert_draws(
        figures.widths(),
        lines={name: (figures.QUERIES, y) for name, y in figures.width_data().items()},
        legend=list(figures.width_data()),
        xlabel="queries",
        ylabel="width of interval",
    )
