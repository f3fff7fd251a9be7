import sys
from collections.abc import Callable

import pytest

from dlkb.book.hold.check import book_problems
from dlkb.book.hold.numbers import agrees, held_counts, is_near, number_problems, printed_numbers
from dlkb.book.read.book import read_book
from dlkb.book.read.numerals import numerals


def problems(book):
    return number_problems(read_book(book.root)[0])


def test_every_number_is_held(moved):
    assert problems(moved) == []
    assert [str(problem) for problem in book_problems(moved.root)] == []
    counts = held_counts(read_book(moved.root)[0])
    assert counts == {"printed": 6, "bound": 2, "given": 0, "unheld": 0}


@pytest.mark.parametrize(
    ("old", "new", "number"),
    [
        ("a third is 0.33", "a third is 0.34", "0.34"),
        ("a third is 0.33", "a third is 0.33333", "0.33333"),
        ("7.267 or 7.27", "7.268 or 7.27", "7.268"),
        ("7.267 or 7.27", "7.267 or 7.3", "7.3"),
        ("not 16.", "not 17.", "17"),
        ("\nNo.\n", "\nNo, it is 36.\n", "36"),
        ("Is it 36?", "Is it 16?", "16"),
        ("It is 36.", "It is 37.", "37"),
        ("Two steps.", "Two steps of $x = 0.33$.", "0.33"),
        ("Two steps.", "Thirteen steps.", "Thirteen"),
        ("Two steps.", "| steps |\n|---|\n| 42 |", "42"),
        ("Two steps.", "Two steps of 4.", None),
        ("Two steps.", "7.2673 steps.", None),
        ("Two steps.", "About $-7.27$.", "-7.27"),
        ("Square it.", "Square it, get 36.", "36"),
        ("Up to 77.", "Up to 78.", None),  # held by the figure's phrases
        ("**2.** Go on.", "**2.** Go on to 36.", "36"),
        ("### By hand", "### By hand, 12 steps", "12"),
    ],
)
def test_a_number_is_held_where_it_stands(moved, old, new, number):
    moved.edit(old, new)
    found = problems(moved)
    assert len(found) == (number is not None), found
    for line, message in found:
        assert message.startswith(f"nothing holds {number}: ")
        assert line == moved.line(new.strip().split("\n")[-1])


def test_the_message_names_the_nearest_printed_number_and_the_remedy(moved):
    moved.edit("a third is 0.33", "a third is 0.34")
    ((_, message),) = problems(moved)
    line = moved.line(">>> 1 / 3")
    assert message == (
        f"nothing holds 0.34: nearest is 0.3333 on line {line}; "
        "print it, or bind it: 0.34<!--= expression -->"
    )


def test_a_short_number_far_from_its_fence_is_told_so(moved):
    moved.edit("Two steps.", "Two steps of 16.")
    ((_, message),) = problems(moved)
    assert "too far away for fewer than 3 significant digits" in message


@pytest.mark.parametrize(
    ("shown", "printed", "holds"),
    [
        ("7.27", "7.2673", True),
        ("7.27", "7.265", True),
        ("7.27", "7.2649", False),
        ("7.27", "7.275", True),
        ("7.27", "7.2751", False),
        ("7.27", "-7.2673", True),
        ("-7.27", "-7.2673", True),
        ("-7.27", "7.2673", False),
        ("0.50", "0.5", True),
        ("0.52", "0.5", False),
        ("7.27", "7.3", False),
        ("13", "13.4", True),
        ("13", "13.6", False),
        ("13 %", "13", True),
        ("3900", "3924", False),
        ("3,924", "3924", True),
        ("3924", "3,924", True),
        ("10^{-3}", "0.001", True),
        ("10^{-3}", "0.00105", True),
        ("10^{-3}", "0.00106", False),
        ("1e-8", "1e-08", True),
        (r"2\cdot10^{5}", "2.4e5", True),
        (r"2\cdot10^{5}", "2.6e5", False),
        ("eighteenfold", "18.1", True),
        ("eighteenfold", "18.6", False),
    ],
)
def test_precision(moved, shown, printed, holds):
    moved.edit("4 mean 7.2673", f"4 mean {printed}")
    page = read_book(moved.root)[0]
    number = next(numerals(shown))
    (found,) = [found for found in printed_numbers(page) if found.text == printed]
    assert agrees(number, found) is holds


