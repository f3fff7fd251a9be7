"""Explorable figures on their way from a script to HTML."""

import json
import re
from xml.etree import ElementTree

import markdown
import numpy as np
import pytest

from dlkb.book.draw.figures import OUTPUT, draw, find_figures

SCRIPT = """
from collections.abc import Callable, Sequence
from typing import NamedTuple
import matplotlib.pyplot as plt
import numpy as np

class Slider(NamedTuple):
    label: str
    values: Sequence[float]
    start: int
    form: str = "{:g}"

class Explorable(NamedTuple):
    figure: plt.Figure
    sliders: tuple
    moving: tuple
    show: Callable

X = np.arange(5.0)

def data(slope, shift):
    y = slope * X + shift
    y[3] = np.nan if slope == 2 else y[3]
    return y

def line(points=1) -> None: ...

def lines() -> Explorable:
    figure, ax = plt.subplots()
    ax.set(xlim=(0, 4), ylim=(-1, 10))
    (line,) = ax.plot([], [], "--", color="C0", lw=3)
    (dots,) = ax.plot([], [], "o", color="C1", ms=5)
    (area,) = ax.fill([0], [0], color="C2", alpha=0.5, linewidth=0)
    def show(slope, shift):
        line.set_data(X, data(slope, shift))
        dots.set_data(X, data(slope, shift) - 1)
        area.set_xy([[0, 0], [slope, shift], [4, 1]])
        return f"slope < {slope:g} & shift {shift:g}"
    sliders = (Slider("slope", (0.5, 1, 2), 1), Slider("shift", (0, 3), 0, "{:.1f}"))
    return Explorable(figure, sliders, (line, dots, area), show)
"""
CASES = [(slope, shift) for slope in (0.5, 1, 2) for shift in (0, 3)]


def points(path: str) -> np.ndarray:
    """Read a path: absolute moves and lines, relative moves, lines and dots."""
    found, here = [], np.zeros(2)
    for command, numbers in re.findall(r"([MmlLh])([^MmlLh]*)", path):
        if command != "h":
            pair = np.asarray(re.findall(r"-?\d+", numbers), dtype=float)
            here = pair if command == "M" else here + pair
            found.append(here)
    return np.stack(found)


def project(root, script=SCRIPT, name="moving"):
    path = root / f"scripts/figures/one/{name}.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(script)
    return root


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    root = project(tmp_path_factory.mktemp("explorable"))
    report = draw(root)
    assert report.failed == []
    assert report.drawn == ["one/moving/lines"]
    return root


@pytest.fixture(scope="module")
def frames(drawn):
    return json.loads((drawn / OUTPUT / "one/moving/lines.json").read_text())


def to_data(path, frames):
    """Return the points of a path in data coordinates, by the box of the axes alone."""
    x, y, w, h = frames["curves"][0]["clip"]
    found = points(path)
    return np.stack([(found[:, 0] - x) / w * 4, 10 - (found[:, 1] - y) / h * 11], axis=1)


def test_seven_files(drawn):
    files = sorted(path.name for path in (drawn / OUTPUT / "one/moving").iterdir())
    kinds = ("", "-axes", "-narrow")
    variants = [f"lines{kind}-{theme}.svg" for kind in kinds for theme in ("dark", "light")]
    assert files == sorted([*variants, "lines.json"])
    for theme in ("light", "dark"):
        whole = (drawn / OUTPUT / f"one/moving/lines-{theme}.svg").read_text()
        drop = re.compile(r'<g id="(?:line2d|patch)_\d+">\s*(?:<defs>.*?</defs>\s*)?', re.S)
        axes = (drawn / OUTPUT / f"one/moving/lines-axes-{theme}.svg").read_text()
        assert len(drop.findall(axes)) == len(drop.findall(whole)) - 3
        narrow = (drawn / OUTPUT / f"one/moving/lines-narrow-{theme}.svg").read_text()
        moving = set(re.findall(r"stroke: (#\w{6}); stroke-width: 3", whole))
        assert moving
        assert not any(f"stroke: {colour}; stroke-width: 3" in narrow for colour in moving)


@pytest.mark.parametrize(("row", "case"), list(enumerate(CASES)))
def test_frames_are_what_the_function_computes(frames, row, case):
    slope, shift = case
    text, line, dots, area = frames["rows"][row]
    x = np.arange(5.0)
    y = slope * x + shift
    if slope == 2:
        x, y = np.delete(x, 3), np.delete(y, 3)
        assert line.count("M") == 2  # a gap, no bridge
    tolerance = 11 / frames["curves"][0]["clip"][3]  # rounded to a tenth of a point
    expected = np.stack([x, y], axis=1)
    np.testing.assert_allclose(to_data(line, frames), expected, atol=tolerance)
    np.testing.assert_allclose(to_data(dots, frames), expected - [0, 1], atol=tolerance)
    corners = [[0, 0], [slope, shift], [4, 1]]
    np.testing.assert_allclose(to_data(area, frames)[:3], corners, atol=tolerance)
    assert text == f"slope < {slope:g} & shift {shift:g}"


def test_sliders_and_look(frames):
    assert frames["sliders"] == [
        {"label": "slope", "values": ["0.5", "1", "2"], "start": 1},
        {"label": "shift", "values": ["0.0", "3.0"], "start": 0},
    ]
    line, dots, area = frames["curves"]
    assert line["look"]["stroke-width"] == 30
    assert line["look"]["stroke-dasharray"] == "111 48"
    assert dots["look"] == {"stroke-width": 60, "stroke-linecap": "round"}
    assert area["look"] == {"opacity": 0.5}
    assert all(curve["light"] != curve["dark"] for curve in frames["curves"])


