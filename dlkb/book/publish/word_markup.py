"""Explain the abbreviations of the glossary where a section first uses them.

A Python-Markdown extension, `dlkb.book.publish.word_markup` in mkdocs.yml. It lets
Python-Markdown's own `abbr` find the words of `docs/glossary.md` in text, and keeps the explanation
at the first of each section, headings and links left out: what is explained can be focused, and
a page has no more of such stops than a reader needs.
"""

from pathlib import Path
from xml.etree.ElementTree import Element

from markdown import Markdown
from markdown.extensions import Extension
from markdown.extensions.abbr import AbbrTreeprocessor
from markdown.treeprocessors import Treeprocessor

from dlkb.book.publish.which import Which, register
from dlkb.book.read.notation import page_text, words

GLOSSARY = "glossary.md"
_SILENT = ("h1", "h2", "h3", "h4", "a", "code", "pre", "summary", "button")


class _Words(Treeprocessor):
    def __init__(self, md: Markdown, which: Which) -> None:
        super().__init__(md)
        self.which = which

    def run(self, root: Element) -> None:
        page = self.which.page
        if page and page.stem != GLOSSARY.removesuffix(".md"):
            known = words(page_text(self.which.docs, GLOSSARY))
            if known:
                AbbrTreeprocessor(self.md, known).run(root)
                explain_first(root)


def explain_first(root: Element) -> None:
    """Keep the explanation at the first use in a section; make that a stop for the keyboard."""
    said: set[str] = set()

    def walk(node: Element, silent: bool) -> None:
        silent = silent or node.tag in _SILENT
        for child in node:
            if child.tag == "h2":
                said.clear()
            if child.tag == "abbr":
                word = child.text or ""
                if silent or word in said:
                    child.attrib.clear()
                else:
                    child.set("tabindex", "0")
                    said.add(word)
            else:
                walk(child, silent)

    walk(root, silent=False)


class WordExtension(Extension):
    """Explained abbreviations; the option `docs` is the folder of the pages."""

    def __init__(self, **options: str) -> None:
        self.config = {"docs": ["docs", "the folder of the pages"]}
        super().__init__(**options)

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802 - Python-Markdown's name
        """Register where Python-Markdown's own does (7): after inline text, before contents."""
        which = register(md, Path(self.getConfig("docs")))
        md.treeprocessors.register(_Words(md, which), "words", 7)


def makeExtension(**options: str) -> WordExtension:  # noqa: N802 - Python-Markdown's name
    """Return the extension; Python-Markdown calls this."""
    return WordExtension(**options)
