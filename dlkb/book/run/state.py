"""What a fence may not leave changed for the code that runs after it.

A page runs in a process of its own, so seeds, print options, thread counts and filters of warnings
end with it, and are nobody's business. What is compared here changes what later code of the
same page means, or of a program that a reader copies a fence into.
"""

import os
import sys
from collections.abc import Callable, Mapping
from operator import is_
from pathlib import Path
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
    modules = dict(sys.modules)
    # Copied whole: to pick the functions would take longer, and a page asks after each step.
    contents: State = {
        name: dict(vars(module))
        for name, module in modules.items()
        if module is not None and (name in _FUNCTIONS_OF or name.startswith("dlkb."))
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
    return kinds | contents


def _counts(name: str, value: Any) -> bool:
    """Whether it is a function; `_` is what an interpreter displayed last, in builtins."""
    return callable(value) and name != "_"


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
        # By identity: what modules hold need not be comparable.
        elif not all(map(is_, values.values(), map(now.get, values))):
            found |= {
                name_of(name)
                for name, value in values.items()
                if now.get(name) is not value and (kind == "modules" or _counts(name, value))
            }
    new = after["environment"].keys() - before["environment"].keys()
    return found | {_NAMES["environment"](name) for name in new if name in source}
