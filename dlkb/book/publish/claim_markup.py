"""Give a claim block what the reader needs: verdict, link, source, evidence.

A Python-Markdown extension, `dlkb.book.publish.claim_markup` in mkdocs.yml. It works on the blocks
that `pymdownx.blocks.admonition` makes and changes only those with an id like `c-035`.
"""

import re
from xml.etree import ElementTree

from markdown import Markdown
from markdown.extensions import Extension
from markdown.treeprocessors import Treeprocessor

LABELS = {
    "holds": "Holds",
    "conditional": "Holds conditionally",
    "imprecise": "Imprecise",
    "refuted": "Refuted",
    "buggy": "Buggy code, repaired",
    "opinion": "Opinion",
    "outdated": "Outdated",
    "missing": "Missing, filled in",
}

_ID = re.compile(r"c-\d{3}")


def source_text(source: str) -> str:
    """Say where the notes state it.

    Example:
        >>> source_text("001:16-18")
        'notes 001, lines 16–18'
    """
    note, _, lines = source.partition(":")
    if not lines:
        return f"notes {note}"
    noun = "line" if lines.isdigit() else "lines"
    return f"notes {note}, {noun} {lines.replace('-', '–').replace(',', ', ')}"


class _Claims(Treeprocessor):
    def run(self, root: ElementTree.Element) -> None:
        for block in root.iter("div"):
            verdict = next((c for c in block.get("class", "").split() if c in LABELS), None)
            if verdict and _ID.fullmatch(block.get("id", "")):
                self.label(block, verdict)

    def label(self, block: ElementTree.Element, verdict: str) -> None:
        block.set("class", f"{block.get('class')} claim")
        anchor = block.get("id", "")
        line = ElementTree.Element("p", {"class": "claim-line"})
        word = ElementTree.SubElement(line, "span", {"class": "claim-verdict"})
        word.text, word.tail = LABELS[verdict], " "
        link = ElementTree.SubElement(line, "a", {"class": "claim-link", "href": f"#{anchor}"})
        link.text, link.tail = anchor.upper(), " "
        facts = []
        if block.get("data-source"):
            facts.append(source_text(block.get("data-source", "")))
        if block.get("data-evidence"):
            facts.append(block.get("data-evidence", ""))
        about = ElementTree.SubElement(line, "span", {"class": "claim-about"})
        about.text = " · ".join(facts)
        block.insert(0, line)


class ClaimExtension(Extension):
    """Verdict, link, source and evidence at the head of each claim block."""

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802 - Python-Markdown's name
        """Register after inline text (20) and the blocks' attributes."""
        md.treeprocessors.register(_Claims(md), "claim-line", 12)


def makeExtension(**options: str) -> ClaimExtension:  # noqa: N802 - Python-Markdown's name
    """Return the extension; Python-Markdown calls this."""
    return ClaimExtension(**options)
