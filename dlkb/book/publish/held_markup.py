"""Show the reader what a bound number is: its expression and value, on hover and focus.

A Python-Markdown extension, `dlkb.book.publish.held_markup` in mkdocs.yml. `7.27<!--= bound(1) -->`
becomes `<data class="held" …>7.27</data>`; no script is needed, the style sheet shows the text.
Values are known for a page that was verified as it stands: `write_values` keeps them.
"""

import hashlib
import html
import json
from pathlib import Path

from markdown import Markdown
from markdown.extensions import Extension
from markdown.preprocessors import Preprocessor

from dlkb.book.publish.which import Which, register
from dlkb.book.read.bindings import bound_numbers
from dlkb.book.read.freshness import read_note, write
from dlkb.book.read.parts import Page
from dlkb.book.read.tex import matches

CACHE = Path(".cache/held")


def _file(cache: Path, text: str) -> Path:
    """Return where the values of a page's text are kept; white space does not matter."""
    return cache / f"{hashlib.sha256(' '.join(text.split()).encode()).hexdigest()[:32]}.json"


def values_file(root: Path, text: str) -> Path:
    """Return where the values of a page's bound numbers are kept, by the text of the page."""
    return _file(root / CACHE, text)


def write_values(root: Path, page: Page, values: dict[str, str]) -> None:
    """Keep what the expressions that bind numbers of a page gave when it ran."""
    if values:
        write(values_file(root, page.text), json.dumps(values, indent=1).encode())


def _spans(text: str, values: dict[str, str]) -> tuple[dict[tuple[int, int], str], list[int]]:
    """Return what each bound piece of text is, and where displays stand, which are no such piece.

    A number in inline math or in code takes the whole formula or code span with it.
    """
    formulas = [(match.span(), equation.display) for match, equation in matches(text)]
    found: dict[tuple[int, int], list[str]] = {}
    displays = [span[0] for span, display in formulas if display]
    for bound in bound_numbers(text):
        for number, expression in bound.pairs:
            span = (number.start, number.end)
            while text[span[0] - 1 : span[0]] == "`" == text[span[1] : span[1] + 1]:
                span = (span[0] - 1, span[1] + 1)
            around = [outer for outer, _ in formulas if outer[0] <= span[0] < outer[1]]
            value = values.get(expression)
            said = f"{expression} = {value}" if value and value != expression else expression
            found.setdefault((around or [span])[0], []).append(said)
    return {span: "; ".join(said) for span, said in found.items()}, displays


class _Held(Preprocessor):
    """Put the markup around bound numbers and take the comments away."""

    def __init__(self, md: Markdown, cache: Path, which: Which) -> None:
        super().__init__(md)
        self.cache = cache
        self.which = which

    def run(self, lines: list[str]) -> list[str]:
        text = "\n".join(lines)
        comments = bound_numbers(text) if "<!--" in text else []
        if not comments:
            return lines
        # Kept by the text of the page: by now others may have changed it, tables about libraries.
        page = self.which.page
        spans, displays = _spans(text, read_note(_file(self.cache, page.text)) if page else {})
        cuts: list[tuple[int, int, str]] = [(found.start, found.end, "") for found in comments]
        for (start, end), said in spans.items():
            if start in displays:  # a block of its own takes no markup around it
                continue
            opening = f'<data class="held" tabindex="0" aria-description="{html.escape(said)}">'
            cuts.append((start, start, self.md.htmlStash.store(opening)))
            cuts.append((end, end, self.md.htmlStash.store("</data>")))
        parts, at = [], 0
        for start, end, new in sorted(cuts, key=lambda cut: (cut[0], cut[1])):
            parts += [text[at:start], new]
            at = end
        return ("".join(parts) + text[at:]).split("\n")


class HeldExtension(Extension):
    """Bound numbers that say what they are; `cache` is where their values are, `docs` the pages."""

    def __init__(self, **options: str) -> None:
        self.config = {
            "cache": [str(CACHE), "the folder that holds the values"],
            "docs": ["docs", "the folder of the pages"],
        }
        super().__init__(**options)

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802 - Python-Markdown's name
        """Register before math is found (28) and HTML is taken out (20)."""
        which = register(md, Path(self.getConfig("docs")))
        md.preprocessors.register(_Held(md, Path(self.getConfig("cache")), which), "held", 29)


def makeExtension(**options: str) -> HeldExtension:  # noqa: N802 - Python-Markdown's name
    """Return the extension; Python-Markdown calls this."""
    return HeldExtension(**options)
