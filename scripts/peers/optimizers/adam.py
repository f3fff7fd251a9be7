"""Which convention of Adam a library follows, found by running it.

Each cell is decided alike: two or three steps on one parameter, with settings under which the
conventions differ, and the words of the only formula that gives the same steps.
"""

import inspect
from collections.abc import Callable, Sequence
from functools import partial

import keras
import mlx.core
import mlx.optimizers
import numpy as np
import optax
import torch

from dlkb.optimizers.adam import adam, adam_init

LIBRARIES = ("torch", "keras", "optax", "mlx")

START, LR, BETAS = 1.0, 0.1, (0.5, 0.6)
GRADIENTS = (1.0, 0.1, 0.2)  # the first is the largest: AMSGrad's maximum stays at it

Steps = Callable[..., list[float]]


def formula(
    *,
    eps: float = 1e-12,
    eps_on: str = "corrected",
    maximum_of: str | None = None,
    corrects: bool = True,
    coupled: float = 0.0,
    decoupled: float = 0.0,
) -> list[float]:
    """Return where the parameter is after each step, by the convention that the words name."""
    theta, m, v, largest = START, 0.0, 0.0, 0.0
    found = []
    for t, gradient in enumerate(GRADIENTS, start=1):
        g = gradient + coupled * theta
        m = BETAS[0] * m + (1 - BETAS[0]) * g
        v = BETAS[1] * v + (1 - BETAS[1]) * g**2
        first, second = (1 - BETAS[0] ** t, 1 - BETAS[1] ** t) if corrects else (1.0, 1.0)
        v_hat = v / second
        if maximum_of:
            largest = max(largest, v_hat if maximum_of == "corrected" else v)
            v_hat = largest / (second if maximum_of == "raw" else 1.0)
        eps_here = eps / np.sqrt(second) if eps_on == "raw" else eps
        root = np.sqrt(v_hat + eps) if eps_on == "inside" else np.sqrt(v_hat) + eps_here
        theta = theta - LR * decoupled * theta - LR * m / first / root
        found.append(float(theta))
    return found


def which(found: list[float], conventions: dict[str, list[float]]) -> str:
    """Return the words of the only convention that gives these steps."""
    same = [words for words, steps in conventions.items() if np.allclose(found, steps, rtol=1e-5)]
    if len(same) != 1:
        raise LookupError(f"{len(same)} conventions give {found}: {same}")
    return same[0]


def eps_words(steps: Steps, default: float) -> str:
    """Say which ε is the default and where it is added."""
    eps = 0.1
    return f"{default:.0e}, ".replace("e-0", "e-") + which(
        steps(eps=eps),
        {
            "added to the corrected root": formula(eps=eps),
            r"added to the root of the **raw** $v$ (the paper's $\hat\epsilon$)": formula(
                eps=eps, eps_on="raw"
            ),
            "added inside the root": formula(eps=eps, eps_on="inside"),
            "added to the root; no bias correction by default": formula(eps=eps, corrects=False),
        },
    )


def maximum_words(steps: Steps) -> str:
    """Say of what AMSGrad takes the maximum."""
    return which(
        steps(amsgrad=True),
        {
            "of the raw $v$, corrected afterwards": formula(maximum_of="raw"),
            "of the **corrected** $v$": formula(maximum_of="corrected"),
            "of the raw $v$, not corrected": formula(maximum_of="uncorrected"),
        },
    )


def decay_words(steps: Steps) -> str:
    """Say what `weight_decay` does."""
    decay = 0.3
    return which(
        steps(weight_decay=decay),
        {
            "added to the gradient (coupled)": formula(coupled=decay),
            "decoupled": formula(decoupled=decay),
        },
    )


def option(function: Callable[..., object], name: str) -> str:
    """Say whether a function has an argument of this name."""
    return f"`{name}`" if name in inspect.signature(function).parameters else "none"


def ours(*, eps: float = 1e-12, amsgrad: bool = False, weight_decay: float = 0.0) -> list[float]:
    """Run this package's formula."""
    theta = np.array([START])
    state = adam_init(theta, amsgrad=amsgrad)
    found = []
    for gradient in GRADIENTS:
        grad = np.array([gradient])
        theta, state = adam(
            theta, grad, state, lr=LR, betas=BETAS, eps=eps, weight_decay=weight_decay
        )
        found.append(float(theta[0]))
    return found


