"""Write out citations and the list of references while the page is built.

A Python-Markdown extension, `dlkb.book.publish.citations` in mkdocs.yml;
`dlkb.book.read.references` says what a citation is.
"""

from pathlib import Path

from markdown import Markdown
from markdown.extensions import Extension
from markdown.preprocessors import Preprocessor

from dlkb.book.read.references import cite, read_sources


class _Cite(Preprocessor):
    def __init__(self, md: Markdown, root: Path) -> None:
        super().__init__(md)
        self.root = root

    def run(self, lines: list[str]) -> list[str]:
        text = "\n".join(lines)
        if "[@" not in text:
            return lines
        return cite(text, read_sources(self.root), site=True).split("\n")


class CitationExtension(Extension):
    """Citations by key; the option `root` is the folder that holds docs/references.bib."""

    def __init__(self, **options: str) -> None:
        self.config = {"root": [".", "the folder that holds docs/references.bib"]}
        super().__init__(**options)

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802 - Python-Markdown's name
        """Register after math is found (28), before fenced code is taken out (25)."""
        md.preprocessors.register(_Cite(md, Path(self.getConfig("root"))), "citations", 27)


def makeExtension(**options: str) -> CitationExtension:  # noqa: N802 - Python-Markdown's name
    """Return the extension; Python-Markdown calls this."""
    return CitationExtension(**options)
