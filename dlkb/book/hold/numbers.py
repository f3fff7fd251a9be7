"""Is each number of a page printed by its code, or bound to an expression?

Decided from the page alone, without running it: that the outputs are what the code prints, and
that bound numbers are what their expressions give, is compared where the page runs. Asked here
is whether the sentence's number is among them.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from dlkb.book.hold.names import names_in, page_names
from dlkb.book.read.bindings import bound_numbers
from dlkb.book.read.code import examples
from dlkb.book.read.numerals import Numeral, numerals
from dlkb.book.read.parts import Fence, Page
from dlkb.book.read.readable import readable
from dlkb.book.read.rows import rows
from dlkb.book.read.tex import matches
from dlkb.book.run.compare import last_place

GIVEN_AT_MOST = 1
"""How many numbers of a page may be given without being computed."""

ANYWHERE = 3
"""A number of so many significant digits may be printed anywhere on its page."""

_PRINTED = re.compile(
    r"(?<![\w.])[+-]?(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
    r"(?!\w)(?!\.\d)"
)


@dataclass(frozen=True)
class Printed:
    """A number that a fence shows as its output, and the section, card or exercise around it."""

    text: str
    line: int
    where: tuple[str, ...]

    @property
    def value(self) -> Decimal:
        """The number."""
        return Decimal(self.text.replace(",", ""))


@dataclass(frozen=True)
class Held:
    """A number of the page's text and what holds it: `printed`, `bound`, `given`, or nothing."""

    number: Numeral
    line: int
    where: tuple[str, ...]
    by: str


def outputs(fence: Fence) -> Iterator[tuple[int, str]]:
    """Yield line and text of what a fence shows as printed."""
    if fence.language == "python":
        yield fence.line, fence.shown or ""
        return
    for example in examples(fence.code):
        yield fence.line + example.lineno, example.exc_msg or example.want


def printed_numbers(page: Page) -> list[Printed]:
    """Return the numbers that the page's fences print, with where they stand."""
    places = [row.place for row in rows(page.text)]
    return [
        Printed(number, line, places[fence.line - page.first_line])
        for fence in page.runnable
        for line, text in outputs(fence)
        for number in _PRINTED.findall(text)
    ]


def agrees(number: Numeral, printed: Printed) -> bool:
    """Return whether a printed number holds the one in the text, at the text's precision.

    Without a minus the text gives a size ("falls by 0.1"), so that the sign is open.
    """
    value = printed.value if number.value < 0 else abs(printed.value)
    if value == number.value:
        return True
    precise = last_place(printed.text.replace(",", "")) <= number.place
    return precise and abs(value - number.value) <= number.place / 2


def is_near(printed: Printed, where: tuple[str, ...]) -> bool:
    """Return whether a number is printed in the section, card or exercise `where`.

    A section holds the sections below it, but not its cards and exercises; the lead, under the
    page's title, holds no section.
    """
    inner = printed.where[len(where) :]
    if printed.where[: len(where)] != where or any(part.startswith("/") for part in inner):
        return False
    return len(where) > 1 or not inner


def held_numbers(page: Page) -> list[Held]:
    """Return the numbers of a page's text in order, each with what holds it."""
    places = [row.place for row in rows(page.text)]
    printed = printed_numbers(page)
    tied = _tied_spans(page)
    comments = {
        number.start: "bound" if bound.expressions else "given"
        for bound in bound_numbers(page.text)
        for number in bound.numbers
    }
    found = []
    for number in numerals(readable(page.text)):
        if any(start <= number.start < end for start, end in tied):
            continue
        row = page.text.count("\n", 0, number.start)
        by = comments.get(number.start) or _printed_by(number, printed, places[row])
        found.append(Held(number, row + page.first_line, places[row], by))
    return found


def _tied_spans(page: Page) -> list[tuple[int, int]]:
    """Return where the equations stand that are compared with a function."""
    labels = {tie.label for tie in page.ties}
    return [match.span() for match, equation in matches(page.text) if equation.label in labels]


def _printed_by(number: Numeral, printed: list[Printed], where: tuple[str, ...]) -> str:
    anywhere = number.digits >= ANYWHERE
    holds = any(
        (anywhere or is_near(candidate, where)) and agrees(number, candidate)
        for candidate in printed
    )
    return "printed" if holds else ""


def held_counts(page: Page) -> dict[str, int]:
    """Return how many numbers of the page's text are printed, bound and given, and how many not.

    Example:
        `{"printed": 12, "bound": 5, "given": 0, "unheld": 0}`
    """
    by = [held.by or "unheld" for held in held_numbers(page)]
    return {kind: by.count(kind) for kind in ("printed", "bound", "given", "unheld")}


def _advice(number: Numeral, printed: list[Printed]) -> str:
    """Say where the number may come from: the printed number that is nearest to it."""
    bind = f"print it, or bind it: {number.text}<!--= expression -->"
    if not printed:
        return f"the page prints no number; {bind}"
    nearest = min(printed, key=lambda candidate: abs(abs(candidate.value) - abs(number.value)))
    hint = ""
    if agrees(number, nearest):
        hint = f", too far away for fewer than {ANYWHERE} significant digits"
    return f"nearest is {nearest.text} on line {nearest.line}{hint}; {bind}"


def number_problems(page: Page) -> list[tuple[int, str]]:
    """Return the numbers of a page that nothing holds, and bindings that bind nothing.

    Returns:
        Line of the file and message, one for each.
    """
    printed = printed_numbers(page)
    found = [
        (held.line, f"nothing holds {held.number.text}: {_advice(held.number, printed)}")
        for held in held_numbers(page)
        if not held.by
    ]
    return sorted(found + _binding_problems(page) + _description_problems(page, printed))


def _binding_problems(page: Page) -> list[tuple[int, str]]:
    names = page_names(page)
    given, found = 0, []
    for bound in bound_numbers(page.text):
        line = bound.line + page.first_line - 1
        if bound.fault:
            found.append((line, bound.fault))
        found += [
            (line, f"'{expression}' {fault}")
            for expression in bound.expressions
            if (fault := _expression_fault(expression, names))
        ]
        given += bool(bound.reason)
        if bound.reason and given > GIVEN_AT_MOST:
            found.append((line, f"more than {GIVEN_AT_MOST} number is given: compute this one"))
    return found


def _expression_fault(expression: str, names: set[str]) -> str:
    try:
        used = names_in(ast.parse(expression, mode="eval"))
    except SyntaxError:
        return "is no Python expression"
    if not used & names:
        return "uses no name that a fence of this page defines: a number may not bind itself"
    return ""


def _description_problems(page: Page, printed: list[Printed]) -> list[tuple[int, str]]:
    """Hold the numbers of the description, which no comment can bind, by those of the page."""
    description = str(page.meta.get("description", ""))
    bound = {
        number.value
        for comment in bound_numbers(page.text)
        for number in comment.numbers
        if comment.expressions
    }
    return [
        (1, f"the description says {number.text}, which the page neither prints nor binds")
        for number in numerals(readable(description))
        if number.value not in bound and not any(agrees(number, other) for other in printed)
    ]
