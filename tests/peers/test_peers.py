"""The libraries do what the pages' tables say of them, in the versions that are shown."""

import sys
from importlib.metadata import distributions
from pathlib import Path

import pytest

from dlkb.book.hold.peers import FOLDER, functions, libraries, run_and_compare, versions
from dlkb.book.read.book import read_book
from scripts.peers import apart

ROOT = Path(__file__).parents[2]
INSTALLED = [*sys.path, str(apart.FOLDER), str(apart.ADAPTERS)]
STEMS = sorted(
    path.relative_to(ROOT / FOLDER).with_suffix("").as_posix()
    for path in (ROOT / FOLDER).glob("*/*.py")
)


def test_there_is_something_to_run():
    assert "optimizers/adam" in STEMS


@pytest.mark.parametrize("stem", STEMS)
def test_libraries_do_what_the_table_says(stem):
    [page] = read_book(ROOT, [stem])
    returned, problems = run_and_compare(ROOT, page)
    assert list(returned) == functions(ROOT, stem) != []
    for name, rows in returned.items():
        assert rows, name
        assert len({len(cells) for cells in rows.values()}) == 1, f"{name}: rows of unequal length"
    assert problems == []


@pytest.mark.parametrize("stem", STEMS)
def test_versions_shown_are_those_that_ran(stem):
    shown = versions(ROOT, stem)
    for library in libraries(ROOT, stem):
        found = next(iter(distributions(name=library, path=INSTALLED)))
        installed = found.version.partition("+")[0]  # torch 2.13.0+cpu
        assert f"{library} {installed}" in shown
