"""Fold what a reader opens to follow: sections of a derivation, and long code before "In code".

A Python-Markdown extension, `dlkb.book.publish.fold_markup` in mkdocs.yml. Each `###` section
under `## Derivation` becomes `<details class="derivation">` with its heading in the summary; the
heading keeps its id and its place in the contents. Under `## The idea` and `## In practice`, a
block of more than `LONGEST` lines becomes `<details class="code">`; what it prints stays in sight
when it has a block of its own.
"""

import re
from pathlib import Path
from xml.etree import ElementTree

from markdown import Markdown
from markdown.extensions import Extension
from markdown.treeprocessors import Treeprocessor

from dlkb.book.publish.claim_markup import stashed
from dlkb.book.publish.which import Which, register

SECTION = "derivation"
BEFORE_CODE = ("the-idea", "in-practice")
LONGEST = 8

_CODE = re.compile(r'\s*<div class="language-(python|pycon)\b[^>]*\bhighlight\b')


class _Fold(Treeprocessor):
    def __init__(self, md: Markdown, which: Which) -> None:
        super().__init__(md)
        self.which = which

    def run(self, root: ElementTree.Element) -> None:
        if self.which.page:
            fold(root)
            self.fold_code(root)

    def fold_code(self, root: ElementTree.Element) -> None:
        """Fold long code of the sections before "In code", in place."""
        inside = False
        for place, node in enumerate(list(root)):
            if node.tag in ("h1", "h2"):
                inside = node.get("id") in BEFORE_CODE
            elif inside and (title := self.long_code(node)):
                details = ElementTree.Element("details", {"class": "code"})
                ElementTree.SubElement(details, "summary").text = title
                details.append(node)
                root[place] = details

    def long_code(self, node: ElementTree.Element) -> str:
        """Return what stands on the fold of a block of code, nothing for what is not folded."""
        block = stashed(self.md, node)
        code, lines = _CODE.match(block), block.strip().count("\n")
        if code is None or lines <= LONGEST:
            return ""
        return f"Code, {lines} lines" if code[1] == "python" else f"Code and output, {lines} lines"


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
