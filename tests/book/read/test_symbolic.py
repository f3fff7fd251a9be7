"""Equations of pages as SymPy relations."""

import subprocess
import sys

import pytest
import sympy

from dlkb.book import equation
from dlkb.book.read.book import read_book
from dlkb.book.read.parts import PageError
from dlkb.book.run.session import outcomes_of

RUN = """\
```pycon
>>> from dlkb.book import equation
>>> equation("toy", "{label}")
{shown}
```

## Derivation"""


def run(book, tex, shown, label="eq:square"):
    book.edit("$$ x^2 \\label{eq:square} $$\n", f"$$ {tex} \\label{{eq:square}} $$\n")
    book.edit("## Derivation", RUN.format(label=label, shown=shown))
    page = read_book(book.root)[0]
    return next(o for o in outcomes_of(page) if "equation" in o.fence.code)


@pytest.mark.parametrize(
    ("tex", "shown"),
    [
        (r"y = \frac{x}{1-p}", "Eq(y, x/(1 - p))"),
        (r"\lvert y\rvert \le x", "Abs(y) <= x"),
        (r"x \ge 1", "x >= 1"),
        ("x^2", "x**2"),
        ("y = x = z", "(Eq(y, x), Eq(x, z))"),
        (r"y = \sum_{s=1}^t g_s", "Eq(y, Sum(g[s], (s, 1, t)))"),
        (r"\mathbf{y} = \mathbf{B}\mathbf{A}", "Eq(y, B*A)"),
        (r"f(x) = \phi'(x)", "Eq(f(x), phi_prime(x))"),
    ],
)
def test_a_page_that_runs_reads_its_own_equation(book, tex, shown):
    outcome = run(book, tex, shown)
    assert outcome.error is None, outcome.error


def test_an_unknown_label_is_an_error_of_the_page(book):
    outcome = run(book, "x", "x", label="eq:cube")
    assert "no equation is labelled 'eq:cube': eq:square" in outcome.error


def test_tex_that_cannot_be_read_names_file_and_line(book):
    outcome = run(book, r"\lim x", "x")
    assert f"toy.md:{book.line('$$ ')}: cannot read" in outcome.error


def test_a_page_that_does_not_exist_gets_a_suggestion():
    with pytest.raises(PageError, match="did you mean optimizers/adam"):
        equation("optimizers/adan", "eq:m")


def test_the_real_unrolled_moment_follows_from_its_recursion():
    step, unrolled = equation("adam", "eq:m"), equation("adam", "eq:unrolled")
    t, beta, before = sympy.symbols("t beta_1 m_t_1")
    g = sympy.IndexedBase("g")
    at = {count: unrolled.rhs.subs(t, count).doit() for count in (3, 4)}
    next_step = step.rhs.subs({before: at[3], sympy.Symbol("g_t"): g[4]})
    assert sympy.expand(next_step - at[4]) == 0
    assert beta in step.rhs.free_symbols


def test_names_with_a_range_are_no_functions():
    relation = equation("overfitting", "eq:error")
    a, n = sympy.symbols("a n")
    assert relation.rhs == sympy.sqrt(a * (1 - a) / n)


def test_the_engine_is_imported_without_sympy():
    code = "import sys, dlkb.book; assert not {'sympy', 'numpy', 'yaml'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_nothing_else_is_promised():
    import dlkb.book

    with pytest.raises(AttributeError, match="no attribute 'equations'"):
        _ = dlkb.book.equations


def test_an_installed_book_is_read_where_there_is_no_checkout(book, monkeypatch, tmp_path):
    def the_book(start=None):
        assert start is None  # this file is no page
        return book.root

    monkeypatch.setattr("dlkb.book.read.symbolic.find_root", the_book)
    assert equation("toy", "eq:square") == sympy.Symbol("x") ** 2
