"""Mark code that is shown, looks like Python, and does not run.

A Python-Markdown extension, `dlkb.book.publish.not_run` in mkdocs.yml. Every other block of Python
on the site has run, so a `text` fence that quotes some says that it has not.
"""

import html
import re

from markdown import Markdown
from markdown.extensions import Extension
from markdown.postprocessors import Postprocessor

from dlkb.book.hold.code import looks_like_python

MARK = '<span class="filename">Not run</span>'  # the theme's line above a block

_TEXT = re.compile(
    r'(<div class="language-text highlight">)(<pre><span></span><code>(.*?)</code></pre>)',
    re.DOTALL,
)


class _Mark(Postprocessor):
    def run(self, text: str) -> str:
        return _TEXT.sub(_marked, text)


def _marked(block: re.Match[str]) -> str:
    code = html.unescape(re.sub(r"<[^>]+>", "", block[3]))
    return f"{block[1]}{MARK if looks_like_python(code) else ''}{block[2]}"


class NotRunExtension(Extension):
    """Say of quoted Python that it has not run."""

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802 - Python-Markdown's name
        """Register after raw HTML (30), which brings the code back."""
        md.postprocessors.register(_Mark(md), "not-run", 6)


def makeExtension(**options: str) -> NotRunExtension:  # noqa: N802 - Python-Markdown's name
    """Return the extension; Python-Markdown calls this."""
    return NotRunExtension(**options)
