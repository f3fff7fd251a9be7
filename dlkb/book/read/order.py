"""The order in which topics are learned: what a page requires stands before it.

The navigation of mkdocs.yml decides between pages that could both come next.
"""

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

from dlkb.book.read.parts import Page, PageError
from dlkb.book.read.yaml_text import parse_yaml


def nav_titles(root: Path) -> dict[str, str]:
    """Return the pages that the navigation of `mkdocs.yml` lists, in its order.

    Returns:
        By stem the title that the navigation gives, empty where it leaves that to the page.
    """
    return dict(_listed((root / "mkdocs.yml").read_text(encoding="utf-8")))


@lru_cache(maxsize=4)  # every page asks
def _listed(config: str) -> tuple[tuple[str, str], ...]:
    files = _files(parse_yaml(config).get("nav"))
    return tuple((name.removesuffix(".md"), title) for name, title in files)


def _files(entry: Any, title: str = "") -> list[tuple[str, str]]:
    """Return files and titles of an entry of the navigation: a name, named entries, or a list."""
    if isinstance(entry, str):
        return [(entry, title)]
    if isinstance(entry, dict):
        return [found for name, row in entry.items() for found in _files(row, str(name))]
    return [found for row in entry or () for found in _files(row)]


def learning_order(topics: list[Page], listed: Iterable[str]) -> list[Page]:
    """Sort the pages of topics so that each stands behind all that it requires.

    Args:
        topics: The pages.
        listed: Stems in the order of the navigation; it goes first among the pages whose
            requirements are met. Pages that it does not list come last, in their own order.

    Returns:
        All pages, sorted.

    Raises:
        PageError: If pages require each other in a circle; the message names one to mend.
    """
    place = {stem: index for index, stem in enumerate(listed)}
    waiting = sorted(topics, key=lambda page: place.get(page.stem, len(place)))
    known = {page.stem for page in topics}
    found: list[Page] = []
    done: set[str] = set()
    while waiting:
        ready = (page for page in waiting if known.intersection(page.requires) <= done)
        page = next(ready, None)
        if page is None:
            circle = ", ".join(page.stem for page in waiting)
            raise PageError(
                f"{waiting[0].path}:1: these pages require each other, or a page that does: "
                f"{circle}: take one out of 'requires' in the front matter"
            )
        waiting.remove(page)
        found.append(page)
        done.add(page.stem)
    return found
