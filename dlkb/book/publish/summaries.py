"""What a card says of a topic, read from its page: title, one line, level, minutes, verdicts."""

import re
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from pathlib import Path

from dlkb.book.hold.budget import unfolded_words
from dlkb.book.publish.which import read_fresh
from dlkb.book.read.order import learning_order, nav_titles
from dlkb.book.read.parts import VERDICTS, Page
from dlkb.book.read.topics import family_of

WORDS_A_MINUTE = 200

_SENTENCE_END = re.compile(r"(?<=[.?!])\s+(?=[A-Z])")


@dataclass(frozen=True)
class Summary:
    """A topic, as other pages speak of it."""

    stem: str
    title: str
    name: str  # shorter, as the navigation says it
    description: str
    level: str
    minutes: int
    requires: tuple[str, ...]
    verdicts: tuple[tuple[str, int], ...]  # those that occur, in the order of the table

    @property
    def family(self) -> str:
        """The folder of the page."""
        return family_of(self.stem)

    @property
    def line(self) -> str:
        """The first sentence of the description."""
        return _SENTENCE_END.split(self.description)[0]


def minutes(page: Page) -> int:
    """Return how long it takes to read what stands unfolded."""
    return ceil(unfolded_words(page) / WORDS_A_MINUTE)


def counted(verdicts: Counter[str]) -> tuple[tuple[str, int], ...]:
    """Return the verdicts that occur with their counts, in the order of the table."""
    return tuple((name, verdicts[name]) for name in VERDICTS if verdicts[name])


def summary(page: Page, name: str = "") -> Summary:
    """Return what a card says of a page that the navigation calls by a name, or by its title."""
    return Summary(
        stem=page.stem,
        title=page.name,
        name=name or page.name,
        description=str(page.meta.get("description", "")),
        level=str(page.meta.get("level", "")),
        minutes=minutes(page),
        requires=page.requires,
        verdicts=counted(Counter(claim.verdict for claim in page.claims)),
    )


def topics(docs: Path) -> tuple[Summary, ...]:
    """Return the topics below `docs`, in the order in which they are learned."""
    files = sorted(docs.rglob("*.md"))
    state = tuple((path, path.stat().st_mtime_ns) for path in files)
    return _topics(docs, state, tuple(nav_titles(docs.resolve().parent).items()))


@lru_cache(maxsize=2)  # every page asks
def _topics(
    docs: Path, state: tuple[tuple[Path, int], ...], listed: tuple[tuple[str, str], ...]
) -> tuple[Summary, ...]:
    names, changed = dict(listed), dict(state)
    pages = [page for path in changed if (page := read_fresh(path, docs)) and page.is_topic]
    return tuple(
        _summary(page.path, docs, changed[page.path], names.get(page.stem, ""))
        for page in learning_order(pages, names)
    )


@lru_cache(maxsize=1024)  # an edit changes one page, and its words take long to count
def _summary(path: Path, docs: Path, changed: int, name: str) -> Summary:
    page = read_fresh(path, docs)
    assert page
    return summary(page, name)
