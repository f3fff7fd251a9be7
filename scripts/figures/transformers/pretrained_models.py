"""Figures of the page on pretrained models."""

from collections import Counter
from itertools import chain
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dlkb.book.draw.kept import kept
from dlkb.experiments.ambiguous_word import LENGTH, draw_encoder, likeness, pretrain
from dlkb.experiments.tokenizers import byte_pairs, count_words, learn_merges, zen
from scripts.figures.explorable import Explorable, Slider
from scripts.figures.labels import label_line

Vector = NDArray[np.float64]

STEPS = (0, 20, 40, 80)
PLACES = (0, 3, 6)
EXCHANGED = np.arange(LENGTH)
"""Words of the other topic among the six beside the ambiguous one."""


@kept
def all_likenesses() -> dict[tuple[bool, int, int], Vector]:
    """Return the likeness by objective, training steps and place of the word, medians of ten."""
    torch.set_num_threads(1)
    found = {}
    for causal in (False, True):
        start = draw_encoder(seeds=10)
        run = (encoder for encoder, _ in pretrain(start, steps=STEPS[-1], causal=causal))
        for steps, encoder in enumerate(chain([start], run)):
            for place in PLACES if steps in STEPS else ():
                curve = [
                    likeness(encoder, exchanged=int(k), place=place, causal=causal).median().item()
                    for k in EXCHANGED
                ]
                found[causal, steps, place] = np.asarray(curve)
    return found


def curves(steps: float, place: float) -> tuple[Vector, Vector]:
    """Return the likeness by exchanged words: of masked words, and of the next word."""
    found, at = all_likenesses(), PLACES[int(place) - 1]
    return found[False, int(steps), at], found[True, int(steps), at]


def word_in_context() -> Explorable:
    """Draw how alike a word's vectors are, as its context is exchanged."""
    figure, ax = plt.subplots(figsize=(6.2, 3.2))
    (static,) = ax.plot(EXCHANGED, np.ones(LENGTH), color="C2", linewidth=7, alpha=0.35)
    static.set_label("static vectors")
    (masked,) = ax.plot([], [], "-", color="C0", label="masked words: reads both sides")
    (causal,) = ax.plot([], [], "-", color="C1", label="next word: reads the left side")
    ax.set(
        xlim=(0, LENGTH - 1),
        ylim=(-0.8, 1.15),
        xlabel="words of the other topic in the context",
        ylabel="cosine of the vectors",
    )
    ax.legend(loc="lower left")

    def show(steps: float, place: float) -> str:
        both, left = curves(steps, place)
        masked.set_data(EXCHANGED, both)
        causal.set_data(EXCHANGED, left)
        return (
            f"With all six exchanged the cosine is {both[-1]:.2f} for masked words, "
            f"{left[-1]:.2f} for the next word."
        )

    sliders = (
        Slider("training steps", STEPS, 3),
        Slider("place of the word: first, middle, last", (1, 2, 3), 0),
    )
    return Explorable(figure, sliders, (masked, causal), show)


def word_in_context_says() -> dict[str, bool]:
    """Return what alt text and caption say of the first frame, and whether it is so."""
    both, left = curves(80, 1)
    last = [curves(80, 3)[i] for i in (0, 1)]
    return {
        "Trained on masked words, the vector of an ambiguous word turns as its six neighbours "
        "change topic: the cosine falls from near 1 to below zero": bool(
            both[0] > 0.9 and both[-1] < 0 and (np.diff(both) < 0).all()
        ),
        "Trained on the next word, with the word in first place, it stays at 1, as a static "
        "vector does": bool(np.allclose(left, 1)),
        "A model that reads the left side alone sees nothing before the first word": bool(
            np.allclose(left, 1)
        ),
        "Move the word to the end: both fall": bool(all(curve[-1] < 0 for curve in last)),
    }


class Rates(NamedTuple):
    """Characters a token, by the number of merges.

    Attributes:
        merges: How many of the learnt merges are used.
        known: Of the lines from which they were learnt.
        other: Of the other lines.
        by_word: Characters a word, of the lines that taught.
    """

    merges: Vector
    known: Vector
    other: Vector
    by_word: float


@kept
def rates() -> Rates:
    """Learn merges from every second line of the Zen of Python, and cut all lines by them."""
    lines = zen().splitlines()
    halves = [count_words(" ".join(half)) for half in (lines[0::2], lines[1::2])]
    learnt = learn_merges(halves[0], merges=200)
    used = np.arange(0, len(learnt) + 1, 10)

    def rate(half: Counter[str], count: int) -> float:
        tokens = sum(n * len(byte_pairs(word, learnt[:count])) for word, n in half.items())
        return sum(n * len(word) for word, n in half.items()) / tokens

    known, other = ([rate(half, int(count)) for count in used] for half in halves)
    by_word = sum(n * len(word) for word, n in halves[0].items()) / halves[0].total()
    return Rates(used.astype(float), np.asarray(known), np.asarray(other), by_word)


def merges() -> Figure:
    """Draw characters a token against the number of merges."""
    data = rates()
    figure, ax = plt.subplots(figsize=(6.2, 3.0))
    (known,) = ax.plot(data.merges, data.known, color="C0")
    (other,) = ax.plot(data.merges, data.other, color="C1")
    label_line(ax, known, "lines that taught the merges", -4, offset=(-8, 4), ha="right")
    label_line(ax, other, "other lines", -4, offset=(0, -14))
    ax.set(xlim=(0, 160), ylim=(0.8, 5), xlabel="merges", ylabel="characters a token")
    return figure


def merges_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    data = rates()
    early = int(np.flatnonzero(data.merges == 30)[0])
    gained = (data.other - 1) / np.maximum(data.known - 1, 1e-9)
    return {
        f"{data.merges[-1]:.0f} merges learnt from half of the Zen of Python cut this half into "
        f"tokens of {data.known[-1]:.2f} characters": True,
        f"the other half into tokens of {data.other[-1]:.2f}": True,
        f"After {data.merges[early]:.0f} merges the other lines have gained two thirds as "
        "much": bool(0.62 < gained[early] < 0.72),
        f"at {data.merges[-1]:.0f} a third": bool(0.28 < gained[-1] < 0.38),
        "there each taught word is one token": np.isclose(data.known[-1], data.by_word),
    }
