"""What is measured of networks: losses, accuracy, curvature."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dlkb.experiments.networks import Networks, forward
from dlkb.gradients.loss_explosion import largest_curvature

Array = NDArray[Any]
Loss = Callable[[Tensor, Tensor], Tensor]
"""From outputs (seeds, batch, classes) and targets to one loss a network, (seeds,)."""


class Score(NamedTuple):
    """How good networks are, without dropout.

    Attributes:
        loss: Shape (seeds,).
        accuracy: Share of examples whose largest output is their label, shape (seeds,); NaN where
            targets are not labels.
    """

    loss: Array
    accuracy: Array


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    r"""Return the mean over the examples of −log softmax at the label.

    Args:
        outputs: Logits, shape (seeds, batch, classes).
        targets: Labels, shape (batch,) or (seeds, batch).

    Returns:
        Shape (seeds,).

    Example:
        >>> import torch
        >>> cross_entropy(torch.zeros(2, 5, 10), torch.zeros(5, dtype=int))
        tensor([2.3026, 2.3026])
    """
    log_p = outputs.mT.log_softmax(1)  # faster than over a short last axis
    at = targets.expand(outputs.shape[:-1])[:, None]
    return -log_p.gather(1, at).mean((1, 2))


def squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    r"""Return half the squared distance to the target, mean over the examples.

    Args:
        outputs: Shape (seeds, batch, classes).
        targets: Labels, which stand for one-hot vectors, shape (batch,) or (seeds, batch); or
            floating-point targets, shape (batch, classes) or (seeds, batch, classes).

    Returns:
        Shape (seeds,).

    Example:
        >>> import torch
        >>> squared_error(torch.zeros(2, 5, 10), torch.zeros(5, dtype=int))
        tensor([0.5000, 0.5000])
    """
    if not targets.is_floating_point():
        targets = torch.nn.functional.one_hot(targets, outputs.shape[-1]).to(outputs.dtype)
    return (outputs - targets).square().sum(-1).mean(1) / 2


def evaluate(networks: Networks, x: Array, y: Array, *, loss: Loss = cross_entropy) -> Score:
    """Return loss and accuracy of networks, without dropout.

    Args:
        networks: The networks.
        x: Examples, shape (batch, in) or (seeds, batch, in), an array or a tensor.
        y: Labels or targets, as `loss` takes them.
        loss: One loss a network.

    Returns:
        The scores.

    Example:
        >>> from dlkb.experiments.digits import digits
        >>> from dlkb.experiments.networks import draw
        >>> x, y, _, _ = digits()
        >>> evaluate(draw((64, 32, 10), seeds=3), x, y).accuracy.round(2)
        array([0.12, 0.14, 0.12])
    """
    inputs, targets = as_tensor(x, networks), as_tensor(y, networks)
    with torch.no_grad():
        outputs = forward(networks, inputs)[-1]
        values = loss(outputs, targets)
        if targets.is_floating_point():
            right = torch.full_like(values, float("nan"))
        else:
            right = (outputs.argmax(-1) == targets).to(values.dtype).mean(1)
    return Score(as_numpy(values), as_numpy(right))


def sharpness(
    networks: Networks, x: Array, y: Array, *, loss: Loss = cross_entropy, steps: int = 40
) -> Array:
    """Return the largest curvature of the training loss at each network.

    Args:
        networks: The networks.
        x: Examples, shape (batch, in) or (seeds, batch, in), an array or a tensor.
        y: Labels or targets, as `loss` takes them.
        loss: One loss a network.
        steps: Steps of the power iteration ≥ 1, one Hessian-vector product each.

    Returns:
        About the Hessian's eigenvalue of largest absolute value, shape (seeds,): no larger in
        absolute value; a number between where two of opposite signs are about as large.

    Raises:
        ValueError: If `steps` is below 1.

    Example:
        >>> from dlkb.experiments.digits import digits
        >>> from dlkb.experiments.networks import draw
        >>> x, y, _, _ = digits(train=60)
        >>> sharpness(draw((64, 10), seeds=2), x, y).round(1)
        array([2.3, 1.9])
    """
    theta = networks.theta.detach().requires_grad_()
    outputs = forward(networks._replace(theta=theta), as_tensor(x, networks))[-1]
    value = loss(outputs, as_tensor(y, networks)).sum()
    (grad,) = torch.autograd.grad(value, theta, create_graph=True)
    draws = np.random.default_rng(0).normal(size=tuple(theta.shape[1:]))
    probe = torch.tensor(draws, dtype=theta.dtype, device=theta.device).expand(theta.shape)

    def product(v: Tensor) -> Tensor:
        return torch.autograd.grad(grad, theta, v, retain_graph=True)[0]

    return as_numpy(largest_curvature(product, probe, steps=steps).value)


def as_tensor(values: Any, networks: Networks) -> Tensor:
    """Put values where the networks are, in their dtype; labels become integers of 64 bits.

    Args:
        values: An array or a tensor.
        networks: The networks.

    Returns:
        A tensor.

    Example:
        >>> import numpy as np
        >>> from dlkb.experiments.networks import draw
        >>> as_tensor(np.ones(2), draw((1, 1), dtype="float32"))
        tensor([1., 1.])
    """
    tensor = torch.as_tensor(values, device=networks.theta.device)
    return tensor.to(networks.theta.dtype) if tensor.is_floating_point() else tensor.long()


def as_numpy(tensor: Tensor) -> Array:
    """Return a tensor's values as a NumPy array.

    Args:
        tensor: On any device, with or without gradient.

    Returns:
        The array.

    Example:
        >>> import torch
        >>> as_numpy(torch.ones(2, requires_grad=True))
        array([1., 1.], dtype=float32)
    """
    return tensor.detach().cpu().numpy()
