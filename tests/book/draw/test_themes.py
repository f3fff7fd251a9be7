"""The dark theme: colours exchanged in the light drawing, or drawn where that would not do."""

import itertools
import re

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from dlkb.book.draw import drawing, style
from dlkb.book.draw.drawing import in_every_theme
from scripts.figures.explorable import Explorable, Slider

IDS = re.compile(rb"\b(?:image|[a-z])[0-9a-f]{10}\b")  # made from colours


def lines():
    figure, axes = plt.subplots()
    for i in range(6):
        axes.plot([0, 1], [i, 2], marker="o", label=f"run {i}")
    axes.axhline(1, color=plt.rcParams["axes.edgecolor"])
    axes.text(0.5, 1, "word", backgroundcolor=plt.rcParams["figure.facecolor"])
    axes.fill_between([0, 1], [0, 1], alpha=0.2, hatch="/")
    axes.legend(frameon=True)
    return figure


def moving():
    figure, axes = plt.subplots()
    (line,) = axes.plot([], [], color="C1")
    axes.set(xlim=(0, 1), ylim=(0, 3))

    def show(slope: float) -> str:
        line.set_data([0, 1], [0, slope])
        return f"slope {slope}"

    return Explorable(figure, (Slider("slope", (1, 2), 0),), (line,), show)


def mixture():
    figure, axes = plt.subplots()
    half = (np.asarray(to_rgb("C0")) + to_rgb(plt.rcParams["figure.facecolor"])) / 2
    axes.bar(["a", "b"], [1, 2], color=tuple(half))
    return figure


def colour_map():
    figure, axes = plt.subplots()
    axes.plot([0, 1], color=mpl.colormaps["cividis"](0.3))
    return figure


def bitmap():
    figure, axes = plt.subplots()
    page, ink = (to_rgb(plt.rcParams[key]) for key in ("figure.facecolor", "text.color"))
    axes.imshow(np.asarray([[page, ink]]))
    return figure


ONCE, TWICE = [lines, moving], [mixture, colour_map, bitmap]


@pytest.mark.parametrize("function", ONCE + TWICE)
def test_the_dark_files_are_what_drawing_them_gives(function):
    _, dark, *more = in_every_theme(function)
    drawn = drawing.render(function, style.dark)
    assert IDS.sub(b"", dark) == IDS.sub(b"", drawn.whole)
    if function is moving:
        _, axes, _, narrow, frames = more
        assert IDS.sub(b"", axes) == IDS.sub(b"", drawn.axes)
        assert f'"dark":"{drawn.frames.curves[0]["colour"]}"'.encode() in frames
    else:
        _, narrow = more
    assert IDS.sub(b"", narrow) == IDS.sub(b"", drawn.narrow)


@pytest.mark.parametrize("function", ONCE + TWICE)
def test_what_has_the_theme_s_colours_is_drawn_once(function, monkeypatch):
    themes = []
    render = drawing.render

    def watched(function, rc):
        themes.append(rc["text.color"])
        return render(function, rc)

    monkeypatch.setattr(drawing, "render", watched)
    in_every_theme(function)
    assert len(themes) == (1 if function in ONCE else 2)


@pytest.mark.parametrize(
    ("at_first", "message"), [(True, "themes differ in more"), (False, "frames differ between")]
)
def test_what_is_drawn_twice_must_not_differ_by_chance(at_first, message):
    chance = itertools.count()

    def restless():
        drawn = moving()
        drawn.figure.axes[0].plot([0, 1], color=mpl.colormaps["cividis"](0.3))
        show, heights = drawn.show, (next(chance), 1) if at_first else (1, next(chance))
        return drawn._replace(show=lambda slope: show(heights[int(slope) - 1]))

    with pytest.raises(ValueError, match=message):
        in_every_theme(restless)


def test_numbers_without_a_seed_are_refused():
    def dice(seed=None):
        figure, axes = plt.subplots()
        axes.plot(np.random.default_rng(seed).random(3))
        return figure

    with pytest.raises(ValueError, match="is it random"):
        in_every_theme(dice)
    assert in_every_theme(lambda: dice(3)) == in_every_theme(lambda: dice(3))
