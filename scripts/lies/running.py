"""Lies that only a run of the page tells: outputs, bound numbers, equations that a fence reads."""

import contextlib
import doctest
import re
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dlkb.book.read.pages import read_page
from dlkb.book.read.parts import Fence, Page, PageError
from dlkb.book.run.compare import same_output
from dlkb.book.run.processes import LIMIT
from dlkb.book.run.session import Session
from scripts.lies.equations import equation_lies, held_labels
from scripts.lies.lie import Lie, Verdict, plant, verdict
from scripts.lies.notice import Messages, noticed
from scripts.lies.texts import bound_lies
from scripts.lies.words import other_numbers

RUN = "run of the page"

_SHOWN = re.compile(r"(?<![\w.])\d[\d.]*(?:e[+-]?\d+)?(?!\w)|\b(?:True|False)\b|[^\W\d]{3,}")


def run_lies(session: Session) -> Iterator[Verdict]:
    """Run a page once, and say of its lies which of them the run would have noticed.

    Raises:
        PageError: If the page as it is does not run.
    """
    page = session.page
    text = page.path.read_text(encoding="utf-8")
    for fence in page.runnable:
        if error := session.outcomes_through(fence).error:
            raise PageError(f"{page.path}:{fence.line}: mend the page first: {error}")
        yield from _outputs(text, page.stem, fence, session.outcomes[-1].output)
    docs = page.path.parents[page.stem.count("/")]

    def bound(other: Page) -> Messages:
        session.page = other
        wrong = (number for number in session.bound() if number.fault)
        return Counter((number.line, str(number)) for number in wrong)

    if lies := bound_lies(page, text):
        yield from noticed(page.path, docs, page.stem, lies, bound, RUN)
    session.page = page
    yield from _used(session, text, docs)


def _wanted(fence: Fence) -> str:
    """Return all that a fence shows as printed, in one piece."""
    if fence.language == "python":
        return fence.shown or ""
    examples = doctest.DocTestParser().get_examples(fence.code)
    return "".join(example.exc_msg or example.want for example in examples)


def _outputs(text: str, stem: str, fence: Fence, printed: str) -> Iterator[Verdict]:
    """Change each line of an output in turn; it is compared with what the true page printed."""
    lines = _wanted(fence).split("\n")
    begin = [0, *(found.end() for found in re.finditer("\n", text))][fence.line - 1]
    for place, line in enumerate(lines):
        if not (found := _last(line)):
            continue
        (start, end), says = found
        false = [*lines[:place], line[:start] + says + line[end:], *lines[place + 1 :]]
        by = "" if same_output("\n".join(false), printed, fence.asks) else RUN
        at = text.find(line, begin)
        yield verdict(stem, text, Lie("output", at + start, at + end, says), by)


def _last(line: str) -> tuple[tuple[int, int], str] | None:
    """Return where the last word of an output stands, and another in its place."""
    for found in reversed(list(_SHOWN.finditer(line))):
        word = found[0]
        if word in ("True", "False"):
            return found.span(), "False" if word == "True" else "True"
        if not word[0].isdigit():
            return found.span(), f"un{word}"
        if others := other_numbers(word):
            return found.span(), others[0]
    return None


def _used(session: Session, text: str, docs: Path) -> Iterator[Verdict]:
    """Run the fences that read an equation again, with the equation false."""
    page = session.page
    labels = held_labels(page)
    for label, lie in equation_lies(page, text):
        if labels.get(label) != "used":
            continue
        fences = [fence for fence in page.runnable if label in fence.code]
        again = all(session.run(fence).error is None for fence in fences)
        try:
            page.path.write_text(plant(text, [lie]), encoding="utf-8")
            with at_most(LIMIT):
                by = RUN if _fails(session, docs, fences, again) else ""
        except TimeoutError:
            by = RUN  # a page has no more time than that
        finally:
            page.path.write_text(text, encoding="utf-8")
        yield verdict(page.stem, text, lie, by)


@contextlib.contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raise a TimeoutError in what takes longer, such as SymPy with a false equation."""

    def stop(*_: Any) -> None:
        raise TimeoutError

    before, start = signal.signal(signal.SIGALRM, stop), time.monotonic()
    left, _ = signal.setitimer(signal.ITIMER_REAL, seconds)  # the process may have its own limit
    try:
        yield
    finally:
        rest = max(left - (time.monotonic() - start), 0.01) if left else 0
        signal.setitimer(signal.ITIMER_REAL, rest)
        signal.signal(signal.SIGALRM, before)


def _fails(session: Session, docs: Path, fences: list[Fence], again: bool) -> bool:
    """Whether a fence fails: run alone if it can be run twice, else with all before it."""
    if again:
        return any(session.run(fence).error for fence in fences)
    fresh = Session(read_page(session.page.path, docs))
    return any(fresh.outcomes_through(fence).error for fence in fences)
