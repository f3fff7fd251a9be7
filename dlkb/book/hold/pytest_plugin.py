"""Let pytest collect every runnable fence of every page: one item a fence, one process a page.

A fence needs the names that earlier fences define, so asking for one item (`-k "line 41"`)
runs its page.
"""

from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest

from dlkb.book.hold.check import Problem, page_problems
from dlkb.book.hold.verify import run_book, stale, wrong
from dlkb.book.read.bindings import bound_numbers
from dlkb.book.read.book import GENERATED
from dlkb.book.read.pages import read_page
from dlkb.book.read.parts import Fence, Page, PageError, Tie
from dlkb.book.read.roots import find_checkout
from dlkb.book.run.session import Outcome


class BrokenPageError(Exception):
    """What is wrong with a page, ready to be printed."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --verified."""
    parser.addoption(
        "--verified",
        action="store_true",
        help="do not run again what `dlkb prepare` has verified of pages as they stand",
    )


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect the Markdown files below `docs`."""
    if file_path.suffix != ".md":
        return None
    try:
        docs = find_checkout(file_path.parent) / "docs"
    except PageError:
        return None
    if docs not in file_path.parents or file_path in [docs / f"{name}.md" for name in GENERATED]:
        return None
    return PageFile.from_parent(parent, path=file_path)


class PageFile(pytest.File):
    """A page: its fences, then what is said of it as a whole."""

    def collect(self) -> Iterator[pytest.Item]:
        """Read the page; a page that cannot be read fails the collection."""
        root = find_checkout(self.path.parent)
        page = read_page(self.path, root / "docs")
        device = self.config.getoption("--device", "cpu")
        trusted = self.config.getoption("--verified") and device == "cpu"

        @cache
        def found() -> list[Any]:
            """Run the page when the first item asks."""
            ((_, events),) = run_book(root, [page], device)
            return list(events)

        @cache
        def verified() -> bool:
            """Return whether the page, as it stands, is noted as right."""
            return bool(trusted and page.runnable and not stale(root, [page]))

        def item(name: str, line: int, test: Callable[[], None]) -> pytest.Item:
            return PageItem.from_parent(self, name=name, line=line, test=test)

        def run(name: str, line: int, test: Callable[..., None], *about: Any) -> pytest.Item:
            return item(name, line, lambda: None if verified() else test(found, *about))

        for fence in page.runnable:
            yield run(f"line {fence.line}", fence.line, _outcome, page, fence)
        for tie in page.ties:
            yield run(f"tie {tie.label}", tie.line, _tie, tie)
        if bound := bound_numbers(page.text):
            line = bound[0].line + page.first_line - 1
            yield run("bindings", line, _bindings, page)
        yield run("rounding", 1, _rounding, page)
        yield item("rules", 1, partial(_rules, root, page))

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


def _outcome(found: Callable[[], list[Any]], page: Page, fence: Fence) -> None:
    outcomes = [outcome for outcome in found() if isinstance(outcome, Outcome)]
    own = [outcome for outcome in outcomes if outcome.fence == fence]
    if not own:
        line = outcomes[-1].line
        raise BrokenPageError(f"{page.path}:{fence.line}: not run: the page ended at line {line}")
    if own[-1].error:
        problem = wrong(page, own)[0]
        raise BrokenPageError(str(problem))


def _after_the_fences(found: Callable[[], list[Any]]) -> list[Problem]:
    return [problem for problem in found() if isinstance(problem, Problem)]


def _tie(found: Callable[[], list[Any]], tie: Tie) -> None:
    _fail([problem for problem in _after_the_fences(found) if problem.line == tie.line])


def _bindings(found: Callable[[], list[Any]], page: Page) -> None:
    outcomes = [outcome for outcome in found() if isinstance(outcome, Outcome)]
    _fail(wrong(page, [outcome for outcome in outcomes if outcome.fence not in page.runnable]))


def _rounding(found: Callable[[], list[Any]], page: Page) -> None:
    tied = {tie.line for tie in page.ties}
    _fail([problem for problem in _after_the_fences(found) if problem.line not in tied])


def _rules(root: Path, page: Page) -> None:
    _fail(page_problems(root, page))


def _fail(problems: list[Problem]) -> None:
    if problems:
        raise BrokenPageError("\n".join(str(problem) for problem in problems))
