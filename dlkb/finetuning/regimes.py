r"""What of a pretrained network is trained, at which rates, and what a step of it costs."""

import math
from collections.abc import Sequence

from dlkb.arrays import Array, check_between, check_count, check_float


def layer_rates(layer: Array, *, lr: float, layers: int, decay: float) -> Array:
    r"""Return the learning rate of each layer: full at the top, less with each layer below.

    $$\eta_l = \eta\,\xi^{L - l}$$

    Args:
        layer: l, numbers of layers from 1 at the input to L, a floating-point array.
        lr: η, the rate of the last layer, ≥ 0.
        layers: L, how many layers there are.
        decay: ξ in (0, 1]; 1 gives every layer the same rate.

    Returns:
        An array like `layer`.

    Raises:
        TypeError: If `layer` is not floating-point.
        ValueError: If lr, layers or decay is out of range.

    Note:
        Differs from Howard and Ruder in the notation: they divide the rate by 2.6 with each layer
        down, ξ = 1/2.6 here.

    Reference:
        Howard and Ruder, Universal Language Model Fine-tuning for Text Classification, ACL 2018.

    Example:
        >>> import numpy as np
        >>> layer_rates(np.arange(1.0, 5.0), lr=8.0, layers=4, decay=0.5)
        array([1., 2., 4., 8.])
    """
    check_float("layer", layer)
    check_between("lr", lr, 0, math.inf, closed="left")
    check_count("layers", layers, 1)
    check_between("decay", decay, 0, 1, closed="right")
    return lr * decay ** (layers - layer)


def _check_widths(widths: Sequence[int], first: int) -> int:
    if len(widths) < 2 or min(widths) < 1:
        raise ValueError(f"widths is {tuple(widths)}: it must list two widths or more, each >= 1")
    check_count("first", first, 1, len(widths) - 1)
    return len(widths) - 1


def trained_parameters(widths: Sequence[int], *, first: int = 1) -> int:
    r"""Count what is trained where all layers from one on are: weights and biases.

    $$p = \sum_{l=k}^{L} (n_{l-1} + 1)\,n_l$$

    Args:
        widths: n_0 … n_L: units of the input, of the hidden layers, of the output.
        first: k, the lowest layer that is trained: 1 in full, L for the head alone.

    Returns:
        The count.

    Raises:
        ValueError: If there are no two widths, one is below 1, or there is no such layer.

    Example:
        >>> widths = (64, 32, 32, 10)
        >>> trained_parameters(widths), trained_parameters(widths, first=3)
        (3466, 330)
    """
    layers = _check_widths(widths, first)
    return sum((widths[k - 1] + 1) * widths[k] for k in range(first, layers + 1))


def step_macs(widths: Sequence[int], *, first: int = 1) -> int:
    r"""Count the multiply-accumulates of a forward and a backward pass, for one row.

    $$c = \sum_{l=1}^{L} a_l + \sum_{l=k}^{L} a_l + \sum_{l=k+1}^{L} a_l, \qquad
      a_l = n_{l-1}\,n_l$$

    All layers go forward; from k on each needs the gradient of its weight, and each above k that
    of its input, too.

    Args:
        widths: n_0 … n_L.
        first: k, the lowest layer that is trained.

    Returns:
        The count, biases and activations left out.

    Raises:
        ValueError: As `trained_parameters`.

    Example:
        >>> step_macs((64, 32, 32, 10)), step_macs((64, 32, 32, 10), first=3)
        (8128, 3712)
    """
    layers = _check_widths(widths, first)
    products = [widths[k - 1] * widths[k] for k in range(1, layers + 1)]
    return sum(products) + sum(products[first - 1 :]) + sum(products[first:])
