"""How libraries lay out weights and draw them, found by building layers and drawing.

Each cell is decided by numbers: the shape of a layer that was built, the standard deviation of a
draw, and how much of it lies beyond two standard deviations of the normal that was cut.
"""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import keras
import numpy as np
import torch
from jax.nn import initializers
from numpy.typing import NDArray
from torch import nn

LIBRARIES = ("torch", "keras", "jax")

Weights = NDArray[np.float64]
Draw = Callable[[tuple[int, ...]], Weights]

SMALL, LARGE = 200, 800
"""Two sizes that tell fans apart, whichever axis they lie on."""


class Library(NamedTuple):
    """What is looked at. Draws take a shape in the library's own layout.

    Attributes:
        dense: Shape of the kernel of a dense layer from 5 to 3.
        conv: Shape of the kernel of a convolution from 4 to 8 in 2 groups, 3 × 3.
        xavier: Draws by Xavier's rule, normal.
        he: Draws by He's rule, normal.
        other: Draws by He's rule for a leaky ReLU of slope 1; None if the rule takes no other gain.
    """

    dense: tuple[int, ...]
    conv: tuple[int, ...]
    xavier: Draw
    he: Draw
    other: Draw | None


def by_torch(rule: Callable[..., torch.Tensor], **options: Any) -> Draw:
    """Return a draw by a function of `torch.nn.init`."""

    def draw(shape: tuple[int, ...]) -> Weights:
        generator = torch.Generator().manual_seed(0)
        return rule(torch.empty(shape), generator=generator, **options).double().numpy()

    return draw


def by_keras(initializer: keras.initializers.Initializer) -> Draw:
    """Return a draw by an initializer of Keras."""
    return lambda shape: np.asarray(keras.ops.convert_to_numpy(initializer(shape)), np.float64)


def by_jax(initializer: Callable[..., jax.Array]) -> Draw:
    """Return a draw by an initializer of JAX."""
    return lambda shape: np.asarray(initializer(jax.random.key(0), shape), np.float64)


def dense_words(shape: tuple[int, ...]) -> str:
    """Say how a dense kernel from 5 to 3 lies."""
    words: dict[tuple[int, ...], str] = {(3, 5): "(out, in)", (5, 3): "(in, out)"}
    return words[shape]


def conv_words(shape: tuple[int, ...]) -> str:
    """Say how a kernel from 4 to 8 in 2 groups lies."""
    words: dict[tuple[int, ...], str] = {
        (8, 2, 3, 3): "(out, in/groups, *k)",
        (3, 3, 2, 8): "(*k, in/groups, out)",
    }
    return words[shape]


def normal_words(draw: Draw) -> str:
    """Say whether Xavier's normal is cut, of the standard deviation that the rule asks for."""
    found = draw((SMALL, LARGE))
    if not np.isclose(found.std(), (2 / (SMALL + LARGE)) ** 0.5, rtol=0.01):
        raise LookupError(f"Xavier's standard deviation is {found.std()}")
    # Cut at two standard deviations and widened again, nothing lies beyond 2 / 0.88 = 2.27.
    beyond = (abs(found) > 2.28 * found.std()).mean()
    return "cut at 2σ, widened to keep σ" if beyond < 1e-4 else "not cut"


def he_words(draw: Draw, other: Draw | None, fan_in_first: bool) -> str:
    """Say which gains He's rule has."""
    shape = (SMALL, LARGE) if fan_in_first else (LARGE, SMALL)
    if not np.isclose(draw(shape).std(), (2 / SMALL) ** 0.5, rtol=0.01):
        raise LookupError(f"He's standard deviation is {draw(shape).std()}")
    if other is None:
        return "√2"
    if not np.isclose(other(shape).std(), (1 / SMALL) ** 0.5, rtol=0.01):
        raise LookupError(f"at slope 1 it is {other(shape).std()}")
    return "√2, or that of `nonlinearity`"


