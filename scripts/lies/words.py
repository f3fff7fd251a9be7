"""How a number and a sentence turn false."""

import re
from collections.abc import Iterator

from dlkb.book.read.numerals import numerals

_PAIRS = (
    "more less, most least, larger smaller, largest smallest, higher lower, longer shorter, "
    "faster slower, above below, before after, rises falls, rise fall, grows shrinks, "
    "grow shrink, growing shrinking, increases decreases, increase decrease, first last, "
    "left right, always never, all none, every no, early late, with without, up down, "
    "large small, high low, long short, fast slow, stays leaves, starts ends, holds fails, "
    "positive negative, maximum minimum, best worst, better worse, inside outside, begins ends, "
    "stable unstable, converges diverges, over under, at least at most, top bottom, solid dashed"
)
OPPOSITES = {
    word: opposite
    for pair in _PAIRS.split(", ")
    for words in [pair.rsplit(" ", 1) if pair.count(" ") == 1 else ["at least", "at most"]]
    for word, opposite in (words, words[::-1])
}
_OPPOSITE = re.compile(
    rf"(?<![\w$\\{{-])(?:{'|'.join(sorted(OPPOSITES, key=len, reverse=True))})(?![\w$}}-])",
    re.IGNORECASE,
)
_AUXILIARY = re.compile(r"\b(?:is|are|was|were|can|does|do|has|have|will|must|may)\b(?! not)")
_DIGITS = "0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"
_NAMES = (
    "thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty "
    "seventy eighty ninety hundred thousand million billion"
).split()


def other_numbers(text: str) -> list[str]:
    """Return a number with its last digit changed, and with its first; zeros at an end stay.

    Example:
        >>> other_numbers("7.27"), other_numbers("3,000"), other_numbers("eighteenfold")
        (['7.28', '8.27'], ['4,000'], ['nineteenfold'])
    """
    for name, other in zip(_NAMES, [*_NAMES[1:], _NAMES[-2]], strict=True):
        if re.search(rf"\b{name}", text, re.IGNORECASE):
            return [re.sub(rf"\b{name}", other, text, count=1, flags=re.IGNORECASE)]
    whole = "." not in text
    places = [
        place
        for place, char in enumerate(text)
        if any(char in digits for digits in _DIGITS) and char not in "0⁰"
    ]
    if not whole and (zeros := re.search(r"\.\d*0$", text)):
        places.append(zeros.end() - 1)
    ends = dict.fromkeys([*places[-1:], *places[:1]])
    return [text[:place] + _other_digit(text[place]) + text[place + 1 :] for place in ends]


def _other_digit(digit: str) -> str:
    digits = next(row for row in _DIGITS if digit in row)
    value = digits.index(digit)
    return digits[value - 1 if value == 9 else value + 1]


def other_words(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield start, end and opposite of each word of a text that has one.

    Example:
        >>> list(other_words("It rises most."))
        [(3, 8, 'falls'), (9, 13, 'least')]
    """
    for found in _OPPOSITE.finditer(text):
        opposite = OPPOSITES[found[0].lower()]
        says = opposite.capitalize() if found[0][0].isupper() else opposite
        yield found.start(), found.end(), says


def denied(text: str) -> tuple[int, int, str]:
    """Return start, end and words that turn a statement into its contrary.

    Example:
        >>> denied("It is an average."), denied("Momentum helps.")
        ((5, 5, ' not'), (0, 0, 'It is false that: '))
    """
    if found := next(other_words(text), None):
        return found
    if auxiliary := _AUXILIARY.search(text):
        return auxiliary.end(), auxiliary.end(), " not"
    return 0, 0, "It is false that: "


def false_sentences(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield changes that make a description false: of each number, of each word with an opposite.

    A sentence with neither is denied, if that takes no more than a word.
    """
    start = 0
    for end in [*(found.end() for found in re.finditer(r"[.!?](?=\s)", text)), len(text)]:
        sentence = text[start:end]
        changes = [
            (number.start, number.end, other)
            for number in numerals(sentence)
            for other in other_numbers(sentence[number.start : number.end])
        ]
        changes += other_words(sentence)
        if not changes and (auxiliary := _AUXILIARY.search(sentence)):
            changes = [(auxiliary.end(), auxiliary.end(), " not")]
        for first, last, says in changes:
            yield start + first, start + last, says
        start = end
