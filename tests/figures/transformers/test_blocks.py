import numpy as np
import pytest

from dlkb.experiments.norm_place import gradient_by_layer
from dlkb.experiments.tokenizers import zen
from scripts.figures.transformers import blocks as figures
from tests.figures.drawn import assert_draws


def test_gradient_by_depth_draws_its_data():
    explorable = figures.gradient_by_depth()
    blocks = np.arange(1, 25)
    rows = {name: figures.gradients(24, name == "pre-norm") for name in ("post-norm", "pre-norm")}
    assert_draws(
        explorable,
        lines={f"{k}, median of ten": (blocks, np.median(v, 0)) for k, v in rows.items()},
        legend=["post-norm, median of ten", "pre-norm, median of ten"],
        xlabel="block, from the first to the last",
        ylabel="norm of the gradient",
    )
    for name, polygon in zip(rows, explorable.moving[::2], strict=True):
        np.testing.assert_allclose(polygon.get_xy()[:-1], figures.band(rows[name]))


def test_what_the_slider_shows_is_so():
    last = {
        pre: [np.median(figures.gradients(d, pre)[:, -1]) for d in figures.DEPTHS]
        for pre in (True, False)
    }
    assert (np.diff(last[True]) < 0).all()
    assert min(last[False]) > 0.5
    for depth in figures.DEPTHS:
        for pre in (True, False):
            rows = figures.gradients(depth, pre)
            assert rows.min() > 0.03
            assert rows.max() < 10


def test_gradients_are_the_experiments():
    expected = gradient_by_layer(depth=4, pre_norm=False).numpy()
    np.testing.assert_allclose(figures.gradients(4, False), expected)


def test_learns_draws_its_data():
    data = figures.learning()
    assert_draws(
        figures.learns(),
        lines={
            "a GPT of two blocks": (np.arange(1, 151), data.loss),
            "letters' frequencies": ([1, 150], [data.letters] * 2),
            "the letter before": ([1, 150], [data.pairs] * 2),
        },
        texts=["a GPT of two blocks", "letters' frequencies", "the letter before"],
        xlabel="step",
        ylabel="loss, nats a letter",
    )


def test_what_needs_no_network_is_counted():
    text = zen()
    after = text[1:]
    expected = -np.mean([np.log(after.count(c) / len(after)) for c in after])
    assert figures.learning().letters == pytest.approx(expected)
    before = text[:-1]
    pairs = [a + b for a, b in zip(before, after, strict=True)]
    guess = [pairs.count(p) / before.count(p[0]) for p in pairs]
    assert figures.learning().pairs == pytest.approx(-np.mean(np.log(guess)))
