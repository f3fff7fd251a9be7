"""What a figure's data function computes is computed once: for all figures, and for the tests."""

import functools
import inspect
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from dlkb.book.read.freshness import content_key, digest, write

CACHE = Path(".cache/data")
AFRESH = "DLKB_DATA_AFRESH"
"""In the environment: what is kept is neither read nor changed. The files may not be what runs."""
P = ParamSpec("P")
R = TypeVar("R")


def kept(function: Callable[P, R]) -> Callable[P, R]:
    """Compute what a function of a figure script returns once for each of its arguments.

    As `functools.cache`, but also for other processes: results lie pickled under `.cache/data`
    until the script, a module that it imports, or a library changes.

    Args:
        function: Depends on its arguments alone, which `repr` tells apart.

    Returns:
        The function, with a memory.

    Raises:
        TypeError: At a call with an argument whose `repr` is another in each process.
    """
    script, module = Path(inspect.getfile(function)).resolve(), function.__module__
    root = script.parents[module.count(".")]
    folder = root / CACHE / module.replace(".", "/") / function.__name__
    signature = inspect.signature(function)
    memory: dict[str, R] = {}

    @functools.cache
    def state() -> str:
        return content_key(root, script, (Path(__file__),))

    @functools.wraps(function)
    def remembering(*args: P.args, **kwargs: P.kwargs) -> R:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        asked = repr(bound.arguments)
        if " at 0x" in asked:
            raise TypeError(f"{function.__name__}{asked}: no other process can ask for this")
        if asked not in memory:
            path = folder / f"{digest(asked.encode())[:16]}.pickle"
            if AFRESH in os.environ:
                memory[asked] = function(*args, **kwargs)
            elif path.is_file() and (found := _of(path, state())):
                memory[asked] = found[0]
            else:
                memory[asked] = function(*args, **kwargs)
                write(path, pickle.dumps(state()) + pickle.dumps(memory[asked]))
        return memory[asked]

    return remembering


def _of(path: Path, state: str) -> tuple[Any] | None:
    """Return what a file holds, if it was computed in this state of the sources."""
    with path.open("rb") as file:
        return (pickle.load(file),) if pickle.load(file) == state else None
