"""Which convention of batch normalization a library follows, found by running it.

Two batches of known moments tell what is stored: it is read off the output in evaluation.
"""

from collections.abc import Callable, Sequence

import equinox
import jax
import keras
import mlx.core
import mlx.nn
import numpy as np
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator
from torch import nn

from dlkb.nn import BatchNorm1d

LIBRARIES = ("torch", "keras", "mlx", "equinox", "onnx")

Array = NDArray[np.float32]
Run = Callable[[Sequence[Array], float | None], tuple[Array, Array]]
"""From batches (n, 1) and a momentum, None for the default, to two outputs: of the last batch in
training, and of 0 and 1 in evaluation, after all."""

PROBE = np.asarray([[0.0], [1.0]], dtype=np.float32)


def batch(mean: float, std: float, n: int = 4) -> Array:
    """Return n numbers of a mean and, with the divisor n, a standard deviation."""
    signs = np.where(np.arange(n) % 2, 1.0, -1.0)
    return np.asarray(mean + std * signs, dtype=np.float32)[:, None]


def stored(run: Run, batches: Sequence[Array], momentum: float | None) -> tuple[float, float]:
    """Return the mean and the variance (with ε) that evaluation uses."""
    low, high = run(batches, momentum)[1].astype(np.float64)[:, 0]
    slope = high - low
    return -low / slope, slope**-2


def weight_of(run: Run) -> str:
    """Say what momentum weighs, from batches of means 10 and 20 and a momentum of 0.25."""
    mean, _ = stored(run, [batch(10, 1), batch(20, 1)], 0.25)
    rules = {
        "the new batch": 0.75 * 2.5 + 0.25 * 20,
        "**the old**": 0.25 * 7.5 + 0.75 * 20,
        "**the old**, start corrected": (0.25 * 7.5 + 0.75 * 20) / (1 - 0.25**2),
    }
    for rule, expected in rules.items():
        if abs(mean - expected) < 1e-3:
            return rule
    raise LookupError(f"no rule explains the stored mean {mean}")


def default_weight(run: Run, rule: str) -> str:
    """Return the default momentum: what it leaves of two batches of means 0 and 1000."""
    mean, _ = stored(run, [batch(0, 30), batch(1000, 30)], None)
    found = next(
        m
        for m in (0.1, 0.01, 0.9, 0.99, 0.999)
        for new in [m if rule == "the new batch" else 1 - m]
        if abs(mean / 1000 - (new / (1 - m**2) if "start" in rule else new)) < 1e-4
    )
    return str(found)


def divisor(run: Run, rule: str) -> str:
    """Say what the stored variance divides by, from the last of batches that counts alone."""
    _, var = stored(run, [batch(0, 3, n=2)], 1.0 if rule == "the new batch" else 0.0)
    return {9: "$n$", 18: "$n - 1$"}[round(var)]


def epsilon(run: Run) -> str:
    """Return ε from the output's spread for a batch of spread 0.001."""
    spread = run([batch(0, 1e-3)], None)[0].astype(np.float64).std()
    return f"{1e-6 * (1 / spread**2 - 1):.0e}".replace("e-0", "e-")


def alone(run: Run) -> str:
    """Say what training does to one number a channel."""
    try:
        output = run([np.full((1, 1), 5.0, dtype=np.float32)], None)[0]
    except ValueError:
        return "error"
    if abs(output).max() < 1e-6:
        return "gives the shift"
    raise LookupError(f"one number a channel becomes {output}")


def of_torch(kind: Callable[..., nn.Module]) -> Run:
    """Run a module of torch's interface."""

    def run(batches: Sequence[Array], momentum: float | None) -> tuple[Array, Array]:
        layer = kind(1) if momentum is None else kind(1, momentum=momentum)
        with torch.no_grad():
            outputs = [layer(torch.tensor(x)).numpy() for x in batches]
            return outputs[-1], np.asarray(layer.eval()(torch.tensor(PROBE)).numpy())

    return run


