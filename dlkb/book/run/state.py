"""What a fence may not leave changed for the code that runs after it.

A page runs in a process of its own, so seeds, print options, thread counts and filters of warnings
end with it, and are nobody's business. What is compared here changes what later code of the
same page means, or of a program that a reader copies a fence into.
"""

import os
import sys
from types import ModuleType

_FUNCTIONS_OF = ("builtins", "math", "cmath", "random", "time", "numpy", "numpy.linalg")
_FUNCTIONS_OF_TORCH = ("torch", "torch.linalg", "torch.nn.functional")

State = dict[str, object]


def state() -> State:
    """Return what may not change, by the name that a message gives it."""
    modules = {name: module for name, module in list(sys.modules.items()) if module is not None}
    found: State = {f"sys.modules['{name}']": id(module) for name, module in modules.items()}
    for name, module in modules.items():
        if name in (*_FUNCTIONS_OF, *_FUNCTIONS_OF_TORCH) or name.startswith("dlkb."):
            found |= _functions(name, module)
    found |= {f"os.environ['{name}']": value for name, value in os.environ.items()}
    found |= {
        "the current folder": _folder(),
        "sys.path": tuple(sys.path),
        "sys.stdout": id(sys.stdout),
        "the recursion limit": sys.getrecursionlimit(),
    }
    if numpy := modules.get("numpy"):
        found["np.seterr"] = tuple(numpy.geterr().items())
    if torch := modules.get("torch"):
        found |= {
            "torch's default dtype": torch.get_default_dtype(),
            "torch's default device": torch.get_default_device(),
            "torch.set_grad_enabled": torch.is_grad_enabled(),
            "torch.use_deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        }
    return found


def _functions(name: str, module: ModuleType) -> State:
    held = list(vars(module).items())
    return {f"{name}.{key}": id(value) for key, value in held if callable(value)}


def _folder() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:
        return "none: it was removed"


def changed(before: State, after: State, source: str) -> list[str]:
    """Return the names of what differs.

    Args:
        before: The state before some code ran.
        after: The state after it.
        source: The code. A variable that is new in the environment counts if the code names it;
            else a library that was imported set it.
    """
    names = [name for name, value in before.items() if after.get(name) != value]
    environment = [name for name in after.keys() - before.keys() if name.startswith("os.environ")]
    return names + sorted(name for name in environment if name.split("'")[1] in source)
