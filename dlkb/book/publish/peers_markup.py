"""Say under a table about libraries with which versions it was run.

A Python-Markdown extension, `dlkb.book.publish.peers_markup` in mkdocs.yml. No library is imported:
the versions are those of constraints.txt, and the tests ran with them.
"""

import re
from pathlib import Path

from markdown import Markdown
from markdown.extensions import Extension
from markdown.preprocessors import Preprocessor

from dlkb.book.hold.peers import MARKER, versions

_CAPTION = re.compile(r"^ */{3,} *(?:table-)?caption\b")
_END = re.compile(r"^ */{3,} *$")


def with_versions(lines: list[str], said: str, mark: str = "") -> list[str]:
    """Return the lines with the versions below each marked table, and below its caption.

    Args:
        lines: Markdown.
        said: The sentence.
        mark: What follows it, an attribute list for the site.
    """
    shown = list(lines)
    for start in reversed([n for n, line in enumerate(lines) if MARKER.match(line)]):
        end = start + 1
        while end < len(lines) and lines[end].lstrip().startswith("|"):
            end += 1
        below = next((n for n in range(end, len(lines)) if lines[n].strip()), end)
        if below < len(lines) and _CAPTION.match(lines[below]):
            end = next((n + 1 for n in range(below, len(lines)) if _END.match(lines[n])), end)
        shown[end:end] = ["", *f"{said}{mark}".split("\n"), ""]
        del shown[start]
    return shown


def _stem(root: Path, lines: list[str]) -> str:
    """Return the page whose text this is: an extension is not told."""
    text = "\n".join(lines).strip()
    for path in sorted((root / "docs").rglob("*.md")):
        if path.read_text(encoding="utf-8").strip().endswith(text):
            return path.relative_to(root / "docs").with_suffix("").as_posix()
    raise LookupError("a table marked <!--peers: …--> stands outside the pages under docs/")


class _Versions(Preprocessor):
    def __init__(self, md: Markdown, root: Path) -> None:
        super().__init__(md)
        self.root = root

    def run(self, lines: list[str]) -> list[str]:
        if not any(MARKER.match(line) for line in lines):
            return lines
        said = versions(self.root, _stem(self.root, lines))
        return with_versions(lines, said, "\n{: .peers }")


class PeersExtension(Extension):
    """Versions of libraries; the option `root` is the folder of docs and constraints.txt."""

    def __init__(self, **options: str) -> None:
        self.config = {"root": [".", "the folder that holds docs, scripts and constraints.txt"]}
        super().__init__(**options)

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802 - Python-Markdown's name
        """Register before anything else changes the text: it is looked for among the pages."""
        md.preprocessors.register(_Versions(md, Path(self.getConfig("root"))), "peers", 40)


def makeExtension(**options: str) -> PeersExtension:  # noqa: N802 - Python-Markdown's name
    """Return the extension; Python-Markdown calls this."""
    return PeersExtension(**options)
