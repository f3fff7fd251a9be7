r"""Find the math of a page, check it, and turn it into MathML.

What is math: `$…$` with no space inside the dollars, and `$$…$$`, neither over a blank line, and
neither in code. `\$` is a dollar, and so is the one in "$5".
"""

import html
import re
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple
from xml.etree import ElementTree

from math_core import LatexError, LatexToMathML

_TEX = LatexToMathML(annotation=False, fancy_error=False)

_SCAN = re.compile(
    r"""
    (?P<code> ^(?P<indent>[ >]*)(?P<fence>`{3,}|~{3,})[^\n]*\n (?:.*?\n)?? [ >]*(?P=fence)[`~]*[ ]*$
            | (?<!`)(?P<ticks>`+)(?!`) (?:(?!\n[ ]*\n).)+? (?<!`)(?P=ticks)(?!`)
            | <!--.*?-->
            | <(?P<tag>pre|code|script|style)\b.*?</(?P=tag)> )
  | \\.
  | \$\$ (?P<display> (?:\\.|[^\\$\n]|\$(?!\$)|\n(?![ ]*\n))+? ) \$\$
  | \$ (?![\s$]) (?P<inline> (?:\\.|[^\\$\n]|\n(?![ ]*\n))+? ) (?<![\s]) \$ (?![0-9$])
    """,
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)
_FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
_LABEL = re.compile(r"\s*\\label\{([^}]*)\}")
_EQREF = re.compile(r"\\eqref\{([^}]*)\}")
_NAME = re.compile(r"eq:[a-z0-9]+(-[a-z0-9]+)*")
_ENTITY = re.compile(r"&(?!(?:lt|gt|amp|quot|apos);)[A-Za-z]+;")
_NUMBERED = re.compile(r"\\(?:tag\b|begin\{(?:equation|align|gather|multline)\})")


class MathError(ValueError):
    """Math that cannot be typeset; the message says where and why."""


class Equation(NamedTuple):
    """A piece of math on a page: where it starts, its TeX without label, and its label."""

    line: int
    tex: str
    display: bool
    label: str | None


def matches(text: str) -> Iterator[tuple[re.Match[str], Equation]]:
    """Yield each piece of math with the place where it stands."""
    for match in _SCAN.finditer(text):
        display = match["display"] is not None
        tex = match["display"] if display else match["inline"]
        if tex is None:
            continue
        start = text.rfind("\n", 0, match.start()) + 1
        if text[start : match.start()].lstrip().startswith(">"):
            tex = re.sub(r"\n[ ]*>[ >]*", "\n", tex)  # the marks of a quotation
        label = _LABEL.search(tex)
        line = text.count("\n", 0, match.start()) + 1
        yield (
            match,
            Equation(line, _LABEL.sub("", tex).strip(), display, label[1] if label else None),
        )


def blanked(text: str) -> str:
    """Return the text with code, comments, math and escapes blanked; every place stays where it is.

    Example:
        >>> blanked("a `b` $c$ d")
        'a         d'
    """
    return _SCAN.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)


def equations(text: str) -> list[Equation]:
    r"""List the math of a page in order.

    Args:
        text: The page's Markdown, front matter included.

    Returns:
        Line (from 1), TeX, whether it is displayed, and its label.

    Example:
        >>> equations(r"Costs \$5 and `$x$`, but $x^2$.")
        [Equation(line=1, tex='x^2', display=False, label=None)]
    """
    front = _FRONT_MATTER.match(text)
    if front:
        text = "\n" * front[0].count("\n") + text[front.end() :]
    return [equation for _, equation in matches(text)]


def check(text: str) -> list[tuple[int, str]]:
    r"""Return what is wrong with the math of a page.

    Args:
        text: The page's Markdown, front matter included.

    Returns:
        Line (from 1) and message, one for each fault; empty if every equation typesets.

    Example:
        >>> check(r"$\eqref{eq:nowhere}$")
        [(1, "no equation is labelled 'eq:nowhere'")]
    """
    found = equations(text)
    numbers, faults = number(found)
    for equation in found:
        try:
            typeset(equation, numbers)
        except MathError as error:
            faults.append((equation.line, str(error)))
    return sorted(faults)


def number(found: list[Equation]) -> tuple[dict[str, int], list[tuple[int, str]]]:
    """Number the labelled equations; also return what is wrong with the labels."""
    numbers: dict[str, int] = {}
    faults = []
    for equation in found:
        if equation.label is None:
            continue
        if equation.label in numbers:
            faults.append((equation.line, f"label {equation.label!r} is used twice"))
        elif not _NAME.fullmatch(equation.label) or not equation.display:
            message = f"label {equation.label!r}: only displays have labels, spelt eq:some-name"
            faults.append((equation.line, message))
        numbers.setdefault(equation.label, len(numbers) + 1)
    return numbers, faults


def anchor(label: str) -> str:
    """Return the id of a labelled equation on its page."""
    return label.replace(":", "-")


def typeset(equation: Equation, numbers: dict[str, int]) -> str:
    """Return MathML, or a link for a lone reference."""
    cited = _EQREF.search(equation.tex)
    if cited:
        if cited[0] != equation.tex or equation.display:
            raise MathError(r"\eqref stands alone between single dollars")
        if cited[1] not in numbers:
            raise MathError(f"no equation is labelled {cited[1]!r}")
        return f'<a class="eq-ref" href="#{anchor(cited[1])}">({numbers[cited[1]]})</a>'
    if numbered := _NUMBERED.search(equation.tex):
        raise MathError(rf"{numbered[0]}: use \label for a number and aligned for several lines")
    try:
        return str(_TEX.convert_with_local_state(equation.tex, displaystyle=equation.display))
    except LatexError as error:
        reason = re.sub(r"^\d+: ", "", str(error))
        raise MathError(f"{reason} In: {equation.tex}") from None


def parse_mathml(mathml: str) -> ElementTree.Element:
    """Return MathML as a tree; entities that only HTML knows become their characters."""
    return ElementTree.fromstring(_ENTITY.sub(lambda match: html.unescape(match[0]), mathml))


def plain(mathml: str) -> str:
    """Return math as one line of text, for the table of contents and for attributes.

    Example:
        >>> plain("<math><msup><mi>W</mi><mi>k</mi></msup><mo>→</mo><mn>0</mn></math>")
        'W^k→0'
    """
    try:
        root = ElementTree.fromstring(mathml)
    except ElementTree.ParseError:  # HTML entities, or not MathML at all
        return re.sub(r"<[^>]*>", "", mathml)
    return unicodedata.normalize("NFKC", _plain(root)).replace("\ufe00", "")


def _plain(node: ElementTree.Element) -> str:
    parts = [_plain(child) for child in node]
    if node.tag == "mfrac":
        return "/".join(parts)
    if node.tag == "msqrt":
        return "√" + "".join(parts)
    if node.tag in ("msub", "munder"):
        return "_".join(parts)
    if node.tag == "msup":
        return "^".join(parts)
    if node.tag in ("msubsup", "munderover"):
        return f"{parts[0]}_{parts[1]}^{parts[2]}"
    return (node.text or "") + "".join(parts)
