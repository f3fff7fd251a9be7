"""Which conventions of AdaGrad, RMSProp and Adadelta a library follows, found by running it.

Three steps on one parameter, with a large ε; the words are those of the only formula that fits.
"""

import inspect
from typing import Any

import jax.numpy as jnp
import keras
import mlx.core
import mlx.optimizers
import numpy as np
import optax
import torch
from jax.example_libraries import optimizers as jax_optimizers

from dlkb.optimizers.adadelta import adadelta, adadelta_init
from dlkb.optimizers.adagrad import adagrad, adagrad_init, rmsprop, rmsprop_init

LIBRARIES = ("torch", "keras", "optax", "mlx", "jax")

START, LR, RHO, EPS, MU = 1.0, 0.1, 0.6, 0.1, 0.5
GRADIENTS = (1.0, 0.1, 0.3)
RATES = (0.1, 0.2, 0.05)
"""The learning rate of each step, where it matters whether the momentum holds it."""


def formula(
    method: str,
    *,
    eps: float = EPS,
    inside: bool = False,
    start: float = 0.0,
    momentum: str = "",
) -> list[float]:
    """Return where the parameter is after each step, by the convention that the words name."""
    theta, v, u, b = START, start, 0.0, 0.0
    found = []
    for gradient, rate in zip(GRADIENTS, RATES if momentum else (LR,) * 3, strict=True):
        keep, weight = (1.0, 1.0) if method == "adagrad" else (RHO, 1 - RHO)
        v = keep * v + weight * gradient**2
        step = gradient / (np.sqrt(v + eps) if inside else np.sqrt(v) + eps)
        if method == "adadelta":
            step *= np.sqrt(u + eps) if inside else np.sqrt(u) + eps
            u = RHO * u + (1 - RHO) * step**2
        if momentum:
            b = MU * b + (rate * step if momentum == "inside" else step)
            step = b / rate if momentum == "inside" else b
        theta = theta - rate * step
        found.append(float(theta))
    return found


def which(found: list[float], conventions: dict[str, list[float]]) -> str:
    """Return the words of the only convention that gives these steps."""
    same = [words for words, steps in conventions.items() if np.allclose(found, steps, rtol=1e-5)]
    if len(same) != 1:
        raise LookupError(f"{len(same)} conventions give {found}: {same}")
    return same[0]


def number(value: float) -> str:
    """Return 1e-8 for 1e-08."""
    return f"{value:g}".replace("e-0", "e-")


def adagrad_words(steps: list[float], eps: float, start: float) -> str:
    """Say where AdaGrad's ε is, and from what its sum starts."""
    place = which(
        steps,
        {
            "outside": formula("adagrad", start=start),
            "inside": formula("adagrad", start=start, inside=True),
        },
    )
    return f"{number(eps)}, {place}; {number(start)}"


def rmsprop_words(steps: list[float], eps: float, decay: float) -> str:
    """Say where RMSProp's ε is, and how its average decays."""
    place = which(
        steps,
        {
            f"{where}{begin}": formula("rmsprop", inside=inside, start=start)
            for where, inside in (("outside", False), ("inside", True))
            for begin, start in (("", 0.0), (", average from 1", 1.0))
        },
    )
    return f"{number(eps)}, {place}; {number(decay)}"


def momentum_words(steps: list[float], *, inside: bool) -> str:
    """Say whether the momentum holds steps or directions."""
    kinds = {"times lr afterwards": "outside", "of steps, lr included": "inside"}
    options = {key: formula("rmsprop", inside=inside, momentum=at) for key, at in kinds.items()}
    return which(steps, options)


def adadelta_words(steps: list[float], eps: float, lr: float | str) -> str:
    """Say where Adadelta's ε is, and its learning rate, or what there is for one."""
    options = {"inside": formula("adadelta", inside=True), "outside": formula("adadelta")}
    place = which(steps, options)
    return f"{number(eps)}, {place}; {lr if isinstance(lr, str) else number(lr)}"


