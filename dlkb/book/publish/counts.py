"""The numbers of the home page: what of the book is held, counted from its pages."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dlkb.book.hold.equations import equation_counts
from dlkb.book.hold.numbers import held_counts
from dlkb.book.publish.summaries import counted
from dlkb.book.read.parts import Page

LIES = "lies.json"
"""Beside the pages: what `make lies` planted, and how much of it was noticed."""


@dataclass(frozen=True)
class Counts:
    """What is held; `lies` are those planted and those noticed, where that was tried."""

    verdicts: tuple[tuple[str, int], ...] = ()
    tied: int = 0
    held: int = 0
    lies: tuple[int, int] | None = None

    @property
    def claims(self) -> int:
        """All statements that have a verdict."""
        return sum(count for _, count in self.verdicts)


def counts(page: Page) -> Counts:
    """Count the verdicts of a page, its tied equations, and the numbers that a fence holds."""
    numbers = held_counts(page)
    return Counts(
        verdicts=counted(Counter(claim.verdict for claim in page.claims)),
        tied=len(equation_counts(page).tied),
        held=numbers["printed"] + numbers["bound"],
    )


def sum_up(pages: Iterable[Counts], docs: Path) -> Counts:
    """Add up the counts of pages, and say how many lies about the book were noticed."""
    verdicts: Counter[str] = Counter()
    tied = held = 0
    for page in pages:
        verdicts.update(dict(page.verdicts))
        tied += page.tied
        held += page.held
    return Counts(counted(verdicts), tied, held, _lies(docs / LIES))


def _lies(path: Path) -> tuple[int, int] | None:
    if not path.is_file():
        return None
    found = json.loads(path.read_text(encoding="utf-8"))
    return int(found["planted"]), int(found["noticed"])
