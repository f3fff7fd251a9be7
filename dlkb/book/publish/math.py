r"""Typeset `$…$` and `$$…$$` to MathML while the page is built.

A Python-Markdown extension, `dlkb.book.publish.math` in mkdocs.yml. No script runs in the browser.

- Math is found before Markdown looks at the text, so that tables, emphasis and line breaks leave
  it alone; code keeps its dollars. `dlkb.book.read.tex` says what is math.
- A display with `\label{eq:name}` is numbered in order of appearance and can be linked to as
  `#eq-name`; `$\eqref{eq:name}$` becomes that link, also before the equation.
- What does not typeset stops the build with the file and the line.
"""

import html
import re
from pathlib import Path
from xml.etree import ElementTree

from markdown import Markdown
from markdown.extensions import Extension
from markdown.preprocessors import Preprocessor
from markdown.treeprocessors import Treeprocessor
from markdown.util import HTML_PLACEHOLDER_RE, AtomicString

from dlkb.book.read.tex import (
    Equation,
    MathError,
    anchor,
    check,
    equations,
    matches,
    number,
    plain,
    typeset,
)

__all__ = ["Equation", "MathError", "check", "equations", "makeExtension", "plain"]


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
        for match, equation in matches(text):
            key = self.md.htmlStash.store("")
            self.sources[key], self.equations[key] = match[0], equation
            parts += [text[end : match.start()], key]
            end = match.end()
        found = list(self.equations.values())
        self.numbers, faults = number(found)
        if faults:
            raise _located(faults[0][1], "", self.docs)
        return ("".join(parts) + text[end:]).split("\n")

    def typeset(self, key: str) -> str:
        """Typeset what a placeholder stands for."""
        try:
            return typeset(self.equations[key], self.numbers)
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
            mathml = find.typeset(key)
            if equation.display:
                mathml = self.display(mathml, equation, alone.get(key))
            self.md.htmlStash.rawHtmlBlocks[_index(key)] = mathml

    def display(self, mathml: str, equation: Equation, p: ElementTree.Element | None) -> str:
        """Box a display: a paragraph of its own becomes a div, one inside a text a span."""
        attributes = {"class": "equation", "data-search-exclude": ""}
        inner = f'<span class="eq-body">{mathml}</span>'
        if equation.label:
            shown = self.find.numbers[equation.label]
            attributes["id"] = anchor(equation.label)
            inner += (
                f'<a class="eq-number" href="#{attributes["id"]}" aria-label="Equation {shown}">'
                f"({shown})</a>"
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
