import pytest

from dlkb.book.hold.installed import DIFFERS, HOLDS, UNDECIDED, as_table, counts, held, summary
from dlkb.book.hold.installed import look as look_at
from dlkb.book.read.book import read_book
from dlkb.book.run.session import Outcome, Session
from tests.book.conftest import PAGE, Book


@pytest.fixture
def book(book):
    """The small book; what rules its page breaks does not matter here."""
    book.page.write_text(PAGE)
    return book


def look(book: Book):
    ((_, found),) = held(book.root, read_book(book.root))
    return found


def states(found, kind):
    return [one.state for one in found if one.kind == kind]


TIED = """\
/// tied | `{call}`
    attrs: {{data-equation: "eq:twice", data-where: "array -2 < x < 2"}}
///

See $"""


def tie(book, call):
    book.edit("$$ x^2 \\label{eq:square} $$", "$$ y = \\exp(x) \\label{eq:twice} $$")
    book.edit("See $\\eqref{eq:square}$.", TIED.format(call=call) + "\\eqref{eq:twice}$.")


def test_a_page_that_holds(book):
    found = look(book)
    assert states(found, "statement") == [HOLDS]
    assert states(found, "fence") == [HOLDS] * 4
    (claim,) = [one for one in found if one.kind == "statement"]
    assert (claim.name, claim.said) == ("c-001", "The square of two is five.")
    assert claim.line == book.line("/// refuted")
    assert all(one.output == "" for one in found)


def test_a_difference_does_not_stop_the_page(book):
    book.edit("```output\n4", "```output\n5")
    found = look(book)
    assert states(found, "fence") == [HOLDS, HOLDS, DIFFERS, HOLDS]
    assert states(found, "statement") == [HOLDS]
    differs = found[-2]
    assert "+4" in differs.output
    assert differs.line == book.line("print(square(2))")


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("import numpy\nnumpy.not_there", "AttributeError: module 'numpy' has no attribute"),
        ("from numpy import not_there", "ImportError: cannot import name 'not_there'"),
        ("import not_there_at_all", "ModuleNotFoundError: No module named 'not_there_at_all'"),
        ("raise SystemExit(0)", "SystemExit: 0"),
    ],
)
def test_what_an_older_library_lacks_is_a_difference(book, code, error):
    book.edit("```python\nprint(square(2))", f"```python\n{code}\nprint(square(2))")
    found = look(book)
    assert states(found, "fence") == [HOLDS, HOLDS, DIFFERS, HOLDS]
    assert error in found[-2].output


def test_a_name_that_a_failed_fence_would_have_made_leaves_the_rest_undecided(book):
    book.edit("def square(x):", "from numpy import not_there\n\ndef square(x):")
    found = look(book)
    assert states(found, "fence") == [DIFFERS, UNDECIDED, UNDECIDED, UNDECIDED]
    assert states(found, "statement") == [UNDECIDED]
    assert "NameError" in found[0].output


def test_a_missing_name_differs_where_nothing_failed_before(book):
    book.edit("print(square(2))", "print(circle(2))")
    assert states(look(book), "fence") == [HOLDS, HOLDS, DIFFERS, HOLDS]


def test_a_statement_is_what_its_last_fence_says(book):
    more = "```pycon\n>>> square(2)\n4\n```\n///\n\n## In practice"
    book.edit("///\n\n## In practice", more)
    assert states(look(book), "statement") == [HOLDS]
    book.edit(">>> square(2)\n4", ">>> square(2)\n5")
    (claim,) = [one for one in look(book) if one.kind == "statement"]
    assert claim.state == DIFFERS
    assert "+4" in claim.output
    book.edit(">>> square(2)\n5", ">>> square(2)\n4")
    book.edit("False\n", "True\n")  # the evidence differs, the verdict does not
    (claim,) = [one for one in look(book) if one.kind == "statement"]
    assert claim.state == UNDECIDED
    assert "+False" in claim.output


