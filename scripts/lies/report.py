"""What came of the lies: a table, the counts for the site, and which goals are missed."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from scripts.lies.lie import Verdict

GOALS = {
    "number": 0.98,
    "description": 1.0,
    "verdict": 1.0,
    "statement": 1.0,
    "source": 1.0,
    "id": 1.0,
    "equation": 0.95,
    "output": 1.0,
    "figure exchanged": 1.0,
    "drawn data": 0.9,
    "alt text": 0.9,
    "caption": 0.9,
    "executed row": 1.0,
    "link": 1.0,
    "citation's key": 1.0,
    "cited place": 1.0,
    "reference's author": 1.0,
    "reference's year": 1.0,
}
"""The share of lies of a kind that must be noticed. Of other kinds, readers are what notices."""

Counts = Mapping[str, int]


def missed_goals(planted: Counts, noticed: Counts) -> list[str]:
    """Return a message for each kind of which too few lies were noticed.

    Example:
        >>> missed_goals({"number": 100}, {"number": 98}), len(missed_goals({"link": 9}, {}))
        ([], 1)
    """
    return [
        f"{kind}: {noticed.get(kind, 0)} of {planted[kind]} noticed, {goal:.0%} wanted"
        for kind, goal in GOALS.items()
        if noticed.get(kind, 0) < goal * planted.get(kind, 0)
    ]


def summary(verdicts: list[Verdict], commit: str) -> dict[str, Any]:
    """Return the counts by kind and by page, and each lie that nothing noticed."""
    kinds: dict[str, Any] = {}
    pages: dict[str, dict[str, list[int]]] = {}
    for one in verdicts:
        row = kinds.setdefault(one.kind, {"planted": 0, "noticed": 0, "by": Counter()})
        cell = pages.setdefault(one.stem, {}).setdefault(one.kind, [0, 0])
        row["planted"] += 1
        cell[0] += 1
        if one.by:
            row["noticed"] += 1
            row["by"][one.by] += 1
            cell[1] += 1
    for kind, row in kinds.items():
        row["goal"] = GOALS.get(kind)
    return {
        "commit": commit,
        "planted": len(verdicts),
        "noticed": sum(bool(one.by) for one in verdicts),
        "kinds": kinds,
        "pages": pages,
        "unnoticed": [
            {"page": v.stem, "line": v.line, "kind": v.kind, "was": v.was[:80], "says": v.says[:80]}
            for v in verdicts
            if not v.by and v.kind in GOALS
        ],
    }


def show(verdicts: list[Verdict], console: Console) -> None:
    """Print the table by kind and page, and the lies that nothing noticed and something should."""
    whole = summary(verdicts, "")
    for one in whole["unnoticed"]:
        where = f"{one['page']}:{one['line']}: {one['kind']}: "
        console.print(escape(f"{where}{one['was']!r} → {one['says']!r}"), soft_wrap=True)
    table = Table("kind", "planted", "noticed", "goal", "by")
    for kind, row in whole["kinds"].items():
        by = ", ".join(row["by"])
        share = f"{row['noticed'] / row['planted']:.1%}"
        goal = f"{row['goal']:.0%}" if row["goal"] else "–"
        table.add_row(kind, str(row["planted"]), f"{row['noticed']} ({share})", goal, by)
    console.print(table)
    pages = Table("page", "planted", "noticed")
    for stem, cells in whole["pages"].items():
        counts = [cell for kind, cell in cells.items() if kind in GOALS]
        pages.add_row(stem, str(sum(c[0] for c in counts)), str(sum(c[1] for c in counts)))
    console.print(pages)
    console.print(f"{whole['noticed']} of {whole['planted']} noticed", highlight=False)
