"""False equations, in the TeX that readers see, and whether the ties notice them."""

import re
from collections.abc import Iterator

from dlkb.book.hold.equations import equation_counts
from dlkb.book.hold.ties import TieError, verify
from dlkb.book.read.parts import Page
from dlkb.book.read.tex import matches
from scripts.lies.lie import Lie

_CHANGES = (
    (r"(?<![_^{])\+", "-"),
    (r"(?<![_^{])-", "+"),
    (r"\\leq?\b", r"\\ge"),
    (r"\\geq?\b", r"\\le"),
    (r"<", ">"),
    (r">", "<"),
    (r"\^(?:\d|\{\d\})", ""),
    (r"\\sqrt(?=\{)", ""),
    (r"(?<![\d._^])(?<!\^\{)\d(?![\d.])", None),
    (r"\\frac(?=\{)", r"\\frac{1}{2}\\frac"),
)
"""Pattern and what stands instead; a digit is followed by the next."""


def equation_lies(page: Page, text: str) -> list[tuple[str, Lie]]:
    """Return false equations: the label, and the change of one sign, exponent, factor, relation."""
    head = len(text) - len(page.text)
    return [
        (equation.label, lie)
        for match, equation in matches(page.text)
        if equation.label
        for lie in _changed(match[0], head + match.start())
    ]


def _changed(tex: str, at: int) -> Iterator[Lie]:
    hidden = re.sub(  # of names, indices and remarks, nothing is changed
        r"\\(?:label|text|begin|end|mathrm|operatorname)\{[^{}]*\}|_\{[^{}]*\}|_\w|\^\{\([^{}]*\}",
        lambda part: " " * len(part[0]),
        tex,
    )
    for pattern, says in _CHANGES:
        for found in re.finditer(pattern, hidden):
            other = str((int(found[0]) + 1) % 10) if says is None else found.expand(says)
            yield Lie("equation", at + found.start(), at + found.end(), other)


def held_labels(page: Page) -> dict[str, str]:
    """Return how each labelled equation is held: tied, used, or untied."""
    counts = equation_counts(page)
    return {label: how for how, labels in counts._asdict().items() for label in labels}


def ties_notice(page: Page, label: str) -> bool:
    """Whether a tie that reads the equation fails on this page, whose equation is false."""
    for tie in page.ties:
        if label == tie.label or label in tie.definitions:
            try:
                verify(page, tie)
            except TieError:
                return True
    return False
