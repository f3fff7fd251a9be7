"""Evaluate the numbers that a page binds, in its namespace as it is after the last fence."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from dlkb.book.read.bindings import bound_numbers
from dlkb.book.read.numerals import Numeral
from dlkb.book.read.parts import Page
from dlkb.book.run.compare import BOUNDARY


@dataclass(frozen=True)
class Evaluated:
    """A bound number: where it stands, what it shows, its expression, the value, the fault."""

    line: int
    shown: str
    expression: str
    value: str
    fault: str | None

    def __str__(self) -> str:
        return f"line {self.line}: shows {self.shown}, but {self.expression} {self.fault}"


def evaluate(page: Page, namespace: dict[str, Any]) -> list[Evaluated]:
    """Return what each bound number of the page is. Nothing is raised: a fault says what was."""
    return [
        _evaluate(bound.line + page.first_line - 1, number, expression, namespace)
        for bound in bound_numbers(page.text)
        if not bound.fault  # a rule says so
        for number, expression in bound.pairs
    ]


def _evaluate(line: int, number: Numeral, expression: str, names: dict[str, Any]) -> Evaluated:
    try:
        value = eval(expression, names)
        shown = short(value)
        fault = None if is_value(number, value) else f"is {shown}"
    except Exception as error:
        shown, fault = "", f"raises {type(error).__name__}: {error}"
    return Evaluated(line, number.text, expression, shown, fault)


def _decimal(value: Any) -> Decimal:
    """Return a number, an array of one entry, or a symbolic number as a decimal."""
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, bool):
        raise TypeError("a truth value is no number")
    return Decimal(value) if isinstance(value, int) else Decimal(repr(float(value)))


def is_value(number: Numeral, value: Any) -> bool:
    """Return whether `value`, rounded to the number's last digit, is the number shown.

    On a boundary between two roundings both are right, by the margin that printed numbers must
    keep from it. A text, such as a version, must begin with the number.
    """
    if isinstance(value, str):
        return value.startswith(number.text)
    exact = _decimal(value)
    if not exact.is_finite():
        return False
    return abs(exact - number.value) <= number.place * (Decimal("0.5") + BOUNDARY)


def short(value: Any) -> str:
    """Return a value for readers: six significant digits, whole numbers in full.

    Example:
        >>> short(7.267326), short(3924.0), short("2.13.0"), short(1e-8)
        ('7.26733', '3924', '2.13.0', '1e-08')
    """
    if isinstance(value, str):
        return value
    exact = _decimal(value)
    whole = exact.is_finite() and exact == exact.to_integral_value() and abs(exact) < 10**15
    return f"{exact:.0f}" if whole else f"{float(exact):.6g}"
