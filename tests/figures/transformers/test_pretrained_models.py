import numpy as np
import pytest

from dlkb.experiments.ambiguous_word import draw_encoder, likeness, pretrain
from dlkb.experiments.tokenizers import byte_pairs, count_words, learn_merges, zen
from scripts.figures.transformers import pretrained_models as figures
from tests.figures.drawn import assert_draws


def test_word_in_context_draws_its_data():
    both, left = figures.curves(80, 1)
    assert_draws(
        figures.word_in_context(),
        lines={
            "static vectors": np.ones(7),
            "masked words: reads both sides": (np.arange(7), both),
            "next word: reads the left side": (np.arange(7), left),
        },
        legend=[
            "static vectors",
            "masked words: reads both sides",
            "next word: reads the left side",
        ],
        xlabel="words of the other topic in the context",
        ylabel="cosine of the vectors",
    )


def test_the_curves_are_the_experiments():
    networks = draw_encoder(seeds=10)
    found = figures.curves(0, 2)[0]
    assert found[4] == pytest.approx(likeness(networks, exchanged=4, place=3).median().item())
    *_, (trained, _) = pretrain(networks, steps=20, causal=True)
    at_end = likeness(trained, exchanged=6, place=6, causal=True).median().item()
    assert figures.curves(20, 3)[1][6] == pytest.approx(at_end)


def test_training_turns_the_word_where_it_has_something_to_read():
    for place in (1, 2, 3):
        both, left = figures.curves(80, place)
        assert both[0] > 0.9
        assert both[-1] < 0
        assert (left[-1] < 0) == (place > 1)
        assert figures.curves(0, place)[0][-1] > 0.4
    for steps in figures.STEPS:
        np.testing.assert_allclose(figures.curves(steps, 1)[1], 1)
    for curves in figures.all_likenesses().values():
        assert curves.min() > -0.8
        assert curves.max() < 1.15


def test_merges_draws_the_rates():
    data = figures.rates()
    assert_draws(
        figures.merges(),
        lines={
            "lines that taught the merges": (data.merges, data.known),
            "other lines": (data.merges, data.other),
        },
        texts=["lines that taught the merges", "other lines"],
        xlabel="merges",
        ylabel="characters a token",
    )


def test_rates_count_characters_and_tokens():
    data = figures.rates()
    assert data.known[0] == data.other[0] == 1
    known = count_words(" ".join(zen().splitlines()[0::2]))
    learnt = learn_merges(known, merges=50)
    text = [word for word, n in known.items() for _ in range(n)]
    tokens = sum(len(byte_pairs(word, learnt)) for word in text)
    assert data.known[5] == pytest.approx(len("".join(text)) / tokens)
    assert len(data.merges) == len(data.known) == len(data.other)
