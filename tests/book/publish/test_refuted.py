import pytest

from dlkb.book.publish.refuted import MOST, WORDS, chosen, reason, refuted_markdown
from dlkb.book.read.pages import read_page
from tests.book.publish.conftest import card, topic


@pytest.fixture
def page(shelf):
    def write(*reasons, stem="optimizers/adam"):
        cards = "".join(
            card("refuted", number, f"Statement {number}.", why)
            for number, why in enumerate(reasons, 1)
        )
        (shelf / f"{stem}.md").write_text(topic("Adam", cards=cards))
        return read_page(shelf / f"{stem}.md", shelf)

    return write


def said(page):
    return reason(page, page.claims[0])


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("No.", "No."),
        ("It is 20<!--= n -->.", "It is 20."),
        ("No.\n\n```pycon\n>>> 1\n1\n```\n\nMore.", "No."),
        ("See [a](adamw.md#x).", "See [a](optimizers/adamw.md#x)."),
        ("See [a](../gradients/loss.md).", "See [a](gradients/loss.md)."),
        ("See [a](#here).", "See [a](optimizers/adam.md#here)."),
        ("See [a](https://e.org/b.md).", "See [a](https://e.org/b.md)."),
        ("As $a$.\n\nSo.", "As $a$.\n\nSo."),
    ],
)
def test_a_reason_is_read_from_the_home_page(page, written, shown):
    assert said(page(written)) == shown


@pytest.mark.parametrize(
    "written",
    [
        "As [@kingma2015] says.",
        "By $\\eqref{eq:a}$.",
        "As\n\n$$ x $$",
        "- a list",
        "1. a list",
        "Widths are:\n\n```pycon\n>>> 1\n1\n```",
        "```pycon\n>>> 1\n1\n```",
        "word " * (WORDS + 1),
    ],
)
def test_what_cannot_stand_alone_is_not_shown(page, written):
    assert said(page(written)) is None


def test_a_reason_may_be_as_long_as_the_limit(page):
    assert said(page("word " * WORDS)) is not None


def test_one_of_each_page_comes_before_a_second_of_any(page):
    first, second = page("A.", "B.", "C."), page("D.", stem="gradients/loss")
    assert [why for _, _, why in chosen([first, second])] == ["A.", "D.", "B.", "C."]


def test_only_refuted_statements_are_chosen(shelf):
    pages = [
        read_page(shelf / f"{stem}.md", shelf) for stem in ("optimizers/adam", "gradients/loss")
    ]
    assert [claim.id for _, claim, _ in chosen(pages)] == ["c-002"]


def test_the_home_page_does_not_grow_without_end(page):
    assert len(chosen([page(*["No."] * (MOST + 5))])) == MOST


def test_all_but_the_first_are_hidden_and_each_leads_to_its_code(page):
    text = "\n".join(refuted_markdown([page("A.", "B.")]))
    assert text.count('<div class="admonition refuted claim" markdown="1">') == 1
    assert text.count('<div class="admonition refuted claim" hidden markdown="1">') == 1
    assert text.index("A.") < text.index("hidden") < text.index("B.")
    assert 'markdown="1">Statement 1.</p>' in text
    assert "[The code that decides it](optimizers/adam.md#c-002) on Adam" in text
