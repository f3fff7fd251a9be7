"""Show a generated figure in the variant of the reader's theme and screen.

A Python-Markdown extension, `dlkb.book.publish.figure_markup` in mkdocs.yml. An image under
`assets/figures/` is written once, `![alt](../assets/figures/optimizers/adam/name.svg)`, and
becomes four: `name-light.svg#only-light` and `name-dark.svg#only-dark`, of the class `broad`, and
the same for phones, `name-narrow-light.svg#only-light` …, of the class `narrow`. The style sheet
displays one of them. All are lazy, so that a browser fetches no other: what is not displayed never
comes near the screen. Their size is read from the SVG, so that the text does not jump when they
arrive. Where `name.json` stands beside them, the figure is explorable, see
`dlkb.book.publish.explorable_markup`.
"""

import itertools
import re
from pathlib import Path
from xml.etree import ElementTree

from markdown import Markdown
from markdown.extensions import Extension
from markdown.treeprocessors import Treeprocessor

from dlkb.book.publish.explorable_markup import explorable, read_frames

THEMES = ("light", "dark")

_SOURCE = re.compile(r"(?P<up>(?:\.\./|\./)*)assets/figures/(?P<name>[\w/-]+)\.svg")
_SIZE = re.compile(r'<svg\b[^>]*?\sviewBox="[\d.]+ [\d.]+ (?P<width>[\d.]+) (?P<height>[\d.]+)"')


def size(svg: Path) -> tuple[int, int] | None:
    """Return width and height of an SVG drawn in points, in pixels; None if there is no file."""
    if not svg.is_file():
        return None
    with svg.open(encoding="utf-8") as file:
        match = _SIZE.search(file.read(4096))
    if not match:
        return None
    return round(float(match["width"]) * 96 / 72), round(float(match["height"]) * 96 / 72)


class _Variants(Treeprocessor):
    def __init__(self, md: Markdown, docs: Path) -> None:
        super().__init__(md)
        self.docs = docs

    def run(self, root: ElementTree.Element) -> None:
        first = True
        for parent in list(root.iter()):
            for image in parent.findall("img"):
                source = _SOURCE.fullmatch(image.get("src", ""))
                if source:
                    self.split(parent, image, source, first=first)
                    first = False

    def split(
        self,
        parent: ElementTree.Element,
        image: ElementTree.Element,
        source: re.Match[str],
        *,
        first: bool,
    ) -> None:
        at, tail = list(parent).index(image), image.tail
        parent.remove(image)
        image.tail = None
        frames = read_frames(self.docs / f"assets/figures/{source['name']}.json")
        wide = "-axes" if frames else ""
        copies = []
        for layout, variant in itertools.product((wide, "-narrow"), THEMES):
            path = f"assets/figures/{source['name']}{layout}-{variant}.svg"
            copy = ElementTree.Element("img", dict(image.attrib))
            copy.set("src", f"{source['up']}{path}#only-{variant}")
            screen = "narrow" if layout == "-narrow" else "broad"
            copy.set("class", f"{image.get('class', '')} {screen}".strip())
            copy.set("loading", "lazy")
            if first:
                copy.set("fetchpriority", "high")
            measured = size(self.docs / path)
            if measured:
                copy.set("width", str(measured[0]))
                copy.set("height", str(measured[1]))
            copies.append(copy)
        if frames:
            copies = [explorable(copies, frames)]
            if parent.tag == "p":
                parent.tag = "div"
        for offset, copy in enumerate(copies):
            parent.insert(at + offset, copy)
        copies[-1].tail = tail


class FigureExtension(Extension):
    """Figures in their variants; the option `docs` is where their files are."""

    def __init__(self, **options: str) -> None:
        self.config = {"docs": ["docs", "the folder that holds assets/figures"]}
        super().__init__(**options)

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802 - Python-Markdown's name
        """Register after attributes (8), before the site's links are resolved (0)."""
        docs = Path(self.getConfig("docs"))
        md.treeprocessors.register(_Variants(md, docs), "figure-variants", 7)


def makeExtension(**options: str) -> FigureExtension:  # noqa: N802 - Python-Markdown's name
    """Return the extension; Python-Markdown calls this."""
    return FigureExtension(**options)
