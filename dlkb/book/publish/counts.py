"""The numbers of the home page: what of the book is held, counted from its pages."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from dlkb.book.hold.equations import equation_counts
from dlkb.book.hold.numbers import held_counts
from dlkb.book.publish.summaries import counted
from dlkb.book.read.pages import Page

LIES = "lies.json"
"""Beside the pages: what `make lies` planted, and how much of it was noticed."""


@dataclass(frozen=True)
class Counts:
    """What of a book is held; `lies` are those planted and those noticed, if that was tried."""

    verdicts: tuple[tuple[str, int], ...]
    tied: int
    held: int
    lies: tuple[int, int] | None

    @property
    def claims(self) -> int:
        """All statements that have a verdict."""
        return sum(count for _, count in self.verdicts)


def counts(book: list[Page], docs: Path) -> Counts:
    """Count verdicts, tied equations, numbers that a fence holds, and lies."""
    numbers: Counter[str] = Counter()
    for page in book:
        numbers.update(held_counts(page))
    return Counts(
        verdicts=counted(Counter(claim.verdict for page in book for claim in page.claims)),
        tied=sum(len(equation_counts(page).tied) for page in book),
        held=numbers["printed"] + numbers["bound"],
        lies=_lies(docs / LIES),
    )


def _lies(path: Path) -> tuple[int, int] | None:
    if not path.is_file():
        return None
    found = json.loads(path.read_text(encoding="utf-8"))
    return int(found["planted"]), int(found["noticed"])
