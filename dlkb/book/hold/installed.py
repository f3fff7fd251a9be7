"""Which statements, fences, numbers and equations hold with the versions that are installed here.

The gate in `verify` stops at the first difference, since an author mends that one. Here the reader
wants to know what still holds, so a page goes on after a difference: nothing that it raises, an
attribute that an older library lacks, say, is more than a difference.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from dlkb.book.hold.ties import TieError
from dlkb.book.hold.ties import verify as verify_tie
from dlkb.book.read.freshness import versions
from dlkb.book.read.parts import Claim, Fence, Page
from dlkb.book.run.processes import run_apart
from dlkb.book.run.session import Outcome, Session

KINDS = ("statement", "fence", "numbers", "equation")
HOLDS, DIFFERS, UNDECIDED = "holds", "differs", "undecided"


@dataclass(frozen=True)
class Held:
    """One thing that a page says, and what came of it here.

    Attributes:
        page: Stem of the page.
        kind: One of `KINDS`; "numbers" are those that the page binds to expressions.
        name: The claim's id, the heading of a fence, the label of an equation.
        line: Where it stands.
        state: `HOLDS`, `DIFFERS`, or `UNDECIDED` where something before it differs.
        output: How it differs: a diff, a traceback, the counterexample of an equation.
        said: The statement of a claim; else empty.
    """

    page: str
    kind: str
    name: str
    line: int
    state: str
    output: str = ""
    said: str = ""


def look(session: Session) -> Iterator[Outcome | Held]:
    """Run a page whatever comes of its fences, then its bound numbers and its equations."""
    for fence in session.page.runnable:
        yield session.outcomes_through(fence)
    if bound := session.bound_outcome():
        yield bound
    yield from _equations(session.page)


def _equations(page: Page) -> Iterator[Held]:
    for tie in page.ties:
        state, output = HOLDS, ""
        try:
            verify_tie(page, tie)
        except TieError as error:
            state, output = DIFFERS, str(error)
        except Exception as error:  # whatever the installed libraries raise
            state, output = DIFFERS, f"{type(error).__name__}: {error}"
        yield Held(page.stem, "equation", tie.label, tie.line, state, output)


LIMIT = 600.0
"""Seconds for a page: the reader's machine may be slower than ours."""


def held(root: Path, book: list[Page], device: str = "cpu") -> Iterator[tuple[Page, list[Held]]]:
    """Run pages, each in a process of its own.

    Yields:
        Each page with what it says and what came of it, in the order of the book. Claims that no
        code decides are left out.
    """
    found: dict[str, list[Any]] = {page.stem: [] for page in book}
    for page, item in run_apart(look, root, book, device, LIMIT):
        found[page.stem].append(item)
    for page in book:
        items = found[page.stem] if page.runnable else list(_equations(page))
        yield page, summary(page, items)


def summary(page: Page, items: list[Any]) -> list[Held]:
    """Say what came of each part of a page.

    Args:
        page: The page.
        items: What `look` yielded, as far as the page's process came.
    """
    outcomes = [item for item in items if isinstance(item, Outcome)]
    equations = {item.name: item for item in items if isinstance(item, Held)}
    fences: list[Held] = []
    for fence in page.runnable:
        own = [outcome for outcome in outcomes if outcome.fence == fence]
        broken = any(one.state == DIFFERS for one in fences)
        fences.append(_fence(page, fence, own[-1] if own else None, broken))
    states = dict(zip(page.runnable, fences, strict=True))
    claims = [_claim(page, claim, states) for claim in page.claims if _runs(claim)]
    numbers = [
        Held(
            page.stem,
            "numbers",
            outcome.output.strip(),
            outcome.line or outcome.fence.line,
            DIFFERS if outcome.error else HOLDS,
            outcome.error or "",
        )
        for outcome in outcomes
        if outcome.fence not in page.runnable
    ]
    not_reached = (Held(page.stem, "equation", t.label, t.line, UNDECIDED) for t in page.ties)
    return [*claims, *fences, *numbers, *(equations.get(one.name, one) for one in not_reached)]


def _fence(page: Page, fence: Fence, outcome: Outcome | None, broken: bool) -> Held:
    """Say what came of a fence; `broken` if one before it differs."""
    state, output, line = HOLDS, "", fence.line
    if outcome is None:  # the page's process ended before
        state = UNDECIDED
    elif outcome.error:
        output, line = outcome.error, outcome.line or fence.line
        # A name that is missing is what the fence before it would have made.
        lacks = output.rsplit("\n", 1)[-1].startswith("NameError")
        state = UNDECIDED if broken and lacks else DIFFERS
    return Held(page.stem, "fence", fence.heading, line, state, output)


def _runs(claim: Claim) -> bool:
    return any(fence.runnable for fence in claim.fences)


def _claim(page: Page, claim: Claim, states: dict[Fence, Held]) -> Held:
    """Say whether the evidence of a card still gives its verdict, which the last fence prints."""
    fences = [states[fence] for fence in claim.fences if fence.runnable]
    worst = next((fence for fence in fences if fence.state != HOLDS), fences[-1])
    if fences[-1].state == DIFFERS:
        state, output = DIFFERS, fences[-1].output
    else:
        state, output = (HOLDS if worst.state == HOLDS else UNDECIDED), worst.output
    return Held(page.stem, "statement", claim.id, claim.line, state, output, claim.statement)


def counts(found: list[Held]) -> dict[str, dict[str, int]]:
    """Count by kind and state."""
    number = Counter((one.kind, one.state) for one in found)
    return {kind: {s: number[kind, s] for s in (HOLDS, DIFFERS, UNDECIDED)} for kind in KINDS}


def as_json(found: list[Held]) -> str:
    """Return the versions, the counts and every item."""
    whole = {
        "versions": versions(),
        "counts": counts(found),
        "found": [asdict(one) for one in found],
    }
    return json.dumps(whole, indent=1)


def as_table(found: list[Held]) -> Table:
    """Return a row for each page: how much of each kind holds, of how much."""
    table = Table(box=None, pad_edge=False)
    table.add_column("page", no_wrap=True)
    for kind in KINDS:
        table.add_column(kind if kind == "numbers" else f"{kind}s", justify="right", no_wrap=True)
    pages = {one.page: None for one in found}
    for page in [*pages, "all"]:
        own = counts([one for one in found if page in (one.page, "all")])
        table.add_row(page, *(_share(own[kind]) for kind in KINDS))
    return table


def _share(number: dict[str, int]) -> str:
    total = sum(number.values())
    if not total:
        return ""
    text = f"{number[HOLDS]} of {total}"
    return text if number[HOLDS] == total else f"[red]{text}[/red]"
