"""The code of fences, split and parsed once for all the rules that look at it."""

import ast
import doctest
from functools import lru_cache

MANY = 1024
"""More than the fences and prompts of one page."""


@lru_cache(MANY)
def examples(code: str) -> tuple[doctest.Example, ...]:
    """Return the prompts of a `pycon` fence or a docstring, each with what it shows.

    Raises:
        ValueError: If the prompts cannot be told apart.
    """
    return tuple(doctest.DocTestParser().get_examples(code))


@lru_cache(MANY)
def tree_of(source: str) -> ast.Module:
    """Parse a piece of code, for reading alone: the rules share the tree.

    Raises:
        SyntaxError: If it is no Python.
    """
    return ast.parse(source)
