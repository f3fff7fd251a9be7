"""What `make bench` measured, and the ratios that are formed of it."""

import json
from collections.abc import Iterable
from math import exp, log
from pathlib import Path
from statistics import mean, median, quantiles
from typing import Any, NamedTuple

DEVICES = {"cpu": "CPU", "cuda": "GPU"}
MISSING = "not measured"
CONTROL = "torch.relu"
"""Measured as the formulas are, and not one of them."""
COMPILED = "torch, compiled"
"""What the same compiler makes of PyTorch's function: where that is slow, too, it is not ours."""
LIGER = "Liger-Kernel"
"""Takes part on a GPU, in the formulas that it has."""

Row = dict[str, Any]


class Spread(NamedTuple):
    """Median and quartiles."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        if self.low == self.high:  # one round
            return short(self.median)
        return f"{short(self.median)} <small>{short(self.low)}–{short(self.high)}</small>"


def short(x: float) -> str:
    """Return a number as the tables show it: two decimals below ten, none above."""
    return f"{x:.2f}" if x < 9.95 else f"{x:.0f}"


def spread(values: list[float]) -> Spread:
    """Return median and quartiles of some values."""
    if len(values) == 1:
        return Spread(values[0], values[0], values[0])
    low, _, high = quantiles(values, n=4, method="inclusive")
    return Spread(median(values), low, high)


def ratio(row: Row, ours: str, peer: str) -> Spread:
    """Return ours / peer, formed round by round, so that a slow second slows both."""
    rounds = row["rounds"]
    return spread([a / b for a, b in zip(rounds[ours], rounds[peer], strict=True)])


def geometric_mean(values: Iterable[float]) -> float:
    """Return exp of the mean logarithm."""
    return exp(mean(log(value) for value in values))


def load(root: Path) -> dict[str, Any]:
    """Return what was measured: device → part → stamp and rows."""
    paths = {device: root / "benchmarks" / f"{device}.json" for device in DEVICES}
    return {
        device: json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        for device, path in paths.items()
    }


def rows_of(measured: dict[str, Any], device: str, part: str) -> list[Row]:
    """Return the rows of one part, none if it was not measured."""
    return measured[device].get(part, {}).get("rows", [])


def as_count(n: int) -> str:
    """Return a count of entries as it is said: 256 Ki, 4 Mi."""
    return f"{n / 2**20:.3g} Mi" if n >= 2**20 else f"{n / 2**10:.3g} Ki"
