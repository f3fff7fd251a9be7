"""Fold the sections of a derivation: a reader sees what is derived, and opens what to follow.

A Python-Markdown extension, `dlkb.book.publish.fold_markup` in mkdocs.yml. Each `###` section
under `## Derivation` becomes `<details class="derivation">` with its heading in the summary. The
heading keeps its id and its place in the contents.
"""

from pathlib import Path
from xml.etree import ElementTree

from markdown import Markdown
from markdown.extensions import Extension
from markdown.treeprocessors import Treeprocessor

from dlkb.book.publish.which import Which, register

SECTION = "derivation"


class _Fold(Treeprocessor):
    def __init__(self, md: Markdown, which: Which) -> None:
        super().__init__(md)
        self.which = which

    def run(self, root: ElementTree.Element) -> None:
        if self.which.page:
            fold(root)


def fold(root: ElementTree.Element) -> None:
    """Fold the sections, in place; headings have their ids."""
    inside, details = False, None
    for node in list(root):
        if node.tag in ("h1", "h2"):
            inside, details = node.get("id") == SECTION, None
        elif inside and node.tag == "h3":
            place = list(root).index(node)
            root.remove(node)
            details = _details(node)
            root.insert(place, details)
        elif details is not None:
            root.remove(node)
            details.append(node)


def _details(heading: ElementTree.Element) -> ElementTree.Element:
    details = ElementTree.Element("details", {"class": "derivation"})
    summary = ElementTree.SubElement(details, "summary")
    for link in heading.findall("a[@class='headerlink']"):  # no link inside what opens by a click
        heading.remove(link)
        details.append(link)
    summary.append(heading)
    return details


class FoldExtension(Extension):
    """Folded derivations; the option `docs` is the folder of the pages."""

    def __init__(self, **options: str) -> None:
        self.config = {"docs": ["docs", "the folder of the pages"]}
        super().__init__(**options)

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802 - Python-Markdown's name
        """Register after the table of contents (5), which gives headings their ids."""
        which = register(md, Path(self.getConfig("docs")))
        md.treeprocessors.register(_Fold(md, which), "fold", 4)


def makeExtension(**options: str) -> FoldExtension:  # noqa: N802 - Python-Markdown's name
    """Return the extension; Python-Markdown calls this."""
    return FoldExtension(**options)
