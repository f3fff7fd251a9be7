"""Which labelled equations are held, and the reasons of those that are not."""

import pytest

from dlkb.book.hold.equations import equation_counts, equation_problems
from dlkb.book.read.book import read_book

USE = '```python\nfrom dlkb.book import equation\nx = equation("{stem}", "eq:square")\n```\n'
TIE = """\
/// tied | `dlkb.arrays.erf(x)`
    attrs: {data-equation: "eq:%s", data-where: "0 < x < 1"%s}
///
"""


@pytest.fixture
def book(book):
    """The small book, with nothing said of its equation."""
    book.edit("<!--untied eq:square: a term, which no function returns-->\n\n", "")
    return book


def read(book, text="", before="## Derivation"):
    if text:
        book.edit(before, f"{text}\n{before}")
    return read_book(book.root)[0]


def test_an_equation_that_nothing_holds(book):
    page = read(book)
    assert equation_counts(page) == ((), (), ("eq:square",))
    ((line, message),) = equation_problems(page)
    assert line == book.line("$$ x^2")
    assert "<!--untied eq:square: reason-->" in message
    assert 'equation("optimizers/toy", "eq:square")' in message


def test_a_tie_holds(book):
    page = read(book, TIE % ("square", ""))
    assert equation_counts(page) == (("eq:square",), (), ())
    assert equation_problems(page) == []


def test_a_definition_in_a_tie_is_held(book):
    page = read(book, "$$ y \\label{eq:y} $$\n\n" + TIE % ("y", ', data-with: "eq:square"'))
    assert equation_counts(page) == (("eq:square", "eq:y"), (), ())


@pytest.mark.parametrize(
    ("stem", "used"), [("optimizers/toy", ("eq:square",)), ("optimizers/other", ())]
)
def test_a_derivation_of_this_page_holds(book, stem, used):
    assert equation_counts(read(book, USE.format(stem=stem))).used == used


def test_a_prompt_holds(book):
    call = 'dlkb.book.equation("optimizers/toy", "eq:square")'
    code = f"```pycon\n>>> import dlkb.book\n>>> {call}\nx**2\n```\n"
    assert equation_counts(read(book, code)).used == ("eq:square",)


def test_a_comment_does_not_hold(book):
    code = '```python\n# equation("optimizers/toy", "eq:square")\n```\n'
    assert equation_counts(read(book, code)).untied == ("eq:square",)


def test_a_reason_suffices(book):
    page = read(book, "<!--untied eq:square: a definition without function-->")
    assert equation_problems(page) == []
    assert equation_counts(page).untied == ("eq:square",)


@pytest.mark.parametrize(
    ("comment", "message"),
    [
        ("<!--untied eq:square: too short-->", "say why"),
        ("<!--untied eq:square-->", "say why"),
        ("<!--untied eq:other: it is on another page-->", "no equation is labelled 'eq:other'"),
    ],
)
def test_an_idle_reason_is_named(book, comment, message):
    problems = equation_problems(read(book, comment))
    assert any(message in said and line == book.line(comment) for line, said in problems)


def test_a_reason_beside_a_tie_is_named(book):
    page = read(book, TIE % ("square", "") + "\n<!--untied eq:square: it has no function-->\n")
    assert [said for _, said in equation_problems(page)] == [
        "equation eq:square is held: remove the comment 'untied'"
    ]


def test_a_reason_beside_a_fence_is_idle(book):
    use = USE.format(stem="optimizers/toy")
    page = read(book, f"{use}\n<!--untied eq:square: it has no function-->\n")
    ((_, message),) = equation_problems(page)
    assert message == "equation eq:square is held: remove the comment 'untied'"


def test_three_words_are_a_reason(book):
    assert equation_problems(read(book, "<!--untied eq:square: has no function-->")) == []