def default(function: Any, name: str) -> Any:
    """Return the default of an argument, or the words that it must be given."""
    value = inspect.signature(function).parameters[name].default
    return "must be given" if value is inspect.Parameter.empty else value


def ours(rule: Any, rates: tuple[float, ...] = (LR,) * 3, **options: Any) -> list[float]:
    """Run a formula of this package."""
    theta, found = np.array([START]), []
    if rule is rmsprop:
        state: Any = rmsprop_init(theta, momentum="momentum" in options)
    else:
        state = adagrad_init(theta) if rule is adagrad else adadelta_init(theta)
    for gradient, lr in zip(GRADIENTS, rates, strict=True):
        theta, state = rule(theta, np.array([gradient]), state, lr=lr, eps=EPS, **options)
        found.append(float(theta[0]))
    return found


def of_torch(kind: Any, rates: tuple[float, ...] = (LR,) * 3, **options: Any) -> list[float]:
    """Run an optimizer of PyTorch."""
    theta = torch.tensor([START], dtype=torch.float64, requires_grad=True)
    optimizer, found = kind([theta], lr=LR, eps=EPS, **options), []
    for gradient, lr in zip(GRADIENTS, rates, strict=True):
        optimizer.param_groups[0]["lr"] = lr
        theta.grad = torch.tensor([gradient], dtype=torch.float64)
        optimizer.step()
        found.append(theta.item())
    return found


def of_keras(kind: Any, rates: tuple[float, ...] = (LR,) * 3, **options: Any) -> list[float]:
    """Run an optimizer of Keras."""
    theta, found = keras.Variable([START]), []
    optimizer = kind(learning_rate=LR, epsilon=EPS, **options)
    for gradient, lr in zip(GRADIENTS, rates, strict=True):
        optimizer.learning_rate = lr
        optimizer.apply([keras.ops.convert_to_tensor([gradient])], [theta])
        found.append(float(theta.numpy()[0]))
    return found


def of_optax(transform: optax.GradientTransformation) -> list[float]:
    """Run a transformation of optax."""
    theta, found = np.array([START], dtype=np.float32), []
    state = transform.init(theta)
    for gradient in GRADIENTS:
        update, state = transform.update(np.array([gradient], dtype=np.float32), state, theta)
        theta = optax.apply_updates(theta, update)
        found.append(float(theta[0]))
    return found


def of_mlx(optimizer: mlx.optimizers.Optimizer) -> list[float]:
    """Run an optimizer of MLX."""
    theta, found = {"theta": mlx.core.array([START])}, []
    for gradient in GRADIENTS:
        theta = optimizer.apply_gradients({"theta": mlx.core.array([gradient])}, theta)
        found.append(float(theta["theta"][0]))
    return found


def of_jax(triple: Any) -> list[float]:
    """Run an optimizer of JAX's examples."""
    start, update, read = triple
    state, found = start(jnp.array([START])), []
    for i, gradient in enumerate(GRADIENTS):
        state = update(i, jnp.array([gradient]), state)
        found.append(float(read(state)[0]))
    return found


def schedule(i: Any) -> Any:
    """Return the learning rate of step i for optax and JAX."""
    return jnp.asarray(RATES)[i]


def words(run: Any, kinds: tuple[Any, ...], names: tuple[str, ...], **momentum: Any) -> Any:
    """Return the words of a library whose three optimizers are classes, or formulas, alike."""
    sums, squares, units = kinds
    eps, rms_decay, decay, lr, start = names
    defaults = adagrad_init if sums is adagrad else sums
    return (
        adagrad_words(run(sums), default(sums, eps), default(defaults, start)),
        rmsprop_words(
            run(squares, **{rms_decay: RHO}), default(squares, eps), default(squares, rms_decay)
        ),
        momentum_words(run(squares, RATES, **{rms_decay: RHO}, momentum=MU), **momentum),
        adadelta_words(run(units, **{decay: RHO}), default(units, eps), default(units, lr)),
    )


