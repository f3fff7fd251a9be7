"""The reader of TeX, against SymPy's own parser of expressions as an oracle."""

import pytest
import sympy

from dlkb.book.read.formula import read_formula, symbol_name
from dlkb.book.read.nodes import key, show
from dlkb.book.read.symbolic import to_sympy
from dlkb.book.read.tokens import FormulaError

NAMES = (
    "m m_hat v_hat epsilon eta lambda_ theta_t_1 r x y z n k t s a b p n_in n_out beta_1".split()
)
LOCAL = {name: sympy.Symbol(name) for name in NAMES}


def last(tex, numbers=()):
    return read_formula(tex, numbers)[0].sides[-1]


@pytest.mark.parametrize(
    ("tex", "expected"),
    [
        (r"y = \frac{\hat m}{\sqrt{\hat v}+\epsilon}", "m_hat/(sqrt(v_hat) + epsilon)"),
        (r"\theta_t \leftarrow (1-\eta\lambda)\,\theta_{t-1}", "(1 - eta*lambda_)*theta_t_1"),
        (r"r\,x\,(1-x)", "r*x*(1 - x)"),
        (r"\sqrt{\tfrac{6}{n_{\text{in}}+n_{\mathrm{out}}}}.", "sqrt(6/(n_in + n_out))"),
        (r"\lvert\Delta\rvert \le \left(1 + x\right)^{2}", "(1 + x)**2"),
        (r"e^{-\pi x}", "exp(-pi*x)"),
        (r"\sqrt m + \sqrt2 p", "sqrt(m) + sqrt(2)*p"),
        (r"\sqrt[3]{x} + \sqrt[n]{x}", "x**Rational(1, 3) + x**(1/n)"),
        (r"\frac1{1-p} \qquad (p < 1)", "1/(1-p)"),
        (r"\frac12 x", "x/2"),
        (r"2^10", "2*0"),  # as TeX sets it
        (r"1.25x - 0.5", "Rational(5, 4)*x - Rational(1, 2)"),
        (r"\sum_{k=1}^{n} x^k", "Sum(x**k, (k, 1, n))"),
        (r"\prod_{k=1}^n (1-x^k) + 1", "Product(1 - x**k, (k, 1, n)) + 1"),
        (r"\beta_1\sum_{s=0}^{t-1}\beta_1^{t-s}", "beta_1*Sum(beta_1**(t - s), (s, 0, t - 1))"),
        (r"-x^2", "-(x**2)"),
        (r"(-x)^2", "(-x)**2"),
        (r"a - b - x", "(a - b) - x"),
        (r"a - (b - x)", "a - (b - x)"),
        (r"a/b", "a/b"),
        (r"a/b\,x", "a/b*x"),
        (r"ab/x", "a*b/x"),
        (r"\lvert x - \lvert y\rvert\rvert", "Abs(x - Abs(y))"),
        (r"|x - |y||", "Abs(x - Abs(y))"),
        (r"\ln\frac{a}{b} + \log x\,y", "log(a/b) + log(x)*y"),
        (r"\log_2 x", "log(x)/log(2)"),
        (r"1 - \tanh^2(z)", "1 - tanh(z)**2"),
        (r"\sin x\cos y", "sin(x)*cos(y)"),
        (r"\exp(x)^2", "exp(x)**2"),
        (r"\exp x^2", "exp(x**2)"),
        (r"\max(-t,\ \min(t,\ x))", "Max(-t, Min(t, x))"),
        (r"\min\Bigl(1,\ \frac{t}{n+\epsilon}\Bigr)", "Min(1, t/(n + epsilon))"),
        (r"\operatorname{sign}(z)\,\max\{\lvert z\rvert - t, 0\}", "sign(z)*Max(Abs(z) - t, 0)"),
        (r"\operatorname{erf}(x) + \Phi(x)", "erf(x) + (1 + erf(x/sqrt(2)))/2"),
        (r"\psi\bigl(\tfrac{n-k+1}{2}\bigr)", "digamma((n - k + 1)/2)"),
        (r"\lfloor x\rfloor + \lceil y\rceil", "floor(x) + ceiling(y)"),
        (r"a\cdot b\times x", "a*b*x"),
        (r"x^{a^{b}}", "x**(a**b)"),
        (r"x^\frac12", "sqrt(x)"),
        (
            r"y \leftarrow \begin{cases} 0 & x < b - t \\ -x & \text{otherwise} \end{cases}",
            "Piecewise((0, x < b - t), (-x, True))",
        ),
        (r"\begin{aligned} y &= a \\ &\quad + b \\ &\quad - x \end{aligned}", "a + b - x"),
    ],
)
def test_tex_is_read_as_the_reader_does(tex, expected):
    found = to_sympy(last(tex))
    wanted = sympy.sympify(expected, locals=LOCAL)
    assert found == wanted or sympy.simplify(found - wanted) == 0, f"{found} is not {wanted}"


