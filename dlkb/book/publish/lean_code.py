"""Leave highlighted names, operators, punctuation and white space without a `span` of their own.

A Python-Markdown extension, `dlkb.book.publish.lean_code` in mkdocs.yml. They have the colour
of the code around them, and are half of all elements on a page: the browser lays it out twice as
fast.
"""

import re

from markdown import Markdown
from markdown.extensions import Extension
from markdown.postprocessors import Postprocessor

_PLAIN = re.compile(r'<span class="(?:n|o|p|w|normal)">([^<]*)</span>')


class _Plain(Postprocessor):
    def run(self, text: str) -> str:
        return _PLAIN.sub(r"\1", text)


class LeanCodeExtension(Extension):
    """Code with spans only where a colour changes."""

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802 - Python-Markdown's name
        """Register after raw HTML (30), which brings the code back."""
        md.postprocessors.register(_Plain(md), "lean-code", 5)


def makeExtension(**options: str) -> LeanCodeExtension:  # noqa: N802 - Python-Markdown's name
    """Return the extension; Python-Markdown calls this."""
    return LeanCodeExtension(**options)
