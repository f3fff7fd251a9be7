"""Bytes of a training step in closed form, and backpropagation through checkpoints.

Counts are exact where a library keeps what the formula lists; `dlkb.nn.saved_memory` measures what
one really keeps.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from dlkb.arrays import Array, check_between, check_count, check_float, check_same_shape, namespace
from dlkb.backpropagation.backprop import tanh_vjp


class StateBytes(NamedTuple):
    """Bytes that do not depend on the batch.

    Attributes:
        parameters: The weights that the forward pass uses.
        gradients: One entry a parameter.
        optimizer: What the optimizer keeps between steps.
    """

    parameters: int
    gradients: int
    optimizer: int

    @property
    def total(self) -> int:
        """The sum of the parts."""
        return sum(self)


class BlockBytes(NamedTuple):
    """Bytes that one transformer block keeps for the backward pass.

    Attributes:
        norms: Inputs of the two layer norms.
        attention: Inputs of the projections; queries, keys and values; the mask behind.
        scores: The softmax over all pairs, its mask, and its product with the mask.
        mlp: Inputs of both layers and of the GELU between; the mask behind.
    """

    norms: int
    attention: int
    scores: int
    mlp: int

    @property
    def total(self) -> int:
        """The sum of the parts."""
        return sum(self)


class ChainGradients(NamedTuple):
    """Gradients of a chain of layers: of its input and of its weights."""

    x: Array
    W: Array


def state_bytes(
    parameters: int, *, weight: int = 4, gradient: int = 4, optimizer: int = 8
) -> StateBytes:
    r"""Count what a training step holds whatever the batch.

    $$M = N\,(b_w + b_g + b_o)$$

    Args:
        parameters: N ≥ 0.
        weight: Bytes of a parameter.
        gradient: Bytes of its gradient.
        optimizer: Bytes that the optimizer keeps for it: 0 for plain descent, 4 for momentum, 8 for
            Adam in float32; 12 for Adam beside half-precision weights, of which 4 are a float32
            copy of the weight.

    Returns:
        The three parts.

    Raises:
        ValueError: If a number is negative.

    Example:
        >>> mixed = state_bytes(7_000_000_000, weight=2, gradient=2, optimizer=12)
        >>> mixed.total / 1e9
        112.0
    """
    names = ("parameters", "weight", "gradient", "optimizer")
    for name, value in zip(names, (parameters, weight, gradient, optimizer), strict=True):
        check_between(name, value, 0, math.inf, closed="left")
    return StateBytes(parameters * weight, parameters * gradient, parameters * optimizer)


def mlp_bytes(
    widths: Sequence[int], *, batch: int = 1, itemsize: int = 4, from_input: bool = False
) -> int:
    r"""Count what linear layers with an activation between them keep for the backward pass.

    $$A = e\,b\,\Bigl(n_0 + c \sum_{l=1}^{L-1} n_l\Bigr)$$

    A linear layer keeps its input, for the gradient of its weight. That is the output of the
    activation in front. ReLU, tanh and sigmoid keep it as well: one array for both, c = 1. An
    activation that needs its own input for its slope keeps that too, c = 2.

    Args:
        widths: Sizes n₀, …, n_L of input, hidden layers and output, two or more, each ≥ 1.
        batch: Number of examples b ≥ 0.
        itemsize: Bytes of an entry, e.
        from_input: Whether the slope is computed from the activation's input, as for GELU and SiLU,
            or from its output, as for ReLU, tanh and sigmoid.

    Returns:
        The bytes, those of the network's input included.

    Raises:
        ValueError: If there are fewer than two widths, or a size is out of its range.

    Note:
        Differs from libraries and compilers that keep, recompute or convert something else.

    Example:
        >>> mlp_bytes((64, 256, 256, 10), batch=32)
        73728
    """
    if len(widths) < 2:
        raise ValueError(f"widths is {tuple(widths)}: input and output, two or more, are needed")
    for index, width in enumerate(widths):
        check_between(f"widths[{index}]", width, 1, math.inf, closed="left")
    check_count("batch", batch, 0)
    check_count("itemsize", itemsize, 1)
    return itemsize * batch * (widths[0] + (2 if from_input else 1) * sum(widths[1:-1]))


def block_bytes(
    sequence: int,
    *,
    hidden: int,
    heads: int,
    batch: int = 1,
    itemsize: int = 2,
    dropout: bool = True,
) -> BlockBytes:
    r"""Count what a transformer block with materialized attention keeps for the backward pass.

    $$A = s\,b\,h\,\Bigl(34 + 5\,\frac{a s}{h}\Bigr)$$

    in bytes, for entries of two bytes and dropout masks of one. In general, with masks of m bytes
    and e bytes an entry,

    $$A = s\,b\,h\,(16\,e + 2\,m) + a\,s^2\,b\,(2\,e + m).$$

    Args:
        sequence: Tokens s ≥ 0 of a sequence.
        hidden: Width h of the block; the MLP has 4h.
        heads: Heads of the attention, a.
        batch: Sequences b ≥ 0.
        itemsize: Bytes of an entry, e.
        dropout: Whether there is dropout on the scores and behind both parts, with masks of a byte.
            Without, m = 0, and the scores are kept once: e in place of 2e + m.

    Returns:
        The parts. A fused attention keeps no scores: leave that part out.

    Raises:
        ValueError: If a number is out of its range.

    Note:
        Differs from libraries by what is small (statistics of the layer norms, log-sum-exp), by
        masks in the entries' type (torch on the CPU), and by activations other than GELU.

    Reference:
        Korthikanti et al., Reducing Activation Recomputation in Large Transformer Models,
        MLSys 2023, equation 1.

    Example:
        >>> block = block_bytes(2048, hidden=4096, heads=32)
        >>> round(block.total / 2**20), round(block.scores / 2**20)
        (912, 640)
    """
    check_count("sequence", sequence, 0)
    check_count("batch", batch, 0)
    for name, value in (("hidden", hidden), ("heads", heads), ("itemsize", itemsize)):
        check_between(name, value, 1, math.inf, closed="left")
    mask = 1 if dropout else 0
    tokens, pairs = sequence * batch * hidden, heads * sequence * sequence * batch
    return BlockBytes(
        norms=2 * itemsize * tokens,
        attention=(5 * itemsize + mask) * tokens,
        scores=(2 * itemsize + mask if dropout else itemsize) * pairs,
        mlp=(9 * itemsize + mask) * tokens,
    )


def checkpoint_bytes(segment: Array, *, depth: float, boundary: float, inner: float) -> Array:
    r"""Return the peak when the input of each segment is kept, and its inside recomputed.

    $$M(k) = \frac{L}{k}\,u + k\,v$$

    Args:
        segment: Layers of a segment, k, from 1 to L; a floating-point array of any shape.
        depth: Number of layers, L.
        boundary: Bytes of the input of a layer, u.
        inner: Bytes that a layer keeps for its backward pass, v, its input included.

    Returns:
        An array like `segment`: the inputs, and the inside of the segment that is being
        differentiated, whose input counts twice. Exact up to that where k divides L.

    Raises:
        TypeError: If `segment` is not floating-point.

    Reference:
        Chen et al., Training Deep Nets with Sublinear Memory Cost, 2016.

    Example:
        >>> import numpy as np
        >>> k = np.asarray([1.0, 8.0, 64.0])
        >>> checkpoint_bytes(k, depth=64, boundary=1.0, inner=1.0)
        array([65., 16., 65.])
    """
    check_float("segment", segment)
    return depth / segment * boundary + segment * inner


def best_segment(depth: float, *, boundary: float, inner: float) -> float:
    r"""Return the segment length with the least peak, before rounding to a divisor.

    $$k = \sqrt{L\,u/v},\qquad M(k) = 2\sqrt{L\,u\,v}$$

    Args:
        depth: Number of layers, L > 0.
        boundary: Bytes of the input of a layer, u > 0.
        inner: Bytes that a layer keeps for its backward pass, v > 0.

    Returns:
        k. Below 1 where L u < v: a checkpoint for each layer is then the best.

    Raises:
        ValueError: If a number is not positive.

    Example:
        >>> best_segment(64, boundary=2.0, inner=2.0)
        8.0
    """
    for name, value in (("depth", depth), ("boundary", boundary), ("inner", inner)):
        check_between(name, value, 0, math.inf, closed="neither")
    return math.sqrt(depth * boundary / inner)


def longest_chain(slots: int, *, sweeps: int) -> int:
    r"""Return how many layers can be differentiated with few kept states, each run few times.

    $$\ell = \binom{s + r}{s}$$

    Args:
        slots: States that are kept at one time, s ≥ 1, the input of the chain among them.
        sweeps: How often a layer may be run forward to get at the input of a later one, r ≥ 0. Its
            own backward pass, which needs its input alone, is not counted.

    Returns:
        The largest number of layers.

    Raises:
        ValueError: If a number is out of its range.

    Reference:
        Griewank and Walther, Algorithm 799: Revolve, ACM TOMS 26, 2000.

    Example:
        >>> longest_chain(3, sweeps=3)
        20
    """
    check_count("slots", slots, 1)
    check_count("sweeps", sweeps, 0)
    return math.comb(slots + sweeps, slots)


def _run(x: Array, W: Array) -> list[Array]:
    """Return the input and the output of each layer, h₀, …, h_L."""
    xp = namespace(x, W)
    states = [x]
    for layer in range(W.shape[0]):
        states.append(xp.tanh(states[-1] @ xp.matrix_transpose(W[layer, ...])))
    return states


def tanh_chain(x: Array, W: Array) -> Array:
    r"""Return the output of a chain of layers.

    $$\mathbf{h}_l = \tanh(\mathbf{W}_l\,\mathbf{h}_{l-1}),\qquad \mathbf{h}_0 = \mathbf{x}$$

    Args:
        x: Inputs `(batch, n)`.
        W: Weights `(L, n, n)`.

    Returns:
        h_L, `(batch, n)`.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes do not fit.

    Example:
        >>> import numpy as np
        >>> tanh_chain(np.ones((1, 2)), np.ones((3, 2, 2))).round(3)
        array([[0.958, 0.958]])
    """
    _check_chain(x, W)
    return _run(x, W)[-1]


def tanh_chain_vjp(x: Array, W: Array, cotangent: Array, *, segment: int) -> ChainGradients:
    r"""Pull a gradient back through `tanh_chain`, keeping only the input of each segment.

    $$\bar{\mathbf{z}}_l = \bar{\mathbf{h}}_l\,(1 - \mathbf{h}_l^2),\qquad
      \bar{\mathbf{W}}_l = \bar{\mathbf{z}}_l\,\mathbf{h}_{l-1}^\top,\qquad
      \bar{\mathbf{h}}_{l-1} = \mathbf{W}_l^\top\,\bar{\mathbf{z}}_l$$

    On the way back each segment is run from its input, from the last, which is run but once, to
    the first. The result does not depend on their length.

    Args:
        x: Inputs `(batch, n)`.
        W: Weights `(L, n, n)`.
        cotangent: Gradient with respect to the output, `(batch, n)`.
        segment: Layers between two kept states, k ≥ 1; L or more keeps the input alone.

    Returns:
        The gradients of `x` and `W`, the second summed over the batch.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes do not fit, or `segment` is below 1.

    Reference:
        Chen et al., Training Deep Nets with Sublinear Memory Cost, 2016.

    Example:
        >>> import numpy as np
        >>> x, W, g = np.ones((1, 2)), np.ones((3, 2, 2)), np.ones((1, 2))
        >>> tanh_chain_vjp(x, W, g, segment=1).x.round(4)
        array([[0.0038, 0.0038]])
    """
    _check_chain(x, W)
    check_float("cotangent", cotangent)
    check_same_shape("cotangent", cotangent, "x", x)
    check_count("segment", segment, 1)
    depth = W.shape[0]
    parts = [W[k : min(k + segment, depth), ...] for k in range(0, depth, segment)]
    kept = [x]
    for part in parts[:-1]:
        kept.append(_run(kept[-1], part)[-1])
    grads: list[Array] = []
    for part in reversed(parts):
        cotangent, found = _back(kept.pop(), part, cotangent)
        grads = found + grads
    return ChainGradients(cotangent, namespace(x, W).stack(grads) if grads else W)


def _back(x: Array, W: Array, cotangent: Array) -> tuple[Array, list[Array]]:
    """Return the gradients of a segment's input and of its weights. What it keeps ends with it."""
    xp = namespace(x, W, cotangent)
    states = _run(x, W)
    grads = []
    for layer in reversed(range(W.shape[0])):
        z_bar = tanh_vjp(states.pop(), cotangent)
        grads.append(xp.matrix_transpose(z_bar) @ states[-1])
        cotangent = z_bar @ W[layer, ...]
    return cotangent, grads[::-1]


def _check_chain(x: Array, W: Array) -> None:
    check_float("x", x)
    check_float("W", W)
    if x.ndim != 2 or W.ndim != 3 or tuple(W.shape[1:]) != (x.shape[1],) * 2:
        raise ValueError(
            f"W has shape {tuple(W.shape)} and x has shape {tuple(x.shape)}: they must be "
            "(layers, n, n) and (batch, n)"
        )
