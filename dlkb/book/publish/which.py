"""Which page is being rendered: Python-Markdown tells an extension the text, and no more."""

import re
from functools import lru_cache
from pathlib import Path

from markdown import Markdown
from markdown.preprocessors import Preprocessor

from dlkb.book.read.pages import read_page
from dlkb.book.read.parts import Page, PageError

_NAME = "which-page"
_TITLE = re.compile("^# ", re.MULTILINE)


@lru_cache(maxsize=1024)
def _read(path: Path, docs: Path, changed: int) -> Page | None:
    try:
        return read_page(path, docs)
    except PageError:
        return None  # the rules report it


def read_fresh(path: Path, docs: Path) -> Page | None:
    """Read a page once for each state of its file; None where it cannot be read."""
    return _read(path, docs, path.stat().st_mtime_ns) if path.is_file() else None


def which_page(text: str, docs: Path) -> Page | None:
    """Return the page below `docs` whose text this is, front matter left out; None if none."""
    wanted = text.strip()
    # A page has a title. The pieces of docstrings, a hundred times as many, have none.
    if not _TITLE.search(wanted):
        return None
    for path in sorted(docs.rglob("*.md")):
        page = read_fresh(path, docs)
        if page and page.text.strip() == wanted:
            return page
    return None


class Which(Preprocessor):
    """Keeps the page in `page`, for the extensions that work on what others have parsed."""

    def __init__(self, md: Markdown, docs: Path) -> None:
        super().__init__(md)
        self.docs = docs
        self.page: Page | None = None

    def run(self, lines: list[str]) -> list[str]:
        """Find the page, and leave the lines as they are."""
        self.page = which_page("\n".join(lines), self.docs)
        return lines


def register(md: Markdown, docs: Path) -> Which:
    """Return the finder of this converter; the first extension that asks registers it."""
    if _NAME in md.preprocessors:
        found = md.preprocessors[_NAME]
        assert isinstance(found, Which)
        return found
    which = Which(md, docs)
    md.preprocessors.register(which, _NAME, 1000)  # before anything changes the text
    return which
