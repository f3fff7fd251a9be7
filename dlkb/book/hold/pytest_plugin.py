"""Let pytest collect every runnable fence of every page: one item a fence, one session a page.

A fence needs the names that earlier fences define, so asking for one item (`-k "line 41"`)
runs the page up to it.
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from dlkb.book.hold.check import page_problems
from dlkb.book.hold.ties import TieError, verify
from dlkb.book.read.bindings import bound_numbers
from dlkb.book.read.pages import GENERATED, PageError, Tie, find_root, read_page
from dlkb.book.run.session import Outcome, Session


class BrokenPageError(Exception):
    """What is wrong with a page, ready to be printed."""


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect the Markdown files below `docs`."""
    if file_path.suffix != ".md":
        return None
    try:
        docs = find_root(file_path.parent) / "docs"
    except PageError:
        return None
    if docs not in file_path.parents or file_path in [docs / f"{name}.md" for name in GENERATED]:
        return None
    return PageFile.from_parent(parent, path=file_path)


class PageFile(pytest.File):
    """A page: its fences, then what is said of it as a whole."""

    def collect(self) -> Iterator[pytest.Item]:
        """Read the page; a page that cannot be read fails the collection."""
        root = find_root(self.path.parent)
        page = read_page(self.path, root / "docs")
        session = Session(page, self.config.getoption("--device", "cpu"))

        def item(name: str, line: int, test: Callable[[], None]) -> pytest.Item:
            return PageItem.from_parent(self, name=name, line=line, test=test)

        for fence in page.runnable:
            yield item(f"line {fence.line}", fence.line, partial(_run_fence, session, fence))
        for tie in page.ties:
            yield item(f"tie {tie.label}", tie.line, partial(_verify_tie, session, tie))
        if bound := bound_numbers(page.text):
            yield item("bindings", bound[0].line + page.first_line - 1, partial(_bind, session))
        yield item("rounding", 1, partial(_audit, session))
        yield item("rules", 1, partial(_rules, root, session))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Show a page's error without the collector's traceback."""
        if isinstance(excinfo.value, PageError):
            return str(excinfo.value)
        return super().repr_failure(excinfo)


class PageItem(pytest.Item):
    """One test of a page, reported at a line of the page."""

    def __init__(self, *, line: int, test: Callable[[], None], **fields: Any) -> None:
        super().__init__(**fields)
        self.line = line
        self.test = test

    def runtest(self) -> None:
        """Run it."""
        self.test()

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Show what is wrong in the page's own terms."""
        if isinstance(excinfo.value, BrokenPageError):
            return str(excinfo.value)
        return super().repr_failure(excinfo)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Point at the page's line."""
        return self.path, self.line - 1, f"{self.path.name} {self.name}"


def _describe(session: Session, outcome: Outcome) -> str:
    return f"{session.page.path}:{outcome.line}: under '{outcome.fence.heading}'\n{outcome.error}"


def _run_fence(session: Session, fence: Any) -> None:
    outcome = session.outcomes_through(fence)
    if outcome.error:
        raise BrokenPageError(_describe(session, outcome))


def _verify_tie(session: Session, tie: Tie) -> None:
    try:
        verify(session.page, tie)
    except TieError as error:
        raise BrokenPageError(f"{session.page.path}:{tie.line}: {error}") from None


def _bind(session: Session) -> None:
    outcome = session.bound_outcome()
    if outcome and outcome.error:
        raise BrokenPageError(_describe(session, outcome))


def _audit(session: Session) -> None:
    for fence in session.page.runnable[-1:]:
        session.outcomes_through(fence)
    if session.fragile:
        rows = [f"{session.page.path}:{number.line}: {number}" for number in session.fragile]
        raise BrokenPageError(
            "\n".join(rows) + "\nanother processor may round these the other way: "
            "show fewer or more digits"
        )


def _rules(root: Path, session: Session) -> None:
    problems = page_problems(root, session.page)
    if problems:
        raise BrokenPageError("\n".join(str(problem) for problem in problems))
