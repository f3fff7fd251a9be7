"""The figures of the page on benchmarks show what was measured."""

import json
from pathlib import Path

import numpy as np
import pytest

from dlkb.book.publish.measured import ratio
from scripts.figures.front import benchmarks

ROOT = Path(__file__).parents[3]


def rows(part):
    return json.loads((ROOT / benchmarks.MEASURED).read_text()).get(part, {}).get("rows", [])


def points(ax):
    """Return the positions of all markers."""
    marks = [line for line in ax.lines if line.get_marker() == "o"]
    return [float(x) for line in marks for x in np.atleast_1d(line.get_xdata())]


@pytest.mark.parametrize(("axis", "dtype"), [(0, "float32"), (1, "bfloat16")])
def test_every_compiled_formula_has_its_point(axis, dtype):
    chosen = [r for r in rows("formulas") if r["dtype"] == dtype and r["backward"]]
    expected = sorted(ratio(r, "compiled", "torch").median for r in chosen)
    assert sorted(points(benchmarks.ratios().axes[axis])) == pytest.approx(expected)
    assert len(expected) >= 20


def test_every_point_lies_within_the_axes():
    for draw in (benchmarks.ratios, benchmarks.steps):
        for ax in draw().axes:
            low, high = ax.get_xlim()
            assert all(low <= x <= high for x in points(ax))


def test_every_kind_of_step_has_its_point():
    expected = [
        ratio(r, kind, "default").median
        for r in rows("optimizers")
        if r["name"] == "AdamW"
        for kind in ("ours", "fused", "foreach")
    ]
    assert sorted(points(benchmarks.steps().axes[0])) == pytest.approx(sorted(expected))


def test_growth_starts_at_nothing_and_holds_all_sizes():
    figure = benchmarks.growth()
    assert figure.axes[0].get_xlim()[0] == figure.axes[0].get_ylim()[0] == 0
    expected = sorted(r["pages"] for r in rows("growth"))
    assert sorted(points(figure.axes[0])) == expected
