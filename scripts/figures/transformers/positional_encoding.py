"""Figures of the page on positional encoding."""

from typing import NamedTuple, get_args

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dlkb.book.draw.kept import kept
from dlkb.experiments.positions import Encoding, Pattern, overlap, train_head
from dlkb.transformers.positional_encoding import sinusoidal
from scripts.figures.explorable import Explorable, Slider

Vector = NDArray[np.float64]

torch.set_num_threads(1)

POSITIONS = (0, 2, 5, 10, 20, 50)
WIDTHS = (8, 16, 64)
OFFSETS: Vector = np.arange(-30.0, 31)


class Products(NamedTuple):
    """Dot products of a position's encoding with those around it.

    Attributes:
        both: Of sines and cosines.
        sines: Of the sines alone.
    """

    both: Vector
    sines: Vector


def products(position: int, width: int) -> Products:
    """Return the dot products at each offset, divided by the number of frequencies."""
    here = sinusoidal(np.asarray(float(position)), width=width)
    there = sinusoidal(position + OFFSETS, width=width)
    both, sines = there @ here, there[:, ::2] @ here[::2]
    return Products(both / (width / 2), sines / (width / 2))


def dot_products() -> Explorable:
    """Draw the dot products around a position, with and without the cosines."""
    figure, ax = plt.subplots(figsize=(7.2, 3.2))
    (both,) = ax.plot([], [], color="C0", label="sines and cosines")
    (sines,) = ax.plot([], [], color="C3", label="sines alone")
    ax.set(xlim=(-30, 30), ylim=(-0.6, 1.45), xlabel="offset", ylabel="dot product, 2/d times")
    ax.set_yticks([-0.5, 0, 0.5, 1])
    ax.legend(loc="upper right", ncols=2)

    def show(position: float, width: float) -> str:
        data = products(int(position), int(width))
        both.set_data(OFFSETS, data.both)
        sines.set_data(OFFSETS, data.sines)
        at = int(np.argmax(OFFSETS == 3))
        return (
            f"At position {position:g} and offset 3 sines and cosines give {data.both[at]:.2f}, "
            f"sines alone {data.sines[at]:.2f}."
        )

    sliders = (Slider("position", POSITIONS, 3), Slider("width d", WIDTHS, 1))
    return Explorable(figure, sliders, (both, sines), show)


def dot_products_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    data = products(10, 16)
    stays = all(
        np.allclose(products(p, w).both, products(0, w).both) for p in POSITIONS for w in WIDTHS
    )
    moves = min(abs(products(p, w).sines - data.sines).max() for p in (0, 2, 50) for w in (16,))
    return {
        "Dot products of encodings, around one position": data.both.shape == OFFSETS.shape,
        "Around position 10, at width 16, sines and cosines give a curve that is highest, at 1, at "
        "offset 0 and equal on both sides": bool(
            data.both.argmax() == 30
            and np.isclose(data.both[30], 1)
            and np.allclose(data.both, data.both[::-1])
        ),
        "sines alone a lopsided one": bool(np.abs(data.sines - data.sines[::-1]).max() > 0.2),
        "Move the position: the curve of sines and cosines stays": stays,
        "that of sines alone does not": bool(moves > 0.15),
    }


LENGTHS = (32, 48, 64, 128, 256, 512)
NAMES: dict[Encoding, str] = {
    "rotary": "rotary",
    "alibi": "ALiBi",
    "sinusoidal": "sinusoidal",
    "learned": "learned",
    "none": "none",
}
PATTERNS: tuple[Pattern, ...] = get_args(Pattern)


@kept
def lengths_data(encoding: Encoding, name: Pattern) -> Vector:
    """Return the share of weight in place, shape (lengths, seeds)."""
    head = train_head(encoding, name)
    return np.asarray([overlap(head, name, length).numpy() for length in LENGTHS])


def lengths() -> Figure:
    """Draw how much of the weight lies where it should, against the length."""
    figure, panels = plt.subplots(1, 2, figsize=(7.2, 3.4), sharey=True)
    for ax, name in zip(panels, PATTERNS, strict=True):
        for k, encoding in enumerate(NAMES):
            color = plt.rcParams["text.color"] if encoding == "none" else f"C{k}"
            middle = np.median(lengths_data(encoding, name), 1)
            label = NAMES[encoding]
            ax.plot(LENGTHS, middle, color=color, marker="o", markersize=3, label=label)
        ax.set(xscale="log", ylim=(0, 1.05), xlabel="length", title=name)
        ax.set_xticks(LENGTHS, [str(length) for length in LENGTHS], minor=False)
        ax.set_xticks([], minor=True)
    panels[0].set(ylabel="weight in place")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3)
    return figure


def lengths_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    found = {(e, p): np.median(lengths_data(e, p), 1) for e in NAMES for p in PATTERNS}
    trained = [found[e, p][0] for e in ("rotary", "sinusoidal", "learned") for p in PATTERNS]
    rotary, alibi = ([found[e, p] for p in PATTERNS] for e in ("rotary", "alibi"))
    return {
        "At the trained length of 32 rotary, sinusoidal and learned positions find both patterns "
        "(above 0.95)": min(trained) > 0.95,
        "At 64 learned positions have lost both (below 0.3)": max(
            found["learned", p][2] for p in PATTERNS
        )
        < 0.3,
        "rotary ones keep more than 0.9 of the token three back at 512, and less than 0.7 of the "
        "recent tokens": bool(rotary[0][-1] > 0.9 and rotary[1][-1] < 0.7),
        "ALiBi keeps more than 0.9 of the recent tokens, and finds 0.1 of the token three back at "
        "all six lengths": bool(alibi[1][-1] > 0.9 and np.allclose(alibi[0], 0.1, atol=0.04)),
        "Medians of ten heads that see positions alone": lengths_data("rotary", "recent").shape
        == (6, 10),
        "Outside what was trained, the encoding and the pattern decide": bool(
            rotary[0][-1] > 3 * alibi[0][-1] and alibi[1][-1] > 1.5 * rotary[1][-1]
        ),
    }
