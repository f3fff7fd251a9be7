import numpy as np
import pytest

from scripts.figures.losses import perplexity as figures
from tests.figures.drawn import assert_draws


def test_context_helps_and_the_formula_is_what_texts_show():
    losses = figures.loss_by_context()
    assert losses[0] == pytest.approx(np.log(figures.VOCABULARY))
    assert (np.diff(losses) < 0).all()
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.full(figures.VOCABULARY, figures.ALPHA), size=4000)
    tokens = (rng.random((4000, 9, 1)) > shares.cumsum(1)[:, None]).sum(2)
    seen = (tokens[:, :8] == tokens[:, 8:]).sum(1)
    guess = (seen + figures.ALPHA) / (8 + figures.VOCABULARY * figures.ALPHA)
    assert -np.log(guess).mean() == pytest.approx(losses[8], rel=0.05)


def test_what_the_sliders_show_is_so():
    window, share = figures.windows_and_stride().sliders
    for size in window.values:
        costs, found = figures.strides(size)
        assert (np.diff(costs) < 0).all()
        assert (np.diff(found) > 0).all()
        assert found.min() > 5
        assert found.max() < 50
        assert costs.max() < 9
        assert [figures.stride_of(size, s) for s in share.values][-1] == size - 1
    for s in share.values:
        found = [figures.windows(size, s).whole for size in window.values]
        assert (np.diff(found) < 0).all()


def test_windows_and_stride_draws_its_data():
    data = figures.windows(16, 1.0)
    explorable = figures.windows_and_stride()
    shown = slice(None, figures.SHOWN - 1)
    assert_draws(
        explorable,
        panel=0,
        lines={
            "token": (data.position[shown], data.perplexity[shown]),
            "text": ([0, 96], [data.whole, data.whole]),
        },
        legend=["token", "text"],
        xlabel="position",
        title="perplexity",
    )
    assert_draws(
        explorable,
        panel=1,
        lines={
            "strides": figures.strides(16),
            "this stride": ([data.cost], [data.whole]),
        },
        xlabel="tokens computed per token",
        title="the text's perplexity",
    )


def test_tokenizers_draws_the_curves():
    curves = {
        f"{bits} bits per byte": (figures.SIZES, 2 ** (bits * figures.SIZES))
        for bits in figures.BITS
    }
    assert_draws(
        figures.tokenizers(),
        lines=curves,
        legend=list(curves)[::-1],
        xlabel="bytes a token",
        ylabel="perplexity",
    )
