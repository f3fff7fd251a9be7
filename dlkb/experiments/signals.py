"""What becomes of a signal and of its gradient in networks that are not trained."""

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from dlkb.experiments.networks import Networks, forward
from dlkb.experiments.scores import as_numpy, as_tensor

Array = NDArray[Any]


class Signals(NamedTuple):
    """Mean squares by layer, over examples and units.

    Attributes:
        signal: Of the pre-activations z, shape (seeds, layers).
        gradient: Of the gradient with respect to z, shape (seeds, layers). It is sent back from
            the outputs, where it is random with mean square near 1.
    """

    signal: Array
    gradient: Array


def propagate(networks: Networks, x: Any, *, seed: int = 0) -> Signals:
    """Send examples forth and random gradients back.

    Args:
        networks: The networks.
        x: Examples, shape (batch, in) or (seeds, batch, in), an array or a tensor.
        seed: Decides the gradient at the outputs; network s takes it from the seeds 2 and
            `seed + s`.

    Returns:
        Mean squares by layer.

    Raises:
        ValueError: If `x` does not fit the networks.

    Example:
        >>> import numpy as np
        >>> from dlkb.experiments.networks import draw
        >>> he = draw((128,) * 21, last_gain=2**0.5, seeds=10)
        >>> x = np.random.default_rng(0).normal(size=(8, 128))
        >>> found = propagate(he, x)
        >>> found.signal.shape
        (10, 20)
        >>> kept = found.signal[:, -1] / found.signal[:, 0]
        >>> bool(1 / 3 < np.median(kept) < 3)  # through 20 layers
        True
    """
    inputs = as_tensor(x, networks).detach().requires_grad_()
    signals = forward(networks, inputs)
    shape = tuple(signals[-1].shape[1:])
    sources = [np.random.default_rng([2, seed + s]) for s in range(len(networks.theta))]
    draws = as_tensor(np.stack([source.normal(size=shape) for source in sources]), networks)
    back = torch.autograd.grad((signals[-1] * draws).sum(), signals)
    return Signals(*(_mean_squares(rows) for rows in (signals, back)))


def jacobian(networks: Networks, x: Any) -> Array:
    """Return the derivative of the outputs with respect to one input.

    Args:
        networks: The networks.
        x: One example for all, shape (in,), or one for each, (seeds, in); array or tensor.

    Returns:
        Shape (seeds, out, in).

    Raises:
        ValueError: If `x` does not fit, or batch normalization ties an example to others.

    Example:
        >>> import numpy as np
        >>> from dlkb.experiments.networks import draw
        >>> J = jacobian(draw((64,) * 31, seeds=10), np.ones(64))
        >>> np.linalg.svd(J, compute_uv=False).shape
        (10, 64)
    """
    if networks.norm == "batch":
        raise ValueError("networks has batch normalization: one example has no Jacobian of its own")
    seeds, outputs = len(networks.theta), networks.widths[-1]
    point = as_tensor(x, networks)
    if point.ndim not in (1, 2) or (point.ndim == 2 and len(point) not in (1, seeds)):
        raise ValueError(f"x has shape {tuple(point.shape)}: it must be (in,) or ({seeds}, in)")
    # A copy of the example for each output: one pass back gives all rows.
    copies = point.expand(seeds, point.shape[-1])[:, None].repeat(1, outputs, 1)
    copies = copies.detach().requires_grad_()
    out = forward(networks, copies)[-1]
    (rows,) = torch.autograd.grad(out.diagonal(dim1=1, dim2=2).sum(), copies)
    return as_numpy(rows)


def _mean_squares(rows: Any) -> Array:
    return as_numpy(torch.stack([row.square().mean((1, 2)) for row in rows], dim=1))