def of_keras(batches: Sequence[Array], momentum: float | None) -> tuple[Array, Array]:
    """Run Keras's layer."""
    layer = keras.layers.BatchNormalization(**({} if momentum is None else {"momentum": momentum}))
    outputs = [
        keras.ops.convert_to_numpy(layer(keras.ops.convert_to_tensor(x), training=train))
        for *xs, train in [(*batches, True), (PROBE, False)]
        for x in xs
    ]
    return outputs[-2], outputs[-1]


def of_mlx(batches: Sequence[Array], momentum: float | None) -> tuple[Array, Array]:
    """Run MLX's layer."""
    layer = mlx.nn.BatchNorm(1, **({} if momentum is None else {"momentum": momentum}))
    outputs = [np.asarray(layer(mlx.core.array(x))) for x in batches]
    layer.eval()
    return outputs[-1], np.asarray(layer(mlx.core.array(PROBE)))


def of_equinox(batches: Sequence[Array], momentum: float | None) -> tuple[Array, Array]:
    """Run Equinox's layer in the mode `batch`, the one with the batch's moments."""
    options = {} if momentum is None else {"momentum": momentum}
    layer = equinox.nn.BatchNorm(1, axis_name="batch", mode="batch", **options)
    state = equinox.nn.State(layer)

    def call(x: Array, state: object, *, inference: bool) -> tuple[jax.Array, object]:
        one = lambda row, state: layer(row, state, inference=inference)  # noqa: E731
        return jax.vmap(one, axis_name="batch", in_axes=(0, None), out_axes=(0, None))(x, state)

    for x in batches:
        output, state = call(x, state, inference=False)
    return np.asarray(output), np.asarray(call(PROBE, state, inference=True)[0])


def of_onnx(batches: Sequence[Array], momentum: float | None) -> tuple[Array, Array]:
    """Run the operator BatchNormalization by ONNX's reference."""
    options = {} if momentum is None else {"momentum": momentum}
    moments = [np.zeros(1, dtype=np.float32), np.ones(1, dtype=np.float32)]
    names = ("x", "scale", "shift", "mean", "var")
    given = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in names]

    def call(x: Array, training: int) -> list[Array]:
        outputs = ["y", "new_mean", "new_var"][: 3 if training else 1]
        node = helper.make_node(
            "BatchNormalization", names, outputs, training_mode=training, **options
        )
        made = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in outputs]
        model = helper.make_model(
            helper.make_graph([node], "graph", given, made),
            opset_imports=[helper.make_opsetid("", 15)],
        )
        one, zero = np.ones(1, dtype=np.float32), np.zeros(1, dtype=np.float32)
        feeds = dict(zip(names, (x, one, zero, *moments), strict=True))
        return list(ReferenceEvaluator(model).run(None, feeds))

    for x in batches:
        output, *moments = call(x, 1)
    return output, call(PROBE, 0)[0]


def row(run: Run) -> tuple[str, ...]:
    """Return the cells of a library."""
    rule = weight_of(run)
    return default_weight(run, rule), rule, divisor(run, rule), epsilon(run), alone(run)


def which_convention() -> dict[str, tuple[str, ...]]:
    """Return default momentum, what it weighs, the stored variance's divisor, ε, one number."""
    ours, theirs = (row(of_torch(kind)) for kind in (BatchNorm1d, nn.BatchNorm1d))
    if ours != theirs:
        raise LookupError(f"this package and torch differ: {ours}, {theirs}")
    return {
        "this package, `torch.nn.BatchNorm1d`": theirs,
        "Keras `BatchNormalization`": row(of_keras),
        "MLX `nn.BatchNorm`": row(of_mlx),
        'Equinox `nn.BatchNorm(mode="batch")`': row(of_equinox),
        "ONNX `BatchNormalization`": row(of_onnx),
    }
