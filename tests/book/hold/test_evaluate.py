"""Values of formulas, against SymPy for scalars and NumPy for matrices; mutants; ranges."""

import random

import numpy as np
import pytest
import sympy

from dlkb.book.hold.evaluate import evaluate
from dlkb.book.hold.mutants import mutants
from dlkb.book.hold.ranges import read_ranges
from dlkb.book.read.formula import read_formula
from dlkb.book.read.nodes import show
from dlkb.book.read.symbolic import to_sympy
from dlkb.book.read.tokens import FormulaError

VALUES = {"x": 0.7, "y": -1.3, "t": 4, "b": 0.6}


def value(tex, **values):
    return evaluate(read_formula(tex)[0].sides[-1], values)


@pytest.mark.parametrize(
    "tex",
    [
        r"\frac{x}{1 - b} - y^2",
        r"x^{-y} + e^{x} + \pi",
        r"\sqrt[3]{x} + \sqrt{b}",
        r"\lvert y\rvert + \lfloor y\rfloor + \lceil y\rceil",
        r"\ln x + \log_2 b + \log b",
        r"\sin x + \cos y + \tanh y + \arctan x + \arcsin b",
        r"\operatorname{erf}(y) + \Phi(y) + \psi(x) + \Gamma(x)",
        r"\max(x, y, b) - \min(x, y, b) + \operatorname{sign}(y)",
        r"\sum_{k=1}^{t} b^k + \prod_{k=2}^{t} (k + x)",
        r"\sum_{k=1}^{t}\sum_{s=1}^{k} x^s",
        r"\sum_{k=1}^{t - 4} b^k + \prod_{k=1}^{t - 4} b",
        r"\sum_{k=1}^{t} x",
        r"\begin{cases} x & y < -1 \\ b & \text{otherwise} \end{cases}",
        r"\begin{cases} x & y > 0 \\ b & y < -2 \\ 3 & \text{otherwise} \end{cases}",
    ],
)
def test_numbers_agree_with_sympy(tex):
    symbols = {sympy.Symbol(name): sympy.Rational(str(v)) for name, v in VALUES.items()}
    node = read_formula(tex)[0].sides[0]
    wanted = float(to_sympy(node).subs(symbols).doit())
    assert evaluate(node, VALUES) == pytest.approx(wanted, rel=1e-12)


A = np.asarray([[1.0, 2.0], [3.0, 5.0]])
V = np.asarray([[3.0], [-4.0]])


@pytest.mark.parametrize(
    ("tex", "expected"),
    [
        (r"\mathbf{A}\mathbf{v}", A @ V),
        (r"\mathbf{v}^\top\mathbf{v}", 25.0),
        (r"\mathbf{v}\mathbf{v}^\top", V @ V.T),
        (r"\mathbf{A}^2", A @ A),
        (r"\mathbf{A}^{-1}", np.linalg.inv(A)),
        (r"\mathbf{A}\circ\mathbf{A}", A * A),
        (r"2\,\mathbf{A} - \mathbf{A}^\top", 2 * A - A.T),
        (r"\lVert\mathbf{v}\rVert", 5.0),
        (r"\lVert\mathbf{v}\rVert_1", 7.0),
        (r"\lVert\mathbf{v}\rVert_\infty", 4.0),
        (r"\lVert\mathbf{v}\rVert_F", 5.0),
        (r"\lVert\mathbf{A}\rVert_2", np.linalg.svd(A)[1][0]),
        (r"\lVert\mathbf{A}\rVert_F^2", 39.0),
        (r"\det\mathbf{A}", -1.0),
        (r"\operatorname{tr}(\mathbf{A})", 6.0),
        (r"\operatorname{diag}(\mathbf{v})", np.diag([3.0, -4.0])),
        (r"\operatorname{diag}(\mathbf{A})", np.diag([1.0, 5.0])),
        (r"\sum_i v_i^2", 25.0),
        (r"\sum_{i=1}^{2} v_i\,i", -5.0),
        (r"\max_i\lvert v_i\rvert", 4.0),
        (r"\sum_i\sum_j A_{ij}^2", 39.0),
        (r"\sum_{i=1}^{2} \mathbf{A}_{i}\mathbf{A}_{i}^\top", A @ A.T),
    ],
)
def test_matrices(tex, expected):
    np.testing.assert_allclose(value(tex, A=A, v=V), expected, rtol=1e-12)


