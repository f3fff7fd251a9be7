"""What a figure draws, held against the data that it was drawn from.

    assert_draws(
        script.bias_correction(),
        panel=0,
        lines={"m": data.m, "v": (data.t, data.v)},
        xlabel="step t",
    )

Lines, bars, points, bands and images go by the name that the script gave them: the label, which
`plot(..., label=)` or `label_line` sets, or else `set_gid`. What has none goes by "". Values are y,
or `(x, y)` as a tuple. Nothing that carries data is left out: a line of more than two points, and
all that has a name, must be expected.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from numpy.typing import ArrayLike

from scripts.figures.explorable import Explorable

TOLERANCE = 1e-7
"""Of a value drawn, relative to the expected one, or absolute if that is small."""

Expected = Mapping[str, ArrayLike | tuple[ArrayLike, ArrayLike]]


def assert_draws(
    drawn: Figure | Explorable,
    *,
    panel: int | None = None,
    lines: Expected | None = None,
    bars: Expected | None = None,
    points: Expected | None = None,
    bands: Mapping[str, tuple[ArrayLike, ArrayLike]] | None = None,
    images: Mapping[str, ArrayLike] | None = None,
    legend: Sequence[str] | None = None,
    texts: Sequence[str] = (),
    xlabel: str | None = None,
    ylabel: str | None = None,
    title: str | None = None,
) -> None:
    """Compare what a figure draws with what it should draw.

    Args:
        drawn: A figure; of an explorable one, the frame of its sliders' start is compared.
        panel: Index of the axes; all of them if left out.
        lines: By name, y or (x, y).
        bars: By name, heights (of horizontal bars, widths) or (positions, heights).
        points: Of scatter plots: by name, y or (x, y).
        bands: Of `fill_between`: by name, lower and upper edge, of equal length.
        images: By name, the array.
        legend: The entries of all legends, in order. Required where there is one.
        texts: Texts that must be written, however often.
        xlabel: What the axis of every panel in question is called.
        ylabel: Likewise.
        title: Likewise.

    Raises:
        AssertionError: For what is drawn otherwise, missing, or drawn and not expected.
    """
    figure = drawn if isinstance(drawn, Figure) else _started(drawn)
    panels = list(figure.axes) if panel is None else [figure.axes[panel]]
    data = (lines, bars, points, bands, images)
    assert any(expected for expected in data), "a figure draws data: say which"
    for kind, expected, find in (
        ("line", lines, _lines),
        ("bars", bars, _bars),
        ("points", points, _points),
        ("band", bands, _bands),
        ("image", images, _images),
    ):
        _compare(kind, expected or {}, [artist for ax in panels for artist in find(ax)])
    found = [*(figure.legends if panel is None else []), *(ax.get_legend() for ax in panels)]
    entries = [text.get_text() for one in found if one for text in _entries(one)]
    assert entries == list(legend or []), f"the legend says {entries}, not {legend}"
    written = {text.get_text() for ax in panels for text in ax.texts}
    absent = [text for text in texts if text not in written]
    assert not absent, f"not written: {absent}; written: {sorted(written)}"
    for ax in panels:
        for what, wanted in (("xlabel", xlabel), ("ylabel", ylabel)):
            is_said = getattr(ax, f"get_{what}")()
            assert wanted is None or is_said == wanted, f"{what} is {is_said!r}, not {wanted!r}"
        titles = [ax.get_title(loc) for loc in ("left", "center", "right")]
        assert title is None or title in titles, f"title is {''.join(titles)!r}, not {title!r}"


def _started(drawn: Explorable) -> Figure:
    drawn.show(*(slider.values[slider.start] for slider in drawn.sliders))
    return drawn.figure


def _entries(legend: Legend) -> list[Any]:
    return legend.get_texts()


def _name(artist: Any) -> str:
    label = str(artist.get_label() or "")
    if label and not label.startswith("_"):
        return label
    return str(getattr(artist, "get_gid", str)() or "")  # a group of bars has none


Found = tuple[str, np.ndarray | None, list[np.ndarray], bool]
"""Name, x if it has one, the values, and whether it must be expected."""


def _lines(ax: Axes) -> list[Found]:
    return [
        (_name(line), x, [y], len(y) > 2 or bool(_name(line)))
        for line in ax.lines
        for x, y in [(_numbers(line.get_xdata()), _numbers(line.get_ydata()))]
    ]


def _bars(ax: Axes) -> list[Found]:
    found: list[Found] = []
    for bars in ax.containers:
        patches = getattr(bars, "patches", None)
        if patches is None:  # error bars: their line is among the lines
            continue
        lying = bars.orientation == "horizontal"
        x = [p.get_y() + p.get_height() / 2 if lying else p.get_x() + p.get_width() / 2
             for p in patches]  # fmt: skip
        y = [p.get_width() if lying else p.get_height() for p in patches]
        found.append((_name(bars), _numbers(x), [_numbers(y)], True))
    return found


def _points(ax: Axes) -> list[Found]:
    found: list[Found] = []
    for cloud in ax.collections:
        if isinstance(cloud, PathCollection):
            x, y = np.ma.filled(cloud.get_offsets(), np.nan).T
            found.append((_name(cloud), x, [y], True))
    return found


def _bands(ax: Axes) -> list[Found]:
    """Return lower and upper edge of what `fill_between` draws: one polygon, there and back."""
    found: list[Found] = []
    for band in ax.collections:
        if isinstance(band, PolyCollection):
            corners = band.get_paths()[0].vertices
            count = (len(corners) - 3) // 2  # a start, there, a turn, back, the end
            low, high = corners[1 : count + 1], corners[count + 2 : 2 * count + 2][::-1]
            found.append((_name(band), low[:, 0], [low[:, 1], high[:, 1]], bool(_name(band))))
    return found


def _images(ax: Axes) -> list[Found]:
    return [(_name(i), None, [np.ma.filled(i.get_array(), np.nan)], True) for i in ax.images]


def _numbers(values: Any) -> np.ndarray:
    return np.asarray(values, dtype=np.float64)


def _compare(kind: str, expected: Mapping[str, Any], found: list[Found]) -> None:
    names = [name for name, *_ in found]
    for name, wanted in expected.items():
        assert names.count(name) == 1, (
            f"{names.count(name)} {kind}s are called {name!r}; there are {names}: "
            "give each a label, or name the panel"
        )
        _, x, values, _ = found[names.index(name)]
        if isinstance(wanted, tuple) and kind != "band":
            assert x is not None, f"an image has no x: {name!r}"
            _close(f"x of {kind} {name!r}", x, wanted[0])
            wanted = wanted[1]
        sides = wanted if kind == "band" else [wanted]
        for value, side in zip(values, sides, strict=True):
            _close(f"{kind} {name!r}", value, side)
    left = [name for name, _, _, matters in found if matters and name not in expected]
    assert not left, f"also drawn, and not expected: {kind}s {left}"


def _close(what: str, value: np.ndarray, wanted: ArrayLike) -> None:
    wanted = _numbers(wanted)
    assert value.shape == wanted.shape, f"{what} has shape {value.shape}, not {wanted.shape}"
    np.testing.assert_allclose(
        value, wanted, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True, err_msg=what
    )
