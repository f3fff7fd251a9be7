"""Figures of the page on asyncio."""

from collections.abc import Callable
from functools import partial
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Polygon
from numpy.typing import NDArray

from dlkb.systems.asyncio import (
    enough_in_flight,
    finish_times,
    lockstep_throughput,
    throughput,
)
from scripts.figures.explorable import Explorable, Slider
from scripts.figures.labels import label_line

Array = NDArray[np.float64]

SECONDS = np.asarray([1.0, 0.5, 2.0, 1.0, 0.5, 1.5, 1.0, 3.0])
LIMITS = (1, 2, 3, 4, 8)


def bars(limit: int) -> Array:
    """Return the corners of a bar for each task, (tasks, 4, 2): when it waits, in its row."""
    ends = finish_times(SECONDS, limit=limit)
    found = []
    for row, (end, length) in enumerate(zip(ends, SECONDS, strict=True), 1):
        low, high = row - 0.35, row + 0.35
        found.append([[end - length, low], [end, low], [end, high], [end - length, high]])
    return np.asarray(found)


def limits() -> Explorable:
    """Draw when each of eight tasks waits, for a limit on how many are under way."""
    figure, ax = plt.subplots(figsize=(7.2, 3.1))
    moving = [
        ax.add_patch(Polygon(corners, closed=True, facecolor="C0", linewidth=0))
        for corners in bars(1)
    ]
    (last,) = ax.plot([], [], color="C3", linestyle="--", label="all done")
    ax.set(xlim=(0, 11), ylim=(8.8, 0.2), xlabel="seconds", ylabel="task", yticks=range(1, 9))

    def show(limit: float) -> str:
        corners = bars(int(limit))
        for bar, where in zip(moving, corners, strict=True):
            bar.set_xy(where)
        done = corners[..., 0].max()
        last.set_data([done, done], [0.2, 8.8])
        return f"At most {limit:g} at a time: all done after {done:g} s."

    return Explorable(figure, (Slider("at a time", LIMITS, 1),), (*moving, last), show)


def done(limit: int) -> float:
    """Return when all tasks are done."""
    return float(finish_times(SECONDS, limit=limit).max())


def limits_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    return {
        f"Two at a time, eight tasks that wait {SECONDS.sum():g} seconds in all "
        f"are done after {done(2):g}": len(SECONDS) == 8,
        f"One after another they take {done(1):g} seconds, all at once {done(8):g}": bool(
            done(8) == SECONDS.max()
        ),
    }


WAIT, WORK = 0.09, 0.01
IN_FLIGHT = np.arange(1.0, 61.0)
CURVES: dict[str, Callable[..., Any]] = {
    "at most": throughput,
    "in lockstep": lockstep_throughput,
    "4 processes": partial(throughput, workers=4),
}


def rate(name: str) -> Array:
    """Return the tasks a second of a curve for each number in flight."""
    return np.asarray(CURVES[name](IN_FLIGHT, wait=WAIT, work=WORK))


def rates() -> Figure:
    """Draw how many tasks a second are finished against how many are under way."""
    figure, ax = plt.subplots(figsize=(6.2, 2.8))
    places = ((44, 6), (44, -15), (27, -12))
    for (name, (at, up)), color in zip(
        zip(CURVES, places, strict=True), ("C0", "C2", "C1"), strict=True
    ):
        (line,) = ax.plot(IN_FLIGHT, rate(name), color=color)
        label_line(ax, line, name, at, offset=(14 if at == 27 else 0, up), ha="left")
    bend = enough_in_flight(wait=WAIT, work=WORK)
    ax.plot([bend], [1 / WORK], "o", color="C3", label="bend")
    ax.set(xlim=(0, 60), ylim=(0, 420), xlabel="tasks in flight", ylabel="tasks a second")
    return figure


def rates_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    high, low, more = (rate(name) for name in CURVES)
    bend = enough_in_flight(wait=WAIT, work=WORK)
    at = int(bend) - 1
    return {
        f"One event loop finishes at most {high.max():.0f} tasks a second, from "
        f"{bend:.0f} in flight on": bool(high[at] == high.max() > high[at - 1]),
        f"there {low[at]:.0f} of them if all wait in lockstep": True,
        f"Four processes finish at most {more.max():.0f}": True,
        f"Each task waits {1e3 * WAIT:.0f} ms and computes {1e3 * WORK:.0f} ms": True,
        "Beyond the bend the bound stands still": bool((np.diff(high[at:]) == 0).all()),
        "while lockstep gains": bool((np.diff(low[at:]) > 0).all()),
    }
