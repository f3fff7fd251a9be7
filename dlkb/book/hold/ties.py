r"""Hold an equation of a page to the function that computes it.

The TeX that the reader sees is parsed by SymPy and compared with the function on random
inputs. SymPy's parser guesses at what it does not know (`\hat m` becomes hat times m), so every
symbol is first replaced by one that it cannot misread, and whatever else it makes up is an error.
"""

import importlib
import keyword
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy

from dlkb.book.publish import math
from dlkb.book.read.pages import Page, Tie

TRIALS = 20

_GREEK = (
    "alpha beta gamma delta epsilon varepsilon zeta eta theta iota kappa lambda mu nu xi pi rho "
    "sigma tau upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Sigma Phi Psi Omega ell"
).split()
_ACCENTS = "hat|bar|tilde|dot|widehat|overline"
_FONTS = "mathbf|boldsymbol|mathrm|mathit|bm|mathcal"
_BASE = rf"(?:\\(?:{'|'.join(_GREEK)})(?![A-Za-z])|[A-Za-z])"
_SUBSCRIPT = r"(?:_(?:\{(?:[^{}]|\{[^{}]*\})*\}|[A-Za-z0-9]|\\[A-Za-z]+))?"
_RELATION = re.compile(r"=|\\(?:leq?|geq?|approx|leftarrow|gets|to|equiv)(?![A-Za-z])|<|>")
_RANGE = re.compile(r"(array|integer)?\s*(\S+)\s*<=?\s*(\w+)\s*<=?\s*(\S+)")


class TieError(Exception):
    """An equation that cannot be read, or that the function contradicts."""


@dataclass(frozen=True)
class _Domain:
    name: str
    kind: str
    low: float
    high: float


def symbol_name(tex: str) -> str:
    r"""Return the Python name of a TeX symbol.

    Example:
        >>> symbol_name(r"\hat{m}_{t-1}"), symbol_name(r"\mathbf{x}"), symbol_name(r"\lambda")
        ('m_hat_t_1', 'x', 'lambda_')
    """
    base, _, subscript = tex.partition("_")
    accents = re.findall(rf"\\({_ACCENTS})", base)
    base = re.sub(rf"\\(?:{_ACCENTS}|{_FONTS})(?![a-z])", "", base)
    subscript = re.sub(r"\\(?:text|mathrm|operatorname)", "", subscript)
    words = [base, *accents, *re.findall(r"[A-Za-z0-9]+", subscript)]
    name = "_".join(re.sub(r"\W", "", word) for word in words if word)
    return f"{name}_" if keyword.iskeyword(name) else name


def _last_side(tex: str) -> str:
    tex = re.split(r"\\q?quad", tex)[0]
    if "\\begin{" in tex or "\\\\" in tex:
        raise TieError("several lines or cases cannot be parsed: add a transcription")
    return _RELATION.split(tex)[-1].strip().rstrip(".,;")


def read_equation(tex: str) -> sympy.Expr:
    r"""Parse the last side of an equation into SymPy, symbols named as in Python.

    Raises:
        TieError: If the parser meets anything it would have to guess at.

    Example:
        >>> read_equation(r"y = \hat m_t (1 - \beta_1)")
        m_hat_t*(1 - beta_1)
    """
    from sympy.parsing.latex import parse_latex

    text = _last_side(tex)
    for old, new in ((r"\lvert", "|"), (r"\rvert", "|"), (r"\{", "("), (r"\}", ")")):
        text = text.replace(old, new)
    text = re.sub(r"\\(?:left|right|[bB]ig+[lr]?)(?![A-Za-z])|\\[,;:! ]|&", " ", text)
    text = re.sub(r"\\[td]frac(?![A-Za-z])", r"\\frac", text)
    names: list[str] = []

    def replace(found: re.Match[str]) -> str:
        name = symbol_name(found[0])
        if name not in names:
            names.append(name)
        return f" z_{{{names.index(name)}}} "

    text = _replace_symbols(text, replace)
    text = re.sub(r"\\sqrt\s*(z_\{\d+\}|\d)", r"\\sqrt{\1}", text)  # the parser wants braces
    # A symbol before a parenthesis is multiplied, not called.
    text = re.sub(r"(z_\{\d+\})\s*(?=\()", r"\1 \\cdot ", text)
    try:
        parsed = parse_latex(text)
    except Exception as error:
        raise TieError(f"SymPy cannot parse {tex!r}: add a transcription ({error})") from None
    known = {f"z_{{{index}}}": name for index, name in enumerate(names)}
    made_up = {str(symbol) for symbol in parsed.free_symbols} - set(known)
    called = {str(f.func) for f in parsed.atoms(sympy.core.function.AppliedUndef)} - {"max", "min"}
    called |= {type(f).__name__ for f in parsed.atoms(sympy.Sum, sympy.Product, sympy.Integral)}
    if made_up or called:
        raise TieError(f"SymPy misreads {sorted(made_up | called)} in {tex!r}: add a transcription")
    return parsed.subs({sympy.Symbol(key): _constant(name) for key, name in known.items()})


