import numpy as np
import pytest

from scripts.figures.vision import swin as figures
from scripts.figures.vision.swin import LAYERS, PLACE, SHIFTS, SIDE, START, WINDOW
from tests.figures.drawn import assert_draws


@pytest.mark.parametrize("layers", LAYERS)
@pytest.mark.parametrize("shift", SHIFTS)
def test_the_outline_holds_what_was_seen_and_nothing_else(layers, shift):
    corners, seen = figures.outline(layers, shift), figures.view(layers, shift)
    (left, top), (right, bottom) = corners[0].astype(int), corners[2].astype(int)
    assert seen[top:bottom, left:right].all()
    assert seen.sum() == (bottom - top) * (right - left)
    assert seen[PLACE]
    assert figures.reach().show(layers, shift) == (
        f"After {layers} layers the place has seen {bottom - top} by {right - left} places, "
        f"{seen.sum()} of {SIDE * SIDE}."
    )


def test_reach_draws_the_outline():
    explorable = figures.reach()
    area = explorable.moving[0]
    explorable.show(*(slider.values[slider.start] for slider in explorable.sliders))
    expected = figures.outline(LAYERS[START[0]], SHIFTS[START[1]])
    np.testing.assert_allclose(area.get_xy()[:5], expected)
    assert_draws(
        figures.reach(),
        lines={"place": ([PLACE[1] + 0.5], [PLACE[0] + 0.5])},
        xlabel="column",
        ylabel="row",
    )


def test_a_layer_reads_its_windows():
    for shift in SHIFTS:
        found = figures.readable(shift)
        assert (found == found.T).all()
        counts = found.sum(1).reshape(SIDE, SIDE)
        inner = counts[WINDOW:-WINDOW, WINDOW:-WINDOW]
        assert (inner == WINDOW**2).all()
        assert (counts[0, 0] == WINDOW**2) == (shift == 0)


def test_cost_draws_both():
    windows, everything = figures.costs()
    assert_draws(
        figures.cost(),
        lines={
            "windows of 7 by 7": (figures.SIZES, windows),
            "all with all": (figures.SIZES, everything),
        },
        texts=["windows of 7 by 7", "all with all"],
        xlabel="places along a side",
        ylabel="G multiply-adds",
    )