def test_words_and_arrays_in_outputs(moved):
    moved.edit("4 mean 7.2673", "float32 x12 array([31.6, 3., 1.5e+03]) (7, 2,000)")
    page = read_book(moved.root)[0]
    line = moved.line("print(square(2)")
    texts = [found.text for found in printed_numbers(page) if found.line == line]
    assert texts == ["31.6", "3.", "1.5e+03", "7", "2,000"]


@pytest.mark.parametrize(
    ("fence", "sentence", "near"),
    [
        (("T", "A"), ("T", "A"), True),
        (("T", "A", "B"), ("T", "A"), True),
        (("T", "A"), ("T", "A", "B"), False),
        (("T", "A", "/card 3"), ("T", "A"), False),
        (("T", "A", "/card 3"), ("T", "A", "/card 3"), True),
        (("T", "A", "/card 3"), ("T", "A", "/card 9"), False),
        (("T", "A"), ("T",), False),
        (("T",), ("T",), True),
    ],
)
def test_near_is_the_same_section_card_or_exercise(moved, fence, sentence, near):
    found = printed_numbers(read_book(moved.root)[0])[0]
    assert is_near(type(found)(found.text, found.line, fence), sentence) is near


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("square(x) -->", "2.25 -->", "'2.25' uses no name that a fence"),
        ("square(x) -->", "max(2, 2.25) -->", "'max(2, 2.25)' uses no name that a fence"),
        ("square(x) -->", "square( -->", "'square(' is no Python expression"),
        ("x; square(x) -->", "x; x; square(x) -->", "wants 3 numbers before it"),
        (" is 2.25.\nlevel", " is 2.26.\nlevel", "the description says 2.26"),
    ],
)
def test_bindings_and_description(moved, old, new, message):
    moved.edit(old, new)
    assert [said for _, said in problems(moved) if message in said], problems(moved)


def test_one_number_may_be_given(moved):
    moved.edit("Two steps.", "Since 2018<!--given: the year of the release-->.")
    assert problems(moved) == []
    assert held_counts(read_book(moved.root)[0])["given"] == 1
    moved.edit("Square it.", "Since 2019<!--given: the year of the next-->.")
    ((line, message),) = problems(moved)
    assert line == moved.line("Since 2018")
    assert message == "more than 1 number is given: compute this one"


def test_the_text_of_an_error_is_printed(moved):
    error = "Traceback (most recent call last):\nValueError: not 4711"
    moved.edit("Two steps.", f"Not 4711.\n\n```pycon\n>>> fail()\n{error}\n```")
    assert problems(moved) == []


def test_the_stack_of_an_error_is_not(moved):
    error = 'Traceback (most recent call last):\n  File "a.py", line 4711, in fail\nValueError: no'
    moved.edit("Two steps.", f"Not 4711.\n\n```pycon\n>>> fail()\n{error}\n```")
    ((_, message),) = problems(moved)
    assert message.startswith("nothing holds 4711")


def test_what_is_given_does_not_hold_the_description(moved):
    moved.edit("Two steps.", "Since 2018<!--given: the year of the release-->.")
    moved.edit("is 2.25.\nlevel", "is 2.25, since 2018.\nlevel")
    ((_, message),) = problems(moved)
    assert message == "the description says 2018, which the page neither prints nor binds"


def test_a_tied_equation_is_held_by_its_function(moved):
    moved.edit("Two steps.", "$$ y = 0.25\\,x \\label{eq:quarter} $$")
    assert [message[:18] for _, message in problems(moved)] == ["nothing holds 0.25"]
    tie = (
        '/// tied | `f(x)`\n    attrs: {data-equation: "eq:quarter", data-where: "0 < x < 1"}\n///'
    )
    moved.edit("\\label{eq:quarter} $$", f"\\label{{eq:quarter}} $$\n\n{tie}")
    assert problems(moved) == []


def calls_of(work: Callable[[], object]) -> int:
    """Count the functions that a piece of work enters, built-in ones included."""
    count = 0

    def enters(frame, event, argument):
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(enters)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def test_reading_costs_in_proportion_to_the_page(moved):
    calls = []
    for sentences in (1, 150, 600):  # the first one fills caches
        text = "From 3.16 to $10^{-3}$ in a thousand `steps` [x](y.md).\n" * sentences
        moved.edit("Two steps.", f"Two steps.\n\n{text}")
        page = read_book(moved.root)[0]
        calls.append(calls_of(lambda page=page: number_problems(page)))
        moved.edit(f"Two steps.\n\n{text}", "Two steps.")
    assert calls[2] < 4.4 * calls[1]
