"""Draw random inputs from the ranges that a tie gives: `0 < eta < 1, integer 1 <= t <= 60`."""

import math
import random
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlkb.book.read.tokens import FormulaError

_RANGE = re.compile(
    r"(?P<kind>array|integer|vector\((?P<size>\d+)\)|matrix\((?P<rows>\d+), *(?P<columns>\d+)\))?"
    r"\s*(?P<low>\S+?)\s*(?P<from><=?)\s*(?P<name>[^\W\d]\w*)\s*(?P<to><=?)\s*(?P<high>\S+)"
)
_BINARY = re.compile(r"binary\s+([^\W\d]\w*)")
ARRAY = 7
"""Entries of what is declared as an array."""


@dataclass(frozen=True)
class Range:
    """The values that a symbol is tried with."""

    name: str
    kind: str
    low: float
    high: float
    shape: tuple[int, ...] = ()

    def draw(self, generator: random.Random) -> Any:
        """Return a value as a function of this package takes it."""
        if self.kind in ("integer", "binary"):
            return generator.randint(int(self.low), int(self.high))
        count = math.prod(self.shape)
        drawn = [generator.uniform(self.low, self.high) for _ in range(count)]
        return np.asarray(drawn).reshape(self.shape) if self.shape else drawn[0]

    def widened(self) -> "Range":
        """Return a range that tells apart formulas which agree on this one by accident."""
        if self.kind == "binary":
            return self
        if self.kind == "integer":
            return Range(self.name, self.kind, min(self.low, 1), self.high + 3)
        shape = () if self.kind == "array" else self.shape
        return Range(self.name, self.kind, min(self.low, -4), max(self.high, 4), shape)

    def in_formula(self, value: Any) -> Any:
        """Return a value as formulas take it: a vector is a column."""
        return value[:, None] if self.kind == "vector" else value


def read_ranges(where: str) -> list[Range]:
    """Read the ranges of a tie.

    Raises:
        FormulaError: For what is no range, or one of fewer than two values.

    Example:
        >>> read_ranges("integer 0 < t <= 9")
        [Range(name='t', kind='integer', low=1.0, high=9.0, shape=())]
    """
    parts = [part.strip() for part in re.split(r",(?![^(]*\))", where) if part.strip()]
    found = [_range(part) for part in parts]
    names = [row.name for row in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise FormulaError(f"two ranges for {', '.join(twice)}: keep one")
    return found


def _range(part: str) -> Range:
    if binary := _BINARY.fullmatch(part):
        return Range(binary[1], "binary", 0, 1)
    found = _RANGE.fullmatch(part)
    try:
        low, high = float(found["low"]), float(found["high"])  # type: ignore[index]
    except (TypeError, ValueError):
        raise FormulaError(
            f"range {part!r} is not like '0 < x < 1', 'array -3 < x < 3', 'integer 1 <= n <= 9', "
            "'vector(3) -1 < x < 1', 'matrix(2, 3) -1 < W < 1' or 'binary k'"
        ) from None
    assert found is not None
    kind = (found["kind"] or "number").partition("(")[0]
    if kind == "integer":
        low = math.floor(low) + 1 if found["from"] == "<" else math.ceil(low)
        high = math.ceil(high) - 1 if found["to"] == "<" else math.floor(high)
    if not low < high:
        raise FormulaError(f"range {part!r} holds fewer than two values: widen it")
    sizes = [found["size"], found["rows"], found["columns"]]
    shape = tuple(int(size) for size in sizes if size is not None)
    return Range(
        found["name"], kind, float(low), float(high), (ARRAY,) if kind == "array" else shape
    )
