"""What momentum means in a library, found by running it on three gradients."""

import inspect
from collections.abc import Callable
from typing import Any

import jax.example_libraries.optimizers as jax_optimizers
import keras
import mlx.optimizers
import numpy as np
import optax
import torch
from sklearn.neural_network import MLPRegressor
from sklearn.neural_network._stochastic_optimizers import SGDOptimizer

from scripts.peers.gradients.loss_explosion import (
    BETA,
    Gradient,
    Run,
    of_keras,
    of_mlx,
    of_optax,
    of_torch,
)
from scripts.peers.optimizers.adam import which

LIBRARIES = ("torch", "keras", "optax", "mlx", "jax", "scikit-learn")

RATES = [0.2, 0.2, 0.1, 0.1]
GRADIENTS = (1.0, -0.3, 0.5, 0.2)


def of_jax(make: Callable[..., Any]) -> Run:
    """Run an optimizer of JAX's example libraries."""

    def run(rates: list[float], gradient: Gradient) -> list[float]:
        steps = np.asarray(rates, dtype=np.float32)
        start, update, get = make(lambda i: steps[int(i)], BETA)
        state, found = start(np.ones(1, dtype=np.float32)), []
        for i in range(len(rates)):
            theta = float(np.asarray(get(state))[0])
            state = update(i, np.asarray([gradient(theta)], dtype=np.float32), state)
            found.append(float(np.asarray(get(state))[0]))
        return found

    return run


def of_sklearn(nesterov: bool) -> Run:
    """Run the optimizer of scikit-learn's multi-layer perceptrons."""

    def run(rates: list[float], gradient: Gradient) -> list[float]:
        theta = [np.ones(1)]
        optimizer = SGDOptimizer(theta, momentum=BETA, nesterov=nesterov)
        found = []
        for lr in rates:
            optimizer.learning_rate = lr
            optimizer.update_params(theta, [np.asarray([gradient(float(theta[0][0]))])])
            found.append(float(theta[0][0]))
        return found

    return run


def debiased(schedule: Any) -> optax.GradientTransformation:
    """Chain optax's moving average, as it is by default, and the learning rate."""
    return optax.chain(optax.ema(BETA), optax.scale_by_schedule(lambda n: -schedule(n)))


def path(run: Run) -> list[float]:
    """Run on the gradients, with a learning rate that is halved on the way."""
    given = iter(GRADIENTS)
    return run(RATES, lambda theta: next(given))


def formula(
    *,
    inside: bool = False,
    nesterov: bool = False,
    new: float = 1.0,
    first: float = 1.0,
    corrected: bool = False,
) -> list[float]:
    """Return θ after each step: v ← β v + new · g, the first gradient with the weight `first`."""
    theta, v, found = 1.0, 0.0, []
    for t, (lr, g) in enumerate(zip(RATES, GRADIENTS, strict=True), start=1):
        weight = (first if t == 1 else new) * (lr if inside else 1.0)
        v = BETA * v + weight * g
        step = BETA * v + weight * g if nesterov else v
        factor = 1.0 if inside else lr
        theta -= factor * step / ((1 - BETA**t) if corrected else 1.0)
        found.append(theta)
    return found


def velocity_words(run: Run) -> str:
    """Say what the velocity holds."""
    return which(
        path(run),
        {
            r"$v \leftarrow \beta v + g$, step $-\eta v$": formula(),
            r"$v \leftarrow \beta v - \eta g$, step $v$": formula(inside=True),
        },
    )


def nesterov_words(run: Run) -> str:
    """Say along what Nesterov momentum steps."""
    return which(
        path(run),
        {
            r"$-\eta\,(g + \beta v)$": formula(nesterov=True),
            r"$\beta v - \eta g$": formula(nesterov=True, inside=True),
        },
    )


def average_words(run: Run) -> str:
    """Say how a moving average of gradients starts."""
    share = 1 - BETA
    return which(
        path(run),
        {
            "the first gradient in full": formula(new=share),
            "from zero": formula(new=share, first=share),
            "from zero, corrected for it": formula(new=share, first=share, corrected=True),
        },
    )


def default(function: Callable[..., object], name: str = "momentum") -> str:
    """Say what the momentum is by default."""
    value = inspect.signature(function).parameters[name].default
    return "none" if value in (None, inspect.Parameter.empty) else f"{value:g}"


def which_convention() -> dict[str, tuple[str, ...]]:
    """Return default, velocity, Nesterov and moving average of each library."""
    sklearn = MLPRegressor().get_params()
    optax_sgd = optax.sgd
    return {
        "this package, `torch.optim.SGD`": (
            default(torch.optim.SGD),
            velocity_words(of_torch()),
            nesterov_words(of_torch(nesterov=True)),
            f"`dampening=β`: {average_words(of_torch(dampening=BETA))}",
        ),
        "Keras `SGD`": (
            default(keras.optimizers.SGD),
            velocity_words(of_keras()),
            nesterov_words(of_keras(nesterov=True)),
            "none",
        ),
        "optax `sgd`": (
            default(optax_sgd),
            velocity_words(of_optax(lambda lr: optax_sgd(lr, momentum=BETA))),
            nesterov_words(of_optax(lambda lr: optax_sgd(lr, momentum=BETA, nesterov=True))),
            f"`ema`: {average_words(of_optax(debiased))}",
        ),
        "MLX `SGD`": (
            default(mlx.optimizers.SGD),
            velocity_words(of_mlx()),
            nesterov_words(of_mlx(nesterov=True)),
            f"`dampening=β`: {average_words(of_mlx(dampening=BETA))}",
        ),
        "JAX `example_libraries`": (
            default(jax_optimizers.momentum, "mass"),
            velocity_words(of_jax(jax_optimizers.momentum)),
            nesterov_words(of_jax(jax_optimizers.nesterov)),
            "none",
        ),
        "scikit-learn `MLPRegressor(solver='sgd')`": (
            f"{sklearn['momentum']:g}, {'Nesterov' if sklearn['nesterovs_momentum'] else 'plain'}",
            velocity_words(of_sklearn(False)),
            nesterov_words(of_sklearn(True)),
            "none",
        ),
    }
