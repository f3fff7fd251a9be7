"""Thumbnails: the first figure of a page without its words, cut to what is plotted.

A figure shrunk to a card has no legible label; without labels, ticks and legend the curves
themselves can be as large as the card. Written under `docs/assets/thumbnails/` before the site is
built, light and dark.
"""

import re
from pathlib import Path
from xml.etree import ElementTree

from dlkb.book.draw.figures import OUTPUT as FIGURES
from dlkb.book.draw.style import THEMES
from dlkb.book.read.freshness import write
from dlkb.book.read.parts import Page

OUTPUT = Path("docs/assets/thumbnails")
MARGIN = 4.0
"""Points around what is plotted, so that no line is cut in half."""

_SVG = "{http://www.w3.org/2000/svg}"
_WORDS = re.compile(r"(?:text|legend|matplotlib\.axis|xtick|ytick)_\d+")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")

ElementTree.register_namespace("", "http://www.w3.org/2000/svg")
ElementTree.register_namespace("xlink", "http://www.w3.org/1999/xlink")


def thumbnail(svg: str) -> str:
    """Return a drawing of matplotlib without words and ticks, cut to its axes."""
    root = ElementTree.fromstring(svg)
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag == f"{_SVG}metadata" or _WORDS.fullmatch(child.get("id", "")):
                parent.remove(child)
    style = root.find(f"{_SVG}defs/{_SVG}style")
    if style is not None:  # lines as thick on a small card as on a large one
        style.text = f"{style.text}*{{vector-effect: non-scaling-stroke}}"
    left, top, right, bottom = _frame(root)
    width, height = right - left + 2 * MARGIN, bottom - top + 2 * MARGIN
    root.set("viewBox", f"{left - MARGIN:g} {top - MARGIN:g} {width:g} {height:g}")
    root.set("width", f"{width:g}")
    root.set("height", f"{height:g}")
    return ElementTree.tostring(root, encoding="unicode")


def _frame(root: ElementTree.Element) -> tuple[float, float, float, float]:
    """Return the box around all axes: what each draws first is its background, if it has one."""
    spans = []
    for axes in root.iter(f"{_SVG}g"):
        first = axes.find(f"{_SVG}g[{_SVG}path]")
        if not re.fullmatch(r"axes_\d+", axes.get("id", "")) or first is None:
            continue
        if first.get("id", "").startswith("patch"):
            values = [float(number) for number in _NUMBER.findall(first[0].get("d", ""))]
            spans.append((values[::2], values[1::2]))
    if not spans:  # nothing plotted on axes: the whole drawing
        x, y, width, height = (float(number) for number in root.get("viewBox", "").split())
        return x, y, x + width, y + height
    xs = [x for across, _ in spans for x in across]
    ys = [y for _, down in spans for y in down]
    return min(xs), min(ys), max(xs), max(ys)


def address(stem: str, theme: str) -> str:
    """Return where the thumbnail of a page lies below `docs`."""
    return f"assets/thumbnails/{stem}-{theme}.svg"


def write_thumbnails(root: Path, book: list[Page]) -> None:
    """Write the thumbnails of all topics that show a figure, and remove those of no page."""
    wanted = set()
    for page in book:
        if not page.is_topic or not page.images:
            continue
        for theme in THEMES:
            figure = root / FIGURES / f"{page.images[0].name}-{theme}.svg"
            if figure.is_file():
                path = root / "docs" / address(page.stem, theme)
                write(path, thumbnail(figure.read_text(encoding="utf-8")).encode())
                wanted.add(path)
    for path in sorted((root / OUTPUT).rglob("*.svg")):
        if path not in wanted:
            path.unlink()
