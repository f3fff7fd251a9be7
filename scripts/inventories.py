"""Write the small inventories that link API pages to other projects' documentation.

Usage: python scripts/inventories.py

A build must not need the network, so the names that our signatures and docstrings use are
listed here, in the format of Sphinx' objects.inv. A `$` in an address stands for the name.
"""

import zlib
from pathlib import Path

FOLDER = Path(__file__).parent / "inventories"

_FUNCTIONS = "library/functions.html#$"
_TYPES = "library/stdtypes.html#$"
_ERRORS = "library/exceptions.html#$"

INVENTORIES = {
    "python": {
        "py:class": {
            **dict.fromkeys(["bool", "float", "int", "object"], _FUNCTIONS),
            **dict.fromkeys(["dict", "list", "str", "tuple"], _TYPES),
            "types.ModuleType": "library/types.html#$",
            "typing.NamedTuple": "library/typing.html#$",
            "collections.abc.Callable": "library/collections.abc.html#$",
            "collections.abc.Iterable": "library/collections.abc.html#$",
            "collections.abc.Iterator": "library/collections.abc.html#$",
            "collections.abc.Mapping": "library/collections.abc.html#$",
            "collections.abc.Sequence": "library/collections.abc.html#$",
        },
        "py:exception": dict.fromkeys(
            ["KeyError", "RuntimeError", "TypeError", "ValueError"], _ERRORS
        ),
        "py:data": dict.fromkeys(["typing.Any"], "library/typing.html#$"),
    },
    "numpy": {
        "py:class": {
            "numpy.ndarray": "reference/generated/numpy.ndarray.html#$",
            "numpy.random.Generator": "reference/random/generator.html#$",
        },
        "py:function": {
            "numpy.random.default_rng": "reference/random/generator.html#$",
        },
    },
    "torch": {
        "py:class": {
            "torch.Generator": "generated/torch.Generator.html#$",
            "torch.Tensor": "tensors.html#$",
            "torch.nn.Dropout": "generated/torch.nn.Dropout.html#$",
            "torch.nn.Linear": "generated/torch.nn.Linear.html#$",
            "torch.nn.Module": "generated/torch.nn.Module.html#$",
            "torch.optim.Adam": "generated/torch.optim.Adam.html#$",
            "torch.optim.AdamW": "generated/torch.optim.AdamW.html#$",
            "torch.optim.Optimizer": "optim.html#$",
        },
    },
}


def write(project: str, objects: dict[str, dict[str, str]]) -> None:
    """Write one inventory: four lines of header, then compressed lines of objects."""
    head = (
        "# Sphinx inventory version 2\n"
        f"# Project: {project}\n"
        "# Version: \n"
        "# The remainder of this file is compressed using zlib.\n"
    )
    lines = [
        f"{name} {role} 1 {address} -\n"
        for role, names in objects.items()
        for name, address in names.items()
    ]
    body = zlib.compress("".join(lines).encode(), 9)
    (FOLDER / f"{project}.inv").write_bytes(head.encode() + body)


def main() -> None:
    """Write them all."""
    FOLDER.mkdir(exist_ok=True)
    for project, objects in INVENTORIES.items():
        write(project, objects)


if __name__ == "__main__":
    main()
