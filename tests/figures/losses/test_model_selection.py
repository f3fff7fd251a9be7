import numpy as np
import pytest
from scipy import stats

from scripts.figures.losses import model_selection as figures
from tests.figures.drawn import assert_draws


@pytest.mark.parametrize("accuracy", figures.ACCURACIES)
def test_the_best_score_is_that_of_draws(accuracy):
    rng = np.random.default_rng(0)
    data = figures.scores(100, accuracy)
    assert len(data) == len(figures.MODELS)
    for at in (0, 10, 20):
        models = int(figures.MODELS[at])
        best = rng.binomial(100, accuracy, size=(3000, models)).max(1) / 100
        assert data[at] == pytest.approx(best.mean(), abs=5 * best.std() / 3000**0.5 + 1e-9)


def test_what_the_sliders_show_is_so():
    examples, accuracy = figures.best_of_many().sliders
    for a in accuracy.values:
        curves = np.stack([figures.scores(n, a) for n in examples.values])
        assert (np.diff(curves, axis=1) >= 0).all()
        assert (np.diff(curves, axis=0)[:, 1:] < 1e-12).all()  # more examples flatter less
        assert curves.min() >= a - 1e-9
        assert curves.max() <= 1
        top = stats.binom.cdf(np.arange(50), 50, a) ** 10_000
        assert curves[0, -1] == pytest.approx((1 - top).sum() / 50)


def test_best_of_many_draws_its_data():
    assert_draws(
        figures.best_of_many(),
        lines={
            "truth": ([1, 10_000], [0.7, 0.7]),
            "best score": (figures.MODELS, figures.scores(100, 0.7)),
        },
        legend=["truth", "best score"],
        xlabel="models compared",
        ylabel="accuracy",
    )


def test_each_fold_trains_and_scores_on_other_examples():
    for scheme in figures.schemes().values():
        train, test = ({tuple(pair) for pair in part} for part in scheme)
        assert not train & test
        assert {fold for _, fold in test} == {1, 2, 3}


@pytest.mark.parametrize(("panel", "title"), list(enumerate(figures.schemes())))
def test_splits_draws_the_folds(panel, title):
    scheme = figures.schemes()[title]
    borders = {f"border {x:g}": ([x, x], [0, 1]) for x in (3.5, 5.5, 9.5, 11.5)}
    assert_draws(
        figures.splits(),
        panel=panel,
        lines={
            "train": tuple(scheme.train.T),
            "score": tuple(scheme.test.T),
            **(borders if panel == 1 else {}),
        },
        **({"legend": ["train", "score"]} if panel == 2 else {}),
        xlabel="example",
        title=title,
    )
