"""A falsehood: which words of a page it puts in the place of which."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Lie:
    """One change of a page's file.

    Attributes:
        kind: What is falsified: `number`, `verdict`, …
        start: Where the true words begin in the file.
        end: Where they end.
        says: What stands there instead.
        line: The line that a message about it names; 0 if it may name any.
        sign: What a message about it says.
    """

    kind: str
    start: int
    end: int
    says: str
    line: int = 0
    sign: str = ""


@dataclass(frozen=True)
class Verdict:
    """What came of a lie: `by` names what noticed it, and is empty if nothing did."""

    kind: str
    stem: str
    line: int
    was: str
    says: str
    by: str


def verdict(stem: str, text: str, lie: Lie, by: str) -> Verdict:
    """Say of a lie in a file with `text` what noticed it."""
    line = text.count("\n", 0, lie.start) + 1
    return Verdict(lie.kind, stem, line, text[lie.start : lie.end], lie.says, by)


def plant(text: str, lies: Iterable[Lie]) -> str:
    """Return the text with lies in it, which must not overlap.

    Example:
        >>> plant("It rises to 12.", [Lie("number", 12, 14, "13"), Lie("prose", 3, 8, "falls")])
        'It falls to 13.'
    """
    for lie in sorted(lies, key=lambda one: one.start, reverse=True):
        text = text[: lie.start] + lie.says + text[lie.end :]
    return text


def together(lies: Iterable[Lie]) -> list[list[Lie]]:
    """Group lies that can be told apart: of other kinds in other groups, each with its message.

    Example:
        >>> rows = [Lie("number", 0, 1, "2", 7), Lie("number", 4, 5, "6", 7)]
        >>> [len(group) for group in together(rows)]
        [1, 1]
    """
    groups: list[list[Lie]] = []
    for lie in lies:
        for group in groups:
            if all(_apart(lie, other) for other in group):
                group.append(lie)
                break
        else:
            groups.append([lie])
    return groups


def _apart(lie: Lie, other: Lie) -> bool:
    overlap = lie.start < other.end and other.start < lie.end
    same = (lie.line, lie.sign) == (other.line, other.sign)
    unmarked = not all(one.line or one.sign for one in (lie, other))  # any message is about it
    return lie.kind == other.kind and not (overlap or same or unmarked)