def of_optax_words() -> tuple[str, ...]:
    """Return the words of optax; its RMSProp can do both."""
    rms = rmsprop_words(
        of_optax(optax.rmsprop(LR, decay=RHO, eps=EPS)),
        default(optax.rmsprop, "eps"),
        default(optax.rmsprop, "decay"),
    )
    other = of_optax(optax.rmsprop(LR, decay=RHO, eps=EPS, eps_in_sqrt=False))
    if np.allclose(other, formula("rmsprop"), rtol=1e-5):
        rms += "; `eps_in_sqrt=False` puts it outside"
    return (
        adagrad_words(
            of_optax(optax.adagrad(LR, eps=EPS)),
            default(optax.adagrad, "eps"),
            default(optax.adagrad, "initial_accumulator_value"),
        ),
        rms,
        momentum_words(
            of_optax(optax.rmsprop(schedule, decay=RHO, eps=EPS, momentum=MU)), inside=True
        ),
        adadelta_words(
            of_optax(optax.adadelta(LR, rho=RHO, eps=EPS)),
            default(optax.adadelta, "eps"),
            "**uphill** without lr" if of_optax(optax.adadelta())[0] > START else "downhill",
        ),
    )


def of_mlx_words() -> tuple[str, ...]:
    """Return the words of MLX."""
    kinds = mlx.optimizers
    if "momentum" in inspect.signature(kinds.RMSprop).parameters:
        raise LookupError("MLX's RMSprop has a momentum: run it")
    return (
        adagrad_words(of_mlx(kinds.Adagrad(LR, eps=EPS)), default(kinds.Adagrad, "eps"), 0),
        rmsprop_words(
            of_mlx(kinds.RMSprop(LR, alpha=RHO, eps=EPS)),
            default(kinds.RMSprop, "eps"),
            default(kinds.RMSprop, "alpha"),
        ),
        "none",
        adadelta_words(
            of_mlx(kinds.AdaDelta(LR, rho=RHO, eps=EPS)),
            default(kinds.AdaDelta, "eps"),
            default(kinds.AdaDelta, "learning_rate"),
        ),
    )


def of_jax_words() -> tuple[str, ...]:
    """Return the words of JAX's examples, whose AdaGrad has no ε, but a momentum."""
    plain = of_jax(jax_optimizers.adagrad(LR, momentum=0.0))
    if not np.allclose(plain, formula("adagrad", eps=0.0), rtol=1e-5):
        raise LookupError(f"another AdaGrad than expected: {plain}")
    if hasattr(jax_optimizers, "adadelta"):
        raise LookupError("JAX's examples have Adadelta: run it")
    return (
        f"none; 0; momentum {number(default(jax_optimizers.adagrad, 'momentum'))}",
        rmsprop_words(
            of_jax(jax_optimizers.rmsprop(LR, gamma=RHO, eps=EPS)),
            default(jax_optimizers.rmsprop, "eps"),
            default(jax_optimizers.rmsprop, "gamma"),
        ),
        momentum_words(
            of_jax(jax_optimizers.rmsprop_momentum(schedule, gamma=RHO, eps=EPS, momentum=MU)),
            inside=True,
        ),
        "none",
    )


def which_convention() -> dict[str, tuple[str, ...]]:
    """Return ε and start of AdaGrad, ε, decay and momentum of RMSProp, ε and lr of Adadelta."""
    names = ("eps", "alpha", "rho", "lr", "initial_accumulator_value")
    here = words(ours, (adagrad, rmsprop, adadelta), names, inside=False)
    kinds = torch.optim
    theirs = words(of_torch, (kinds.Adagrad, kinds.RMSprop, kinds.Adadelta), names, inside=False)
    if here != theirs:
        raise LookupError(f"this package and torch differ: {here}, {theirs}")
    others = keras.optimizers
    return {
        "this package, `torch.optim`": theirs,
        "Keras": words(
            of_keras,
            (others.Adagrad, others.RMSprop, others.Adadelta),
            ("epsilon", "rho", "rho", "learning_rate", "initial_accumulator_value"),
            inside=True,
        ),
        "optax": of_optax_words(),
        "MLX": of_mlx_words(),
        "JAX, `example_libraries`": of_jax_words(),
    }
