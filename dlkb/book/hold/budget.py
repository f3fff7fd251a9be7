"""What stands unfolded on a page keeps to a budget of words, and its code to a width."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from dlkb.book.read.code import examples
from dlkb.book.read.parts import ALT, VERDICTS, Page
from dlkb.book.read.rows import Row, rows
from dlkb.book.read.tex import matches

COLUMNS = 76
WORDS = {"L": 1200, "M": 1200, "S": 600}

_NOT_TEXT = re.compile(
    r"""
    <!--.*?-->                    # comments
  | !\["""
    + ALT
    + r"""\]\([^)]*\)   # figures
  | (?<=\])\([^)\s]*\)            # the targets of links
  | </?[a-zA-Z][^<>]*>            # HTML
  | \{:?[ ]?[.\#][a-z][^{}]*\}    # attributes
  | ^[ ]*/{3,}[ ]*[a-z][\w-]*     # the name of a block
  | ^[ |:-]+$                     # the rule of a table
    """,
    re.VERBOSE | re.MULTILINE | re.DOTALL,
)
_WORD = re.compile(r"[\w`*(\[].*")


def _is_folded(row: Row) -> bool:
    """Whether a line is inside what the template folds, evidence apart."""
    in_derivation = "Derivation" in row.place[1:2] and len(row.place) > 2
    return bool(
        {"details", "tied"} & set(row.blocks)
        or row.kind in ("code", "options", "directive", "end")
        or (in_derivation and row.kind != "heading")
    )


def unfolded(page: Page) -> str:
    """Return the text that a reader sees before unfolding anything, without code and formulas.

    A card is folded from its first fence or figure on.
    """
    kept = []
    in_evidence = False
    for row in rows(page.text):
        if not row.is_card or (row.kind == "title" and row.blocks[-1] in VERDICTS):
            in_evidence = False
        elif row.kind == "code" or row.text.lstrip().startswith("!["):
            in_evidence = True
        kept.append("" if in_evidence or _is_folded(row) else row.text)
    text = "\n".join(kept)
    # A formula in a sentence reads as a word; a displayed one is looked at.
    parts, end = [], 0
    for match, equation in matches(text):
        parts += [text[end : match.start()], " " if equation.display else "formula"]
        end = match.end()
    return _NOT_TEXT.sub(" ", "".join(parts) + text[end:])


def unfolded_words(page: Page) -> int:
    """Return how many words a reader sees before unfolding anything."""
    return sum(bool(_WORD.match(word.lstrip("#|*-–"))) for word in unfolded(page).split())


def budget_problems(root: Path, page: Page) -> list[tuple[int, str]]:
    """Return what exceeds the page's budget of words or the width of code.

    Returns:
        Line of the page and message, one for each.
    """
    found = [
        (fence.line + number, f"code is {len(line)} columns wide: at most {COLUMNS} are shown")
        for fence in page.fences
        for number, line in enumerate(fence.code.split("\n"))
        if len(line) > COLUMNS
    ]
    found += [
        (fence.line, f"the output of this fence is {len(line)} columns wide: at most {COLUMNS}")
        for fence in page.fences
        for line in (fence.shown or "").split("\n")
        if len(line) > COLUMNS
    ]
    module = root / "dlkb" / f"{page.stem}.py"
    if module.is_file():
        name = module.relative_to(root).as_posix()
        found += [
            (1, f"{name}:{line}: an example is {width} columns wide: at most {COLUMNS} are shown")
            for line, width in wide_examples(module)
        ]
    words, most = unfolded_words(page), WORDS.get(str(page.meta.get("size")))
    if page.is_topic and most and words > most:
        found.append((1, f"{words} words stand unfolded, at most {most}: cut, or fold"))
    return found


def wide_examples(module: Path) -> Iterator[tuple[int, int]]:
    """Yield line and width of what is too wide in the examples of a module's docstrings."""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    kinds = (ast.Module, ast.FunctionDef, ast.ClassDef)
    for node in ast.walk(tree):
        if not isinstance(node, kinds) or not ast.get_docstring(node, clean=False):
            continue
        statement = node.body[0]
        for example in examples(ast.get_docstring(node, clean=False) or ""):
            # Source lines are shown behind a prompt of four columns.
            lines = [f">>> {line}" for line in example.source.rstrip("\n").split("\n")]
            lines += example.want.rstrip("\n").split("\n")
            for number, line in enumerate(lines):
                if len(line) > COLUMNS:
                    yield statement.lineno + example.lineno + number, len(line)
