from fractions import Fraction

import numpy as np
import pytest
import sympy as sp
import torch

from dlkb.book.hold.verify import verify
from dlkb.book.read.book import read_book
from dlkb.book.read.numerals import numerals
from dlkb.book.run.bound import is_value, short
from dlkb.book.run.session import Session, outcomes_of


@pytest.mark.parametrize(
    ("shown", "value", "agrees"),
    [
        ("7.27", 7.2673, True),
        ("7.27", 7.26501, True),
        ("7.27", 7.2649, False),
        ("7.27", 7.27499, True),
        ("7.27", 7.2751, False),
        ("7.27", -7.2673, False),
        ("-7.27", -7.2673, True),
        ("0.13", 0.125, True),  # another processor may round it the other way
        ("0.12", 0.125, True),
        ("0.12", 0.12506, False),
        ("3924", 3924, True),
        ("3924", 3925, False),
        ("3,924", 3924.4, True),
        ("3,924", 3924.6, False),
        ("13 %", 13.2, True),
        ("13 %", 0.13, False),
        ("10^{-3}", 0.001, True),
        ("10^{-3}", 0.00106, False),
        ("eighteenfold", 18.2, True),
        ("eighteenfold", 17.4, False),
        ("0.50", Fraction(1, 2), True),
        ("0.33", sp.Rational(1, 3), True),
        ("0.33", torch.tensor(0.3333), True),
        ("0.33", np.asarray([0.3333]), True),
        ("12", float("nan"), False),
        ("12", float("inf"), False),
        ("2.13", "2.13.0+cpu", True),
        ("2.13", "2.12.1", False),
    ],
)
def test_a_value_rounds_to_the_number_shown(shown, value, agrees):
    assert is_value(next(numerals(shown)), value) is agrees


@pytest.mark.parametrize("value", [True, None, [1, 2], np.arange(2.0), 1j])
def test_what_is_no_number(value):
    with pytest.raises((TypeError, ValueError, RuntimeError)):
        is_value(next(numerals("12")), value)


def test_short():
    values = [short(value) for value in (7.267326, 3924, 1.0, 1e-8, float("inf"), "2.13.0")]
    assert values == ["7.26733", "3924", "1", "1e-08", "inf", "2.13.0"]


@pytest.fixture
def bound(book):
    book.edit("See $\\eqref{eq:square}$.", "See 16 and 2.25<!--= last; square(1.5) -->.")
    book.edit("print(square(2))", "last = square(4)\nprint(square(2))")
    return book


def head(problem):
    return str(problem).rpartition(": line")[0]


def page(book):
    return read_book(book.root)[0]


def test_bindings_see_the_names_after_the_last_fence(bound):
    session = Session(page(bound))
    found = session.bound()
    assert [(n.shown, n.expression, n.value, n.fault) for n in found] == [
        ("16", "last", "16", None),
        ("2.25", "square(1.5)", "2.25", None),
    ]
    assert len(session.outcomes) == 4
    assert [outcome.error for outcome in outcomes_of(page(bound))] == [None] * 5


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("See 16", "See 17", "shows 17, but last is 16"),
        ("2.25<", "2.24<", "shows 2.24, but square(1.5) is 2.25"),
        ("square(1.5) -->", "cube(1.5) -->", "cube(1.5) raises NameError: name 'cube' is not"),
        ("square(1.5) -->", "square -->", "square raises TypeError"),
    ],
)
def test_a_wrong_binding_names_line_expression_and_value(bound, old, new, said):
    bound.edit(old, new)
    *fences, last = outcomes_of(page(bound))
    assert len(fences) == 4
    assert said in last.error
    assert last.line == bound.line("See ")
    assert f"{bound.page}:{last.line}: under 'Numbers in the text'" in map(head, verify(bound.root))


def test_a_page_that_fails_is_not_asked_for_its_numbers(bound):
    bound.edit("\n9\n", "\n8\n")
    *_, last = outcomes_of(page(bound))
    assert last.fence.language == "pycon"


def test_a_page_without_bindings_has_only_its_fences(book):
    assert len(list(outcomes_of(page(book)))) == 4
