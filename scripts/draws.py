"""Run pages and captions with other random numbers: `make draws`.

A number that a page measures changes with the draw. A verdict, a truth value or a word should not:
where it does, the statement is one about luck. This adds to all seeds that are given to NumPy and
torch, and lists the outputs and phrases that become others in their words.

    python -m scripts.draws [--draws 3] [PAGE ...]
"""

import argparse
import os
import re
import sys
from collections.abc import Iterator
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dlkb.book.draw.drawing import ENVIRONMENT, environment_with
from dlkb.book.draw.figures import figure_stems
from dlkb.book.hold.sayings import descriptions
from dlkb.book.read.book import read_book
from dlkb.book.read.parts import Page
from dlkb.book.run.compare import same_output
from dlkb.book.run.processes import run_apart
from dlkb.book.run.session import Outcome, Session, Step
from scripts.processors import says_afresh

ROOT = Path(__file__).resolve().parents[1]

SHIFT = 7_000
"""What a draw adds to every seed, the next one again: more than pages add to their own."""

LIMIT = 180.0
"""Seconds for a page, which may run beside others."""

_NUMBER = re.compile(r"[-−+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?[⁻⁰¹²³⁴-⁹]*")


def words(text: str) -> str:
    """Return an output or a phrase without its numbers and blanks.

    Example:
        >>> words("loss  0.25 after 1e3 steps: True")
        'loss#after#steps:True'
    """
    return "".join(_NUMBER.sub("#", text).split())


class _Stand(type(torch.Generator)):  # type: ignore[misc]
    """The type of a class that stands for its base: a generator made before is of it, too."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, cls.__base__ or object)


def shift_seeds(by: int) -> None:
    """Let the generators of NumPy and torch begin elsewhere, in this process from now on.

    Args:
        by: What is added to a seed. Without a seed, or from another generator, all is as before.
    """
    default_rng, manual_seed = np.random.default_rng, torch.manual_seed

    def moved(seed: Any) -> Any:
        if isinstance(seed, int | np.integer):
            return int(seed) + by
        return [by, *seed] if isinstance(seed, list | tuple) else seed

    class Generator(torch.Generator, metaclass=_Stand):
        def manual_seed(self, seed: int) -> torch.Generator:
            return super().manual_seed(seed + by)

    class RandomState(np.random.RandomState, metaclass=_Stand):
        def __init__(self, seed: Any = None) -> None:
            super().__init__(moved(seed))

    np.random.default_rng = lambda seed=None: default_rng(moved(seed))
    np.random.RandomState = RandomState  # type: ignore[misc]
    torch.manual_seed = lambda seed: manual_seed(seed + by)
    torch.Generator = Generator


class _Differing(Session):
    """A page that goes on where it shows something else, and keeps where it did."""

    def __init__(self, whole: Session) -> None:
        super().__init__(whole.page, on_step=whole.on_step)
        self.found: list[tuple[int, str]] = []

    def run_step(self, step: Step, asks: tuple[str, ...]) -> tuple[str, str | None, int | None]:
        """Run a piece of a fence; nothing is an error."""
        printed, error, _ = super().run_step(step, asks)
        if error and not _same_words(error, asks):
            self.found.append((step.line, error))
        return printed, None, None


def _same_words(error: str, asks: tuple[str, ...]) -> bool:
    """Return whether what is wrong is that numbers, and nothing else, were printed otherwise."""
    if not error.startswith("--- the page shows"):
        return False
    rows = [row for row in error.splitlines()[2:] if not row.startswith("@@")]
    shown, printed = (
        words("\n".join(row[1:] for row in rows if row[0] in kind)) for kind in ("- ", "+ ")
    )
    return same_output(shown, printed, asks)


def differing(by: int, session: Session) -> Iterator[tuple[int, str]]:
    """Yield line and output of what a page shows in other words when its seeds are shifted."""
    shift_seeds(by)
    page = _Differing(session)
    for fence in page.page.runnable:
        page.run(fence)
    yield from page.found


def differing_phrases(root: Path, by: int, page: Page) -> list[tuple[int, str]]:
    """Return line and phrase of what a page says of its figures and other data does not."""
    shift_seeds(by)
    torch.set_num_threads(1)
    found = []
    says = says_afresh(root, page.stem)
    for shown in descriptions(page):
        text = words(f"{shown.alt} {shown.caption}")
        for phrase, true in says.get(shown.name, {}).items():
            if not true or words(phrase) not in text:
                found.append((shown.line, f"{shown.name}: {phrase}"))
    return found


def differences(book: list[Page], by: int, root: Path = ROOT) -> dict[tuple[str, int], list[str]]:
    """Return what other draws turn on the pages of a book, by file and line."""
    found: dict[tuple[str, int], list[str]] = {}

    def note(page: Page, line: int, text: str) -> None:
        found.setdefault((os.path.relpath(page.path, root), line), []).append(text)

    for page, item in run_apart(partial(differing, by), root, book, limit=LIMIT):
        if isinstance(item, Outcome):  # its process ended, or is overdue
            note(page, item.line or item.fence.line, item.error or "")
        elif isinstance(item, tuple):
            note(page, *item)
    drawn = [page for page in book if page.stem in figure_stems(root)]
    with (
        environment_with(ENVIRONMENT),
        get_context("spawn").Pool(os.cpu_count(), maxtasksperchild=1) as pool,
    ):
        turned = pool.imap(partial(differing_phrases, root, by), drawn)
        for page, phrases in zip(drawn, turned, strict=True):
            for line, phrase in phrases:
                note(page, line, phrase)
    return found


def main() -> int:
    """Run the pages named, or all; return 1 where other draws say something else."""
    parser = argparse.ArgumentParser(prog="python -m scripts.draws")
    parser.add_argument("pages", nargs="*", metavar="PAGE")
    parser.add_argument("--draws", type=int, default=3)
    options = parser.parse_args()
    book = read_book(ROOT, options.pages or None)
    draws = [differences(book, draw * SHIFT) for draw in range(1, options.draws + 1)]
    places = sorted({place for found in draws for place in found})
    for place in places:
        turned = [found[place] for found in draws if place in found]
        print(f"{place[0]}:{place[1]}: in {len(turned)} of {len(draws)} draws")
        print("\n".join(turned[0]), end="\n\n")
    print(f"{len(places)} places differ" if places else "the same with all draws")
    return 1 if places else 0


if __name__ == "__main__":
    from scripts import draws  # processes look for its functions by this name

    sys.exit(draws.main())