@pytest.mark.parametrize(
    ("tex", "reason"),
    [
        (r"\frac{x}", "cannot read the end"),
        (r"a/bc", "two ways"),
        (r"a/b/c", "two ways"),
        (r"x^a^b", "two ways"),
        (r"\log ab", "could go on"),
        (r"\sin^{-1}(x)", "inverse function"),
        (r"\mathbb{E}(x - \mu)^2", "power of the mean"),
        (r"(f^n)'(x)", "two ways"),
        (r"d\theta", "differential"),
        (r"\partial_i", "derivative of what"),
        (r"\frac{a (1 - a)}{n}", "a is a function and a number"),
        (r"\mathbf{x} + x", "x is bold and plain"),
        (r"\lim_{n\to\infty} x", r"cannot read \\lim"),
        (r"x \in S", r"cannot read \\in"),
        (r"\sum_{i<j} x_i", "expected }"),
        (r"(a, b)", "list is no number"),
        (r"\tanh(a, b)", "tanh has 2 arguments"),
        (r"\max(a)", "max has 1 arguments"),
        (r"(a + b", "expected \\)"),
        (r"a + b)", "cannot read \\)"),
        (r"x_{t", "brace is not closed"),
        (r"a +", "cannot read the end"),
        (r"a = ", "cannot read the end"),
        (r"x \text{ for all of them}", "words in a product"),
        (r"\begin{cases} x \\ y \end{cases}", "expected &"),
        (r"\begin{cases} x & y \end{cases}", "needs a condition"),
        (r"\begin{pmatrix} x \end{pmatrix}", "cannot read"),
        (r"a \pm b", r"cannot read \\pm"),
    ],
)
def test_what_would_be_guessed_is_refused(tex, reason):
    with pytest.raises(FormulaError, match=reason):
        read_formula(tex)


@pytest.mark.parametrize(
    ("tex", "shown"),
    [
        (r"f(x)", "f(x)"),
        (r"f\,(x)", "f*x"),
        (r"\sigma'(z)", "sigma_prime(z)"),
        (r"\tanh'(z)", "tanh_prime(z)"),
        (r"\mathbf{W}(\mathbf{x} + \mathbf{b})", "W*(x + b)"),
        (r"2(x)", "2*x"),
        (r"\sigma_w^2(1+a^2)", "sigma_w^2*(1 + a^2)"),
        (r"\mathbb{E}[z^2]/\mathbb{E}[z]^2", "E(z^2)/E(z)^2"),
        (r"\mathbb{E}\lVert\mathbf{x}\rVert^2", "E(norm(x)^2)"),
        (r"\frac{\partial P}{\partial\theta}", "dP/dtheta"),
        (r"\frac{dL}{dw}", "dL/dw"),
        (r"\frac{d - 1}{d - n}", "(d - 1)/(d - n)"),
        (r"\lVert\mathbf{A}^k\rVert_F", "norm_F(A^k)"),
        (r"\mathbf{x}^\top\mathbf{W}^T\mathbf{W}^{-1}", "x^T*W^T*W^(-1)"),
        (r"x^T", "x^T"),  # a power
        (r"\sum_i x_{ij}", "sum(x[i, j], i)"),
        (r"\sum_{k=0}^{t-1} g_{t-k}", "sum(g[t - k], k, 0, t - 1)"),
        (r"\max_i\lvert\lambda_i\rvert", "max(abs(lambda_[i]), i)"),
        (r"\Delta\mathbf{y} \circ \nabla_{\mathbf{W}} L", "Delta_y .* nabla_W_L"),
        (r"-(a + b)", "-(a + b)"),
        (r"a(-b)", "a(-b)"),
        (r"a\,(-b)^{2}", "a*(-b)^2"),
        (r"(a^b)^c", "(a^b)^c"),
        (r"\frac{\frac{a}{b}}{\frac{c}{x}}", "a/b/(c/x)"),
    ],
)
def test_functions_products_and_names(tex, shown):
    assert show(last(tex)) == shown


def test_a_power_and_a_transpose_differ():
    assert last("x^T").kind == "pow"
    assert last(r"\mathbf{x}^T").kind == "transpose"


def test_numbers_multiply_what_stands_in_parentheses():
    assert show(last("a (1 - b)")) == "a(1 - b)"
    assert show(last("a (1 - b)", numbers=["a"])) == "a*(1 - b)"


def test_statements_and_relations():
    tex = r"\rho = \max(a, b) \le c,\qquad \kappa = \frac{a}{b} \quad (a \ge 0)"
    first, second, third = read_formula(tex)
    assert first.relations == ("=", "<=")
    assert [show(side) for side in first.sides] == ["rho", "max(a, b)", "c"]
    assert show(second.sides[1]) == "a/b"
    assert third.relations == (">=",)


def test_the_subscript_of_a_sum_is_no_side():
    (only,) = read_formula(r"\sum_{k=1}^{n} x^k")
    assert only.relations == ()


@pytest.mark.parametrize(
    ("tex", "name"),
    [
        (r"\beta_1", "beta_1"),
        (r"\hat{\mathbf{z}}_{i-1}", "z_hat_i_1"),
        (r"\hat{m_t}", "m_t_hat"),
        (r"\lambda_{\max}", "lambda_max"),
        (r"v^{\max}_t", "v_max_t"),
        (r"\rho^\star", "rho_star"),
        (r"x^{(i)}", "x_i"),
        (r"\mathbf{W}'", "W_prime"),
        (r"n_{10}", "n_10"),
        (r"\text{gap}_t", "gap_t"),
        (r"e_{t+1}", "e_t_plus_1"),
        (r"e_{t-1}", "e_t_1"),
        (r"\lambda", "lambda_"),
    ],
)
def test_symbol_names(tex, name):
    assert symbol_name(tex) == name


def test_a_symbol_alone_is_asked_for():
    with pytest.raises(FormulaError, match="no part of a symbol"):
        symbol_name("x + 1")


def test_keys_ignore_spaces_and_the_kind_of_bracket():
    assert key("E[ x^2 ]") == key(show(last(r"\mathbb{E}[x^2]"))) == "E(x^2)"


@pytest.mark.parametrize("tex", [r"\mathbf{W}_L\cdots\mathbf{W}_1", r"\sum_i x_i"])
def test_what_sympy_has_no_name_for(tex):
    with pytest.raises(FormulaError, match="write"):
        to_sympy(last(tex))
