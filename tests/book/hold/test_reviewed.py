import pytest

from dlkb.book.hold.check import book_problems
from dlkb.book.hold.reviewed import REVIEWED, review, reviewed
from dlkb.book.read.book import read_book


def problems(book):
    return [problem for problem in book_problems(book.root) if "reviewed" in problem.message]


def test_a_book_that_keeps_no_reviews_asks_for_none(moved):
    assert problems(moved) == []


def test_where_reviews_are_kept_a_new_claim_wants_one(moved):
    (moved.root / REVIEWED).write_text('c-002 = "00000000"\n')
    (problem,) = problems(moved)
    assert "claim c-001" in problem.message


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("The square of two is five, not 16.", "The square of two is not five, not 16."),
        ("/// refuted", "/// outdated"),
        ('"001:16-18"', '"001:16-19"'),
    ],
)
def test_what_was_reviewed_does_not_change_unseen(moved, old, new):
    assert review(moved.root, read_book(moved.root)) == ["c-001"]
    assert problems(moved) == []
    moved.edit(old, new)
    (problem,) = problems(moved)
    assert problem.line == moved.line("attrs: {id: c-001") - 1
    assert "claim c-001: statement, source or type" in problem.message
    assert f"`dlkb review optimizers/toy` (writes {REVIEWED})" in problem.message
    assert review(moved.root, read_book(moved.root)) == ["c-001"]
    assert problems(moved) == []


def test_a_review_keeps_those_of_other_pages_in_order(moved):
    (moved.root / REVIEWED).write_text('c-002 = "00000000"\n')
    assert review(moved.root, read_book(moved.root)) == ["c-001"]
    assert list(reviewed(moved.root)) == ["c-001", "c-002"]
    assert reviewed(moved.root)["c-002"] == "00000000"
    assert review(moved.root, read_book(moved.root)) == []
