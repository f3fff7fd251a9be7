"""`assert_draws` notices what is drawn otherwise, just outside of its tolerance."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from scripts.figures.explorable import Explorable, Slider
from scripts.figures.labels import label_line
from tests.figures.drawn import TOLERANCE, assert_draws

X = np.arange(5.0)
Y = X**2 - 3
HEIGHTS = np.array([3.0, 1.0])
PICTURE = np.arange(6.0).reshape(2, 3)


def picture():
    figure, (left, right) = plt.subplots(1, 2)
    left.plot(X, Y, label="square")
    left.plot(X, -Y, gid="mirror")
    left.axhline(1.0)
    left.fill_between(X, Y - 1, Y + 2, label="band")
    left.scatter(X, Y + 1, label="cloud")
    left.set(xlabel="x", ylabel="y", title="squares")
    left.legend()
    right.bar([1, 4], HEIGHTS, width=0.5)
    right.imshow(PICTURE)
    right.text(0, 0, "note")
    return figure


LEFT = {
    "panel": 0,
    "lines": {"square": (X, Y), "mirror": -Y},
    "bands": {"band": (Y - 1, Y + 2)},
    "points": {"cloud": (X, Y + 1)},
    "legend": ["square", "band", "cloud"],
    "xlabel": "x",
    "ylabel": "y",
    "title": "squares",
}
RIGHT = {
    "panel": 1,
    "bars": {"": ([1, 4], HEIGHTS)},
    "images": {"": PICTURE},
    "texts": ["note"],
}


def test_what_is_drawn_passes():
    figure = picture()
    assert_draws(figure, **LEFT)
    assert_draws(figure, **RIGHT)
    assert_draws(figure, **{**RIGHT, **LEFT, "panel": None, "xlabel": None, "ylabel": None,
                            "title": None})  # fmt: skip


def moved(values, by):
    return np.asarray(values) + by * np.eye(1, np.size(values)).reshape(np.shape(values))


@pytest.mark.parametrize("share", [0.5, 2])
@pytest.mark.parametrize(
    ("panel", "kind", "change"),
    [
        (LEFT, "lines", lambda by: {"square": (X, moved(Y, by)), "mirror": -Y}),
        (LEFT, "lines", lambda by: {"square": (moved(X, by), Y), "mirror": -Y}),
        (LEFT, "lines", lambda by: {"square": Y, "mirror": moved(-Y, by)}),
        (LEFT, "bands", lambda by: {"band": (moved(Y - 1, by), Y + 2)}),
        (LEFT, "bands", lambda by: {"band": (Y - 1, moved(Y + 2, by))}),
        (LEFT, "points", lambda by: {"cloud": moved(Y + 1, by)}),
        (RIGHT, "bars", lambda by: {"": moved(HEIGHTS, by)}),
        (RIGHT, "bars", lambda by: {"": (moved([1, 4], by), HEIGHTS)}),
        (RIGHT, "images", lambda by: {"": moved(PICTURE, by)}),
    ],
)
def test_values_just_inside_and_just_outside_the_tolerance(panel, kind, change, share):
    # The first value is at most 3 in size, so its tolerance is TOLERANCE to 4 × TOLERANCE.
    by = {0.5: 0.5, 2: 5}[share] * TOLERANCE
    expected = {**panel, kind: change(by)}
    if share < 1:
        assert_draws(picture(), **expected)
    else:
        with pytest.raises(AssertionError, match="Not equal to tolerance"):
            assert_draws(picture(), **expected)


WRONG = [
    (LEFT, {"lines": {"cube": Y, "mirror": -Y}}, "0 lines are called 'cube'"),
    (LEFT, {"lines": {"square": Y}}, r"not expected: lines \['mirror'\]"),
    (LEFT, {"lines": {"square": -Y, "mirror": Y}}, "line 'square'"),
    (LEFT, {"lines": {"square": Y[1:], "mirror": -Y}}, r"shape \(5,\), not \(4,\)"),
    (LEFT, {"bands": None}, r"not expected: bands \['band'\]"),
    (LEFT, {"points": None}, r"not expected: pointss \['cloud'\]"),
    (LEFT, {"legend": ["band", "square", "cloud"]}, "the legend says"),
    (LEFT, {"legend": None}, "the legend says"),
    (LEFT, {"xlabel": "z"}, "xlabel is 'x', not 'z'"),
    (LEFT, {"ylabel": "x"}, "ylabel is 'y', not 'x'"),
    (LEFT, {"title": "cubes"}, "title is 'squares', not 'cubes'"),
    (RIGHT, {"texts": ["notes"]}, "not written"),
    (RIGHT, {"bars": None}, "not expected: bars"),
    (RIGHT, {"images": None}, "not expected: image"),
    (RIGHT, {"bars": None, "images": None}, "say which"),
    (RIGHT, {"lines": {"square": Y}}, "0 lines are called 'square'"),
]


@pytest.mark.parametrize(("panel", "change", "message"), WRONG)
def test_what_is_wrong_is_noticed(panel, change, message):
    with pytest.raises(AssertionError, match=message):
        assert_draws(picture(), **{**panel, **change})


def test_two_lines_of_one_name_need_their_panel():
    figure, axes = plt.subplots(1, 2)
    for ax, y in zip(axes, (Y, -Y), strict=True):
        ax.plot(X, y, label="same")
    assert_draws(figure, panel=1, lines={"same": -Y})
    with pytest.raises(AssertionError, match="2 lines are called 'same'"):
        assert_draws(figure, lines={"same": Y})


def test_a_line_without_a_name_that_carries_data_must_be_expected():
    figure, ax = plt.subplots()
    ax.plot(X[:3], Y[:3])
    ax.plot([0, 1], [0, 1])  # an aid for the eye
    ax.plot(X, Y, label="known")
    with pytest.raises(AssertionError, match="also drawn"):
        assert_draws(figure, lines={"known": Y})
    ax.lines[0].remove()
    assert_draws(figure, lines={"known": Y})


def test_gaps_are_equal_to_gaps_alone():
    figure, ax = plt.subplots()
    ax.plot(X, np.where(X == 2, np.nan, Y), label="gap")
    assert_draws(figure, lines={"gap": np.where(X == 2, np.nan, Y)})
    with pytest.raises(AssertionError):
        assert_draws(figure, lines={"gap": Y})


def test_lying_bars():
    figure, ax = plt.subplots()
    ax.barh([2, 5], HEIGHTS, label="lying")
    assert_draws(figure, bars={"lying": ([2, 5], HEIGHTS)})
    with pytest.raises(AssertionError, match="x of bars"):
        assert_draws(figure, bars={"lying": ([2, 6], HEIGHTS)})


def test_an_explorable_figure_is_compared_at_its_start():
    figure, ax = plt.subplots()
    (line,) = ax.plot([], [], label="ray")

    def show(slope):
        line.set_data(X, slope * X)
        return "."

    drawn = Explorable(figure, (Slider("slope", (1, 2, 3), 1),), (line,), show)
    assert_draws(drawn, lines={"ray": 2 * X})
    with pytest.raises(AssertionError):
        assert_draws(drawn, lines={"ray": 3 * X})


def test_a_line_is_named_by_its_label_and_in_its_colour():
    figure, ax = plt.subplots()
    (line,) = ax.plot(X, Y, color="C3")
    written = label_line(ax, line, "m", 2, offset=(4, -2), ha="right")
    assert written.xy == (2.0, 1.0)
    assert written.get_color() == line.get_color()
    assert written.get_horizontalalignment() == "right"
    assert_draws(figure, lines={"m": (X, Y)}, texts=["m"])
