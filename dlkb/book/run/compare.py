"""Does a page show what its code prints?

Line by line, as printed; only blanks at the end of a line are let pass. Where a fence asks for it,
with ``` {.pycon .ellipsis}, `...` stands for anything; with ``` {.pycon .digits}, a number that
the page shows with fewer digits than were printed need only be what the printed number rounds to.
"""

import difflib
import doctest
import re
from collections.abc import Collection
from decimal import Decimal

ASKS = ("ellipsis", "digits")
"""What a fence can ask of the comparison."""

_NUMBER = re.compile(r"(?<![\w.])[+-]?(?:\d+\.\d*|\.\d+|\d+)(?:[eE][+-]?\d+)?(?![\w])")

BOUNDARY = Decimal("0.005")
"""How near to a rounding boundary is too near, in units of the last place shown."""


def last_place(number: str) -> Decimal:
    """Return the value of one unit in the last digit: 0.01 for 3.14, 100 for 1.2e3."""
    mantissa, _, exponent = number.lower().partition("e")
    decimals = len(mantissa.partition(".")[2])
    return Decimal(1).scaleb(int(exponent or 0) - decimals)


def _is_float(number: str) -> bool:
    return "." in number or "e" in number.lower()


def rounds_to(shown: str, printed: str) -> bool:
    """Return whether the printed number, rounded to the digits shown, is the number shown.

    Example:
        >>> rounds_to("0.33", "0.3333333333333333"), rounds_to("0.34", "0.3333333333333333")
        (True, False)
    """
    if not _is_float(shown):
        return shown == printed
    return abs(Decimal(shown) - Decimal(printed)) <= last_place(shown) / 2


def on_boundary(shown: str, printed: str) -> bool:
    """Return whether another processor might round the printed number to another one.

    Example:
        >>> on_boundary("0.12", "0.1250001"), on_boundary("0.12", "0.123")
        (True, False)
    """
    if not _is_float(shown) or len(printed) <= len(shown):
        return False
    unit = last_place(shown)
    distance = abs(abs(Decimal(shown) - Decimal(printed)) / unit - Decimal("0.5"))
    return distance < BOUNDARY


def number_pairs(shown: str, printed: str) -> list[tuple[str, str]]:
    """Return the numbers of both texts side by side; empty if their counts differ."""
    left, right = _NUMBER.findall(shown), _NUMBER.findall(printed)
    return list(zip(left, right, strict=True)) if len(left) == len(right) else []


def _lines(text: str) -> str:
    return "".join(f"{line.rstrip()}\n" for line in text.rstrip().split("\n"))


def _agree(shown: str, printed: str, asks: Collection[str]) -> bool:
    flags = doctest.DONT_ACCEPT_TRUE_FOR_1 | ("ellipsis" in asks) * doctest.ELLIPSIS
    return doctest.OutputChecker().check_output(_lines(shown), _lines(printed), flags)


def same_output(shown: str, printed: str, asks: Collection[str] = ()) -> bool:
    """Return whether what a page shows agrees with what was printed.

    Args:
        shown: What the page shows.
        printed: What the code printed.
        asks: Of `ASKS`, what the fence asks for.

    Example:
        >>> same_output("loss 0.693", "loss 0.6931471805599453")
        False
        >>> same_output("loss 0.693", "loss 0.6931471805599453", ["digits"])
        True
        >>> same_output("loss 0.694", "loss 0.6931471805599453", ["digits"])
        False
    """
    if _agree(shown, printed, asks):
        return True
    if "digits" not in asks:
        return False
    pairs = iter(number_pairs(shown, printed))

    def shorten(found: re.Match[str]) -> str:
        short, long = next(pairs, (found[0], found[0]))
        return short if rounds_to(short, long) else long

    return _agree(shown, _NUMBER.sub(shorten, printed), asks)


def difference(shown: str, printed: str) -> str:
    """Return a unified diff from what the page shows to what was printed."""
    rows = difflib.unified_diff(
        shown.splitlines(), printed.splitlines(), "the page shows", "the code prints", lineterm=""
    )
    return "\n".join(rows)