def _constant(name: str) -> sympy.Expr:
    return {"pi": sympy.pi, "e": sympy.E}.get(name, sympy.Symbol(name))


def _replace_symbols(text: str, replace: Callable[[re.Match[str]], str]) -> str:
    r"""Replace symbols, but not the letters of commands such as \frac and \max."""
    pattern = re.compile(
        rf"(?P<accented>\\(?:{_ACCENTS}|{_FONTS})(?![A-Za-z])\s*(?:\{{[^{{}}]*(?:\{{[^{{}}]*\}})?[^{{}}]*\}}|{_BASE})"
        rf"{_SUBSCRIPT})|(?P<plain>{_BASE}{_SUBSCRIPT})|\\[A-Za-z]+"
    )

    def one(found: re.Match[str]) -> str:
        return replace(found) if found["accented"] or found["plain"] else found[0]

    return pattern.sub(one, text)


def _domains(where: str) -> list[_Domain]:
    rows = []
    for part in where.split(","):
        found = _RANGE.fullmatch(part.strip())
        if not found:
            raise TieError(f"range {part.strip()!r} is not like '0 < x < 1' or 'array -3 < x < 3'")
        kind, low, name, high = found.groups()
        rows.append(_Domain(name, kind or "number", float(low), float(high)))
    return rows


def _draw(domain: _Domain, generator: random.Random) -> Any:
    if domain.kind == "integer":
        return generator.randint(int(domain.low), int(domain.high))
    if domain.kind == "array":
        return np.asarray([generator.uniform(domain.low, domain.high) for _ in range(7)])
    return generator.uniform(domain.low, domain.high)


def _call(call: str, values: dict[str, Any]) -> Any:
    module = re.match(r"dlkb(?:\.\w+)*(?=\.\w+\()", call)
    if not module:
        raise TieError(f"{call!r} is not a call like dlkb.optimizers.adam.adam(...)")
    importlib.import_module(module[0])
    return eval(call, {"dlkb": importlib.import_module("dlkb"), **values})


def expression_of(page: Page, tie: Tie) -> sympy.Expr:
    """Return what the page's equation says, parsed or transcribed.

    Raises:
        TieError: If there is no such equation, or it needs a transcription.
    """
    found = [eq for eq in math.equations(page.text) if eq.label == tie.label]
    if not found:
        raise TieError(f"the page has no equation labelled {tie.label!r}")
    if tie.reading is None:
        return read_equation(found[0].tex)
    local = {domain.name: sympy.Symbol(domain.name) for domain in _domains(tie.where)}
    return sympy.sympify(tie.reading, locals=local)


def verify(page: Page, tie: Tie) -> None:
    """Compare the equation and the function on random inputs.

    Raises:
        TieError: If they differ, or the equation has a symbol without a range.
    """
    expression = expression_of(page, tie)
    domains = _domains(tie.where)
    names = [domain.name for domain in domains]
    unbound = sorted({str(symbol) for symbol in expression.free_symbols} - set(names))
    if unbound:
        raise TieError(f"data-where gives no range for {', '.join(unbound)}")
    modules = [{"max": np.maximum, "min": np.minimum, "amax": np.max}, "scipy", "numpy"]
    evaluate = sympy.lambdify([sympy.Symbol(name) for name in names], expression, modules)
    generator = random.Random(0)
    for _ in range(TRIALS):
        values = {domain.name: _draw(domain, generator) for domain in domains}
        said = evaluate(*values.values())
        computed = _call(tie.call, values)
        said = np.broadcast_to(said, np.shape(computed))
        if not np.allclose(computed, said, rtol=1e-9, atol=1e-12):
            raise TieError(
                f"equation {tie.label} and {tie.call} differ at {values}: "
                f"the equation says {said}, the function {computed}"
            )
