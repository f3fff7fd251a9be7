"""The names that a page's code defines, and those that an expression uses."""

import ast
import symtable

from dlkb.book.read.code import examples
from dlkb.book.read.parts import Fence, Page


def pieces(fence: Fence) -> list[tuple[int, str]]:
    """Return what of a fence is run at once: line and source."""
    if fence.language == "python":
        return [(fence.line, fence.code)]
    return [(fence.line + each.lineno, each.source) for each in examples(fence.code)]


def is_readable(fence: Fence) -> bool:
    """Whether the prompts of a fence can be told apart; `code_problems` says where not."""
    try:
        pieces(fence)
    except ValueError:
        return False
    return True


def page_names(page: Page) -> set[str]:
    """Return the names that the page's fences define or import; not those inside functions."""
    found: set[str] = set()
    for fence in page.runnable:
        for _, source in pieces(fence):
            found |= _defined(source)
    return found


def _defined(source: str) -> set[str]:
    try:
        symbols = symtable.symtable(source, "<page>", "exec").get_symbols()
    except SyntaxError:
        return set()  # running it will say so
    return {symbol.get_name() for symbol in symbols if symbol.is_assigned() or symbol.is_imported()}


def names_in(node: ast.AST) -> set[str]:
    """Return the names that a piece of code mentions.

    Example:
        >>> sorted(names_in(ast.parse("f(x[0]) + 1")))
        ['f', 'x']
    """
    return {name.id for name in ast.walk(node) if isinstance(name, ast.Name)}