def default_words(weight: Weights, bias: Weights, fan_in: int, fan_out: int) -> str:
    """Say by which rule a dense layer drew its weight and its bias."""
    bounds = {
        r"$U(\pm1/\sqrt{n_\text{in}})$": fan_in**-0.5,
        "Glorot uniform": (6 / (fan_in + fan_out)) ** 0.5,
    }
    (rule,) = (name for name, b in bounds.items() if np.isclose(abs(weight).max(), b, rtol=0.01))
    if not np.isclose(weight.std() * 3**0.5, bounds[rule], rtol=0.01):
        raise LookupError(f"the default is not uniform: {weight.std()}")
    if not bias.any():
        return f"{rule}; biases zero"
    if not np.isclose(abs(bias).max(), bounds[rule], rtol=0.05):
        raise LookupError(f"biases reach {abs(bias).max()}")
    return f"{rule}; biases too"


def jax_conv_layout() -> tuple[int, ...]:
    """Return the shape of a convolution's kernel that JAX's fans belong to.

    JAX has no layer. Its rule reads the last two axes as in / groups and out, the others as the
    kernel, which the standard deviation tells.
    """
    found = by_jax(initializers.lecun_normal())((3, 3, 20, SMALL)).std()
    if not np.isclose(found, (9 * 20) ** -0.5, rtol=0.02):
        raise LookupError(f"LeCun's standard deviation is {found}")
    return (3, 3, 2, 8)


def jax_dense_layout() -> tuple[int, ...]:
    """Return the shape of a dense kernel that JAX's fans belong to."""
    found = by_jax(initializers.lecun_normal())((SMALL, LARGE)).std()
    fan_in_first = np.isclose(found, SMALL**-0.5, rtol=0.01)
    return (5, 3) if fan_in_first else (3, 5)


def takes_a_gain(rule: Callable[..., object]) -> bool:
    """Whether an initializer has an argument for another gain."""
    return bool({"gain", "scale", "nonlinearity"} & set(inspect.signature(rule).parameters))


def row(library: Library) -> tuple[str, ...]:
    """Return the cells that are decided alike for each library."""
    in_first = library.dense == (5, 3)
    return (
        dense_words(library.dense),
        conv_words(library.conv),
        normal_words(library.xavier),
        he_words(library.he, library.other, in_first),
    )


def which_convention() -> dict[str, tuple[str, ...]]:
    """Return layouts, Xavier's normal, He's gain and the default of a dense layer."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        linear = nn.Linear(SMALL, LARGE)
        small, conv = nn.Linear(5, 3), nn.Conv2d(4, 8, 3, groups=2)
    he = by_torch(nn.init.kaiming_normal_, nonlinearity="relu")
    other = by_torch(nn.init.kaiming_normal_, a=1.0, nonlinearity="leaky_relu")
    xavier = by_torch(nn.init.xavier_normal_)
    of_torch = Library(tuple(small.weight.shape), tuple(conv.weight.shape), xavier, he, other)
    weight, bias = linear.weight.detach().double(), linear.bias.detach().double()

    keras.utils.set_random_seed(0)
    kinds, layers = keras.initializers, keras.layers
    dense, convolution, wide = layers.Dense(3), layers.Conv2D(8, 3, groups=2), layers.Dense(LARGE)
    dense.build((None, 5))
    convolution.build((None, 9, 9, 4))
    wide.build((None, SMALL))
    if takes_a_gain(kinds.HeNormal) or takes_a_gain(initializers.he_normal):
        raise LookupError("He's rule takes a gain now")
    of_keras = Library(
        tuple(dense.kernel.shape),
        tuple(convolution.kernel.shape),
        by_keras(kinds.GlorotNormal(seed=0)),
        by_keras(kinds.HeNormal(seed=0)),
        None,
    )
    of_jax = Library(
        jax_dense_layout(),
        jax_conv_layout(),
        by_jax(initializers.glorot_normal()),
        by_jax(initializers.he_normal()),
        None,
    )
    kernel, zero = (keras.ops.convert_to_numpy(w).astype(np.float64) for w in wide.weights)
    return {
        "PyTorch": (
            *row(of_torch),
            default_words(weight.numpy(), bias.numpy(), SMALL, LARGE),
        ),
        "Keras": (*row(of_keras), default_words(kernel, zero, SMALL, LARGE)),
        "JAX": (*row(of_jax), "no layers"),
    }
