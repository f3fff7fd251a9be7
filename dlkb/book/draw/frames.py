"""The frames of an explorable figure: what its moving curves are for each value of its sliders.

matplotlib draws the axes once; a frame is the curves alone, as SVG paths in tenths of a point.
Runs in a worker process of `figures`. The figure script's own `Explorable` is not imported here:
a script is told by the annotation `-> Explorable`.
"""

import itertools
import json
from math import isfinite
from typing import Any, NamedTuple

import numpy as np
from matplotlib import rcParams
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D
from numpy.typing import NDArray

Points = NDArray[np.float64]

MAX_BYTES = 60_000
"""Of all frames together; they travel inside the page."""

FAR = 1e5
"""Tenths of a point; what lies farther off than this is moved here, outside of the clipping box."""

_DASHES = {"--": "lines.dashed_pattern", ":": "lines.dotted_pattern", "-.": "lines.dashdot_pattern"}


class Frames(NamedTuple):
    """The look of the curves and all frames.

    Attributes:
        size: Width and height, like all lengths in tenths of a point.
        sliders: For each: label, values in words, index of the first.
        curves: For each: the box of its axes, its attributes in SVG, its colour.
        rows: For each frame, the last slider fastest: a sentence, then the path of each curve.
        narrow: Of the variant for phones: its size, and the box of the axes of each curve.
    """

    size: tuple[int, int]
    sliders: list[dict[str, Any]]
    curves: list[dict[str, Any]]
    rows: list[list[str]]
    narrow: dict[str, Any]


def collect(explorable: Any) -> Frames:
    """Return the frames. The figure must have been saved once, so that its layout is final."""
    figure, sliders = explorable.figure, explorable.sliders
    figure.set_layout_engine("none")
    width, height = (round(720 * inches) for inches in figure.get_size_inches())
    rows = []
    for values in itertools.product(*(slider.values for slider in sliders)):
        text = explorable.show(*values)
        rows.append([text, *(_path(curve, height) for curve in explorable.moving)])
    explorable.show(*(slider.values[slider.start] for slider in sliders))
    named = [
        {
            "label": slider.label,
            "values": [slider.form.format(value) for value in slider.values],
            "start": slider.start,
        }
        for slider in sliders
    ]
    looks = [_look(curve, height) for curve in explorable.moving]
    return Frames((width, height), named, looks, rows, {})


def boxes(explorable: Any) -> dict[str, Any]:
    """Return size and boxes of a figure as it is laid out now; it must have been saved so."""
    width, height = (round(720 * inches) for inches in explorable.figure.get_size_inches())
    return {"size": [width, height], "boxes": [_box(c, height) for c in explorable.moving]}


def serialize(light: Frames, dark: Frames) -> bytes:
    """Return what the site needs, once the frames in both themes are found to be the same."""
    if light.rows != dark.rows:
        raise ValueError("the frames differ between the themes: is it random?")
    curves = [
        {"clip": a["clip"], "look": a["look"], "light": a["colour"], "dark": b["colour"]}
        for a, b in zip(light.curves, dark.curves, strict=True)
    ]
    content = light._replace(curves=curves)._asdict()
    data = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    if len(data) > MAX_BYTES:
        raise ValueError(
            f"its {len(light.rows)} frames take {len(data)} bytes, more than {MAX_BYTES}: "
            "fewer values of a slider, or fewer points in a curve"
        )
    return data


def positions(curve: Any) -> Points:
    """Return the points of a line or a polygon in tenths of a point, from the bottom left."""
    data = curve.get_xydata() if isinstance(curve, Line2D) else curve.get_xy()
    pixels = curve.get_transform().transform(np.asarray(data, dtype=np.float64))
    return np.asarray(pixels) * 720 / curve.get_figure().dpi


def _path(curve: Any, height: int) -> str:
    """Return the attribute `d`: absolute at the start and after a gap, else relative."""
    points = positions(curve)
    dots = isinstance(curve, Line2D) and not _has_line(curve)
    move, end = ("m", "h0") if dots else ("l", "")
    parts: list[str] = []
    last: tuple[int, int] | None = None
    for x, y in points.tolist():
        if not (isfinite(x) and isfinite(y)):
            last = None
            continue
        here = (_whole(x), height - _whole(y))
        if last is None:
            parts.append(f"M{_pair(*here)}{end}")
        else:
            parts.append(f"{move}{_pair(here[0] - last[0], here[1] - last[1])}{end}")
        last = here
    return "".join(parts)


def _whole(length: float) -> int:
    return round(min(max(length, -FAR), FAR))


def _pair(x: int, y: int) -> str:
    return f"{x}{y}" if y < 0 else f"{x} {y}"


def _has_line(line: Line2D) -> bool:
    return line.get_linestyle() != "None"


def _box(curve: Any, height: int) -> list[int]:
    """Return the box of a curve's axes, from the top left."""
    bounds = curve.axes.get_window_extent().bounds
    x, y, w, h = (round(720 / curve.get_figure().dpi * length) for length in bounds)
    return [x, height - y - h, w, h]


def _look(curve: Any, height: int) -> dict[str, Any]:
    look: dict[str, Any] = {}
    if curve.get_alpha() is not None:
        look["opacity"] = curve.get_alpha()
    if not isinstance(curve, Line2D):
        colour = curve.get_facecolor()
        if curve.get_linewidth():
            raise ValueError("a polygon that moves has no edge: give it linewidth=0")
    elif _has_line(curve):
        if curve.get_marker() != "None":
            raise ValueError(
                "a line that moves has no markers: add a second line with linestyle=''"
            )
        colour = curve.get_color()
        look["stroke-width"] = 10 * curve.get_linewidth()
        look["stroke-linecap"] = "round"
        if dashes := _DASHES.get(curve.get_linestyle()):
            lengths = (10 * curve.get_linewidth() * length for length in rcParams[dashes])
            look["stroke-dasharray"] = " ".join(f"{length:g}" for length in lengths)
            look["stroke-linecap"] = "butt"
    else:
        colour = curve.get_color()
        look["stroke-width"] = 10 * (curve.get_markersize() + curve.get_markeredgewidth())
        look["stroke-linecap"] = "round"
    return {"clip": _box(curve, height), "look": look, "colour": to_hex(colour)}
