"""What a fence may not leave changed for the code that runs after it.

A page runs in a process of its own, so seeds, print options, thread counts and filters of warnings
end with it, and are nobody's business. What is compared here changes what later code of the
same page means, or of a program that a reader copies a fence into.
"""

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

# Not torch: its compiler replaces some of its own functions when it is first needed.
_FUNCTIONS_OF = ("builtins", "math", "cmath", "random", "time", "numpy", "numpy.linalg")

State = dict[str, Mapping[str, Any]]
"""By kind, as `_NAMES` has them or a module, what has which value."""

_NAMES: dict[str, Callable[[str], str]] = {
    "modules": "sys.modules['{}']".format,
    "environment": "os.environ['{}']".format,
    "settings": "{}".format,
}


def state() -> State:
    """Return what may not change."""
    modules = {name: module for name, module in list(sys.modules.items()) if module is not None}
    functions: State = {
        name: _functions(module)
        for name, module in modules.items()
        if name in _FUNCTIONS_OF or name.startswith("dlkb.")
    }
    settings: dict[str, Any] = {
        "the current folder": _folder(),
        "sys.path": list(sys.path),
        "sys.stdout": id(sys.stdout),
        "the recursion limit": sys.getrecursionlimit(),
    }
    if numpy := modules.get("numpy"):
        settings["np.seterr"] = numpy.geterr()
    if torch := modules.get("torch"):
        settings["torch's default dtype"] = torch.get_default_dtype()
        settings["torch's default device"] = torch.get_default_device()
        settings["torch.set_grad_enabled"] = torch.is_grad_enabled()
        deterministic = torch.are_deterministic_algorithms_enabled()
        settings["torch.use_deterministic_algorithms"] = deterministic
    kinds: State = {
        "modules": modules,
        "environment": dict(os.environ),
        "settings": settings,
    }
    return kinds | functions


def _functions(module: ModuleType) -> dict[str, Any]:
    shown = "_"  # what an interpreter displayed last, in builtins
    return {k: value for k, value in list(vars(module).items()) if callable(value) and k != shown}


def _folder() -> str:
    try:
        return str(Path.cwd())
    except FileNotFoundError:
        return "none: it was removed"


def changed(before: State, after: State, source: str) -> set[str]:
    """Return the names of what differs.

    Args:
        before: The state before some code ran.
        after: The state after it.
        source: The code. A variable that is new in the environment counts if the code names it;
            else a library that was imported set it.
    """
    found = set()
    for kind, values in before.items():
        now = after.get(kind, {})
        name_of = _NAMES.get(kind, f"{kind}.{{}}".format)
        if kind in ("environment", "settings"):
            found |= {name_of(name) for name, value in values.items() if now.get(name) != value}
        else:  # by identity: what modules hold need not be comparable
            found |= {name_of(name) for name, value in values.items() if now.get(name) is not value}
    new = after["environment"].keys() - before["environment"].keys()
    return found | {_NAMES["environment"](name) for name in new if name in source}
