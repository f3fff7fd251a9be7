"""Say under the title of a topic what it asks of the reader, and how to take it home.

A Python-Markdown extension, `dlkb.book.publish.head_markup` in mkdocs.yml. Level and what to read
before come from the front matter, the minutes from the words that are not folded. Links lead to
files below `docs`, so that a build finds those that are missing.
"""

from pathlib import Path
from posixpath import relpath
from xml.etree.ElementTree import Element, SubElement

from markdown import Markdown
from markdown.extensions import Extension
from markdown.treeprocessors import Treeprocessor

from dlkb.book.publish.summaries import minutes
from dlkb.book.publish.which import Which, read_fresh, register
from dlkb.book.read.addresses import addresses
from dlkb.book.read.parts import Page


def facts(page: Page, docs: Path) -> Element:
    """Return level, minutes and what to read before, as the front matter says."""
    line = Element("p", {"class": "facts"})
    count = minutes(page)
    noun = "minute" if count == 1 else "minutes"
    line.text = f"{str(page.meta.get('level', '')).capitalize()} · {count} {noun}".strip(" ·")
    before = page.meta.get("requires") or []
    for index, stem in enumerate(before):
        needed = read_fresh(docs / f"{stem}.md", docs)
        link = SubElement(line, "a", {"href": f"{_way(page, stem)}.md"})
        link.text = str(needed.meta.get("title", needed.title)) if needed else stem
        if index + 1 < len(before):
            link.tail = ", "
    if before:
        line.text += " · Read before: "
    return line


def take(page: Page, colab: str) -> Element:
    """Return the links to the page as notebook, script and Markdown."""
    files = _way(page, f"downloads/{page.stem}")
    links = {
        "Notebook": f"{files}.ipynb",
        "Colab": f"{colab}/{page.stem}.ipynb",
        "Script": f"{files}.py",
        "Markdown": f"{files}.md.txt",
    }
    items = Element("ul", {"class": "take", "aria-label": "Take this page home"})
    for name, address in links.items():
        link = SubElement(SubElement(items, "li"), "a", {"href": address})
        link.text = name
        if name in ("Notebook", "Script"):
            link.set("download", "")
    return items


def _way(page: Page, target: str) -> str:
    return relpath(target, page.stem.rpartition("/")[0])


class _Head(Treeprocessor):
    def __init__(self, md: Markdown, which: Which) -> None:
        super().__init__(md)
        self.which = which

    def run(self, root: Element) -> None:
        page, docs = self.which.page, self.which.docs
        title = root.find("h1")
        if page is None or not page.is_topic or title is None:
            return
        box = Element("div", {"class": "about", "data-search-exclude": ""})
        box.append(facts(page, docs))
        box.append(take(page, addresses(docs.resolve().parent).colab))
        root.insert(list(root).index(title) + 1, box)


class HeadExtension(Extension):
    """The lines under the title; the option `docs` is the folder of the pages."""

    def __init__(self, **options: str) -> None:
        self.config = {"docs": ["docs", "the folder of the pages"]}
        super().__init__(**options)

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802 - Python-Markdown's name
        """Register after what folds (4), before mkdocs looks at the links (0)."""
        which = register(md, Path(self.getConfig("docs")))
        md.treeprocessors.register(_Head(md, which), "head", 3)


def makeExtension(**options: str) -> HeadExtension:  # noqa: N802 - Python-Markdown's name
    """Return the extension; Python-Markdown calls this."""
    return HeadExtension(**options)
