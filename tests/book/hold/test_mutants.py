"""Each sign, exponent, factor and relation of an equation is changed."""

import pytest

from dlkb.book.hold.mutants import mutants
from dlkb.book.hold.tie_cases import written
from dlkb.book.read.formula import read_formula


@pytest.mark.parametrize(
    ("tex", "changed"),
    [
        ("y = a + b", ["y = -a + b", "y = a - b", "y = -(a + b)", "-y = a + b"]),
        ("y = a - b", ["y = a + b"]),
        ("y = -2", ["y = 2", "y = -3"]),
        (r"y = 3\,a\,b", ["y = a*b", "y = 3*b", "y = 3*a", "y = 4*a*b", "y = 3*a^2*b"]),
        ("y = a^2", ["y = a", "y = a^3"]),
        (r"y = \frac{a}{b}", ["y = a", "y = a*b", "y = 1/b", "y = a^2/b"]),
        (r"y = \sqrt{a}", ["y = a", "y = sqrt(a^2)"]),
        (r"y = \mathbf{W}^\top", ["y = W"]),
        (r"y \le a", ["y >= a"]),
        ("y < a", ["y > a"]),
        (r"y = \sum_{k=1}^{n} k", ["y = sum(k^2, k, 1, n)", "y = sum(k, k, 2, n)"]),
        (
            r"y = \begin{cases} a & b < 1 \\ 2 & \text{otherwise} \end{cases}",
            ["y = cases(a, b > 1, 2, true)", "y = cases(a, b < 1, 3, true)"],
        ),
    ],
)
def test_what_is_changed(tex, changed):
    (statement,) = read_formula(tex)
    found = [written(mutant) for mutant in mutants(statement)]
    assert [text for text in changed if text not in found] == []
    assert written(statement) not in found


def test_the_index_of_a_sum_is_a_name():
    (statement,) = read_formula(r"y = \sum_{k=1}^{n} k")
    assert not any("k^2, 1, n" in written(mutant) for mutant in mutants(statement))
