"""What libraries call a convolution, its transpose and a gradient, found by running them."""

from collections.abc import Callable
from typing import Any

import jax
import keras
import mlx.core
import numpy as np
import scipy.optimize  # type: ignore[import-untyped]
import scipy.signal  # type: ignore[import-untyped]
import torch
from jax.test_util import check_grads
from numpy.typing import NDArray

from dlkb.backpropagation.convolution import conv, conv_input_vjp

LIBRARIES = ("torch", "jax", "keras", "mlx", "scipy")

Row = NDArray[np.float32]

X = np.asarray([1, 2, 3, 4, 5], dtype=np.float32)
KERNEL = np.asarray([1, 10, 100], dtype=np.float32)


def which(found: Any, conventions: dict[str, Any]) -> str:
    """Return the words of the only convention that gives this."""
    same = [
        words
        for words, expected in conventions.items()
        if np.shape(found) == np.shape(expected) and np.allclose(found, expected, rtol=1e-4)
    ]
    if len(same) != 1:
        raise LookupError(f"{len(same)} conventions give {found}: {same}")
    return same[0]


def kernel_words(convolve: Callable[[Row, Row], Any]) -> str:
    """Say whether the kernel is flipped."""
    return which(
        np.asarray(convolve(X, KERNEL)),
        {
            "slides the kernel as it is": np.correlate(X, KERNEL, "valid"),
            "**flips** the kernel": np.correlate(X, KERNEL[::-1], "valid"),
        },
    )


def transpose_words(transpose: Callable[[Row, Row], Any]) -> str:
    """Say whether the transposed convolution is the input gradient of the layer."""
    of_layer = conv_input_vjp(KERNEL[None, None], X[None, None], size=(7,))[0, 0]
    of_flipped = conv_input_vjp(KERNEL[None, None, ::-1], X[None, None], size=(7,))[0, 0]
    return which(
        np.asarray(transpose(X, KERNEL)),
        {"the input gradient": of_layer, "of the **flipped** kernel": of_flipped},
    )


def complex_words(grad: complex) -> str:
    """Say what the gradient of |z|² at 1 + 2i is."""
    return which(grad, {"$2z$": 2 + 4j, "the conjugate of $2z$": 2 - 4j})


def checker_words(points: list[float], where: float) -> str:
    """Say which difference a checker takes, from the points at which it looks."""
    offsets = [p - where for p in points if p != where]
    steps = {"h = 1e-6": 1e-6, "h = 1.5e-8": float(np.finfo(np.float64).eps) ** 0.5}
    size = max(map(abs, offsets))
    known = [words for words, step in steps.items() if np.isclose(size, step, rtol=0.01, atol=0)]
    sides = "forward" if min(offsets) > 0 else "central"
    return f"{sides}, {known[0] if known else 'along a random direction'}"


def of_torch() -> tuple[str, ...]:
    """Run PyTorch."""

    def apply(function: Callable[..., torch.Tensor], x: Row, kernel: Row) -> Any:
        return function(torch.tensor(x)[None, None], torch.tensor(kernel)[None, None])[0, 0]

    z = torch.tensor(1 + 2j, requires_grad=True)
    (z * z.conj()).real.backward()
    seen: list[float] = []

    def square(x: torch.Tensor) -> torch.Tensor:
        seen.append(x.item())
        return x**2

    torch.autograd.gradcheck(square, torch.tensor(3.0, dtype=torch.float64, requires_grad=True))
    assert z.grad is not None
    return (
        kernel_words(lambda x, k: apply(torch.conv1d, x, k)),
        transpose_words(lambda x, k: apply(torch.conv_transpose1d, x, k)),
        complex_words(z.grad.item()),
        f"`gradcheck`: {checker_words(seen, 3.0)}",
    )


def of_jax() -> tuple[str, ...]:
    """Run JAX."""

    def transpose(x: Row, kernel: Row, **options: bool) -> Any:
        axes = ("NCH", "OIH", "NCH")
        return jax.lax.conv_transpose(
            x[None, None], kernel[None, None], (1,), "VALID", dimension_numbers=axes, **options
        )[0, 0]

    usual = transpose_words(transpose)
    asked = transpose_words(lambda x, k: transpose(x, k, transpose_kernel=True))
    seen: list[float] = []

    def square(x: Any) -> Any:
        if not isinstance(x, jax.core.Tracer):
            seen.append(float(x))
        return x**2

    with jax.enable_x64(True):
        check_grads(square, (np.asarray(3.0),), order=1)
    return (
        kernel_words(lambda x, k: jax.lax.conv(x[None, None], k[None, None], (1,), "VALID")[0, 0]),
        f"{usual}; with `transpose_kernel` {asked}",
        complex_words(complex(jax.grad(lambda z: (z * z.conj()).real)(1 + 2j))),
        f"`check_grads`: {checker_words(seen, 3.0)}",
    )


def of_keras() -> tuple[str, ...]:
    """Run Keras."""

    def apply(function: Callable[..., Any], x: Row, kernel: Row) -> Any:
        found = function(x[None, :, None], kernel[:, None, None], 1, "valid")
        return keras.ops.convert_to_numpy(found)[0, :, 0]

    return (
        kernel_words(lambda x, k: apply(keras.ops.conv, x, k)),
        transpose_words(lambda x, k: apply(keras.ops.conv_transpose, x, k)),
        "as its backend",
        "none",
    )


def of_mlx() -> tuple[str, ...]:
    """Run MLX."""

    def apply(function: Callable[..., Any], x: Row, kernel: Row) -> Any:
        x, kernel = (mlx.core.array(a)[None, :, None] for a in (x, kernel))
        return np.asarray(function(x, kernel))[0, :, 0]

    grad = mlx.core.grad(lambda z: mlx.core.real(z * mlx.core.conjugate(z)))
    own = kernel_words(
        lambda x, k: mlx.core.convolve(mlx.core.array(x), mlx.core.array(k), mode="valid")
    )
    return (
        f"{kernel_words(lambda x, k: apply(mlx.core.conv1d, x, k))}; `convolve` {own}",
        transpose_words(lambda x, k: apply(mlx.core.conv_transpose1d, x, k)),
        complex_words(complex(grad(mlx.core.array(1 + 2j)).item())),
        "none",
    )


def of_scipy() -> tuple[str, ...]:
    """Run SciPy."""
    seen: list[float] = []

    def square(x: NDArray[np.float64]) -> float:
        seen.append(float(x[0]))
        return float(x[0] ** 2)

    scipy.optimize.check_grad(square, lambda x: 2 * x, np.asarray([3.0]))
    own = kernel_words(lambda x, k: scipy.signal.correlate(x, k, mode="valid"))
    return (
        f"{kernel_words(lambda x, k: scipy.signal.convolve(x, k, mode='valid'))}; "
        f"`correlate` {own}",
        f"`convolve(mode='full')`: {transpose_words(scipy.signal.convolve)}",
        "–",
        f"`check_grad`: {checker_words(seen, 3.0)}",
    )


def which_convention() -> dict[str, tuple[str, ...]]:
    """Return what each library convolves with, transposes and differentiates."""
    ours = kernel_words(lambda x, k: conv(x[None, None], k[None, None])[0, 0])
    theirs = of_torch()
    if ours != theirs[0]:
        raise LookupError(f"this package {ours}, torch {theirs[0]}")
    return {
        "this package, `torch.conv1d`": theirs,
        "JAX, `jax.lax`": of_jax(),
        "Keras, `keras.ops`": of_keras(),
        "MLX": of_mlx(),
        "SciPy": of_scipy(),
    }
