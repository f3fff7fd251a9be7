"""What momentum means in a library, found by running it on three gradients."""

import inspect
from collections.abc import Callable
from typing import Any

import jax.example_libraries.optimizers as jax_optimizers
import keras
import mlx.core
import mlx.optimizers
import numpy as np
import optax
import torch
from sklearn.neural_network import MLPRegressor
from sklearn.neural_network._stochastic_optimizers import SGDOptimizer

LIBRARIES = ("torch", "keras", "optax", "mlx", "jax", "scikit-learn")

BETA = 0.9
RATES = (0.2, 0.2, 0.1, 0.1)
GRADIENTS = (1.0, -0.3, 0.5, 0.2)
STEPS = list(zip(RATES, GRADIENTS, strict=True))
"""The learning rate is halved on the way: the forms of the velocity differ by what follows."""


def of_torch(**options: Any) -> list[float]:
    """Run `torch.optim.SGD` from θ = 1; return θ after each step."""
    theta = torch.ones(1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([theta], lr=1.0, momentum=BETA, **options)
    found = []
    for lr, gradient in STEPS:
        optimizer.param_groups[0]["lr"] = lr
        theta.grad = torch.tensor([gradient], dtype=torch.float64)
        optimizer.step()
        found.append(theta.item())
    return found


def of_keras(**options: Any) -> list[float]:
    """Run Keras's `SGD`."""
    theta, found = keras.Variable([1.0]), []
    optimizer = keras.optimizers.SGD(1.0, momentum=BETA, **options)
    for lr, gradient in STEPS:
        optimizer.learning_rate = lr
        optimizer.apply([keras.ops.convert_to_tensor([gradient])], [theta])
        found.append(float(theta.numpy()[0]))
    return found


def of_optax(make: Callable[[Any], optax.GradientTransformation]) -> list[float]:
    """Run a transformation of optax that is made from a schedule."""
    rates = np.asarray(RATES, dtype=np.float32)
    transform = make(lambda count: rates[int(count)])
    theta, found = np.ones(1, dtype=np.float32), []
    state = transform.init(theta)
    for gradient in GRADIENTS:
        update, state = transform.update(np.asarray([gradient], dtype=np.float32), state, theta)
        theta = np.asarray(optax.apply_updates(theta, update))
        found.append(float(theta[0]))
    return found


def of_mlx(**options: Any) -> list[float]:
    """Run MLX's `SGD`."""
    optimizer = mlx.optimizers.SGD(1.0, momentum=BETA, **options)
    theta, found = {"theta": mlx.core.array([1.0])}, []
    for lr, gradient in STEPS:
        optimizer.learning_rate = lr
        theta = optimizer.apply_gradients({"theta": mlx.core.array([gradient])}, theta)
        found.append(float(theta["theta"][0]))
    return found


def of_jax(make: Callable[..., Any]) -> list[float]:
    """Run an optimizer of JAX's example libraries."""
    rates = np.asarray(RATES, dtype=np.float32)
    start, update, get = make(lambda i: rates[int(i)], BETA)
    state, found = start(np.ones(1, dtype=np.float32)), []
    for i, gradient in enumerate(GRADIENTS):
        state = update(i, np.asarray([gradient], dtype=np.float32), state)
        found.append(float(np.asarray(get(state))[0]))
    return found


def of_sklearn(nesterov: bool) -> list[float]:
    """Run the optimizer of scikit-learn's multi-layer perceptrons."""
    theta, found = [np.ones(1)], []
    optimizer = SGDOptimizer(theta, momentum=BETA, nesterov=nesterov)
    for lr, gradient in STEPS:
        optimizer.learning_rate = lr
        optimizer.update_params(theta, [np.asarray([gradient])])
        found.append(float(theta[0][0]))
    return found


def debiased(schedule: Any) -> optax.GradientTransformation:
    """Chain optax's moving average, as it is by default, and the learning rate."""
    return optax.chain(optax.ema(BETA), optax.scale_by_schedule(lambda n: -schedule(n)))


def which(found: list[float], conventions: dict[str, list[float]]) -> str:
    """Return the words of the only convention that gives these steps."""
    same = [words for words, steps in conventions.items() if np.allclose(found, steps, rtol=1e-5)]
    if len(same) != 1:
        raise LookupError(f"{len(same)} conventions give {found}: {same}")
    return same[0]


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
    for t, (lr, g) in enumerate(STEPS, start=1):
        weight = (first if t == 1 else new) * (lr if inside else 1.0)
        v = BETA * v + weight * g
        step = BETA * v + weight * g if nesterov else v
        factor = 1.0 if inside else lr
        theta -= factor * step / ((1 - BETA**t) if corrected else 1.0)
        found.append(theta)
    return found


def velocity_words(found: list[float]) -> str:
    """Say what the velocity holds."""
    return which(
        found,
        {
            r"$v \leftarrow \beta v + g$, step $-\eta v$": formula(),
            r"$v \leftarrow \beta v - \eta g$, step $v$": formula(inside=True),
        },
    )


def nesterov_words(found: list[float]) -> str:
    """Say along what Nesterov momentum steps."""
    return which(
        found,
        {
            r"$-\eta\,(g + \beta v)$": formula(nesterov=True),
            r"$\beta v - \eta g$": formula(nesterov=True, inside=True),
        },
    )


def average_words(found: list[float]) -> str:
    """Say how a moving average of gradients starts."""
    share = 1 - BETA
    return which(
        found,
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
