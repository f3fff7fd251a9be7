"""Does a page show what its code prints?

The comparison is doctest's, with ELLIPSIS and NORMALIZE_WHITESPACE, and one rule more: where
the page shows a number with fewer digits than were printed, the printed number must round to it.
"""

import difflib
import doctest
import re
from decimal import Decimal

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE

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


def same_output(shown: str, printed: str) -> bool:
    """Return whether what a page shows agrees with what was printed.

    Example:
        >>> same_output("loss 0.693", "loss 0.6931471805599453")
        True
        >>> same_output("loss 0.694", "loss 0.6931471805599453")
        False
    """
    check = doctest.OutputChecker().check_output
    if check(shown, printed, FLAGS):
        return True
    pairs = iter(number_pairs(shown, printed))

    def shorten(found: re.Match[str]) -> str:
        short, long = next(pairs, (found[0], found[0]))
        return short if rounds_to(short, long) else long

    return check(shown, _NUMBER.sub(shorten, printed), FLAGS)


def difference(shown: str, printed: str) -> str:
    """Return a unified diff from what the page shows to what was printed."""
    rows = difflib.unified_diff(
        shown.splitlines(), printed.splitlines(), "the page shows", "the code prints", lineterm=""
    )
    return "\n".join(rows)
