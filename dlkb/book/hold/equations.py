"""How each labelled equation of a page is held: tied, used by a derivation, or neither."""

import ast
import re
from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

from dlkb.book.hold.names import pieces
from dlkb.book.read.code import tree_of
from dlkb.book.read.parts import Fence, Page
from dlkb.book.read.tex import equations

_UNTIED = re.compile(r"<!--\s*untied\s+(eq:[\w-]+)\s*:?\s*(.*?)\s*-->", re.DOTALL)


class EquationCounts(NamedTuple):
    """The labels of a page's equations, by how they are held."""

    tied: tuple[str, ...]
    used: tuple[str, ...]
    untied: tuple[str, ...]


def equation_counts(page: Page) -> EquationCounts:
    """Sort the labelled equations of a page by how they are held.

    Args:
        page: The page.

    Returns:
        Labels that are tied (also as a definition that a tie uses), those that a fence asks for
        by `equation("this/page", label)`, and the rest, each in the order of the page.
    """
    labels = [eq.label for eq in equations(page.text) if eq.label]
    held = {label for tie in page.ties for label in (tie.label, *tie.definitions)}
    asked = {label for fence in page.runnable for label in _asked(fence, page.stem)} - held
    return EquationCounts(
        tied=tuple(label for label in labels if label in held),
        used=tuple(label for label in labels if label in asked),
        untied=tuple(label for label in labels if label not in held | asked),
    )


def equation_problems(page: Page) -> list[tuple[int, str]]:
    """Return line and message for each equation that nothing holds, and each idle reason."""
    counts = equation_counts(page)
    reasons = {found[1]: found for found in _UNTIED.finditer(page.text)}
    faults = []
    for eq in equations(page.text):
        if eq.label in counts.untied and eq.label not in reasons:
            message = (
                f"equation {eq.label} is held by nothing: tie it, use it in a derivation by "
                f'equation("{page.stem}", "{eq.label}"), or write <!--untied {eq.label}: reason-->'
            )
            faults.append((page.first_line + eq.line - 1, message))
    for label, found in reasons.items():
        line = page.first_line + page.text.count("\n", 0, found.start())
        if label in counts.tied + counts.used:
            faults.append((line, f"equation {label} is held: remove the comment 'untied'"))
        elif label not in counts.untied:
            faults.append((line, f"untied: no equation is labelled {label!r}"))
        elif len(found[2].split()) < 3:
            faults.append((line, f"untied {label}: say why, in three words or more"))
    return faults


def _asked(fence: Fence, stem: str) -> Iterator[str]:
    """Yield the labels that a fence asks for by calls of `equation`."""
    if "equation(" not in fence.code:  # as in most, which saves parsing them
        return
    try:
        trees = [tree_of(source) for _, source in pieces(fence)]
    except (SyntaxError, ValueError):  # running the fence says so
        return
    for node in chain.from_iterable(map(ast.walk, trees)):
        if isinstance(node, ast.Call) and _name(node.func) == "equation":
            given = [arg.value for arg in node.args if isinstance(arg, ast.Constant)]
            if given[:1] == [stem]:
                yield from (str(label) for label in given[1:2])


def _name(function: ast.expr) -> str:
    """Return the last name of what is called."""
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""
