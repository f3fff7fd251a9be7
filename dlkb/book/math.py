r"""Typeset `$…$` and `$$…$$` to MathML while the page is built.

A Python-Markdown extension, `dlkb.book.math` in mkdocs.yml. No script runs in the browser.

- Math is found before Markdown looks at the text, so that tables, emphasis and line breaks leave
  it alone; code keeps its dollars. `\$` is a dollar, and so is the one in "$5".
- A display with `\label{eq:name}` is numbered in order of appearance and can be linked to as
  `#eq-name`; `$\eqref{eq:name}$` becomes that link, also before the equation.
- What does not typeset stops the build with the file and the line.
"""

import html
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from markdown import Markdown
from markdown.extensions import Extension
from markdown.preprocessors import Preprocessor
from markdown.treeprocessors import Treeprocessor
from markdown.util import HTML_PLACEHOLDER_RE, AtomicString
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
_NUMBERED = re.compile(r"\\(?:tag\b|begin\{(?:equation|align|gather|multline)\})")


class MathError(ValueError):
    """Math that cannot be typeset; the message says where and why."""


class Equation(NamedTuple):
    """A piece of math on a page: where it starts, its TeX without label, and its label."""

    line: int
    tex: str
    display: bool
    label: str | None


def _matches(text: str) -> Iterator[tuple[re.Match[str], Equation]]:
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
    return [equation for _, equation in _matches(text)]


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
    numbers, faults = _number(found)
    for equation in found:
        try:
            _typeset(equation, numbers)
        except MathError as error:
            faults.append((equation.line, str(error)))
    return sorted(faults)


def _number(found: list[Equation]) -> tuple[dict[str, int], list[tuple[int, str]]]:
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


def _anchor(label: str) -> str:
    return label.replace(":", "-")


def _typeset(equation: Equation, numbers: dict[str, int]) -> str:
    """Return MathML, or a link for a lone reference."""
    cited = _EQREF.search(equation.tex)
    if cited:
        if cited[0] != equation.tex or equation.display:
            raise MathError(r"\eqref stands alone between single dollars")
        if cited[1] not in numbers:
            raise MathError(f"no equation is labelled {cited[1]!r}")
        return f'<a class="eq-ref" href="#{_anchor(cited[1])}">({numbers[cited[1]]})</a>'
    if numbered := _NUMBERED.search(equation.tex):
        raise MathError(rf"{numbered[0]}: use \label for a number and aligned for several lines")
    try:
        return str(_TEX.convert_with_local_state(equation.tex, displaystyle=equation.display))
    except LatexError as error:
        reason = re.sub(r"^\d+: ", "", str(error))
        raise MathError(f"{reason} In: {equation.tex}") from None


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


def _located(message: str, source: str, docs: Path) -> MathError:
    """Add file and line to a message: an extension is not told which page it works on."""
    for page in sorted(docs.rglob("*.md")):
        for line, said in check(page.read_text(encoding="utf-8")):
            if said == message:
                return MathError(f"{page}:{line}: {message}")
    for module in sorted(Path("dlkb").rglob("*.py")):
        before, found, _ = module.read_text(encoding="utf-8").partition(source)
        if found:
            return MathError(f"{module}:{before.count(chr(10)) + 1}: {message}")
    return MathError(message)


class _Find(Preprocessor):
    """Put a placeholder for each piece of math, before anything else reads the text."""

    def __init__(self, md: Markdown, docs: Path) -> None:
        super().__init__(md)
        self.docs = docs
        self.sources: dict[str, str] = {}
        self.equations: dict[str, Equation] = {}
        self.numbers: dict[str, int] = {}

    def run(self, lines: list[str]) -> list[str]:
        self.sources.clear()
        self.equations.clear()
        text = "\n".join(lines)
        parts, end = [], 0
        for match, equation in _matches(text):
            key = self.md.htmlStash.store("")
            self.sources[key], self.equations[key] = match[0], equation
            parts += [text[end : match.start()], key]
            end = match.end()
        found = list(self.equations.values())
        self.numbers, faults = _number(found)
        if faults:
            raise _located(faults[0][1], "", self.docs)
        return ("".join(parts) + text[end:]).split("\n")

    def typeset(self, key: str) -> str:
        """Typeset what a placeholder stands for."""
        try:
            return _typeset(self.equations[key], self.numbers)
        except MathError as error:
            raise _located(str(error), self.sources[key], self.docs) from None


