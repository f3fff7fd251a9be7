"""Which convention of layer normalization a library follows, found by running it.

Rows of known spread tell ε, rows with a large mean how the variance is computed, rows with
large entries in float16 in which precision.
"""

from collections.abc import Callable

import jax
import keras
import mlx.core
import mlx.nn
import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from torch import nn

from dlkb.nn import LayerNorm

LIBRARIES = ("torch", "keras", "mlx", "jax", "transformers")

FEATURES = 64
Array = NDArray[np.floating]
Run = Callable[[Array], Array]


def rows(std: float, mean: float = 0.0) -> NDArray[np.float64]:
    """Draw rows of one mean and, with the divisor n, one standard deviation."""
    draws = np.random.default_rng(0).normal(size=(20, FEATURES))
    draws -= draws.mean(-1, keepdims=True)
    return mean + std * draws / draws.std(-1, keepdims=True)


def epsilon(run: Run) -> str:
    """Return ε: it shrinks a row of spread σ to σ / √(σ² + ε), if the divisor is n."""
    found = []
    for std in (1.0, 1e-3, 1e-5):
        out = run(rows(std).astype(np.float32)).astype(np.float64).std(-1).mean()
        found.append(std**2 * (1 / out**2 - 1))
    wanted = float(f"{found[1]:.1g}")
    if abs(found[1] / wanted - 1) > 0.02 or abs(found[2] / wanted - 1) > 0.02:
        raise LookupError(f"no single ε inside the root explains {found}")
    return f"{wanted:.0e}".replace("e-0", "e-")


def variance(run: Run) -> str:
    """Say how the variance is computed: a large mean ruins a difference of means."""
    x = rows(1.0, mean=2000.0).astype(np.float32)
    error = np.abs(run(x).astype(np.float64).std(-1) - 1).max()  # 0.0005 for ε = 0.001
    if error < 5e-3:
        return "mean of $(x - \\mu)^2$"
    if error > 0.5:
        return "**$E[x^2] - \\mu^2$**"
    raise LookupError(f"the spread is off by {error}")


def half(run: Run) -> str:
    """Say in which precision float16 is computed: squares of 300 overflow in float16."""
    out = run(rows(2000.0).astype(np.float16))
    if out.dtype != np.float16:
        raise LookupError(f"float16 becomes {out.dtype}")
    if np.allclose(out.astype(np.float64).std(-1), 1, atol=1e-2):
        return "float32"
    return "**float16**, overflows"


def of_torch(kind: Callable[..., nn.Module]) -> Run:
    """Run a module of torch."""

    def run(x: Array) -> Array:
        value = torch.tensor(x)
        with torch.no_grad():
            return np.asarray(kind(FEATURES, dtype=value.dtype)(value).numpy())

    return run


def of_keras(x: Array) -> Array:
    """Run Keras's layer in the dtype of its input."""
    layer = keras.layers.LayerNormalization(dtype=str(x.dtype))
    return np.asarray(keras.ops.convert_to_numpy(layer(keras.ops.convert_to_tensor(x))))


def of_mlx(x: Array) -> Array:
    """Run MLX's layer with parameters of the input's type."""
    value = mlx.core.array(x)
    layer = mlx.nn.LayerNorm(FEATURES)
    layer.set_dtype(value.dtype)
    return np.asarray(layer(value))


def of_jax(x: Array) -> Array:
    """Run JAX's function."""
    return np.asarray(jax.nn.standardize(jax.numpy.asarray(x)))


def which_convention() -> dict[str, tuple[str, ...]]:
    """Return ε, the formula of the variance, and the precision behind float16."""
    ours, theirs, *others = (
        (epsilon(run), variance(run), half(run))
        for run in (of_torch(LayerNorm), of_torch(nn.LayerNorm), of_keras, of_mlx, of_jax)
    )
    if ours != theirs:
        raise LookupError(f"this package and torch differ: {ours}, {theirs}")
    names = ("Keras `LayerNormalization`", "MLX `nn.LayerNorm`", "`jax.nn.standardize`")
    rest = dict(zip(names, others, strict=True))
    return {"this package, `torch.nn.LayerNorm`": theirs, **rest}


def epsilons() -> dict[str, tuple[str, ...]]:
    """Return the default ε of layer norm in configurations of Transformers."""
    families = {
        "BERT, RoBERTa, ViT": ("Bert", "Roberta", "ViT"),
        "DeBERTa-v2": ("DebertaV2",),
        "DINOv2": ("Dinov2",),
        "GPT-2, GPT-NeoX, Phi, BLOOM, Falcon": ("GPT2", "GPTNeoX", "Phi", "Bloom", "Falcon"),
    }
    found: dict[str, tuple[str, ...]] = {}
    for title, names in families.items():
        values = set()
        for name in names:
            config = getattr(transformers, f"{name}Config")().to_dict()
            values |= {v for k, v in config.items() if k.startswith("layer_norm_eps")}
        if len(values) != 1:
            raise LookupError(f"{title}: the defaults differ, {values}")
        found[title] = (f"{values.pop():.0e}".replace("e-0", "e-"),)
    return found
