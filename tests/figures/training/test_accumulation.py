import numpy as np
import pytest

from scripts.figures.training import accumulation as figures
from tests.figures.drawn import assert_draws


def test_the_share_is_that_of_the_variance_of_random_tokens():
    lengths = np.asarray([2, 4, 8, 16, 32])
    rng = np.random.default_rng(0)
    means = np.stack([rng.normal(size=(40_000, n)).mean(1) for n in lengths])
    noise, worth = means.mean(0).var(), figures.mean_of_means(16, 5).worth
    assert 1 / (lengths.sum() * noise) == pytest.approx(worth, rel=0.05)


def test_what_the_sliders_show_is_so():
    ratio, count = figures.token_weights().sliders
    assert ratio.values == figures.RATIOS
    for k in count.values:
        assert figures.mean_of_means(1, k).weight == pytest.approx(np.ones(k))
        for r in ratio.values:
            weight = figures.mean_of_means(r, k).weight
            assert weight[0] / weight[-1] == pytest.approx(r)
            assert 0.25 < weight.min() <= weight.max() < 20
        assert 0 < figures.worth(k).min() <= figures.worth(k).max() <= 1 + 1e-12


def test_token_weights_draws_its_data():
    data = figures.mean_of_means(16, 8)
    assert_draws(
        figures.token_weights(),
        panel=0,
        lines={
            "should be": ([0, 1], [1, 1]),
            "token": (np.linspace(0, 1, 8), data.weight),
        },
        xlabel="micro-batch",
        title="a token weighs (should be 1)",
    )
    assert_draws(
        figures.token_weights(),
        panel=1,
        lines={
            "step": (figures.RATIOS, 100 * figures.worth(8)),
            "this ratio": ([16], [100 * data.worth]),
        },
        xlabel="longest / shortest",
        title="% of tokens that count",
    )


def test_missing_variance_draws_its_data():
    shares = {name: 100 * row for name, row in figures.missing_data().items()}
    assert_draws(
        figures.missing_variance(),
        lines={name: (figures.BATCHES, row) for name, row in shares.items()},
        texts=list(shares),
        xlabel="examples in a micro-batch",
        ylabel="% of the variance missed",
    )
    assert (shares["sorted by class"] > shares["shuffled"]).all()
