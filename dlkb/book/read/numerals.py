r"""The numbers of a text that must be held: two digits or more, a decimal point, or a word.

One scanner for prose and TeX: `7.27`, `3,924`, `30 000`, `1e-8`, `10^{-3}`, `2\cdot10^{5}`,
`1{,}000`, `10⁻³`, `13 %`, `20-layer`, `eighteenfold`, `a thousand`. A word with digits is no
number (`float32`, `ResNet-50`, `c-035`), nor is a subscript or a number of one digit.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

_TEENS = "thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_ONES = "one two three four five six seven eight nine ten eleven twelve".split()
_SCALES = {"hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9}
_WORDS = (
    {word: number for number, word in enumerate(_ONES, 1)}
    | {word: number for number, word in enumerate(_TEENS, 13)}
    | {word: 10 * number for number, word in enumerate(_TENS, 2)}
)
_RAISED = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")

_SEPARATOR = r"(?:,|\{,\}|\\,|[ \u00a0\u2009\u202f])"
_POINT = rf"\d{{1,3}}(?:{_SEPARATOR}\d{{3}})+(?!\d)(?:\.\d+)?|\d+(?:\.\d+)?"
_SMALL = "|".join(_ONES)
_NAMED = rf"(?:{'|'.join(_TENS)})(?:-(?:{'|'.join(_ONES[:9])}))?|{'|'.join(_TEENS)}"
_NUMBER = re.compile(
    rf"""
    (?<![\w.^]) (?<![A-Za-z]-) (?<!_\{{)
    (?P<sign> (?: (?<=[(\[{{$|=,;<>≈≤≥]) | (?<=[\s]) | (?<![\s\S]) ) [-−](?=[\d.]) )?
    (?:
        (?: (?P<factor>{_POINT}) \s*(?:\\cdot|\\times|·|×)\s*)?
        (?P<base>\d+)
        (?: \^ (?:\{{(?P<power>[-−]?\d+)\}}|(?P<digit>\d)) | (?P<raised>⁻?[⁰¹²³⁴-⁹]+) )
      | (?P<plain>{_POINT}|\.\d+) (?:[eE](?P<exponent>[+-]?\d+))? (?:st|nd|rd|th)?
        (?:[ \u00a0](?P<scale>{"|".join(_SCALES)})\b)?
    )
    (?![\d_]|[A-Za-z]{{2}}) (?!\.\d)  # 12n and 350M are numbers, 16bit is a word
  | \b (?P<words> (?:(?:a|{_SMALL}|{_NAMED}|half\ a)\s)? (?:{"|".join(_SCALES)}) | {_NAMED})
    (?: -?fold | (?<=teen)th )? (?!\w)
    """,
    re.VERBOSE | re.IGNORECASE,
)


@dataclass(frozen=True)
class Numeral:
    """A number as written, its value, the worth of its last digit, its significant digits."""

    text: str
    value: Decimal
    place: Decimal
    digits: int
    start: int
    end: int

    @property
    def signed(self) -> bool:
        """Whether a minus stands before it."""
        return self.value < 0


def _bare(text: str) -> str:
    """Return digits and point alone, without separators of thousands."""
    return re.sub(_SEPARATOR, "", text)


def _place(text: str) -> Decimal:
    return Decimal(1).scaleb(-len(text.partition(".")[2]))


def _significant(text: str) -> int:
    """Count digits; the zeros at the end of a whole number may be mere size."""
    digits = text.replace(".", "").lstrip("0")
    return len(digits) if "." in text else len(digits.rstrip("0"))


def _power(found: re.Match[str]) -> tuple[Decimal, Decimal, int] | None:
    written = found["power"] or found["digit"] or found["raised"].translate(_RAISED)
    exponent = int(written.replace("−", "-"))
    if abs(exponent) > 400:
        return None
    scale = Decimal(int(found["base"])) ** exponent
    if found["factor"]:
        factor = _bare(found["factor"])
        return Decimal(factor) * scale, _place(factor) * scale, _significant(factor)
    if found["base"] != "10" and len(written) == 1 and len(found["base"]) == 1:
        return None  # 3^2: two numbers of one digit
    return scale, scale / (10 if found["base"] == "10" else 100), 1


def _word(words: str) -> int | None:
    """Return the value of number words; None for a small one without a scale."""
    value = 1
    for word in re.split(r"[\s-]+", words.lower().replace("half a", "half-a")):
        if word in _SCALES:
            value *= _SCALES[word]
        elif word in _WORDS:
            value = value + _WORDS[word] if value >= 20 else _WORDS[word]
        elif word == "half":
            return None
    return value


def _read(found: re.Match[str]) -> tuple[Decimal, Decimal, int] | None:
    """Return value, place and significant digits, or None for what need not be held."""
    if found["words"]:
        value = _word(found["words"])
        return None if value is None else (Decimal(value), Decimal(1), _significant(str(value)))
    if found["base"]:
        return _power(found)
    text = _bare(found["plain"])
    if len(text) == 1 and not found["exponent"] and not found["scale"]:
        return None
    if "." not in text and found.string[found.end() : found.end() + 1] == "^":
        return None  # 10^k: a base with a symbol above it
    scale = Decimal(10) ** int(found["exponent"] or 0)
    scale *= _SCALES[found["scale"].lower()] if found["scale"] else 1
    return Decimal(text) * scale, _place(text) * scale, _significant(text)


def numerals(text: str) -> Iterator[Numeral]:
    r"""Yield the numbers of a text that must be held, in order.

    Example:
        >>> text = r"From 3.16 at step 1 to $10^{-3}$ at 3,924; thousands of float32."
        >>> [str(number.value) for number in numerals(text)]
        ['3.16', '0.001', '3924']
    """
    for found in _NUMBER.finditer(text):
        read = _read(found)
        if read is None:
            continue
        value, place, digits = read
        value = -value if found["sign"] else value
        written = found[0].strip()
        yield Numeral(written, value, place, digits, found.start(), found.start() + len(written))
