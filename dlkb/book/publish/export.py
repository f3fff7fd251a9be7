"""What leaves the site: the pieces of a page, its prose for other readers, and the script."""

import ast
import base64
import posixpath
import re
import sys
import textwrap
from pathlib import Path

from dlkb.book.hold.peers import MARKER, versions
from dlkb.book.hold.verify import Ran
from dlkb.book.publish import math
from dlkb.book.publish.claim_markup import source_text
from dlkb.book.publish.peers_markup import with_versions
from dlkb.book.publish.reference import reference
from dlkb.book.read.addresses import Addresses, addresses
from dlkb.book.read.code import examples, tree_of
from dlkb.book.read.parts import ALT, Claim, Fence, Page, PageError
from dlkb.book.read.readable import without_comments
from dlkb.book.read.references import citations, cite, read_sources

_FENCE_OPEN = re.compile(r"^( *)(`{3,}|~{3,}) *\{? *\.?([\w+-]*)")
_ATTRIBUTES = re.compile(r"^( *`{3,}) *\{ *\.([\w+-]+)[^}]*\} *$")
_IMAGE = re.compile(rf"!\[({ALT})\]\((?:\.\./)*(assets/figures/[\w/]+)\.svg\)")
_LINK = re.compile(r"(?<=\]\()(?!https?:|mailto:|data:)([^)\s#]*)(#[^)\s]*)?(?=\))")
_BLOCK = re.compile(r"^ */{3,} *([a-z][\w-]*) *(?:\| *(.*?))? *$")
_BLOCK_END = re.compile(r"^ */{3,} *$")
_API = re.compile(r"^::: +([\w.]+)$")


def parts(page: Page) -> list[list[str] | Fence]:
    """Split the page into runs of prose lines and runnable fences; shown outputs are left out."""
    at = {fence.line: fence for fence in page.runnable}
    lines = page.text.split("\n")
    found: list[list[str] | Fence] = []
    prose: list[str] = []
    index = 0
    while index < len(lines):
        number = page.first_line + index
        opened = _FENCE_OPEN.match(lines[index])
        if not opened:
            prose.append(lines[index])
            index += 1
            continue
        end = index + 1
        while not re.match(rf"^ *{opened[2]} *$", lines[end]):
            end += 1
        if fence := at.get(number + 1):
            found += [prose, fence]
            prose = []
        elif opened[3] != "output":
            prose += lines[index : end + 1]
        index = end + 1
    return [*found, prose]


