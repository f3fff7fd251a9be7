r"""The letters of `docs/notation.md` and the words of `docs/glossary.md`.

A row of the table of letters holds one letter or several, what they mean, their name in code, their
shape, and `on`: the families or pages where they mean that, all if it is empty. The row that
names the page comes before the row that names its family, and that before a row for all. A
letter with the index `i` stands for any index.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from dlkb.book.read.tex import Equation, parse_mathml, typeset


class Symbol(NamedTuple):
    """A row of the table: the letters as TeX, what they mean, in code, and their shape."""

    letters: tuple[str, ...]
    means: str
    code: str
    shape: str


_CELL = re.compile(r"(?<!\\)\|")
_SHAPES = str.maketrans("ϵϕ", "εφ")  # one letter to the reader, written \epsilon or ε


def rows(text: str, head: str) -> Iterator[list[str]]:
    """Yield the cells of the rows of the table whose head begins with this word."""
    inside = False
    for line in text.split("\n"):
        cells = [cell.strip() for cell in _CELL.split(line.strip().strip("|"))]
        if not line.startswith("|"):
            inside = False
        elif inside:
            if set(cells[0]) - set("-: "):
                yield cells
        else:
            inside = cells[0] == head


def key(node: ElementTree.Element) -> str:
    """Return what two ways to write one letter have in common: names and text, no attributes."""
    inner = "".join(key(child) for child in node)
    text = (node.text or "").strip().translate(_SHAPES)
    return f"<{node.tag}>{text}{inner}</{node.tag}>"


def _letter(tex: str) -> ElementTree.Element | None:
    """Typeset a letter; None where it is more than one element, as a gradient ∇L is."""
    root = parse_mathml(typeset(Equation(1, tex, False, None), {}))
    return root[0] if len(root) == 1 and root[0].tag != "mrow" else None


def _precedence(where: str, stem: str) -> int:
    places = [place.strip() for place in where.split(",") if place.strip()]
    if not places:
        return 1
    if stem in places:
        return 3
    return 2 if stem.partition("/")[0] in places else 0


def symbols(text: str, stem: str) -> dict[str, Symbol]:
    """Return what the letters of the notation mean on a page, by their `key`.

    Args:
        text: The Markdown of the page on notation.
        stem: The page that is read.
    """
    found: dict[str, tuple[int, Symbol]] = {}
    for letters, means, code, shape, *where in rows(text, "letter"):
        rank = _precedence(where[0] if where else "", stem)
        row = Symbol(tuple(tex.strip(" $") for tex in letters.split(",")), means, code, shape)
        for letter in map(_letter, row.letters if rank else ()):
            if letter is None:
                continue
            if rank > found.get(key(letter), (0, row))[0]:
                found[key(letter)] = rank, row
    return {name: symbol for name, (_, symbol) in found.items()}


def words(text: str) -> dict[str, str]:
    r"""Return what the abbreviations of the glossary stand for.

    Example:
        >>> words("| word | stands for |\n|---|---|\n| SVD | singular value decomposition |")
        {'SVD': 'singular value decomposition'}
    """
    return {word: means for word, means, *_ in rows(text, "word")}


def page_text(docs: Path, name: str) -> str:
    """Return the Markdown of a page of the book; empty where there is none."""
    path = docs / name
    return path.read_text(encoding="utf-8") if path.is_file() else ""
