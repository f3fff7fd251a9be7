"""Which convention of RMS normalization a library follows, found by running it.

Rows of known size tell ε, a gain of 0 whether 1 is added to it, and a gain with more digits
than bfloat16 whether the quotient is rounded before it is multiplied.
"""

from collections.abc import Callable
from typing import Any

import keras
import mlx.core
import mlx.nn
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from transformers.models.gemma.modeling_gemma import GemmaRMSNorm
from transformers.models.gemma2.modeling_gemma2 import Gemma2RMSNorm
from transformers.models.gemma3.modeling_gemma3 import Gemma3RMSNorm
from transformers.models.gemma3n.modeling_gemma3n import Gemma3nRMSNorm
from transformers.models.gemma4.modeling_gemma4 import Gemma4RMSNorm
from transformers.models.llama.modeling_llama import LlamaRMSNorm
from transformers.models.t5.modeling_t5 import T5LayerNorm

from dlkb.nn import RMSNorm

LIBRARIES = ("torch", "keras", "mlx", "transformers")

FEATURES = 256
Array = NDArray[np.float32]
Run = Callable[[Array, Array, str], Array]
"""Of x, the gain, and the name of the type in which the layer runs; returns float32."""


def rows(size: float) -> Array:
    """Draw rows of one root mean square."""
    draws = np.random.default_rng(0).normal(size=(20, FEATURES))
    unit = draws / np.sqrt((draws**2).mean(-1, keepdims=True))
    return (size * unit).astype(np.float32)


def gain(run: Run) -> tuple[str, float]:
    """Say how the gain w enters; return the value of w that leaves the quotient alone."""
    zeros = np.zeros(FEATURES, np.float32)
    out = run(rows(1.0), zeros, "float32")
    if np.allclose(out, 0):
        return "$w$", 1.0
    if np.allclose(out, rows(1.0), atol=1e-3):
        return "**$1 + w$**", 0.0
    raise LookupError(f"a gain of 0 gives {out[0, :3]}")


def epsilon(run: Run, one: float) -> str:
    """Return ε: it shrinks a row of size r to r / √(r² + ε)."""
    neutral, found = np.full(FEATURES, one, np.float32), []
    for size in (3e-4, 1e-4):
        out = run(rows(size), neutral, "float32").astype(np.float64)
        found.append(size**2 * (1 / (out**2).mean() - 1))
    if abs(found[0] / found[1] - 1) > 0.05:
        raise LookupError(f"no single ε inside the root explains {found}")
    machine = float(np.finfo(np.float32).eps)
    if abs(found[1] / machine - 1) < 0.05:
        return "machine's, 1.2e-7"
    if abs(found[1] / float(f"{found[1]:.1g}") - 1) > 0.05:
        raise LookupError(f"ε is {found}")
    return f"{found[1]:.0e}".replace("e-0", "e-")


def rounding(run: Run, one: float) -> str:
    """Say whether bfloat16 is rounded before the gain, or once at the end."""
    x = torch.tensor(rows(1.0)).bfloat16()
    stored = torch.tensor(np.random.default_rng(1).uniform(0.5, 2, FEATURES)).bfloat16().float()
    factor = stored + (1 - one)
    unit = x.float() / (x.float().square().mean(-1, keepdim=True) + 1e-6).sqrt()
    once = (unit * factor).bfloat16().float().numpy()
    twice = (unit.bfloat16().float() * factor).bfloat16().float().numpy()
    out = run(x.float().numpy(), stored.numpy(), "bfloat16")
    agree = {
        "once, after the gain": float((out == once).mean()),
        "**before** the gain, and after": float((out == twice).mean()),
    }
    best = max(agree, key=lambda words: agree[words])
    if agree[best] < 0.999 or min(agree.values()) > 0.99:
        raise LookupError(f"shares that agree: {agree}")
    return best


def of_torch(kind: Callable[..., nn.Module]) -> Run:
    """Run a module of torch, in the type of its input."""

    def run(x: Array, weight: Array, dtype: str) -> Array:
        layer: Any = kind(FEATURES).to(getattr(torch, dtype))
        with torch.no_grad():
            layer.weight.copy_(torch.tensor(weight))
            return np.asarray(layer(torch.tensor(x).to(layer.weight.dtype)).float().numpy())

    return run


def of_keras(x: Array, weight: Array, dtype: str) -> Array:
    """Run Keras's layer."""
    layer = keras.layers.RMSNormalization(dtype=dtype)
    layer.build(x.shape)
    layer.set_weights([weight])
    out = layer(keras.ops.cast(keras.ops.convert_to_tensor(x), dtype))
    return np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(out, "float32")))


def of_mlx(x: Array, weight: Array, dtype: str) -> Array:
    """Run MLX's layer."""
    kind = getattr(mlx.core, dtype)
    layer = mlx.nn.RMSNorm(FEATURES)
    layer.weight = mlx.core.array(weight).astype(kind)
    return np.asarray(layer(mlx.core.array(x).astype(kind)).astype(mlx.core.float32))


def which_convention() -> dict[str, tuple[str, ...]]:
    """Return ε, how the gain enters, and where bfloat16 is rounded."""
    runs: dict[str, Run] = {
        "Keras `RMSNormalization`": of_keras,
        "MLX `nn.RMSNorm`": of_mlx,
    }
    found = {name: convention(run) for name, run in runs.items()}
    alike: dict[str, tuple[Callable[..., nn.Module], ...]] = {
        "this package, `torch.nn.RMSNorm`": (RMSNorm, nn.RMSNorm),
        "Transformers, Llama and T5": (LlamaRMSNorm, T5LayerNorm),
        "Transformers, Gemma to Gemma 3": (GemmaRMSNorm, Gemma2RMSNorm, Gemma3RMSNorm),
        "Transformers, Gemma 3n and 4": (Gemma3nRMSNorm, Gemma4RMSNorm),
    }
    for name, kinds in alike.items():
        each = {convention(of_torch(kind)) for kind in kinds}
        if len(each) != 1:
            raise LookupError(f"{name} differ: {each}")
        found[name] = each.pop()
    return found


def convention(run: Run) -> tuple[str, ...]:
    """Return the cells of one layer."""
    words, one = gain(run)
    return epsilon(run, one), words, rounding(run, one)
