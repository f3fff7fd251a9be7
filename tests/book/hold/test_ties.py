import pytest
import sympy

from dlkb.book.hold.ties import TieError, read_equation, symbol_name, verify
from dlkb.book.read.pages import PageError, read_book

TIE = """
/// tied | `dlkb.arrays.erf(x)`
    attrs: {data-equation: "eq:square", data-where: "array -1 < x < 1"}
%s
///
"""


@pytest.mark.parametrize(
    ("tex", "expected"),
    [
        (r"y = \frac{\hat m}{\sqrt{\hat v}+\epsilon}", "m_hat/(sqrt(v_hat) + epsilon)"),
        (r"\theta_t \leftarrow (1-\eta\lambda)\,\theta_{t-1}", "(1 - eta*lambda_)*theta_t_1"),
        (r"r\,x\,(1-x)", "r*x*(1 - x)"),
        (r"\sqrt{\tfrac{6}{n_{\text{in}}+n_{\mathrm{out}}}}.", "sqrt(6/(n_in + n_out))"),
        (r"\lvert\Delta\rvert \le \left(1 + \mathbf{x}\right)^{2}", "(1 + x)**2"),
        (r"e^{-\pi x}", "exp(-pi*x)"),
        (r"\sqrt m + \sqrt2 p", "sqrt(m) + sqrt(2)*p"),
        (r"\frac1{1-p} \qquad (p < 1)", "1/(1-p)"),
    ],
)
def test_tex_is_read_as_the_reader_does(tex, expected):
    names = "m m_hat v_hat epsilon eta lambda_ theta_t_1 r x n_in n_out p".split()
    wanted = sympy.sympify(expected, locals={name: sympy.Symbol(name) for name in names})
    assert sympy.simplify(read_equation(tex) - wanted) == 0


@pytest.mark.parametrize(
    "tex",
    [
        r"\operatorname{sign}(x)",
        r"\lVert g\rVert",
        r"\begin{cases}x & x>0\\0&x\le0\end{cases}",
        r"\frac{x}",
        r"\sum_i x_i",
    ],
)
def test_what_the_parser_would_guess_at_is_refused(tex):
    with pytest.raises(TieError, match="transcription"):
        read_equation(tex)


@pytest.mark.parametrize(
    ("tex", "name"),
    [
        (r"\beta_1", "beta_1"),
        (r"\hat{\mathbf{z}}_{i+1}", "z_hat_i_1"),
        (r"\lambda_{\max}", "lambda_max"),
    ],
)
def test_symbol_names(tex, name):
    assert symbol_name(tex) == name


def tie(book, equation, body=""):
    book.edit(
        "$$ x^2 \\label{eq:square} $$\n", f"$$ {equation} \\label{{eq:square}} $$\n{TIE % body}"
    )
    page = read_book(book.root)[0]
    verify(page, page.ties[0])


def test_equation_and_function_agree(book):
    tie(book, r"\operatorname{erf}(x)", "\nRead as `erf(x)`.\n")


def test_a_false_equation_is_caught(book):
    with pytest.raises(TieError, match="differ at"):
        tie(book, r"x - x^3")


def test_a_false_transcription_is_caught(book):
    with pytest.raises(TieError, match="differ at"):
        tie(book, r"\operatorname{erf}(x)", "\nRead as `erf(x/2)`.\n")


def test_a_symbol_without_a_range_is_named(book):
    with pytest.raises(TieError, match="no range for y"):
        tie(book, "x + y")


def test_an_unknown_label_is_named(book):
    book.edit("## Derivation", TIE.replace("eq:square", "eq:other") % "" + "\n## Derivation")
    page = read_book(book.root)[0]
    with pytest.raises(TieError, match="no equation labelled 'eq:other'"):
        verify(page, page.ties[0])


def test_attributes_are_needed(book):
    book.edit("## Derivation", "/// tied | `f(x)`\n///\n\n## Derivation")
    with pytest.raises(PageError, match="'tied' lacks data-equation, data-where"):
        read_book(book.root)