def test_a_statement_that_no_code_decides_is_left_out(book):
    text = book.page.read_text()
    start = text.index("```pycon\n>>> square(2) == 5")
    book.page.write_text(text[:start] + text[text.index("///\n\n## In practice") :])
    assert states(look(book), "statement") == []


def test_bound_numbers(book):
    book.edit("See $", "Nine is 9.0<!--= square(3) -->. See $")
    (numbers,) = [one for one in look(book) if one.kind == "numbers"]
    assert (numbers.state, numbers.name) == (HOLDS, "1 bound numbers")
    book.edit("is 9.0<", "is 9.1<")
    (numbers,) = [one for one in look(book) if one.kind == "numbers"]
    assert numbers.state == DIFFERS
    assert "shows 9.1, but square(3) is 9" in numbers.output
    assert numbers.line == book.line("Nine is")


def test_equations(book):
    tie(book, "np.exp(x)")
    assert states(look(book), "equation") == [DIFFERS]  # no function of this package
    book.edit("`np.exp(x)`", "`dlkb.arrays.namespace(x).exp(x)`")
    found = [one for one in look(book) if one.kind == "equation"]
    assert [one.name for one in found] == ["eq:twice"]
    assert found[0].line == book.line("/// tied")


def test_what_a_call_raises_is_a_difference(book, monkeypatch):
    def older(page, tie):
        raise AttributeError("module 'numpy' has no attribute 'not_there'")

    monkeypatch.setattr("dlkb.book.hold.installed.verify_tie", older)
    tie(book, "dlkb.arrays.namespace(x).exp(x)")
    text = book.page.read_text()
    book.page.write_text(text.replace("```python", "```text").replace("```pycon", "```text"))
    book.page.write_text(book.page.read_text().replace("{.pycon .digits}", "text"))
    (found,) = look(book)  # without code the page needs no process
    assert found.state == DIFFERS
    assert found.output == "AttributeError: module 'numpy' has no attribute 'not_there'"


def test_here_too_what_differs_is_told_and_nothing_stops(book):
    """In this process, so that planted bugs are seen."""
    tie(book, "dlkb.arrays.namespace(x).cos(x)")
    book.edit("## Exercises", "Nine is 9.1<!--= square(3) -->.\n\n## Exercises")
    book.edit("```output\n4", "```output\n5")
    book.edit("False\n", "True\n")
    page = read_book(book.root)[0]
    found = summary(page, list(look_at(Session(page))))
    assert states(found, "fence") == [HOLDS, HOLDS, DIFFERS, DIFFERS]
    assert states(found, "statement") == [DIFFERS]
    assert states(found, "numbers") == [DIFFERS]
    (equation,) = [one for one in found if one.kind == "equation"]
    assert equation.state == DIFFERS
    assert "eq:twice" in equation.output


def test_what_a_page_that_ended_early_did_not_reach_is_undecided(book):
    tie(book, "dlkb.arrays.namespace(x).exp(x)")
    book.edit("print(square(2))", "import os\n\nos._exit(3)")
    found = look(book)
    assert states(found, "fence") == [HOLDS, HOLDS, DIFFERS, UNDECIDED]
    assert "ended with status 3" in "".join(one.output for one in found)
    assert states(found, "equation") == [UNDECIDED]
    assert states(found, "statement") == [UNDECIDED]


def test_the_table_counts_what_holds(book):
    page = read_book(book.root)[0]
    fences = page.runnable
    items = [Outcome(fences[0], "", 0.1), Outcome(fences[1], "", 0.1, "-3\n+4")]
    found = summary(page, items)
    assert counts(found)["fence"] == {"holds": 1, "differs": 1, "undecided": 2}
    assert counts(found)["statement"] == {"holds": 0, "differs": 0, "undecided": 1}
    cells = [list(column.cells) for column in as_table(found).columns]
    assert cells[:3] == [
        ["optimizers/toy", "all"],
        ["[red]0 of 1[/red]"] * 2,
        ["[red]1 of 4[/red]"] * 2,
    ]
    assert cells[3] == ["", ""]