def test_drawn_again_it_is_the_same(drawn):
    path = drawn / OUTPUT / "one/moving/lines.json"
    before = path.read_bytes()
    assert draw(drawn, force=True).failed == []
    assert path.read_bytes() == before
    path.unlink()
    assert draw(drawn).drawn == ["one/moving/lines"]
    assert path.read_bytes() == before
    assert draw(drawn).cached == ["one/moving/lines"]


REFUSED = [
    ("X = np.arange(5.0)", "X = np.linspace(0, 4, 2000)", "bytes, more than 60000"),
    ("return y", "return y + (slope == 2) * np.random.default_rng().random()", "is it random?"),
    ("linewidth=0)", "linewidth=1)", "a polygon that moves has no edge"),
    ('"--", color', '"--o", color', "a line that moves has no markers"),
    ("return Explorable(figure,", "return Explorable(1,", "not a matplotlib Figure"),
    ("return Explorable(", "return figure\n    (", "its annotation says the other"),
]


def test_what_is_refused(tmp_path):
    for number, (old, new, _) in enumerate(REFUSED):
        assert SCRIPT.count(old) == 1, old
        project(tmp_path, SCRIPT.replace(old, new), f"refused{number}")
    report = draw(tmp_path)
    assert report.drawn == []
    errors = {failure.stem: failure.error for failure in report.failed}
    for number, (_, _, message) in enumerate(REFUSED):
        assert message in errors[f"one/refused{number}"]


def test_a_figure_that_is_no_longer_explorable_leaves_nothing(tmp_path):
    draw(project(tmp_path))
    plain = SCRIPT.replace("lines() -> Explorable", "lines() -> plt.Figure").replace(
        "return Explorable(figure, sliders, (line, dots, area), show)", "return figure"
    )
    report = draw(project(tmp_path, plain))
    assert report.failed == []
    assert len(report.removed) == 3  # the axes in both themes, and the frames
    assert [figure.explorable for figure in find_figures(tmp_path)] == [False]


def html(docs):
    text = (
        "![Three lines.](../assets/figures/one/moving/lines.svg)\n/// figure-caption\nMove.\n///\n"
    )
    return markdown.markdown(
        text,
        extensions=["pymdownx.blocks.caption", "dlkb.book.publish.figure_markup"],
        extension_configs={"dlkb.book.publish.figure_markup": {"docs": str(docs)}},
    )


def test_the_page_holds_the_first_frame_the_sliders_and_all_frames(drawn, frames):
    out = html(drawn / "docs")
    root = ElementTree.fromstring(out)
    assert root.tag == "figure"
    assert not root.findall(".//p//div")  # a paragraph holds no block
    first = CASES.index((1, 0))
    text, *paths = frames["rows"][first]
    assert [path.get("d") for path in root.iter("path")] == 2 * paths  # for either screen
    assert root.find(".//p[@class='reading']").text == text
    images = [image.get("src") for image in root.iter("img")]
    assert images == [
        f"../assets/figures/one/moving/lines-{layout}-{theme}.svg#only-{theme}"
        for layout in ("axes", "narrow")
        for theme in ("light", "dark")
    ]
    assert {image.get("alt") for image in root.iter("img")} == {"Three lines."}
    sliders = list(root.iter("input"))
    assert [s.get("aria-label") for s in sliders] == ["slope", "shift"]
    assert [(s.get("value"), s.get("max")) for s in sliders] == [("1", "2"), ("0", "1")]
    assert [s.get("aria-valuetext") for s in sliders] == ["1", "0.0"]
    assert json.loads(root.find("div/div").get("data-frames"))["rows"] == frames["rows"]


def test_on_a_phone_curves_lie_in_the_boxes_of_the_narrow_axes(drawn, frames):
    root = ElementTree.fromstring(html(drawn / "docs"))
    broad, narrow = (root.find(f".//div/svg[@class='{screen}']") for screen in ("broad", "narrow"))
    width, height = frames["narrow"]["size"]
    assert narrow.get("viewBox") == f"0 0 {width} {height}"
    assert (width, height) == (3168, 2592)
    image = (drawn / OUTPUT / "one/moving/lines-narrow-light.svg").read_text()
    assert f'viewBox="0 0 {width / 10:g} {height / 10:g}"' in image
    clip = re.search(r'<clipPath id="\w+">\s*<rect x="([\d.]+)" y="([\d.]+)" '
                     r'width="([\d.]+)" height="([\d.]+)"', image)  # fmt: skip
    drawn_box = [10 * float(length) for length in clip.groups()]
    for wide, small, box in zip(broad, narrow, frames["narrow"]["boxes"], strict=True):
        placed = [float(small.get(side)) for side in ("x", "y", "width", "height")]
        assert placed == box
        np.testing.assert_allclose(placed, drawn_box, atol=1.01)
        assert small.get("viewBox") == wide.get("viewBox")
        assert small.get("preserveAspectRatio") == "none"
    line, dots, area = (inner.find("path") for inner in narrow)
    assert float(line.get("stroke-width")) == 3.4  # 3 pt at 0.85 of the size, in pixels
    assert line.get("vector-effect") == dots.get("vector-effect") == "non-scaling-stroke"
    assert line.get("stroke-dasharray") == "12.6 5.4"
    assert area.get("vector-effect") is None
    assert [path.get("stroke-width") for path in broad.iter("path")] == ["30.0", "60.0", None]
