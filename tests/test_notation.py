"""The table of letters: what it calls a name in code is one, where the table says."""

import re
from pathlib import Path

import pytest

from dlkb.book.read.notation import rows, symbols

ROOT = Path(__file__).parents[1]
ROWS = list(rows((ROOT / "docs/notation.md").read_text(encoding="utf-8"), "letter"))


def identifiers(place: str) -> set[str]:
    """Return all names in the modules and on the page of a topic, a family, or the book for ''."""
    family, _, topic = place.partition("/")
    modules = (ROOT / "dlkb").glob(f"{family or '*'}/*.py")
    pages = (ROOT / "docs").glob(f"{family or '*'}/{topic or '*'}.md")
    return {
        name
        for path in (*modules, *pages)
        for name in re.findall(r"\w+", path.read_text(encoding="utf-8"))
    }


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]}, {row[4] or 'all'}")
def test_names_in_code_stand_in_code(row):
    letters, _, code, _, where = row
    known = {place.strip(): identifiers(place.strip()) for place in where.split(",")}
    assert all(known.values()), f"the row of {letters} names a page or family that is not there"
    for name in re.findall(r"`(?:state\.)?(\w+)", code):
        assert name in set().union(*known.values()), f"{letters}: no `{name}` in {where or 'dlkb'}"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]}, {row[4] or 'all'}")
def test_letters_can_be_found_in_equations(row):
    """A letter that is typeset as a group, as capital Greek in TeX is, explains nothing."""
    letters, *_, where = row
    place = where.split(",")[0].strip() or "optimizers/adam"
    place += "" if "/" in place else "/any"
    head = "| letter | means | code | shape | on |\n|---|---|---|---|---|\n"
    found = symbols(head + "|" + "|".join(row) + "|", place)
    compound = letters.count("\\nabla")
    assert len(found) == len(letters.split(",")) - compound, letters
