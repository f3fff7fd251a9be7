"""What pages say of their figures is what the data said when they were drawn, by these sources."""

from pathlib import Path

import pytest

from dlkb.book.draw.figures import figure_stems, said
from dlkb.book.hold.sayings import saying_problems
from dlkb.book.read.book import read_book

ROOT = Path(__file__).parents[2]
DRAWN = figure_stems(ROOT)
PAGES = [page for page in read_book(ROOT) if page.stem in DRAWN]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_figures_say_what_their_data_says(page):
    kept = said(ROOT, page.stem)
    assert kept is not None, "draw the figures first: dlkb figures"
    problems = saying_problems(ROOT, page, kept)
    assert not problems, "\n".join(f"{page.path}:{line}: {text}" for line, text in problems)
