"""Fill in what home, map and family pages show of the topics, and link topics in learning order.

A Python-Markdown extension, `dlkb.book.publish.front_markup` in mkdocs.yml. A page says where,
`<div data-generated="cards" markdown="1"></div>`; a new page appears by itself:

| name | shows |
|---|---|
| `topics` | all topics by family, with picture and one line |
| `cards` | the topics of the page's family |
| `map` | what to read before what: of the page's family, or of all |
| `order` | all topics in the order of learning |
| `numbers` | how much of the book is held |
| `refuted` | refuted statements, one shown by the day |
"""

import re
from functools import lru_cache
from pathlib import Path
from posixpath import relpath
from xml.etree.ElementTree import Element

from markdown import Markdown
from markdown.extensions import Extension
from markdown.preprocessors import Preprocessor
from markdown.treeprocessors import Treeprocessor

from dlkb.book.publish.cards import (
    family_cards,
    learning_list,
    neighbours,
    numbers,
    topic_list,
)
from dlkb.book.publish.counts import Counts, counts, sum_up
from dlkb.book.publish.learning_map import learning_map, neighbourhood
from dlkb.book.publish.refuted import refuted_markdown
from dlkb.book.publish.summaries import Summary, topics
from dlkb.book.publish.which import Which, read_fresh, register
from dlkb.book.read.parts import Page
from dlkb.book.read.topics import family_of

MARK = "data-generated"
NAMES = ("topics", "cards", "map", "order", "numbers", "refuted")
FAMILY_COLUMNS = 3
"""Topics side by side on the map of a family, where the navigation takes room."""

_REFUTED = f'<div {MARK}="refuted" markdown="1"></div>'


def generated(text: str) -> list[str]:
    """Return the names of the parts that are generated into a page's text."""
    return re.findall(rf'<div {MARK}="(\w+)"', text)


def family_names(docs: Path) -> dict[str, str]:
    """Return the titles of the families' pages, by folder."""
    pages = (read_fresh(path, docs) for path in docs.glob("*/index.md"))
    return {family_of(page.stem): page.name for page in pages if page}


def part(name: str, page: Page, docs: Path) -> Element:
    """Return a generated part of a page, its links from `docs`.

    Raises:
        ValueError: If there is no part of this name; the message lists those that there are.
    """
    known, names = topics(docs), family_names(docs)
    family = family_of(page.stem) if "/" in page.stem else ""
    if name == "topics":
        return topic_list(known, names, docs)
    if name == "cards":
        return family_cards([topic for topic in known if topic.family == family], docs)
    if name == "map":
        return _map(known, names, family)
    if name == "order":
        return learning_list(known, names)
    if name == "numbers":
        return numbers(_counts(docs))
    raise ValueError(f"{page.path}: nothing generates '{name}': choose one of {', '.join(NAMES)}")


def _map(known: tuple[Summary, ...], names: dict[str, str], family: str) -> Element:
    box = Element("div", {"class": "map", "tabindex": "0", "role": "group"})
    box.set("aria-label", "What to read before what")
    chosen = neighbourhood(family, known) if family else known
    if chosen:
        columns = {"columns": FAMILY_COLUMNS} if family else {}
        box.append(learning_map(chosen, names, family, **columns))
    return box


def _counts(docs: Path) -> Counts:
    pages = (_count(path, docs, path.stat().st_mtime_ns) for path in sorted(docs.rglob("*.md")))
    return sum_up(pages, docs)


@lru_cache(maxsize=1024)  # half a second for all
def _count(path: Path, docs: Path, changed: int) -> Counts:
    page = read_fresh(path, docs)
    return counts(page) if page else Counts()


class _Refuted(Preprocessor):
    """Writes the refuted statements as Markdown: they hold formulas and links."""

    def __init__(self, md: Markdown, docs: Path) -> None:
        super().__init__(md)
        self.docs = docs

    def run(self, lines: list[str]) -> list[str]:
        if _REFUTED not in lines:
            return lines
        pages = [
            read_fresh(self.docs / f"{topic.stem}.md", self.docs) for topic in topics(self.docs)
        ]
        at = lines.index(_REFUTED)
        new = refuted_markdown([page for page in pages if page])
        return [*lines[:at], *new, *lines[at + 1 :]]


class _Front(Treeprocessor):
    def __init__(self, md: Markdown, which: Which) -> None:
        super().__init__(md)
        self.which = which

    def run(self, root: Element) -> None:
        page, docs = self.which.page, self.which.docs
        if page is None:
            return
        for box in list(root.iter("div")):
            if name := box.attrib.pop(MARK, ""):
                made = part(name, page, docs)
                made.set("data-search-exclude", "")
                box.append(_from_page(made, page))
        if page.is_topic and (links := neighbours(page.stem, topics(docs))) is not None:
            links.set("data-search-exclude", "")
            root.append(_from_page(links, page))


def _from_page(made: Element, page: Page) -> Element:
    """Let links and pictures start from the folder of the page."""
    folder = page.stem.rpartition("/")[0] or "."
    for node in made.iter():
        for name in ("href", "src"):
            if target := node.get(name):
                node.set(name, relpath(target, folder))
    return made


class FrontExtension(Extension):
    """Generated parts; the option `docs` is the folder of the pages."""

    def __init__(self, **options: str) -> None:
        self.config = {"docs": ["docs", "the folder of the pages"]}
        super().__init__(**options)

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802 - Python-Markdown's name
        """Register right after the page is known (1000), and before links are looked at (0)."""
        docs = Path(self.getConfig("docs"))
        which = register(md, docs)
        md.preprocessors.register(_Refuted(md, docs), "refuted", 999)
        md.treeprocessors.register(_Front(md, which), "front", 2)


def makeExtension(**options: str) -> FrontExtension:  # noqa: N802 - Python-Markdown's name
    """Return the extension; Python-Markdown calls this."""
    return FrontExtension(**options)
