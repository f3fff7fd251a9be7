"""What a step of AdamW takes away from a weight in each library, found by running it.

Three steps on one parameter; the words are those of the only formula that gives the same steps.
"""

import inspect
from collections.abc import Callable

import keras
import mlx.core
import mlx.optimizers
import numpy as np
import optax
import torch
from torch import nn
from transformers import Trainer, TrainingArguments

from dlkb.optimizers.adam import adam, adam_init
from dlkb.optimizers.adamw import adamw

LIBRARIES = ("torch", "keras", "optax", "mlx", "transformers")

LR, DECAY, BETAS = 0.1, 0.3, (0.5, 0.6)
GRADIENTS = (1.0, 0.1, -0.2)
COUPLED = "nothing: λθ is added to the gradient"


def formulas(*, corrects: bool = True) -> dict[str, list[float]]:
    """Return where one parameter is after each step, by convention."""
    found: dict[str, list[float]] = {"ηλθ": [], "λθ": [], COUPLED: []}
    for words, places in found.items():
        theta, m, v = 1.0, 0.0, 0.0
        for t, gradient in enumerate(GRADIENTS, start=1):
            g = gradient + DECAY * theta if words == COUPLED else gradient
            m = BETAS[0] * m + (1 - BETAS[0]) * g
            v = BETAS[1] * v + (1 - BETAS[1]) * g**2
            first, second = (1 - BETAS[0] ** t, 1 - BETAS[1] ** t) if corrects else (1.0, 1.0)
            taken = {"ηλθ": LR * DECAY * theta, "λθ": DECAY * theta}.get(words, 0.0)
            theta = theta - taken - LR * m / first / np.sqrt(v / second)
            places.append(float(theta))
    return found


def which(places: list[float], conventions: dict[str, list[float]]) -> str:
    """Return the words of the only convention that gives these places."""
    same = [words for words, theirs in conventions.items() if np.allclose(places, theirs, 1e-5)]
    if len(same) != 1:
        raise LookupError(f"{len(same)} conventions give {places}: {same}")
    return same[0]


def ours() -> list[float]:
    """Run this package's formula."""
    theta = np.ones(1)
    state = adam_init(theta)
    places = []
    for gradient in GRADIENTS:
        theta, state = adamw(
            theta, np.full(1, gradient), state, lr=LR, betas=BETAS, eps=1e-12, weight_decay=DECAY
        )
        places.append(float(theta[0]))
    return places


def of_torch(kind: Callable[..., torch.optim.Optimizer], **options: object) -> list[float]:
    """Run an optimizer of PyTorch; the parameter has one axis, as a bias has."""
    theta = nn.Parameter(torch.ones(1, dtype=torch.float64))
    optimizer = kind([theta], lr=LR, weight_decay=DECAY, **options)
    places = []
    for gradient in GRADIENTS:
        theta.grad = torch.full((1,), gradient, dtype=torch.float64)
        optimizer.step()
        places.append(theta.item())
    return places


def sgd_words() -> str:
    """Say what momentum descent of PyTorch does: a coupled penalty passes through the velocity."""
    found: dict[str, list[float]] = {"ηλθ": [], COUPLED: []}
    for words, places in found.items():
        theta, velocity = 1.0, 0.0
        for gradient in GRADIENTS:
            g = gradient + DECAY * theta if words == COUPLED else gradient
            velocity = 0.5 * velocity + g
            theta = theta * (1 - LR * DECAY if words == "ηλθ" else 1.0) - LR * velocity
            places.append(theta)
    return which(of_torch(torch.optim.SGD, momentum=0.5), found)


def of_keras(name: str = "kernel", *, exclude: bool = False) -> list[float]:
    """Run Keras's AdamW on a variable of this name, and another, since all excluded fails."""
    theta, other = keras.Variable([1.0], name=name), keras.Variable([1.0], name="other")
    optimizer = keras.optimizers.AdamW(LR, DECAY, *BETAS, epsilon=1e-12)
    if exclude:
        optimizer.exclude_from_weight_decay(var_names=[name])
    places = []
    for gradient in GRADIENTS:
        optimizer.apply([keras.ops.convert_to_tensor([gradient])] * 2, [theta, other])
        places.append(float(theta.numpy()[0]))
    return places


