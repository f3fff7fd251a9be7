"""torchvision, beside PyTorch's CPU build.

The package index has torchvision built for CUDA alone. Beside a PyTorch without CUDA its kernels do
not load, an import fails, and with it that of each library that looks whether torchvision is there.
So `make` installs it in a folder of its own, and who wants it asks here.
"""

import importlib
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import torch

FOLDER = Path(sys.prefix) / "apart"
SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
"""Of the two operators that an import of torchvision looks up. Nothing here calls them."""

_library = None


def torchvision(name: str = "") -> ModuleType:
    """Return torchvision, or a module of it by name, such as `ops`.

    Raises:
        ModuleNotFoundError: If it is not installed; `make test` installs it.
    """
    global _library
    if find_spec("torchvision") is None:
        sys.path.append(str(FOLDER))
    if not hasattr(torch.ops.torchvision, "nms"):
        _library = torch.library.Library("torchvision", "DEF")  # gone with its last reference
        for schema in SCHEMAS:
            _library.define(schema)
    return importlib.import_module(f"torchvision.{name}" if name else "torchvision")
