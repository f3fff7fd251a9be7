"""Which lies of a page the rules notice, the ties, and the tables of libraries."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from dlkb.book.hold import peers
from dlkb.book.hold.check import page_problems
from dlkb.book.read.pages import read_page
from dlkb.book.read.parts import Page, PageError
from scripts.lies.lie import Lie, Verdict, plant, together, verdict

Messages = Counter[tuple[int, str]]
Check = Callable[[Page], Messages]


def rules(root: Path) -> Check:
    """Return what asks the rules of a page, as `dlkb check` does."""
    return lambda page: Counter((p.line, p.message) for p in page_problems(root, page))


def tables(rows: dict[str, peers.Rows]) -> Check:
    """Return what compares the tables of a page with rows that the libraries gave."""

    def check(page: Page) -> Messages:
        return Counter(
            message
            for table in peers.tables(page)
            if table.name
            for message in peers.compare(table, rows.get(table.name, {}))
        )

    return check


def noticed(
    path: Path, docs: Path, stem: str, lies: list[Lie], check: Check, name: str
) -> list[Verdict]:
    """Plant lies into a page's file, many at once, and return which of them a check notices.

    The file is as it was afterwards.

    Args:
        path: The page's file.
        docs: The folder of all pages.
        stem: The page.
        lies: What is planted.
        check: Line and message of all that is wrong with a page.
        name: What the check is called.
    """
    text = path.read_text(encoding="utf-8")
    found = []
    try:
        before = check(read_page(path, docs))
        waiting = together(lies)
        while waiting:
            group = waiting.pop(0)
            path.write_text(plant(text, group), encoding="utf-8")
            try:
                new = check(read_page(path, docs)) - before
            except PageError as error:  # says no more than the first
                if len(group) > 1:
                    waiting += [[lie] for lie in group]
                    continue
                new = Counter([(group[0].line, str(error) + group[0].sign)])
            for lie in group:
                by = name if any(_tells(lie, *message) for message in new) else ""
                found.append(verdict(stem, text, lie, by))
    finally:
        path.write_text(text, encoding="utf-8")
    return found


def _tells(lie: Lie, line: int, message: str) -> bool:
    return lie.line in (0, line) and lie.sign in message