class Prose:
    """Translate what only the site understands: blocks, labels, links, figures, API lines."""

    def __init__(self, page: Page, root: Path, *, alone: bool = True) -> None:
        """Prepare for a page.

        Args:
            page: The page, whole.
            root: The folder of the book.
            alone: Whether the text must do without the site: figures stand in it, and only a
                link leads to the reference. Else figures are links, and the reference is text.
        """
        labels = [found.label for found in math.equations(page.text) if found.label]
        self.labels = {label: number for number, label in enumerate(labels, start=1)}
        self.claims = {claim.statement: claim for claim in page.claims}
        self.addresses: Addresses = addresses(root)
        self.cited = [citation.key for citation in citations(page.text)]
        self.page = page
        self.root = root
        self.alone = alone

    def sourced(self, lines: list[str]) -> list[str]:
        """Write out what stands in no page: sources, and versions of libraries."""
        if any(MARKER.match(line) for line in lines):
            lines = with_versions(lines, versions(self.root, self.page.stem))
        return cite("\n".join(lines), read_sources(self.root), keys=self.cited).split("\n")

    def text(self, lines: list[str]) -> str:
        """Return the lines as Markdown that needs no extension and no site around it."""
        lines = self.sourced(lines)
        rows = []
        in_fence = in_options = False
        for line in without_comments("\n".join(lines)).split("\n"):
            in_fence ^= bool(fence_line := _FENCE_OPEN.match(line))
            if in_fence or fence_line:
                rows.append(_ATTRIBUTES.sub(r"\1\2", line) if fence_line else line)
                continue
            if _BLOCK_END.match(line) or (in_options and line.startswith("    ")):
                continue
            started = _BLOCK.match(line)
            in_options = bool(started or _API.match(line))
            if directive := _API.match(line):
                rows += self._reference(directive[1])
            else:
                rows += self._title(*started.groups()) if started else [self._line(line)]
        return "\n".join(rows).strip("\n")

    def _title(self, name: str, title: str | None) -> list[str]:
        if not title:
            return []
        if name == "tied":
            return [f"Tested against {title}."]
        return [self._claim(self.claims[title]) if title in self.claims else f"**{title}**"]

    def _claim(self, claim: Claim) -> str:
        address = f"{self.addresses.page(self.page.stem)}#{claim.id}"
        about = f"{source_text(claim.source)}, {claim.evidence}"
        return (
            f"**{claim.verdict.capitalize()}**: *{claim.statement}* "
            f"([{claim.id.upper()}]({address}), {about})"
        )

    def _reference(self, module: str) -> list[str]:
        if not self.alone:
            return reference(self.root, module)
        here = f"{self.addresses.page(self.page.stem)}#in-code"
        return [f"[`{module}`]({here}): arguments and source on the site."]

    def _line(self, line: str) -> str:
        labels = self.labels
        line = re.sub(r"\\label\{(eq:[\w-]+)\}", lambda m: rf"\tag{{{labels[m[1]]}}}", line)
        line = re.sub(r"\$\\eqref\{(eq:[\w-]+)\}\$", lambda m: f"({labels[m[1]]})", line)
        return _LINK.sub(self._absolute, _IMAGE.sub(self._figure, line))

    def _absolute(self, link: re.Match[str]) -> str:
        path, fragment = link[1], link[2] or ""
        target = posixpath.normpath(posixpath.join(posixpath.dirname(self.page.stem), path))
        if not path:
            return self.addresses.page(self.page.stem) + fragment
        if target.endswith(".md"):
            return self.addresses.page(target.removesuffix(".md")) + fragment
        return f"{self.addresses.site}/{target}{fragment}"

    def _figure(self, image: re.Match[str]) -> str:
        if not self.alone:
            return f"![{image[1]}]({self.addresses.site}/{image[2]}-light.svg)"
        path = self.root / "docs" / f"{image[2]}-light.svg"
        if not path.is_file():
            raise PageError(f"{path} is not drawn yet: run `dlkb figures` first")
        # Light ink needs its paper, wherever the notebook is read.
        svg = path.read_text(encoding="utf-8").replace("<svg ", '<svg style="background:#fff" ', 1)
        data = base64.b64encode(svg.encode()).decode()
        return f"![{image[1]}](data:image/svg+xml;base64,{data})"


def is_expression(source: str) -> bool:
    """Whether the code is one expression, whose value a prompt shows."""
    body = tree_of(source).body
    return len(body) == 1 and isinstance(body[0], ast.Expr)


def script_lines(fence: Fence) -> str:
    """Return a fence as a script prints it: a shown value becomes a print."""
    if fence.language == "python":
        return fence.code.rstrip("\n")
    rows = []
    for example in examples(fence.code):
        source = example.source.rstrip("\n")
        if example.exc_msg is not None:
            body = textwrap.indent(source, "    ")
            kind = example.exc_msg.partition(":")[0].strip()
            rows.append(
                f"try:\n{body}\nexcept Exception as error:  # {kind}\n    print(repr(error))"
            )
        elif example.want and is_expression(source):
            rows.append(f"if (value := (\n{source}\n)) is not None:\n    print(repr(value))")
        else:
            rows.append(source)
    return "\n".join(rows)


def to_markdown(page: Page, root: Path) -> str:
    """Return a page, code and outputs included, as Markdown that any reader understands."""
    front = page.path.read_text(encoding="utf-8").split("\n")[: page.first_line - 1]
    return (
        "\n".join([*front, "", Prose(page, root, alone=False).text(page.text.split("\n"))]) + "\n"
    )


_TAKEN = {*sys.stdlib_module_names, "cuda"}
"""Names under which libraries import something: PyTorch looks for `cuda`."""

_OUT_OF_THE_WAY = """\
import os
import sys

# This file has the name of a library: those who import that must not find this.
here = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != here]"""


def to_script(whole: Ran, root: Path) -> str:
    """Return a page that has run as a Python script: prose as comments, shown values printed."""
    prose = Prose(whole.page, root)
    rows = [_OUT_OF_THE_WAY] if whole.page.stem.rpartition("/")[2] in _TAKEN else []
    for part in parts(whole.page):
        if isinstance(part, Fence):
            rows.append(script_lines(part))
        elif text := prose.text([_IMAGE.sub(r"Figure: \1", line) for line in part]):
            rows.append("\n".join(f"# {line}".rstrip() for line in text.split("\n")))
    return "\n\n".join(rows) + "\n"
