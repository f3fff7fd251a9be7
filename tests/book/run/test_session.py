import sys

import pytest

from dlkb.book.read.book import read_book
from dlkb.book.read.parts import PageError
from dlkb.book.run.session import Session, on


def run(book):
    page = read_book(book.root)[0]
    session = Session(page)
    return session, [session.outcomes_through(fence) for fence in page.runnable]


def failures(book):
    return [outcome for outcome in run(book)[1] if outcome.error]


def test_page_runs_in_one_namespace(book):
    session, outcomes = run(book)
    assert [o.error for o in outcomes] == [None] * 4
    assert outcomes[1].output == "9\n0.3333333333333333\n"
    assert session.fragile == []


def test_asking_for_a_late_fence_runs_the_earlier_ones_once(book):
    book.edit("def square(x):", "calls = []\ndef square(x):\n    calls.append(x)")
    page = read_book(book.root)[0]
    session = Session(page)
    assert session.outcomes_through(page.runnable[-1]).error is None
    assert len(session.outcomes) == 4
    session.outcomes_through(page.runnable[0])
    assert len(session.outcomes) == 4


def test_wrong_output_gives_a_diff_at_the_page_line(book):
    book.edit("\n9\n", "\n8\n")
    (failed,) = failures(book)
    assert failed.line == book.line(">>> square(3)")
    assert "-8\n+9" in failed.error


def test_wrong_number_of_digits_shown(book):
    book.edit("0.333", "0.334")
    (failed,) = failures(book)
    assert failed.line == book.line(">>> 1 / 3")


def test_exception_shows_the_page_line(book):
    book.edit("return x * x", "return x * undefined")
    failed = failures(book)[0]
    assert f'toy.md", line {book.line("return x * undefined")}' in failed.error
    assert "NameError: name 'undefined' is not defined" in failed.error


def test_syntax_error_names_its_line(book):
    book.edit("return x * x", "return x *")
    assert failures(book)[0].line == book.line("return x *")


def test_missing_exception_fails(book):
    book.edit('square("a")', "square(2)")
    assert "no exception" in failures(book)[0].error


def test_other_exception_message_fails(book):
    book.edit("can't multiply sequence", "can't divide sequence")
    assert "+TypeError: can't multiply" in failures(book)[0].error


def test_unshown_print_fails(book):
    book.edit("```output\n4\n```\n", "")
    assert "no `output` fence" in failures(book)[0].error


def test_wrong_output_fence_fails(book):
    book.edit("```output\n4", "```output\n5")
    assert "+4" in failures(book)[0].error


def test_silent_code_with_an_output_fence_fails(book):
    book.edit("print(square(2))", "square(2)")
    assert failures(book)


def test_warnings_are_errors(book):
    book.edit("return x * x", "import warnings; warnings.warn('careful'); return x * x")
    assert "UserWarning: careful" in failures(book)[0].error


def test_dataclasses_of_a_page_work(book):
    book.edit(
        "def square(x):",
        "from __future__ import annotations\nfrom dataclasses import dataclass\n\n"
        "@dataclass\nclass Point:\n    x: int\n\ndef square(x):",
    )
    assert failures(book) == []


@pytest.mark.parametrize(
    "code",
    [
        "round(0.1250001, 2)",
        "f'{0.1250001:.2f}'",
        "f'{0.1250001:8.2f}'",
        "f'{0.001250001:.2%}'[:4]",
        "f'{1.250001e-3:.1e}'",
        "f'{12.50001:.2g}'",
        "__import__('numpy').round(0.1250001, 2)",
        "__import__('numpy').asarray([[1.0], [0.1250001]]).round(2)",
        "__import__('torch').tensor(0.1250001).round(decimals=2)",
    ],
)
def test_audit_flags_numbers_on_a_rounding_boundary(book, code):
    book.edit(">>> square(3)\n9", f">>> _ = {code}")
    session, outcomes = run(book)
    assert all(outcome.error is None for outcome in outcomes)
    assert [number.line for number in session.fragile] == [book.line(f">>> _ = {code}")]


@pytest.mark.parametrize(
    "code", ["round(0.1234, 2)", "round(0.5)", "round(0.25, 1)", "f'{0.3:.2f}'"]
)
def test_audit_passes_robust_numbers(book, code):
    book.edit(">>> square(3)\n9", f">>> _ = {code}")
    assert run(book)[0].fragile == []


def test_audit_looks_at_tensors_as_they_are_shown(book):
    book.edit(">>> square(3)\n9", ">>> import torch\n>>> torch.tensor(0.12345001)\ntensor(0.1235)")
    assert len(run(book)[0].fragile) == 1


def test_audit_looks_at_numbers_cut_by_the_page(book):
    book.edit(">>> square(3)\n9", ">>> 0.12500001\n0.13")
    assert len(run(book)[0].fragile) == 1


def test_absent_device_says_so():
    import torch

    if torch.cuda.is_available():
        with on("cuda"):
            assert torch.ones(1).is_cuda
        assert torch.ones(1).is_cpu
    else:
        with pytest.raises(PageError, match="cuda is absent"):
            on("cuda")
    with pytest.raises(PageError, match="no device 'tpu'"):
        on("tpu")


def test_a_wrong_bound_number_fails_after_all_fences(book):
    book.edit("See $", "The last is 16<!--= last -->.\n\nSee $")
    book.edit(">>> square(2) == 5\nFalse\n", ">>> square(2) == 5\nFalse\n>>> last = square(4)\n")
    page = read_book(book.root)[0]
    bound = Session(page).bound_outcome()
    assert bound is not None
    assert bound.error is None
    book.edit("The last is 16", "The last is 17")
    *_, bound = Session(read_book(book.root)[0]).whole()
    assert "shows 17, but last is 16" in bound.error


def test_the_page_s_module_is_gone_after_a_fence(book):
    book.edit("9\n", "9\n>>> import sys\n>>> 'page_optimizers_toy' in sys.modules\nTrue\n")
    assert failures(book) == []
    assert "page_optimizers_toy" not in sys.modules


@pytest.mark.parametrize(
    "statement", ["if True:\n...     square(3)", "_ = 1; square(3)", "square(3); _ = 1"]
)
def test_a_value_inside_a_statement_is_printed(book, statement):
    book.edit(">>> square(3)\n9\n", f">>> {statement}\n9\n")
    (failed, *_) = failures(book)
    assert "a notebook shows no value from inside a statement: print it" in failed.error
    book.edit(statement, statement.replace("square(3)", "print(square(3))"))
    assert failures(book) == []


def test_a_fence_may_not_replace_the_display(book):
    book.edit("9\n", "9\n>>> import sys\n>>> sys.displayhook = print\n")
    (failed, *_) = failures(book)
    assert "sets sys.displayhook" in failed.error
