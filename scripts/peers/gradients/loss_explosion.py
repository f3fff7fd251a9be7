"""Which limit and which velocity a library's momentum has, found by running it on θ²/2."""

from collections.abc import Callable
from typing import Any

import keras
import mlx.core
import mlx.optimizers
import numpy as np
import optax
import torch

from dlkb.gradients.loss_explosion import stable_lr

LIBRARIES = ("torch", "keras", "optax", "mlx")

BETA = 0.9
CURVATURE = 1.0
STEPS = 120  # 5 % to either side of the limit, this is enough to tell

Gradient = Callable[[float], float]
Run = Callable[[list[float], Gradient], list[float]]
"""Takes the learning rate of each step and the gradient; returns θ after each step, from 1."""


def of_torch(**options: Any) -> Run:
    """Run `torch.optim.SGD`."""

    def run(rates: list[float], gradient: Gradient) -> list[float]:
        theta = torch.ones(1, dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.SGD([theta], lr=1.0, momentum=BETA, **options)
        found = []
        for lr in rates:
            optimizer.param_groups[0]["lr"] = lr
            theta.grad = torch.tensor([gradient(theta.item())], dtype=torch.float64)
            optimizer.step()
            found.append(theta.item())
        return found

    return run


def of_keras(**options: Any) -> Run:
    """Run Keras's `SGD`."""

    def run(rates: list[float], gradient: Gradient) -> list[float]:
        theta = keras.Variable([1.0])
        optimizer = keras.optimizers.SGD(1.0, momentum=BETA, **options)
        found = []
        for lr in rates:
            optimizer.learning_rate = lr
            at = float(theta.numpy()[0])
            optimizer.apply([keras.ops.convert_to_tensor([gradient(at)])], [theta])
            found.append(float(theta.numpy()[0]))
        return found

    return run


def of_optax(make: Callable[[Any], optax.GradientTransformation]) -> Run:
    """Run a transformation of optax that is made from a schedule."""

    def run(rates: list[float], gradient: Gradient) -> list[float]:
        steps = np.asarray(rates, dtype=np.float32)
        transform = make(lambda count: steps[int(count)])
        theta = np.ones(1, dtype=np.float32)
        state = transform.init(theta)
        found = []
        for _ in rates:
            grad = np.asarray([gradient(float(theta[0]))], dtype=np.float32)
            update, state = transform.update(grad, state, theta)
            theta = np.asarray(optax.apply_updates(theta, update))
            found.append(float(theta[0]))
        return found

    return run


def of_mlx(**options: Any) -> Run:
    """Run MLX's `SGD`."""

    def run(rates: list[float], gradient: Gradient) -> list[float]:
        optimizer = mlx.optimizers.SGD(1.0, momentum=BETA, **options)
        theta = {"theta": mlx.core.array([1.0])}
        found = []
        for lr in rates:
            optimizer.learning_rate = lr
            grad = {"theta": mlx.core.array([gradient(float(theta["theta"][0]))])}
            theta = optimizer.apply_gradients(grad, theta)
            found.append(float(theta["theta"][0]))
        return found

    return run


def limit(run: Run) -> str:
    """Return the only of the formula's limits that the run keeps: shrinks below, grows above."""
    rules: tuple[dict[str, Any], ...] = (
        {},
        {"momentum": BETA},
        {"momentum": BETA, "dampening": BETA},
        {"momentum": BETA, "nesterov": True},
    )
    kept = []
    for rule in rules:
        lr = stable_lr(CURVATURE, **rule)
        below, above = (
            abs(run([c * lr] * STEPS, lambda theta: CURVATURE * theta)[-1]) for c in (0.95, 1.05)
        )
        if below < 0.5 and above > 2:
            kept.append(f"{lr:.3g}")
    if len(kept) != 1:
        raise LookupError(f"the run keeps {len(kept)} of the limits: {kept}")
    return kept[0]


def old_gradients(run: Run) -> str:
    """Say which learning rate a gradient has that is one step old, after η was halved."""
    gradients = iter([1.0, 0.0, 0.0])
    path = run([0.2, 0.2, 0.1], lambda theta: next(gradients))
    kept = (path[2] - path[1]) / (path[1] - path[0]) / BETA
    # optax's and torch's first step may be longer than later ones: only the second move counts
    words = {"their old η": 1.0, "the new η": 0.5}
    return next(word for word, ratio in words.items() if np.isclose(kept, ratio, rtol=1e-3))


def row(velocity: str, *runs: Run) -> tuple[str, str, str]:
    """Return the cells of a row whose libraries all do the same."""
    found = {(limit(run), old_gradients(run)) for run in runs}
    if len(found) != 1:
        raise LookupError(f"the libraries of one row differ: {found}")
    ((number, kept),) = found
    return velocity, number, kept


def averaged(schedule: Any) -> optax.GradientTransformation:
    """Chain optax's moving average and the learning rate."""
    return optax.chain(
        optax.ema(BETA, debias=False), optax.scale_by_schedule(lambda n: -schedule(n))
    )


def which_convention() -> dict[str, tuple[str, ...]]:
    """Return velocity, limit of η λ, and what a change of η does to old gradients."""
    plain = r"$v \leftarrow \beta v + g$"
    return {
        "`torch.optim.SGD`, `optax.sgd`, MLX `SGD`": row(
            plain, of_torch(), of_optax(lambda lr: optax.sgd(lr, momentum=BETA)), of_mlx()
        ),
        "Keras `SGD`": row(r"$v \leftarrow \beta v - \eta g$", of_keras()),
        "`dampening=0.9` in PyTorch and MLX; `optax.ema`": row(
            r"$v \leftarrow \beta v + (1-\beta) g$",
            of_torch(dampening=BETA),
            of_mlx(dampening=BETA),
            of_optax(averaged),
        ),
        "`nesterov=True` in PyTorch, optax, MLX": row(
            f"{plain}, and one step ahead along it",
            of_torch(nesterov=True),
            of_optax(lambda lr: optax.sgd(lr, momentum=BETA, nesterov=True)),
            of_mlx(nesterov=True),
        ),
    }
