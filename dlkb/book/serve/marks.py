"""Say in the browser that a page is wrong, or that its check is not done."""

import html
import time
from pathlib import Path

from dlkb.book.hold.verify import noted, noted_stems, running_since

PATIENCE = 5.0
"""Seconds after which a check is overdue; a page should run in less."""

_BOX = (
    '<div role="alert" style="position:fixed;z-index:9;inset:auto 0 0 0;max-height:40vh;'
    "overflow:auto;padding:.8rem 1.2rem;background:#b00020;color:#fff;font:14px/1.4 monospace;"
    'white-space:pre-wrap">{}</div>'
)


def marks(root: Path, checking: bool) -> dict[str, str]:
    """Return what is to be said of pages, by stem.

    Args:
        root: The checkout.
        checking: Whether a check is going on; what one that was stopped left is not said.
    """
    found = {}
    for stem in noted_stems(root):
        since = running_since(root, stem)
        if checking and since is not None:  # what was wrong may be mended
            if time.time() - since > PATIENCE:
                found[stem] = (
                    f"This page has run for more than {PATIENCE:g} s: its check is overdue."
                )
        elif wrong := noted(root, stem).get("wrong"):
            found[stem] = "\n".join(wrong)
    return found


def stem_of(path: str) -> tuple[str, str]:
    """Return the two stems that an address within the site can mean.

    Example:
        >>> stem_of("optimizers/adam/"), stem_of("")
        (('optimizers/adam', 'optimizers/adam/index'), ('index', 'index'))
    """
    stem = path.removesuffix("index.html").strip("/")
    return (stem, f"{stem}/index") if stem else ("index", "index")


def mark(page: bytes, path: str, said: dict[str, str]) -> bytes:
    """Return a page's HTML with what is said of it in a box at the bottom of the window."""
    for stem in stem_of(path):
        if stem in said:
            box = _BOX.format(html.escape(said[stem])).encode()
            return page.replace(b"</body>", box + b"</body>", 1)
    return page