class _Place(Treeprocessor):
    """Typeset what stands in text; give it back as it was where it stands in code."""

    def __init__(self, md: Markdown, find: _Find) -> None:
        super().__init__(md)
        self.find = find

    def run(self, root: ElementTree.Element) -> None:
        find = self.find
        in_code = {
            key for code in root.iter("code") for key in find.sources if key in (code.text or "")
        }
        for code in root.iter("code"):
            for key in in_code:
                code.text = AtomicString((code.text or "").replace(key, find.sources[key]))
        alone = {p.text.strip(): p for p in root.iter("p") if p.text and not len(p)}
        for key, equation in find.equations.items():
            if key in in_code:
                continue
            typeset = find.typeset(key)
            if equation.display:
                typeset = self.display(typeset, equation, alone.get(key))
            self.md.htmlStash.rawHtmlBlocks[_index(key)] = typeset

    def display(self, mathml: str, equation: Equation, p: ElementTree.Element | None) -> str:
        """Box a display: a paragraph of its own becomes a div, one inside a text a span."""
        attributes = {"class": "equation", "data-search-exclude": ""}
        inner = f'<span class="eq-body">{mathml}</span>'
        if equation.label:
            anchor, number = _anchor(equation.label), self.find.numbers[equation.label]
            attributes["id"] = anchor
            inner += (
                f'<a class="eq-number" href="#{anchor}" aria-label="Equation {number}">'
                f"({number})</a>"
            )
        if p is not None:
            p.tag = "div"
            p.attrib.update(attributes)
            return inner
        written = "".join(f' {name}="{value}"' for name, value in attributes.items())
        return f"<span{written}>{inner}</span>"


class _Flatten(Treeprocessor):
    """Put plain text where markup cannot stand: attributes, table of contents, search index."""

    def __init__(self, md: Markdown, find: _Find) -> None:
        super().__init__(md)
        self.find = find

    def text(self, value: str) -> str:
        for key in self.find.equations:
            if key in value:
                value = value.replace(key, plain(str(self.md.htmlStash.rawHtmlBlocks[_index(key)])))
        return value

    def run(self, root: ElementTree.Element) -> None:
        headings = ""
        for element in root.iter():
            for name, value in element.attrib.items():
                element.set(name, self.text(value))
            if re.fullmatch("h[1-6]", str(element.tag)):
                words = "".join(element.itertext())
                headings += words
                if self.text(words) != words and "data-toc-label" not in element.attrib:
                    element.set("data-toc-label", self.text(words))
        stash = self.md.htmlStash.rawHtmlBlocks
        for key, equation in self.find.equations.items():
            mathml = str(stash[_index(key)])
            if not equation.display and mathml.startswith("<math>") and key not in headings:
                words = html.escape(plain(mathml))
                stash[_index(key)] = (
                    mathml.replace("<math>", '<math data-search-exclude="">', 1)
                    + f"<span hidden>{words}</span>"
                )


def _index(key: str) -> int:
    match = HTML_PLACEHOLDER_RE.search(key)
    assert match is not None
    return int(match[1])


class MathExtension(Extension):
    """Math for Python-Markdown; the option `docs` is where errors look for the page."""

    def __init__(self, **options: str) -> None:
        self.config = {"docs": ["docs", "the folder that is searched for the page of an error"]}
        super().__init__(**options)

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802 - Python-Markdown's name
        """Register: before fenced code (25), before inline text (20), before contents (5)."""
        if "$" not in md.ESCAPED_CHARS:
            md.ESCAPED_CHARS.append("$")
        find = _Find(md, Path(self.getConfig("docs")))
        md.preprocessors.register(find, "math-find", 28)
        md.treeprocessors.register(_Place(md, find), "math-place", 40)
        md.treeprocessors.register(_Flatten(md, find), "math-flatten", 6)


def makeExtension(**options: str) -> MathExtension:  # noqa: N802 - Python-Markdown's name
    """Return the extension; Python-Markdown calls this."""
    return MathExtension(**options)
