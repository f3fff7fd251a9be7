"""Numbers that are bound: a comment behind them says what they are, in the names of the page.

`7.27<!--= step_bound(lr=1.0) -->` binds one number, `3.16 … 1.01<!--= first; last -->` two. And
`<!--given: reason-->` says that the number before it is given, not computed.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from dlkb.book.read.numerals import Numeral, numerals
from dlkb.book.read.readable import comments, readable

_BINDING = re.compile(r"<!--(=|given:)(.*?)-->", re.DOTALL)
_PARAGRAPH_END = re.compile(r"\n[ \t]*\n")


@dataclass(frozen=True)
class Bound:
    """Numbers and the comment behind them.

    `expressions` are as many as `numbers` unless `fault` says why not; a number that is given
    has none, but a `reason`. `line` counts from 1 in the text, `start` and `end` are offsets.
    """

    expressions: tuple[str, ...]
    numbers: tuple[Numeral, ...]
    reason: str
    line: int
    start: int
    end: int
    fault: str | None = None

    @property
    def pairs(self) -> tuple[tuple[Numeral, str], ...]:
        """Each number with its expression."""
        return tuple(zip(self.numbers, self.expressions, strict=False))


@lru_cache(maxsize=4)  # the rules of one page ask one after the other
def bound_numbers(text: str) -> tuple[Bound, ...]:
    """Return the bindings of a page's Markdown, in order.

    Example:
        >>> [found] = bound_numbers("From 3.16 at step 1 to 1.01<!--= a[0]; a[-1] -->.")
        >>> [(number.text, expression) for number, expression in found.pairs]
        [('3.16', 'a[0]'), ('1.01', 'a[-1]')]
    """
    found: list[Bound] = []
    read = readable(text)
    numbers = list(numerals(read))
    after = 0
    for comment in comments(text):
        if not (parsed := _BINDING.fullmatch(comment[0])):
            continue
        gaps = _PARAGRAPH_END.finditer(read, after, comment.start())
        start = max([after, *(gap.end() for gap in gaps)])
        before = [n for n in numbers if start <= n.start and n.end <= comment.start()]
        line = text.count("\n", 0, comment.start()) + 1
        found.append(_bound(parsed[1], parsed[2].strip(), before, line, comment.span()))
        after = comment.end()
    return tuple(found)


def _bound(
    mark: str, content: str, before: list[Numeral], line: int, span: tuple[int, int]
) -> Bound:
    expressions = tuple(part.strip() for part in content.split(";")) if mark == "=" else ()
    wanted = len(expressions) if mark == "=" else 1
    fault = None
    if not content or "" in expressions:
        fault = f"'<!--{mark}' is empty: write `<!--= expression -->` or `<!--given: reason-->`"
    elif len(before) < wanted:
        shown = ", ".join(number.text for number in before) or "none"
        fault = (
            f"'<!--{mark} {content}-->' wants {wanted} numbers before it in its paragraph, "
            f"after the last such comment; found {shown}"
        )
    numbers = tuple(before[-wanted:])
    return Bound(expressions, numbers, content if mark != "=" else "", line, *span, fault)
