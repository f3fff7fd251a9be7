"""Refuted statements for the home page: one is shown, by the day; without script the first.

Only statements whose reason can be read apart from their page: without citation, reference to an
equation, list or table, and short.
"""

import re
from itertools import zip_longest
from posixpath import join, normpath

from dlkb.book.read.parts import Claim, Page

MOST = 31
"""Statements on the home page, however large the book is: one for each day of a month."""
WORDS = 60
"""Words of a reason, at most."""

_COMMENT = re.compile(r"\s*<!--.*?-->", re.DOTALL)
_LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(#[^)\s]*)?\)")
_APART = re.compile(r"\[@|\\eqref|\$\$|^\s*(?:[-*|!>]|\d+\.)|:\s*\Z", re.MULTILINE)
_EVIDENCE = re.compile(r"^ *(?:`{3}|~{3}|!\[|\|)", re.MULTILINE)

SCRIPT = (
    "<script>{const all = document.querySelectorAll('.daily > .claim'), "
    "day = Math.floor(Date.now() / 864e5) % all.length; "
    "all.forEach((card, at) => { card.hidden = at != day })}</script>"
)
"""Right behind the cards, so that nothing moves once it is drawn."""


def reason(page: Page, claim: Claim) -> str | None:
    """Return why a statement is refuted, with links from the home page; None if that needs more."""
    text = _COMMENT.sub("", _EVIDENCE.split(claim.body)[0]).strip()
    if not text or _APART.search(text) or len(text.split()) > WORDS:
        return None
    family = page.stem.rpartition("/")[0]

    def from_home(match: re.Match[str]) -> str:
        target = normpath(join(family, match[1])) if match[1] else f"{page.stem}.md"
        return f"]({target}{match[2] or ''})"

    return _LINK.sub(from_home, text)


def chosen(pages: list[Page]) -> list[tuple[Page, Claim, str]]:
    """Return refuted statements with their reasons, one of each page before a second of any."""
    by_page = [
        [
            (page, claim, why)
            for claim in page.claims
            if claim.verdict == "refuted" and (why := reason(page, claim))
        ]
        for page in pages
    ]
    rounds = zip_longest(*by_page)
    return [found for row in rounds for found in row if found][:MOST]


def refuted_markdown(pages: list[Page]) -> list[str]:
    """Return the lines of Markdown that show the statements, all but the first hidden."""
    rows = ['<div class="daily" data-search-exclude markdown="1">', ""]
    for number, (page, claim, why) in enumerate(chosen(pages)):
        rows += [
            f'<div class="admonition refuted claim"{" hidden" if number else ""} markdown="1">',
            "",
            '<p class="claim-line"><span class="claim-verdict">Refuted</span></p>',
            "",
            f'<p class="admonition-title" markdown="1">{claim.statement}</p>',
            "",
            why,
            "",
            f"[The code that decides it]({page.stem}.md#{claim.id}) on {page.name}",
            "",
            "</div>",
            "",
        ]
    return [*rows, "</div>", "", SCRIPT, ""]