def of_optax(*, mask: bool | None = None) -> list[float]:
    """Run optax's adamw."""
    theta = np.ones(1, dtype=np.float32)
    transform = optax.adamw(LR, *BETAS, eps=1e-12, weight_decay=DECAY, mask=mask)
    state = transform.init(theta)
    places = []
    for gradient in GRADIENTS:
        update, state = transform.update(np.full(1, gradient, dtype=np.float32), state, theta)
        theta = optax.apply_updates(theta, update)
        places.append(float(theta[0]))
    return places


def of_mlx() -> list[float]:
    """Run MLX's AdamW."""
    optimizer = mlx.optimizers.AdamW(LR, list(BETAS), 1e-12, DECAY)
    theta = {"bias": mlx.core.array([1.0])}
    places = []
    for gradient in GRADIENTS:
        theta = optimizer.apply_gradients({"bias": mlx.core.array([gradient])}, theta)
        places.append(float(theta["bias"][0]))
    return places


def plain() -> list[float]:
    """Run Adam without decay."""
    theta = np.ones(1)
    state = adam_init(theta)
    places = []
    for gradient in GRADIENTS:
        theta, state = adam(theta, np.full(1, gradient), state, lr=LR, betas=BETAS, eps=1e-12)
        places.append(float(theta[0]))
    return places


def default(function: Callable[..., object]) -> str:
    """Return the default of `weight_decay`."""
    return f"{inspect.signature(function).parameters['weight_decay'].default:g}"


def trainer_leaves_out() -> str:
    """Say which parameters the Trainer of Transformers does not decay."""
    model = nn.ModuleDict(
        {
            "embeddings": nn.Embedding(2, 2),
            "dense": nn.Linear(2, 2),
            "layer": nn.LayerNorm(2),
            "batch": nn.BatchNorm1d(2),
            "norm": nn.BatchNorm1d(2),
            "rms": nn.RMSNorm(2),
            "q_norm": nn.RMSNorm(2),
        }
    )
    decayed = set(Trainer.get_decay_parameter_names(None, model))
    if decayed == {"embeddings.weight", "dense.weight", "batch.weight", "rms.weight"}:
        return "biases, `LayerNorm`, names such as `norm`"
    raise LookupError(f"the Trainer decays {decayed}")


def which_convention() -> dict[str, tuple[str, ...]]:
    """Return what a step takes away, the default λ, and what is left out, of each library."""
    ways, without = formulas(), plain()
    torch_words = which(of_torch(torch.optim.AdamW, betas=BETAS, eps=1e-12), ways)
    if which(ours(), ways) != torch_words or default(adamw) != default(torch.optim.AdamW):
        raise LookupError("this package and torch differ")
    adam_words = which(of_torch(torch.optim.Adam, betas=BETAS, eps=1e-12), ways)
    if adam_words != sgd_words() or default(torch.optim.Adam) != default(torch.optim.SGD):
        raise LookupError("Adam and SGD of torch differ")
    excludes = np.allclose(of_keras(exclude=True), without, rtol=1e-5)
    masks = np.allclose(of_optax(mask=False), without, rtol=1e-5)
    arguments = TrainingArguments(output_dir="unused", report_to=[])
    if arguments.optim not in ("adamw_torch", "adamw_torch_fused"):
        raise LookupError(f"the Trainer takes {arguments.optim}")
    return {
        "this package, `torch.optim.AdamW`": (
            torch_words,
            default(torch.optim.AdamW),
            "nothing: use groups",
        ),
        "`torch.optim.Adam`, `SGD`": (
            adam_words,
            default(torch.optim.Adam),
            "nothing: use groups",
        ),
        "Keras `AdamW`": (
            which(of_keras("bias"), ways),
            default(keras.optimizers.AdamW),
            "nothing" + ("; `exclude_from_weight_decay`" if excludes else ""),
        ),
        "optax `adamw`": (
            which(of_optax(), ways),
            default(optax.adamw),
            "nothing" + ("; `mask`" if masks else ""),
        ),
        "MLX `AdamW`": (
            which(of_mlx(), formulas(corrects=False)),
            default(mlx.optimizers.AdamW),
            "nothing",
        ),
        "Trainer of Hugging Face": (
            torch_words,
            f"{arguments.weight_decay:g}",
            trainer_leaves_out(),
        ),
    }
