"""Make a card of a claim block: verdict, statement and reason are seen, the evidence is folded.

A Python-Markdown extension, `dlkb.book.publish.claim_markup` in mkdocs.yml. It works on the blocks
that `pymdownx.blocks.admonition` makes and changes only those with an id like `c-035`. The evidence
begins with the first fence, figure or table of the block. `assets/fold.js` opens it for who comes
by the card's link; the browser does for who searches in the page.
"""

import re
from xml.etree import ElementTree

from markdown import Markdown
from markdown.extensions import Extension
from markdown.treeprocessors import Treeprocessor
from markdown.util import HTML_PLACEHOLDER_RE

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
_CODE = re.compile(r'\s*<div class="[^"]*\bhighlight\b|\s*<pre\b|\s*<table\b')


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


def stashed(md: Markdown, node: ElementTree.Element) -> str:
    """Return the HTML whose place a paragraph keeps, as of a block of code; nothing of others."""
    found = HTML_PLACEHOLDER_RE.fullmatch((node.text or "").strip())
    if node.tag != "p" or len(node) or found is None:
        return ""
    return str(md.htmlStash.rawHtmlBlocks[int(found[1])])


class _Claims(Treeprocessor):
    def run(self, root: ElementTree.Element) -> None:
        for block in root.iter("div"):
            verdict = next((c for c in block.get("class", "").split() if c in LABELS), None)
            if verdict and _ID.fullmatch(block.get("id", "")):
                block.set("class", f"{block.get('class')} claim")
                folded = self.fold(block)
                block.insert(0, self.line(block, verdict, folded))

    def fold(self, block: ElementTree.Element) -> bool:
        """Fold what stands from the first piece of evidence on; return whether there is any."""
        children = list(block)
        first = next((i for i, part in enumerate(children) if self.is_evidence(part)), None)
        if first is None:
            return False
        details = ElementTree.SubElement(block, "details", {"class": "evidence"})
        summary = ElementTree.SubElement(details, "summary")
        kind = block.get("data-evidence")
        summary.text = f"Evidence: {kind}" if kind else "Evidence"
        for part in children[first:]:
            block.remove(part)
            details.append(part)
        return True

    def is_evidence(self, part: ElementTree.Element) -> bool:
        if part.tag in ("figure", "table", "pre", "details"):
            return True
        if part.tag == "div":
            return bool(
                {"highlight", "explorable", "tabbed-set"} & set(part.get("class", "").split())
            )
        alone = (
            not (part.text or "").strip() and len(part) == 1 and not (part[0].tail or "").strip()
        )
        return part.tag == "p" and (self.is_fence(part) or (alone and part[0].tag == "img"))

    def is_fence(self, p: ElementTree.Element) -> bool:
        """Whether a paragraph is the placeholder of a block of code."""
        return bool(_CODE.match(stashed(self.md, p)))

    def line(self, block: ElementTree.Element, verdict: str, folded: bool) -> ElementTree.Element:
        """Return the card's first line: the verdict, and in small print the link and the source."""
        anchor = block.get("id", "")
        line = ElementTree.Element("p", {"class": "claim-line"})
        word = ElementTree.SubElement(line, "span", {"class": "claim-verdict"})
        word.text, word.tail = LABELS[verdict], " "
        about = ElementTree.SubElement(line, "span", {"class": "claim-about"})
        link = ElementTree.SubElement(about, "a", {"class": "claim-link", "href": f"#{anchor}"})
        link.text = anchor.upper()
        facts = [source_text(block.get("data-source", ""))] if block.get("data-source") else []
        if block.get("data-evidence") and not folded:
            facts.append(block.get("data-evidence", ""))
        link.tail = "".join(f" · {fact}" for fact in facts)
        return line


class ClaimExtension(Extension):
    """Verdict, link, source and evidence at the head of each claim block."""

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802 - Python-Markdown's name
        """Register after inline text (20) and the blocks' attributes."""
        md.treeprocessors.register(_Claims(md), "claim-line", 12)


def makeExtension(**options: str) -> ClaimExtension:  # noqa: N802 - Python-Markdown's name
    """Return the extension; Python-Markdown calls this."""
    return ClaimExtension(**options)
