"""Libraries that are installed beside the environment.

The package index has torchvision built for CUDA alone. Beside a PyTorch without CUDA its kernels do
not load, an import fails, and with it that of each library that looks whether torchvision is there.
The library `adapters` wants another Transformers than the rest. So `make` installs both in folders
of their own, and who wants one asks here.
"""

import importlib
import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

FOLDER = Path(sys.prefix) / "apart"
ADAPTERS = Path(sys.prefix) / "adapters"
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


def with_adapters(module: str, function: str) -> Any:
    """Call a function of no arguments in a process that sees the library `adapters`.

    Args:
        module: Where the function is, such as `scripts.peers.finetuning.adapters`.
        function: Its name. Its result passes as JSON.

    Returns:
        The result: tuples come back as lists.

    Raises:
        ModuleNotFoundError: If the library is not installed; `make test` installs it.
        RuntimeError: If the process fails, with the end of what it wrote.
    """
    if not (ADAPTERS / "adapters").is_dir():
        raise ModuleNotFoundError(f"{ADAPTERS} does not hold adapters: run make test")
    code = f"import json, {module} as m; print(json.dumps(m.{function}()))"
    paths = os.pathsep.join((str(ADAPTERS), str(Path(__file__).parents[2])))
    environment = os.environ | {"PYTHONPATH": paths, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    command = (sys.executable, "-c", code)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{module}.{function} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])
