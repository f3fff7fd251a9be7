"""The pages of a book: all of them, or those that a reader names."""

from difflib import get_close_matches
from pathlib import Path

from dlkb.book.read.pages import read_page
from dlkb.book.read.parts import Page, PageError

GENERATED = ("claims", "benchmarks")
"""Pages that a command writes before the site is built."""


def read_book(root: Path, stems: list[str] | None = None) -> list[Page]:
    """Read all pages under `root/docs`, or those named.

    Raises:
        PageError: For a name that is no page; the message suggests the nearest.
    """
    docs, found = root / "docs", page_files(root)
    if stems is None:
        return [read_page(path, docs) for path in found.values()]
    return [read_page(found[resolve(name, list(found))], docs) for name in stems]


def page_files(root: Path) -> dict[str, Path]:
    """Return the file of each page, by its stem; those that a command writes left out."""
    docs = root / "docs"
    found = {
        path.relative_to(docs).with_suffix("").as_posix(): path
        for path in sorted(docs.rglob("*.md"))
    }
    return {stem: path for stem, path in found.items() if stem not in GENERATED}


def resolve(name: str, stems: list[str]) -> str:
    """Return the stem that `name` means: the stem itself, its file, or its last part.

    Raises:
        PageError: If no page or several pages are meant.
    """
    wanted = name.removesuffix(".md").removeprefix("./").removeprefix("docs/").strip("/")
    if wanted in stems:
        return wanted
    tails = [stem for stem in stems if stem.rsplit("/", 1)[-1] == wanted]
    if len(tails) == 1:
        return tails[0]
    short = {stem.rsplit("/", 1)[-1]: stem for stem in stems}
    near = get_close_matches(wanted, stems, n=3, cutoff=0.5) or [
        short[key] for key in get_close_matches(wanted, list(short), n=3, cutoff=0.5)
    ]
    hint = f"did you mean {' or '.join(tails or near)}?" if tails or near else "see `dlkb list`"
    raise PageError(f"no page '{name}': {hint}")