def test_arrays_are_elementwise_also_under_a_sum():
    x = np.asarray([0.5, 2.0])
    np.testing.assert_allclose(value(r"\sum_{k=0}^{2} x^k", x=x), 1 + x + x**2)
    np.testing.assert_allclose(value(r"x\,x", x=x), x * x)


def test_functions_are_given_by_name_or_as_they_are_shown():
    assert value(r"\phi(2x)", x=3.0, phi=lambda z: z + 1) == 7.0
    assert value(r"\mathbb{E}[x^2] - \mathbb{E}[x]^2", **{"E(x^2)": 5.0, "E(x)": 2.0}) == 1.0


@pytest.mark.parametrize(
    ("tex", "reason"),
    [
        (r"\phi(x)", r"nothing gives a value to phi\(x\)"),
        ("z", "nothing gives a value to z"),
        (r"\mathbf{A}\cdots\mathbf{A}", r"value to \.\.\."),
        (r"\mathbf{A}^{x}", "whole powers"),
        (r"\lVert\mathbf{A}\rVert", "which norm"),
        (r"\lVert\mathbf{v}\rVert_7", "no norm is called 7"),
        (r"\sum_{i=0}^{1} v_i", "counted from 1"),
        (r"\sum_{i=1}^{3} v_i", "counted from 1"),
        (r"\sum_i w_i", "has no bounds"),
        (r"\sum_{i=1}^{2} w_i", "value to w"),
    ],
)
def test_what_has_no_value(tex, reason):
    with pytest.raises(FormulaError, match=reason):
        value(tex, A=A, v=V, x=0.5)


def test_the_mutants_of_an_equation():
    (statement,) = read_formula(r"y \le -2x^n + \frac{a}{\sqrt b}")
    found = {show(m.sides[1]) for m in mutants(statement)} - {show(statement.sides[1])}
    assert found == {
        "-(-2*x^n + a/sqrt(b))",
        "2*x^n + a/sqrt(b)",
        "-2*x^n - a/sqrt(b)",
        "-3*x^n + a/sqrt(b)",
        "-x^n + a/sqrt(b)",
        "-2 + a/sqrt(b)",
        "-2*x + a/sqrt(b)",
        "-2*(x^2)^n + a/sqrt(b)",
        "-2*x^(n^2) + a/sqrt(b)",
        "-2*x^n + a",
        "-2*x^n + a*sqrt(b)",
        "-2*x^n + 1/sqrt(b)",
        "-2*x^n + a/b",
        "-2*x^n + a^2/sqrt(b)",
        "-2*x^n + a/sqrt(b^2)",
        "-2*x^n + a/sqrt(b, 3)",
    }
    assert ">=" in {m.relations[0] for m in mutants(statement)}


@pytest.mark.parametrize(
    ("where", "low", "high"),
    [
        ("integer 1 <= n <= 3", 1, 3),
        ("integer 1 < n < 4", 2, 3),
        ("integer 0.5 <= n <= 2.5", 1, 2),
        ("binary n", 0, 1),
    ],
)
def test_integers_stay_in_their_range_and_reach_its_ends(where, low, high):
    (row,) = read_ranges(where)
    generator = random.Random(0)
    drawn = {row.draw(generator) for _ in range(50)}
    assert (min(drawn), max(drawn)) == (low, high)
    assert all(isinstance(n, int) for n in drawn)


def test_kinds_have_their_shapes():
    rows = read_ranges("0 < x < 1, array 1 < y < 2, vector(3) -1 < v < 1, matrix(2, 3) 0 <= W <= 1")
    drawn = [np.asarray(row.draw(random.Random(0))) for row in rows]
    assert [value.shape for value in drawn] == [(), (7,), (3,), (2, 3)]
    assert all(row.low <= value.min() and value.max() <= row.high
               for row, value in zip(rows, drawn, strict=True))  # fmt: skip
    assert rows[2].in_formula(drawn[2]).shape == (3, 1)
