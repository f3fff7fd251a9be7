"""What the built site shows as code is what ran, and what ran is shown.

The last line of the gate: whatever the source looks like, the reader sees the HTML.
"""

from html.parser import HTMLParser
from pathlib import Path

from dlkb.book.hold.check import Problem
from dlkb.book.hold.code import looks_like_python
from dlkb.book.publish.not_run import MARK
from dlkb.book.read.freshness import remembered
from dlkb.book.read.parts import Page

CACHE = Path(".cache/shown_code")
VOID = ("img", "br", "hr", "input", "link", "meta", "source", "wbr", "col", "area", "embed")


class _Blocks(HTMLParser):
    """The text of each `pre` of a page's article, but of references, and of what says "Not run"."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks: list[str] = []
        self._open: list[tuple[str, list[str]]] = []
        self._said = ""  # the line above a block

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Follow the tree down."""
        if tag in VOID:
            return
        self._open.append((tag, (dict(attrs).get("class") or "").split()))
        if tag == "pre":
            self.blocks.append("")

    def handle_endtag(self, tag: str) -> None:
        """Follow the tree up; what is left open closes with what it is in."""
        if tag in [name for name, _ in self._open]:
            while self._open.pop()[0] != tag:
                pass
        if tag == "pre":
            if f">{self._said}<" in MARK:
                self.blocks.pop()
            self._said = ""

    def handle_data(self, data: str) -> None:
        """Take the text of blocks."""
        tags = [tag for tag, _ in self._open]
        classes = [name for _, names in self._open for name in names]
        if "filename" in classes:
            self._said = data
        elif "pre" in tags and "article" in tags and "doc" not in classes:
            self.blocks[-1] += data


def _bare(code: str) -> str:
    rows = code.expandtabs(4).strip("\n").split("\n")
    return "\n".join(row.rstrip() for row in rows)


def shown_code(html: str) -> list[str]:
    """Return the blocks of code that a built page shows, those apart that say they did not run."""
    parser = _Blocks()
    parser.feed(html)
    return [_bare(block) for block in parser.blocks if block.strip()]


def unrun_code(root: Path, site: Path, book: list[Page]) -> list[Problem]:
    """Return what a page shows and did not run, and what ran and is not shown.

    Under `root` is kept what a built page shows, until its HTML is another.
    """
    found = []
    for page in book:
        folder = site if page.stem == "index" else site / page.stem.removesuffix("/index")
        html = (folder / "index.html").read_text(encoding="utf-8")
        blocks = remembered(root / CACHE / f"{page.stem}.json", html, shown_code)
        ran = {_bare(fence.code): fence.line for fence in page.runnable}
        outputs = {_bare(fence.shown) for fence in page.runnable if fence.shown}
        for block in blocks:
            if block not in ran and block not in outputs and looks_like_python(block):
                message = f"the site shows Python that does not run: {block.splitlines()[0]}"
                found.append(Problem(page.path, _line_of(page, block), message))
        for code, line in ran.items():
            if code not in blocks:
                message = "this fence runs, but the site does not show it: readers must see it"
                found.append(Problem(page.path, line, message))
    return found


def _line_of(page: Page, block: str) -> int:
    first = block.splitlines()[0].strip()
    rows = page.text.split("\n")
    return page.first_line + next((n for n, row in enumerate(rows) if first in row), 0)
