"""Figures of the page on the Swin Transformer."""

from functools import cache

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dlkb.book.draw.kept import kept
from dlkb.vision.swin import window_cost
from dlkb.vision.windows import to_windows, window_mask
from scripts.figures.explorable import Explorable, Slider
from scripts.figures.labels import label_line

Array = NDArray[np.float64]
SIDE, WINDOW = 24, 4
PLACE = (9, 13)
"""The place whose view is drawn: row and column."""
LAYERS = (1, 2, 3, 4, 5, 6)
SHIFTS = (0, 1, 2, 3)
START = (1, 2)


@kept
def readable(shift: int) -> NDArray[np.bool_]:
    """Return which places of the image each place reads in one layer, (places, places)."""
    count = SIDE * SIDE
    number = np.arange(float(count)).reshape(SIDE, SIDE, 1)
    at = to_windows(number, window=WINDOW, shift=shift)[..., 0].astype(int)
    allowed = window_mask(number, height=SIDE, width=SIDE, window=WINDOW, shift=shift)
    found = np.zeros((count, count), dtype=bool)
    for places, mask in zip(at, allowed, strict=True):
        found[np.ix_(places, places)] = mask
    return found


@cache
def view(layers: int, shift: int) -> NDArray[np.bool_]:
    """Return what one place has seen after some layers, of which every other one is shifted."""
    seen: NDArray[np.bool_] = np.zeros(SIDE * SIDE, dtype=bool)
    seen[PLACE[0] * SIDE + PLACE[1]] = True
    for layer in range(layers - 1, -1, -1):
        seen = np.any(readable(shift if layer % 2 else 0)[seen], axis=0)
    return seen.reshape(SIDE, SIDE)


def outline(layers: int, shift: int) -> Array:
    """Return the corners of the rectangle that was seen, closed, as columns x and y."""
    seen = view(layers, shift)
    rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
    left, right = columns[0], columns[-1] + 1
    top, bottom = rows[0], rows[-1] + 1
    corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
    return np.asarray(corners, dtype=float)


def reach() -> Explorable:
    """Draw what one place has seen, by the number of layers and the shift."""
    figure, ax = plt.subplots(figsize=(4.0, 3.8))
    grid = plt.rcParams["axes.edgecolor"]
    for at in range(0, SIDE + 1, WINDOW):
        ax.plot([at, at], [0, SIDE], color=grid, linewidth=0.8)
        ax.plot([0, SIDE], [at, at], color=grid, linewidth=0.8)
    (area,) = ax.fill([0], [0], color="C0", alpha=0.35, linewidth=0, label="seen")
    ax.plot(PLACE[1] + 0.5, PLACE[0] + 0.5, "o", color="C1", label="place")
    ax.set(xlim=(0, SIDE), ylim=(SIDE, 0), aspect="equal", xlabel="column", ylabel="row")
    ax.set_xticks(range(0, SIDE + 1, WINDOW))
    ax.set_yticks(range(0, SIDE + 1, WINDOW))
    ax.grid(False)

    def show(layers: int, shift: int) -> str:
        area.set_xy(outline(layers, shift))
        seen = view(layers, shift)
        return (
            f"After {layers} layers the place has seen {seen.any(1).sum()} by {seen.any(0).sum()} "
            f"places, {seen.sum()} of {SIDE * SIDE}."
        )

    sliders = (
        Slider("layers", LAYERS, START[0]),
        Slider("shift of every other layer", SHIFTS, START[1]),
    )
    return Explorable(figure, sliders, (area,), show)


def reach_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    layers, shift = LAYERS[START[0]], SHIFTS[START[1]]
    seen = view(layers, shift)
    sides = {s: [view(n, s).any(1).sum() for n in (1, 2, 3)] for s in SHIFTS}
    return {
        f"A place of an image of {SIDE} by {SIDE} places, cut into windows of {WINDOW}": True,
        f"after two layers, the second shifted by {shift}, it has seen {seen.any(1).sum()} by "
        f"{seen.any(0).sum()} places": bool(layers == 2 and seen.sum() == 64),
        "Without a shift no layer leads out of the window": bool(
            (np.asarray(sides[0]) == WINDOW).all() and view(6, 0).sum() == WINDOW**2
        ),
        "with one the view grows by up to a window's side a layer": all(
            max(np.diff(rows)) == WINDOW for s, rows in sides.items() if s
        ),
    }


SIZES = np.asarray([14, 28, 56, 112, 224])
CHANNELS = 96


def costs() -> tuple[Array, Array]:
    """Return the giga multiply-adds of one layer: in windows of 7, and of all with all."""
    size = [{"height": int(n), "width": int(n), "channels": CHANNELS} for n in SIZES]
    windows = [window_cost(**one, window=7) / 1e9 for one in size]
    return np.asarray(windows), np.asarray([window_cost(**one) / 1e9 for one in size])


def cost() -> Figure:
    """Draw the cost of one layer by the size of the image."""
    windows, everything = costs()
    figure, ax = plt.subplots(figsize=(6.2, 3.3))
    (low,) = ax.loglog(SIZES, windows, "o-", color="C0")
    (high,) = ax.loglog(SIZES, everything, "o-", color="C1")
    label_line(ax, low, "windows of 7 by 7", 2, offset=(6, -14))
    label_line(ax, high, "all with all", 2, offset=(-8, 6), ha="right")
    ax.set_xticks(SIZES, [str(n) for n in SIZES])
    ax.minorticks_off()
    ax.set(xlabel="places along a side", ylabel="G multiply-adds")
    return figure


def cost_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    windows, everything = costs()
    return {
        "in windows it grows fourfold when the side doubles": bool(
            np.allclose(windows[1:] / windows[:-1], 4)
        ),
        "all with all nearly sixteenfold at the end": bool(
            15 < everything[-1] / everything[-2] < 16
        ),
        f"One layer of {CHANNELS} channels": True,
        f"At 56 places a side, stage 1 of an image of 224, windows cost {windows[2]:.2f} G, all "
        f"with all {everything[2]:.1f} G": True,
    }
