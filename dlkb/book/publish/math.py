r"""Typeset `$…$` and `$$…$$` to MathML while the page is built.

A Python-Markdown extension, `dlkb.book.publish.math` in mkdocs.yml. No script runs in the browser.

- Math is found before Markdown looks at the text, so that tables, emphasis and line breaks leave
  it alone; code keeps its dollars. `dlkb.book.read.tex` says what is math.
- A display with `\label{eq:name}` is numbered in order of appearance and can be linked to as
  `#eq-name`; `$\eqref{eq:name}$` becomes that link, also before the equation.
- Around a display stand its number and a note, see `dlkb.book.publish.equation_markup`.
- What does not typeset stops the build with the file and the line.
"""

import html
import re
from pathlib import Path
from xml.etree import ElementTree

from markdown import Markdown
from markdown.extensions import Extension
from markdown.postprocessors import Postprocessor
from markdown.preprocessors import Preprocessor
from markdown.treeprocessors import Treeprocessor
from markdown.util import HTML_PLACEHOLDER_RE, AtomicString

from dlkb.book.publish.equation_markup import Tied, note, tied, tools, typeset_for
from dlkb.book.publish.which import Which, register
from dlkb.book.read.notation import Symbol, page_text, symbols
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


# Math within a line, and what touches it: no space, no tag between them. A display ends in a tag.
_TOUCHED = re.compile(
    r"(?P<before>[(\[“‘]?)<math (?:(?!display=)[^>])*>(?:(?!</math>).)*</math>"
    r"(?:<span hidden>[^<]*</span>)?(?P<after>[^\s<]{0,12})",
    re.DOTALL,
)


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

    def __init__(self, md: Markdown, find: _Find, which: Which) -> None:
        super().__init__(md)
        self.find = find
        self.which = which
        self.symbols: dict[str, Symbol] = {}
        self.ties: dict[str, Tied] = {}

    def run(self, root: ElementTree.Element) -> None:
        find, page = self.find, self.which.page
        text = page_text(find.docs, "notation.md") if page else ""
        self.symbols = symbols(text, page.stem) if page else {}
        self.ties = self.take_ties(root)
        in_code = {
            key for code in root.iter("code") for key in find.sources if key in (code.text or "")
        }
        for code in root.iter("code"):
            for key in in_code:
                code.text = AtomicString((code.text or "").replace(key, find.sources[key]))
        alone = {p.text.strip(): p for p in root.iter("p") if p.text and not len(p)}
        for count, (key, equation) in enumerate(find.equations.items()):
            if key in in_code:
                continue
            mathml = find.typeset(key)
            if equation.display:
                mathml = self.display(mathml, equation, alone.get(key), count)
            elif mathml.startswith("<math"):
                mathml, _ = typeset_for(mathml, equation.tex, {})
            self.md.htmlStash.rawHtmlBlocks[_index(key)] = mathml

    def take_ties(self, root: ElementTree.Element) -> dict[str, Tied]:
        """Take the blocks of ties out of the page: their equations show them."""
        found = {}
        for parent in list(root.iter()):
            for block in parent.findall("div"):
                label = block.get("data-equation")
                if label and "tied" in block.get("class", "").split():
                    if label not in self.find.numbers:
                        raise _located(f"no equation is labelled {label!r}", label, self.find.docs)
                    found[label] = tied(block)
                    parent.remove(block)
        return found

    def display(
        self, mathml: str, equation: Equation, p: ElementTree.Element | None, count: int
    ) -> str:
        """Box a display: a paragraph of its own becomes a div, one inside a text a span."""
        attributes = {"class": "equation", "data-search-exclude": ""}
        label, tie = equation.label, self.ties.get(equation.label or "")
        mathml, explained = typeset_for(mathml, equation.tex, self.symbols)
        shown = str(self.find.numbers[label]) if label else ""
        if label:
            attributes["id"] = anchor(label)
        inner = f'<span class="eq-body">{mathml}</span>'
        if label or self.which.page:  # not in docstrings, of which a page may hold several
            said = note(tie, explained, self.which.page)
            inner += tools(attributes.get("id", f"eq.{count}"), shown, tie, said)
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
            if not equation.display and mathml.startswith("<math") and key not in headings:
                words = html.escape(plain(mathml))
                stash[_index(key)] = (
                    mathml.replace("<math", '<math data-search-exclude=""', 1)
                    + f"<span hidden>{words}</span>"
                )


def _index(key: str) -> int:
    match = HTML_PLACEHOLDER_RE.search(key)
    assert match is not None
    return int(match[1])


class _Together(Postprocessor):
    """Keep math with the text that touches it: a browser breaks lines on both sides of math."""

    def run(self, text: str) -> str:
        return _TOUCHED.sub(
            lambda found: (
                f'<span class="unbroken">{found[0]}</span>'
                if found["before"] or found["after"]
                else found[0]
            ),
            text,
        )


class MathExtension(Extension):
    """Math for Python-Markdown; the option `docs` is where errors look for the page."""

    def __init__(self, **options: str) -> None:
        self.config = {"docs": ["docs", "the folder that is searched for the page of an error"]}
        super().__init__(**options)

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802 - Python-Markdown's name
        """Register: before fenced code (25), before inline text (20), before contents (5).

        What has been put together is wrapped after raw HTML has come back (30).
        """
        if "$" not in md.ESCAPED_CHARS:
            md.ESCAPED_CHARS.append("$")
        docs = Path(self.getConfig("docs"))
        find = _Find(md, docs)
        md.preprocessors.register(find, "math-find", 28)
        md.treeprocessors.register(_Place(md, find, register(md, docs)), "math-place", 40)
        md.treeprocessors.register(_Flatten(md, find), "math-flatten", 6)
        md.postprocessors.register(_Together(md), "math-together", 4)


def makeExtension(**options: str) -> MathExtension:  # noqa: N802 - Python-Markdown's name
    """Return the extension; Python-Markdown calls this."""
    return MathExtension(**options)
