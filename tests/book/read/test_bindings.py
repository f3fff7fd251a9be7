import pytest

from dlkb.book.read.bindings import bound_numbers
from dlkb.book.read.readable import comments, readable, without_comments
from dlkb.book.read.rows import rows


@pytest.mark.parametrize(
    "text",
    [
        "```text\n12\n```",
        "```pycon\n>>> 12\n12\n```",
        "> They say 12.",
        "`lr = 12`",
        "[link](page12.md#x-12)",
        "![A wave of 12.](a.png)",
        "[@kingma2015, section 12.3]",
        "<!-- 12 -->",
        '<span id="12">',
        "{ .wide width=12 }",
        "::: dlkb.page12",
        "[a]: https://example.org/12",
        "**12.** Show it.",
        "/// figure-caption\nUp to 12.\n///",
        "/// tied | `f(12)`\n    attrs: {data-where: '0 < x < 12'}\nRead as `x**12`.\n///",
        "/// details | More\n    open: 12\n///",
        "<!--peers: table-->\n| a | 12 |\n|---|---|\n| b | 13 |",
        r"$\operatorname{f12}$",
    ],
)
def test_what_no_reader_reads_as_a_sentence(text):
    assert not any(sign.isdigit() for sign in readable(text))
    assert len(readable(text)) == len(text)
    assert readable(text).count("\n") == text.count("\n")


@pytest.mark.parametrize(
    "text",
    [
        "So 12.",
        "`12` and more",
        "[12 steps](a.md)",
        "| a | 12 |",
        "# Title of 12",
        "$x = 12$",
        "$$ x = 12 $$",
        "/// refuted | It is 12.\n    attrs: {id: c-001}\n///",
        "/// details | Solution\n12 steps.\n///",
        "<!--peers: table-->\n| a |\n|---|\n\n12 steps.",
        "- 12 steps",
        "wrapped\n12. Then",
    ],
)
def test_what_a_reader_reads(text):
    assert "12" in readable(text)


def pairs(text):
    return [[(n.text, e) for n, e in bound.pairs] for bound in bound_numbers(text)]


def test_a_comment_binds_the_numbers_before_it():
    text = "From 3.16 at step 1 to 1.01 at 3924<!--= a[0]; a[-1]; n --> and 0.5<!--= b -->."
    assert pairs(text) == [[("3.16", "a[0]"), ("1.01", "a[-1]"), ("3924", "n")], [("0.5", "b")]]


def test_the_last_of_more_numbers_are_bound():
    assert pairs("12 and 13 and 14<!--= n -->") == [[("14", "n")]]


def test_given_numbers_have_a_reason():
    (bound,) = bound_numbers("since 2018<!--given: a year-->")
    assert bound.reason == "a year"
    assert [number.text for number in bound.numbers] == ["2018"]
    assert not bound.pairs


@pytest.mark.parametrize(
    "text",
    [
        "12<!--= a; b -->",
        "12\n\n<!--= a -->",
        "12<!--= a --> and<!--= b -->",
        "5<!--= a -->",
        "12<!--= -->",
        "12 and 13<!--= a; -->",
        "12<!--given: -->",
    ],
)
def test_a_comment_that_binds_nothing_has_a_fault(text):
    faults = [bound.fault for bound in bound_numbers(text) if bound.fault]
    assert len(faults) == 1
    assert "<!--" in faults[0]


def test_comments_in_code_are_code():
    text = "`12<!--= a -->`\n\n```text\n12<!--= a -->\n```\n"
    assert comments(text) == []
    assert without_comments(text) == text


def test_lines_of_bindings():
    assert [bound.line for bound in bound_numbers("\n\n12<!--= a -->\n13<!--= b -->")] == [3, 4]


def test_places_of_rows():
    text = "# T\n## A\n### B\nb\n## Exercises\n**2.** q\n/// refuted | s\nc\n///\n"
    assert [row.place[1:] for row in rows(text)][:4] == [(), ("A",), ("A", "B"), ("A", "B")]
    exercise = ("Exercises", "/exercise 2")
    assert rows(text)[5].place[1:] == exercise
    assert rows(text)[7].place[1:] == (*exercise, "/card 6")
    assert rows(text)[9].place[1:] == exercise
