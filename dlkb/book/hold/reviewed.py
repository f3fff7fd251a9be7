"""What was reviewed against the notes: no code can tell whether a card states them fairly.

`docs/reviewed.toml` holds, for each claim that somebody compared with the notes, a digest of its
statement, source and type. Edited without a new look, they no longer agree with it.
"""

import tomllib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from dlkb.book.read.freshness import digest, write
from dlkb.book.read.parts import Claim, Page

REVIEWED = Path("docs/reviewed.toml")

_HEAD = """\
# What was compared with the notes: a digest of statement, source and type of each claim.
# `dlkb review PAGE` writes those of a page. It does not look: whoever calls it has.

"""


def seal(claim: Claim) -> str:
    """Return the digest of what a card says of the notes, however it is broken into lines."""
    said = " ".join(claim.statement.split())
    return digest(f"{claim.verdict}\n{said}\n{claim.source}".encode())[:8]


def reviewed(root: Path) -> dict[str, str]:
    """Return the digests of the claims that were reviewed, by id."""
    path = root / REVIEWED
    return _parsed(path.read_text(encoding="utf-8")) if path.is_file() else {}


@lru_cache(maxsize=1)  # every page asks
def _parsed(text: str) -> dict[str, str]:
    return tomllib.loads(text)


def review_problems(root: Path, page: Page) -> list[tuple[int, str]]:
    """Return line and message of each claim that is not what was reviewed.

    A book without such a file asks for no review.
    """
    known = reviewed(root)
    return [
        (
            claim.line,
            f"claim {claim.id}: statement, source or type is not what was reviewed: compare it "
            f"with the notes, then `dlkb review {page.stem}` (writes {REVIEWED})",
        )
        for claim in page.claims
        if known and known.get(claim.id) != seal(claim)
    ]


def review(root: Path, pages: Iterable[Page]) -> list[str]:
    """Note the claims of pages as reviewed as they are.

    Returns:
        The ids of those that were not, or were other.
    """
    known = reviewed(root)
    new = {claim.id: seal(claim) for page in pages for claim in page.claims}
    rows = sorted((known | new).items())
    text = _HEAD + "".join(f'{name} = "{value}"\n' for name, value in rows)
    write(root / REVIEWED, text.encode())
    return sorted(name for name, value in new.items() if known.get(name) != value)
