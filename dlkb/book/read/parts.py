"""What a page consists of: headings, fences, claims, figures, ties."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# The alt text of ![alt](picture): brackets in it come in pairs, as Markdown has it.
ALT = r"(?:[^\[\]]|\[[^\[\]]*\])*"
RUNNABLE = ("python", "pycon")
VERDICTS = (
    "holds",
    "conditional",
    "imprecise",
    "refuted",
    "buggy",
    "opinion",
    "outdated",
    "missing",
)


class PageError(Exception):
    """What readers and authors can mend: a page, a name, an option. Of pages it names the file."""


@dataclass(frozen=True)
class Fence:
    """A fenced block of code: its text, where it stands, and what it is said to print."""

    language: str
    code: str
    line: int
    heading: str
    claim: str | None
    shown: str | None = None
    asks: tuple[str, ...] = ()  # of the comparison: ``` {.pycon .ellipsis}

    @property
    def runnable(self) -> bool:
        """Whether the fence is executed."""
        return self.language in RUNNABLE


@dataclass(frozen=True)
class Heading:
    """A heading of a page."""

    level: int
    text: str
    line: int


@dataclass(frozen=True)
class Image:
    """A generated figure that a page shows."""

    alt: str
    name: str
    line: int


@dataclass(frozen=True)
class Claim:
    """What the notes say, our verdict, and the evidence in the block."""

    id: str
    verdict: str
    statement: str
    source: str
    evidence: str
    line: int
    body: str
    fences: tuple[Fence, ...]


@dataclass(frozen=True)
class Tie:
    """An equation of the page and the call of a formula that must agree with it."""

    label: str
    call: str
    where: str
    line: int
    let: str = ""
    left: str = ""
    definitions: tuple[str, ...] = ()

    @property
    def names(self) -> frozenset[str]:
        """The symbols whose range is given."""
        return frozenset(re.findall(r"(?:<=?|binary)\s*([^\W\d]\w*)", self.where))


@dataclass(frozen=True)
class Page:
    """A page, read: `stem` is `optimizers/adam`, lines count from 1."""

    stem: str
    path: Path
    meta: dict[str, Any]
    text: str
    first_line: int
    headings: tuple[Heading, ...]
    fences: tuple[Fence, ...]
    claims: tuple[Claim, ...]
    images: tuple[Image, ...]
    ties: tuple[Tie, ...]

    @property
    def title(self) -> str:
        """The page's top heading."""
        return next((h.text for h in self.headings if h.level == 1), self.stem)

    @property
    def name(self) -> str:
        """What other pages call it: the title of its front matter, else its top heading."""
        return str(self.meta.get("title", self.title))

    @property
    def requires(self) -> tuple[str, ...]:
        """The stems of the pages to read before."""
        return tuple(str(stem) for stem in self.meta.get("requires") or ())

    @property
    def runnable(self) -> tuple[Fence, ...]:
        """The fences that are executed, in order."""
        return tuple(f for f in self.fences if f.runnable)

    @property
    def is_topic(self) -> bool:
        """Whether this is the page of a topic, not a front page or a family's way in."""
        return "/" in self.stem and not self.stem.endswith("/index")
