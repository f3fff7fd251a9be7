"""The gate: all that is held of a page, its rules and what its code prints.

`dlkb prepare`, `build`, `serve` and pytest ask here, so that none lets pass what another would not.
`dlkb run` asks for what the code prints and for the ties, not for the rules. `verify` does not run
a page that passed again until something changes that it depends on.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dlkb.book.hold.check import Problem, book_problems
from dlkb.book.hold.ties import tie_problems
from dlkb.book.read.book import read_book
from dlkb.book.read.freshness import page_key, read_note, write
from dlkb.book.read.parts import Page, PageError
from dlkb.book.run.processes import DONE, STARTED, run_apart
from dlkb.book.run.session import Outcome, Session

CACHE = Path(".cache/verified")
"""A file for each page, so that `dlkb prepare` and `dlkb serve` can note what they found side by
side: the key of a page that passed, the lines whose values it displayed and its numbers; or what is
wrong with it. Beside it, while the page runs, an empty file as old as the run."""

RUNNING = ".running"


@dataclass(frozen=True)
class Ran:
    """What is kept of a page that passed, for notebook and site, besides its source."""

    page: Page
    displayed: frozenset[int]  # lines whose value was shown, not printed
    values: dict[str, str] = field(default_factory=dict)  # of the expressions that bind numbers


def examine(session: Session) -> Iterator[Outcome | Problem | Ran]:
    """Run a page to its end, then hold what can be held only then."""
    page = session.page
    for fence in page.runnable:
        yield session.outcomes_through(fence)
    if bound := session.bound_outcome():
        yield bound
    yield from _fragile(session)
    yield from tie_problems(page)
    values = {number.expression: number.value for number in session.bound()}
    yield Ran(page, frozenset(session.displayed), values)


def _fragile(session: Session) -> Iterator[Problem]:
    for number in session.fragile:
        message = f"{number}, another processor may round it the other way: show other digits"
        yield Problem(session.page.path, number.line, message)


def wrong(page: Page, found: list[Any]) -> list[Problem]:
    """Return what is wrong with a page that was examined, its first failing fence only."""
    failed = (outcome for outcome in found if isinstance(outcome, Outcome) and outcome.error)
    for outcome in failed:  # what follows it may be its doing
        message = f"under '{outcome.fence.heading}': {outcome.error}"
        return [Problem(page.path, outcome.line or outcome.fence.line, message)]
    return [problem for problem in found if isinstance(problem, Problem)]


def run_book(
    root: Path, book: list[Page], device: str = "cpu"
) -> Iterator[tuple[Page, Iterator[Outcome | Problem]]]:
    """Yield each page in order, with its outcomes and problems as they come."""
    events = run_apart(examine, root, book, device)
    kept: dict[str, list[Any]] = {page.stem: [] for page in book}

    def found_on(page: Page) -> Iterator[Outcome | Problem]:
        items, index = kept[page.stem], 0
        while True:
            while index == len(items):
                other, item = next(events)
                kept[other.stem].append(item)
            if items[index] == DONE:
                return
            if isinstance(items[index], Outcome | Problem):
                yield items[index]
            index += 1

    for page in book:
        yield page, found_on(page) if page.runnable else iter(tie_problems(page))


def verify(root: Path, stems: list[str] | None = None) -> list[Problem]:
    """Hold the pages named, or all: their rules, and what their code prints.

    Returns:
        What is wrong, each with page and line.
    """
    return hold(root, stems)[1]


def hold(root: Path, stems: list[str] | None = None) -> tuple[list[str], list[Problem]]:
    """Do as `verify` does; return also which pages had to run again, by their stems."""
    root = root.resolve()
    problems = book_problems(root, stems)
    book = read_book(root, stems)
    problems += [problem for page in book if not page.runnable for problem in tie_problems(page)]
    keys = {page.stem: _key(root, page) for page in book}
    due = _stale(root, book, keys)
    found: dict[str, list[Any]] = {page.stem: [] for page in due}
    for page, item in run_apart(examine, root, due):
        found[page.stem].append(item)
        if item == STARTED:
            running = _file(root, page.stem, RUNNING)
            running.parent.mkdir(parents=True, exist_ok=True)
            running.touch()
        elif item == DONE:
            bad = wrong(page, found[page.stem])
            entry = _entry(keys[page.stem], found[page.stem], bad)
            write(_file(root, page.stem), json.dumps(entry, indent=1).encode())
            _file(root, page.stem, RUNNING).unlink(missing_ok=True)
            problems += bad
    return [page.stem for page in due], problems


def _entry(key: str, found: list[Any], bad: list[Problem]) -> dict[str, Any]:
    if bad:
        return {"wrong": [str(problem) for problem in bad]}
    whole = next(item for item in found if isinstance(item, Ran))
    return {"key": key, "displayed": sorted(whole.displayed), "values": whole.values}


def stale(root: Path, book: list[Page]) -> list[Page]:
    """Return the pages whose code has to run: changed, or not known to be right."""
    return _stale(root, book, {page.stem: _key(root, page) for page in book})


def _stale(root: Path, book: list[Page], keys: dict[str, str]) -> list[Page]:
    return [
        page
        for page in book
        if page.runnable and noted(root, page.stem).get("key") != keys[page.stem]
    ]


def ran(root: Path, page: Page) -> Ran:
    """Return what is kept of a page that passed.

    Raises:
        PageError: If it did not, or changed since.
    """
    if not page.runnable:
        return Ran(page, frozenset())
    entry = noted(root, page.stem)
    if entry.get("key") != _key(root, page):
        raise PageError(f"{page.path}:1: changed since it was verified: do it again")
    return Ran(page, frozenset(entry["displayed"]), entry["values"])


def noted(root: Path, stem: str) -> dict[str, Any]:
    """Return what was found when a page was last held, as `CACHE` says."""
    return read_note(_file(root, stem))


def running_since(root: Path, stem: str) -> float | None:
    """Return when a run of a page began that has not ended: it is going on, or was stopped."""
    try:
        return _file(root, stem, RUNNING).stat().st_mtime
    except OSError:
        return None


def noted_stems(root: Path) -> set[str]:
    """Return the pages of which something is noted."""
    folder = root / CACHE
    files = (file for file in folder.rglob("*") if file.suffix in (".json", RUNNING))
    return {file.relative_to(folder).with_suffix("").as_posix() for file in files}


def _file(root: Path, stem: str, suffix: str = ".json") -> Path:
    return root / CACHE / f"{stem}{suffix}"


def _key(root: Path, page: Page) -> str:
    return page_key(root, page, [root / "mkdocs.yml"])
