"""What libraries do with loss scales, operations under autocast and casts to float8.

Each cell is decided by running the library: a scaler through good steps and overflows, an operation
on a tensor of each dtype, a cast of a number that is too large. The lists of CUDA are those of
PyTorch's dispatcher, which fake tensors pass through without a GPU.
"""

import os
from collections.abc import Callable
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "torch")

import jax.numpy as jnp
import keras
import ml_dtypes
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

import dlkb.nn

LIBRARIES = ("torch", "keras", "jax", "ml_dtypes")


def grows(scales: Callable[[list[bool]], list[float]]) -> str:
    """Say when and by how much a scale grows, from runs of good steps."""
    found = scales([True] * 2001)
    step = next(t for t, scale in enumerate(found, 1) if scale != found[0])
    return f"by {found[step - 1] / found[0]:g} after {step} good steps"


def shrinks(scales: Callable[[list[bool]], list[float]]) -> str:
    """Say what an overflow does, and whether it starts the count of good steps again."""
    found = scales([False])
    again = scales([True] * 1999 + [False] + [True] * 2)
    if again[-1] != again[1999]:
        raise LookupError("the count goes on after an overflow")
    return f"by {found[0] / first(scales):g}, and counts anew"


def first(scales: Callable[[list[bool]], list[float]]) -> float:
    """Return the scale before any step."""
    return scales([True])[0]


def of_torch(kind: Callable[..., Any]) -> Callable[[list[bool]], list[float]]:
    """Run a scaler with the interface of PyTorch's."""

    def scales(good: list[bool]) -> list[float]:
        weight = torch.nn.Parameter(torch.ones(1))
        optimizer = torch.optim.SGD([weight], lr=0.0)
        scaler, found = kind("cpu"), []
        scaler.scale(torch.ones(1))
        for finite in good:
            weight.grad = torch.full((1,), 1.0 if finite else float("inf"))
            scaler.step(optimizer)
            scaler.update()
            found.append(scaler.get_scale())
        return found

    return scales


def of_keras(good: list[bool]) -> list[float]:
    """Run the optimizer of Keras that scales losses."""
    theta = keras.Variable([1.0])
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.0))
    optimizer.build([theta])
    found = []
    for finite in good:
        grad = keras.ops.convert_to_tensor([1.0 if finite else float("inf")])
        optimizer.apply([grad], [theta])
        found.append(optimizer.dynamic_scale.value.item())
    return found


def loss_scaling() -> dict[str, tuple[str, ...]]:
    """Return first scale, growth and backoff."""
    peers = {
        "`dlkb.nn.GradScaler`": of_torch(dlkb.nn.GradScaler),
        "`torch.amp.GradScaler`": of_torch(torch.amp.GradScaler),
        "Keras `LossScaleOptimizer`": of_keras,
    }
    return {
        name: (f"{first(scales):g}", grows(scales), shrinks(scales))
        for name, scales in peers.items()
    }


Operation = Callable[[Tensor], Tensor]

OPERATIONS: dict[str, tuple[Operation, ...]] = {
    "`linear`, `matmul`, `addmm`": (
        lambda x: F.linear(x, x),
        lambda x: x @ x,
        lambda x: torch.addmm(x, x, x),
    ),
    "`cross_entropy`, `mse_loss`": (
        lambda x: F.cross_entropy(x, torch.softmax(x.float(), -1)),
        lambda x: F.cross_entropy(x, torch.zeros(8, dtype=torch.int64, device=x.device)),
        lambda x: F.mse_loss(x, x),
    ),
    "`softmax`, `layer_norm`, `rms_norm`, `exp`, `pow`, `sum`": (
        lambda x: F.softmax(x, -1),
        lambda x: F.layer_norm(x, (8,)),
        lambda x: F.rms_norm(x, (8,)),
        torch.exp,
        lambda x: x.pow(2),
        torch.sum,
    ),
    "`relu`, `gelu`, `batch_norm`, `mean`": (
        F.relu,
        F.gelu,
        lambda x: F.batch_norm(x, None, None, training=True),
        torch.mean,
    ),
}


def under_autocast(operation: Operation, device: str, half: torch.dtype) -> str:
    """Say in which dtype an operation returns, for inputs of either."""
    with FakeTensorMode():
        torch.set_autocast_enabled(device, True)
        torch.set_autocast_dtype(device, half)
        try:
            found = {
                dtype: operation(torch.empty(8, 8, device=device, dtype=dtype)).dtype
                for dtype in (half, torch.float32)
            }
        finally:
            torch.set_autocast_enabled(device, False)
    if all(out == half for out in found.values()):
        return "half"
    if all(out == torch.float32 for out in found.values()):
        return "float32"
    if all(given == out for given, out in found.items()):
        return "as the input"
    raise LookupError(f"{found} has no name")


def autocast() -> dict[str, tuple[str, ...]]:
    """Return what each group of operations computes in, on CUDA and on CPUs."""
    rows = {}
    for name, operations in OPERATIONS.items():
        cells = []
        for device in ("cuda", "cpu"):
            said = {
                under_autocast(operation, device, half)
                for operation in operations
                for half in (torch.float16, torch.bfloat16)
            }
            if len(said) != 1:
                raise LookupError(f"{name} on {device}: {said}")
            cells.append(said.pop())
        rows[name] = tuple(cells)
    return rows


def too_large(number: float) -> str:
    """Say what a cast made of a number above the largest."""
    if np.isnan(number):
        return "NaN"
    return "∞" if np.isinf(number) else f"the largest, {number:g}"


def float8_casts() -> dict[str, tuple[str, ...]]:
    """Return what becomes of a million in both formats."""
    million = 1e6
    if torch.tensor(torch.inf).to(torch.float8_e4m3fn).item() != 448:
        raise LookupError("PyTorch keeps an infinity visible in E4M3: mend the page")
    with np.errstate(over="ignore"):
        of_numpy = [
            float(np.asarray(million).astype(kind).astype(np.float32))
            for kind in (ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2)
        ]
    casts = {
        "PyTorch, on the CPU": [
            torch.tensor(million).to(kind).item()
            for kind in (torch.float8_e4m3fn, torch.float8_e5m2)
        ],
        "JAX": [
            float(jnp.asarray(million, dtype=jnp.float32).astype(kind).astype(jnp.float32))
            for kind in (jnp.float8_e4m3fn, jnp.float8_e5m2)
        ],
        "ml_dtypes (NumPy), `round_to`": of_numpy,
    }
    return {name: tuple(map(too_large, cast)) for name, cast in casts.items()}
