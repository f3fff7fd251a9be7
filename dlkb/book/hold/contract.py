"""The parts of a topic's page and the keys of its front matter, as CONTRIBUTING.md says."""

import re
from pathlib import Path

from dlkb.book.hold.peers import tables
from dlkb.book.read.parts import Page

PARTS = (
    "The idea",
    "In practice",
    "In code",
    "Statements, tested",
    "Derivation",
    "Exercises",
    "References",
)
"""Second-level headings of a topic's page, in this order; others may stand between."""

_BELOW_THE_HEAD = re.compile(r"[-|: ]*-[-|: ]*")

KEYS = {"level": ("basic", "intermediate", "advanced"), "size": ("L", "M", "S")}


def part_problems(page: Page) -> list[tuple[int, str]]:
    """Return the parts that a topic's page lacks, or that stand out of order."""
    second = {heading.text: heading.line for heading in page.headings if heading.level == 2}
    missing = [part for part in PARTS if part not in second]
    if missing:
        return [(1, f"the page lacks the part '{part}'") for part in missing]
    lines = [second[part] for part in PARTS]
    if lines != sorted(lines):
        return [(1, f"parts out of order; keep {', '.join(PARTS)}")]
    if not any(image.line < second["The idea"] for image in page.images):
        return [(second["The idea"], "a figure must stand before 'The idea'")]
    return []


def table_problems(page: Page) -> list[tuple[int, str]]:
    """Return the tables without a head, as rows after an empty line: the site shows their bars."""
    lines = page.text.split("\n")
    message = "rows without a head, no table to the reader: no empty line between rows"
    return [
        (table.line, message)
        for table in tables(page)
        if not _BELOW_THE_HEAD.fullmatch("".join(lines[table.line - page.first_line + 1 :][:1]))
    ]


def front_matter_problems(root: Path, page: Page) -> list[tuple[int, str]]:
    """Return what is wrong with the keys that say for whom a page is and what comes before it."""
    found = []
    for key, allowed in KEYS.items():
        if page.meta.get(key) not in allowed:
            message = f"the front matter's '{key}' must be one of {', '.join(allowed)}"
            found.append((1, f"{message}, not {page.meta.get(key)!r}"))
    requires = page.meta.get("requires")
    if not isinstance(requires, list):
        return [*found, (1, "the front matter lacks 'requires': a list of pages, maybe empty")]
    for stem in requires:
        if stem == page.stem or not (root / "docs" / f"{stem}.md").is_file():
            found.append((1, f"'requires' names '{stem}', which is no other page of this book"))
    return found
