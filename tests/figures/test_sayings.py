"""What pages say of their figures is what the data says: computed here, not read from the cache."""

import importlib
from pathlib import Path

import pytest

from dlkb.book.draw.drawing import says_of
from dlkb.book.draw.figures import figure_stems, figures_of
from dlkb.book.hold.sayings import saying_problems
from dlkb.book.read.book import read_book

ROOT = Path(__file__).parents[2]
DRAWN = figure_stems(ROOT)
PAGES = [page for page in read_book(ROOT) if page.stem in DRAWN]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_figures_say_what_their_data_says(page):
    module = importlib.import_module(f"scripts.figures.{page.stem.replace('/', '.')}")
    figures = [figure for figure in figures_of(ROOT, page.stem) if figure.says]
    said = {figure.name: says_of(module, figure.name) for figure in figures}
    untrue = [phrase for says in said.values() for phrase, so in says.items() if not so]
    assert untrue == []
    problems = saying_problems(ROOT, page, said)
    assert not problems, "\n".join(f"{page.path}:{line}: {text}" for line, text in problems)
