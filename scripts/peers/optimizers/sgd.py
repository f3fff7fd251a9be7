"""What plain SGD means in a library, found by running it."""

import inspect
from collections.abc import Callable

import keras
import mlx.core
import mlx.optimizers
import numpy as np
import optax
import torch
from sklearn.linear_model import SGDRegressor

from dlkb.optimizers.momentum import momentum

LIBRARIES = ("torch", "keras", "optax", "mlx", "scikit-learn")

START, LR, BETA, DECAY = 1.0, 0.1, 0.9, 0.5
GRADIENTS = (1.0, -0.5, 0.25)

Steps = Callable[[float], list[float]]
"""Takes `weight_decay`; returns θ after each step, under momentum."""


def of_torch(decay: float) -> list[float]:
    """Run PyTorch's."""
    theta = torch.tensor([START], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([theta], lr=LR, momentum=BETA, weight_decay=decay)
    found = []
    for gradient in GRADIENTS:
        theta.grad = torch.tensor([gradient], dtype=torch.float64)
        optimizer.step()
        found.append(theta.item())
    return found


def of_keras(decay: float) -> list[float]:
    """Run Keras's."""
    optimizer = keras.optimizers.SGD(LR, momentum=BETA, weight_decay=decay)
    theta, found = keras.Variable([START]), []
    for gradient in GRADIENTS:
        optimizer.apply([keras.ops.convert_to_tensor([gradient])], [theta])
        found.append(float(theta.numpy()[0]))
    return found


def of_mlx(decay: float) -> list[float]:
    """Run MLX's."""
    optimizer = mlx.optimizers.SGD(LR, momentum=BETA, weight_decay=decay)
    theta, found = {"theta": mlx.core.array([START])}, []
    for gradient in GRADIENTS:
        theta = optimizer.apply_gradients({"theta": mlx.core.array([gradient])}, theta)
        found.append(float(theta["theta"][0]))
    return found


def of_optax(decay: float) -> list[float]:
    """Run optax's, with its decay in front."""
    transform = optax.chain(optax.add_decayed_weights(decay), optax.sgd(LR, momentum=BETA))
    theta = np.asarray([START], dtype=np.float32)
    state, found = transform.init(theta), []
    for gradient in GRADIENTS:
        update, state = transform.update(np.asarray([gradient], dtype=np.float32), state, theta)
        theta = np.asarray(optax.apply_updates(theta, update))
        found.append(float(theta[0]))
    return found


def formula(coupled: float, decoupled: float) -> list[float]:
    """Run this package's, with a decay in the gradient or beside the step."""
    theta, velocity, found = np.asarray([START]), None, []
    for gradient in GRADIENTS:
        shrunk = theta * (1 - LR * decoupled)
        grad = np.asarray([gradient])
        new, velocity = momentum(theta, grad, velocity, lr=LR, momentum=BETA, weight_decay=coupled)
        theta = shrunk + (new - theta)
        found.append(float(theta[0]))
    return found


def decay_words(steps: Steps) -> str:
    """Say which of the two decays a library's is."""
    words = {
        "added to the gradient": formula(DECAY, 0.0),
        "decoupled: θ shrinks beside the step": formula(0.0, DECAY),
    }
    same = [word for word, found in words.items() if np.allclose(found, steps(DECAY), rtol=1e-5)]
    if len(same) != 1:
        raise LookupError(f"{len(same)} decays give {steps(DECAY)}: {same}")
    return same[0]


def lr_words(function: Callable[..., object]) -> str:
    """Say what the learning rate is by default."""
    name = "lr" if "lr" in inspect.signature(function).parameters else "learning_rate"
    default = inspect.signature(function).parameters[name].default
    return "none" if default is inspect.Parameter.empty else f"{default:g}"


def loader_words() -> str:
    """Say in which order PyTorch's loader goes through the examples."""
    order = torch.cat(list(torch.utils.data.DataLoader(torch.arange(100), batch_size=10)))
    return "`DataLoader`: as stored" if order.tolist() == list(range(100)) else "shuffled"


def which_convention() -> dict[str, tuple[str, ...]]:
    """Return learning rate, decay and order of examples of each library."""
    sklearn = SGDRegressor().get_params()
    falls = sklearn["learning_rate"] == "invscaling"
    shuffles = inspect.signature(keras.Model.fit).parameters["shuffle"].default
    no_decay = "weight_decay" not in inspect.signature(optax.sgd).parameters
    return {
        "`torch.optim.SGD`": (lr_words(torch.optim.SGD), decay_words(of_torch), loader_words()),
        "Keras `SGD`": (
            lr_words(keras.optimizers.SGD),
            decay_words(of_keras),
            f"`fit`: {'shuffled each epoch' if shuffles else 'as stored'}",
        ),
        "optax `sgd`": (
            lr_words(optax.sgd),
            ("none; `add_decayed_weights` before it: " if no_decay else "") + decay_words(of_optax),
            "no loader",
        ),
        "MLX `SGD`": (lr_words(mlx.optimizers.SGD), decay_words(of_mlx), "no loader"),
        "scikit-learn `SGDRegressor`": (
            f"{sklearn['eta0']:g}" + (f" $t^{{-{sklearn['power_t']:g}}}$" if falls else ""),
            f"no momentum; `{sklearn['penalty']}` of {sklearn['alpha']:g} by default",
            "shuffled each epoch" if sklearn["shuffle"] else "as stored",
        ),
    }
