"""Figures of the page on benchmarks, from `benchmarks/cpu.json`."""

import json
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dlkb.book.publish.measured import Row, Spread, as_count, ratio

MEASURED = "benchmarks/cpu.json"
"""The figures are drawn anew when this file, being named here, changes."""


def measured(part: str) -> list[Row]:
    """Return the rows of a part; none if it was not measured."""
    path = Path(__file__).parents[3] / MEASURED
    parts = json.loads(path.read_text()) if path.exists() else {}
    return parts.get(part, {}).get("rows", [])


def compiled_ratios(dtype: str) -> dict[str, dict[int, Spread]]:
    """Return compiled / PyTorch of forward + backward: formula → entries → spread."""
    found: dict[str, dict[int, Spread]] = {}
    for row in measured("formulas"):
        if row["dtype"] == dtype and row["backward"]:
            found.setdefault(row["name"], {})[row["entries"]] = ratio(row, "compiled", "torch")
    return found


def _around_one(ax: Axes, ticks: list[float]) -> None:
    ax.set_xscale("log")
    ax.axvline(1, color=plt.rcParams["text.color"], linewidth=1)
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.minorticks_off()
    ax.grid(axis="y", visible=False)


def ratios() -> Figure:
    """Draw the time of each compiled formula, divided by that of PyTorch's function."""
    figure, axes = plt.subplots(1, 2, figsize=(7.0, 3.4), sharey=True, sharex=True)
    for ax, dtype in zip(axes, ("float32", "bfloat16"), strict=True):
        found = compiled_ratios(dtype)
        for y, of in enumerate(found.values()):
            for i, (entries, s) in enumerate(sorted(of.items())):
                at = y + 0.16 * (1.5 - i)
                ax.plot([s.low, s.high], [at, at], color=f"C{i}", linewidth=1.5)
                label = f"{as_count(entries)} entries" if y == 0 and ax is axes[0] else None
                ax.plot(s.median, at, "o", color=f"C{i}", markersize=5, label=label)
        ax.set_title(dtype)
        _around_one(ax, [0.25, 1, 4, 16, 64])
        ax.set_yticks(range(len(found)), list(found))
        ax.set_xlabel("time / time of PyTorch")
    axes[0].invert_yaxis()  # shared
    if figure.axes[0].lines[1:]:
        figure.legend(loc="outside lower center", ncols=2)
    return figure


def steps() -> Figure:
    """Draw the time of an optimizer's step, divided by that of torch.optim's default."""
    rows = [row for row in measured("optimizers") if row["name"] == "AdamW"]
    figure, ax = plt.subplots(figsize=(6.2, 3.2))
    for y, row in enumerate(rows):
        for i, kind in enumerate(("ours", "fused", "foreach")):
            s = ratio(row, kind, "default")
            at = y + 0.2 * (i - 1)
            ax.plot([s.low, s.high], [at, at], color=f"C{i}", linewidth=1.5)
            label = {"ours": "dlkb.optim", "fused": "torch, fused=True"}.get(
                kind, "torch, foreach=True"
            )
            ax.plot(s.median, at, "o", color=f"C{i}", label=label if y == 0 else None)
    ax.set_yticks(range(len(rows)), [f"{row['model']}, {row['dtype']}" for row in rows])
    ax.invert_yaxis()
    _around_one(ax, [0.125, 0.25, 0.5, 1, 2, 4])
    ax.set_xlabel("time of a step / time of\ntorch.optim.AdamW as it comes")
    if rows:
        figure.legend(loc="outside lower center", ncols=3)
    return figure


def growth() -> Figure:
    """Draw the seconds that synthetic books of 50, 200 and 800 pages take."""
    figure, ax = plt.subplots(figsize=(6.2, 3.2))
    rows = measured("growth")
    for i, name in enumerate(dict.fromkeys(row["name"] for row in rows)):
        of = sorted(
            (row["pages"], min(row["rounds"]["ours"])) for row in rows if row["name"] == name
        )
        pages, seconds = zip(*of, strict=True)
        ax.plot(pages, seconds, "o-", color=f"C{i}", label=name)
    ax.set(xlim=(0, None), ylim=(0, None), xlabel="pages", ylabel="seconds")
    if rows:
        ax.legend()
    return figure
