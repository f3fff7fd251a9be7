import json

from dlkb.book.publish.counts import Counts, counts, sum_up
from dlkb.book.read.pages import read_page

PAGE = """\
# A page

$$ y = x \\label{eq:one} $$

/// tied | `dlkb.arrays.erf(x)`
    attrs: {data-equation: "eq:one", data-where: "0 < x < 1"}
///

$$ y = 2 x \\label{eq:two} $$

It is 7.27, then 12<!--= twelve -->, then 99, and 98<!--given: a reason-->.

```pycon
>>> 7.271
7.271
```
"""


def test_a_page_counts_verdicts_tied_equations_and_held_numbers(shelf):
    path = shelf / "page.md"
    path.write_text(PAGE)
    assert counts(read_page(path, shelf)) == Counts((), tied=1, held=2)
    found = counts(read_page(shelf / "optimizers/adam.md", shelf))
    assert found.verdicts == (("holds", 1), ("refuted", 1))
    assert found.claims == 2


def test_pages_add_up(shelf):
    pages = [Counts((("holds", 1), ("buggy", 2)), 3, 4), Counts((("holds", 5),), 6, 7)]
    assert sum_up(pages, shelf) == Counts((("holds", 6), ("buggy", 2)), 9, 11, None)


def test_lies_are_told_where_they_were_planted(shelf):
    (shelf / "lies.json").write_text(json.dumps({"planted": 8, "noticed": 5}))
    assert sum_up([], shelf).lies == (8, 5)