def of_torch(*, eps: float = 1e-12, amsgrad: bool = False, weight_decay: float = 0) -> list[float]:
    """Run PyTorch's."""
    theta = torch.tensor([START], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam(
        [theta], lr=LR, betas=BETAS, eps=eps, amsgrad=amsgrad, weight_decay=weight_decay
    )
    found = []
    for gradient in GRADIENTS:
        theta.grad = torch.tensor([gradient], dtype=torch.float64)
        optimizer.step()
        found.append(theta.item())
    return found


def keras_steps(optimizer: keras.optimizers.Optimizer, gradients: Sequence[float]) -> list[float]:
    """Run an optimizer of Keras."""
    theta = keras.Variable([START])
    found = []
    for gradient in gradients:
        optimizer.apply([keras.ops.convert_to_tensor([gradient])], [theta])
        found.append(float(theta.numpy()[0]))
    return found


def of_keras(
    *, eps: float = 1e-12, amsgrad: bool = False, weight_decay: float | None = None
) -> list[float]:
    """Run Keras's Adam."""
    kind = keras.optimizers.Adam(
        LR, *BETAS, epsilon=eps, amsgrad=amsgrad, weight_decay=weight_decay
    )
    return keras_steps(kind, GRADIENTS)


def keras_decays_alike() -> bool:
    """Whether the other optimizers of Keras, without a gradient, shrink the parameter alike."""
    kinds = keras.optimizers
    others = (
        partial(kinds.SGD, momentum=0.9),
        kinds.RMSprop,
        kinds.Adagrad,
        kinds.Adadelta,
        kinds.Adamax,
        kinds.Nadam,
        kinds.Lion,
    )
    wanted = [START * (1 - LR * 0.3) ** k for k in (1, 2, 3)]
    found = [keras_steps(kind(learning_rate=LR, weight_decay=0.3), [0.0] * 3) for kind in others]
    return bool(np.allclose(found, wanted, rtol=1e-5))


def optax_steps(transform: optax.GradientTransformation) -> list[float]:
    """Run a transformation of optax."""
    theta = np.array([START], dtype=np.float32)
    state = transform.init(theta)
    found = []
    for gradient in GRADIENTS:
        update, state = transform.update(np.array([gradient], dtype=np.float32), state, theta)
        theta = optax.apply_updates(theta, update)
        found.append(float(theta[0]))
    return found


def of_optax(
    *,
    eps: float = 1e-12,
    eps_root: float = 0.0,
    amsgrad: bool = False,
    weight_decay: float | None = None,
) -> list[float]:
    """Run optax's Adam or AMSGrad, with its decay chained in front."""
    kind = optax.amsgrad if amsgrad else optax.adam
    transform = kind(LR, *BETAS, eps=eps, eps_root=eps_root)
    if weight_decay is None:
        return optax_steps(transform)
    return optax_steps(optax.chain(optax.add_decayed_weights(weight_decay), transform))


def of_mlx(*, eps: float = 1e-12, weight_decay: float | None = None) -> list[float]:
    """Run MLX's Adam, or its AdamW where there is a decay."""
    options = {"betas": list(BETAS), "eps": eps}
    if weight_decay is None:
        optimizer = mlx.optimizers.Adam(LR, **options)
    else:
        optimizer = mlx.optimizers.AdamW(LR, weight_decay=weight_decay, **options)
    theta = {"theta": mlx.core.array([START])}
    found = []
    for gradient in GRADIENTS:
        theta = optimizer.apply_gradients({"theta": mlx.core.array([gradient])}, theta)
        found.append(float(theta["theta"][0]))
    return found


def which_convention() -> dict[str, tuple[str, ...]]:
    """Return ε, AMSGrad's maximum and `weight_decay` of each library."""
    torch_eps = torch.optim.Adam([torch.zeros(1)]).defaults["eps"]
    our_eps = inspect.signature(adam).parameters["eps"].default
    here, theirs = (
        (eps_words(steps, default), maximum_words(steps), decay_words(steps))
        for steps, default in ((ours, our_eps), (of_torch, torch_eps))
    )
    if here != theirs:
        raise LookupError(f"this package and torch differ: {here}, {theirs}")
    optax_eps = inspect.signature(optax.adam).parameters["eps"].default
    inside = np.allclose(of_optax(eps_root=0.1), formula(eps=0.1, eps_on="inside"), rtol=1e-5)
    mlx_adam = mlx.optimizers.Adam
    mlx_decays = np.allclose(
        of_mlx(weight_decay=0.3), formula(corrects=False, decoupled=0.3), rtol=1e-5
    )
    return {
        "this package, `torch.optim.Adam`": theirs,
        "Keras": (
            eps_words(of_keras, keras.optimizers.Adam().epsilon),
            maximum_words(of_keras),
            decay_words(of_keras)
            + (", in the other optimizers too" if keras_decays_alike() else ""),
        ),
        "optax `adam`, `amsgrad`": (
            eps_words(of_optax, optax_eps) + ("; `eps_root` inside the root" if inside else ""),
            maximum_words(of_optax),
            f"{option(optax.adam, 'weight_decay')}; `add_decayed_weights` before it: "
            f"{decay_words(of_optax)}",
        ),
        "MLX": (
            eps_words(of_mlx, mlx_adam(LR).eps),
            option(mlx_adam, "amsgrad"),
            option(mlx_adam, "weight_decay") + ("; in `AdamW` decoupled" if mlx_decays else ""),
        ),
    }
