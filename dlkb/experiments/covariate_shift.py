"""Networks whose layers get inputs that shift, on purpose, and how fast they learn all the same.

After Santurkar et al., How Does Batch Normalization Help Optimization? (2018): a scale and a shift,
drawn anew for each unit and step, are put behind the normalization, or into a plain network. In the
paper they are those of noise, which each example draws for itself.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dlkb.arrays import check_count
from dlkb.experiments.digits import Split
from dlkb.experiments.networks import Networks, layers, normalize
from dlkb.experiments.scores import as_numpy, as_tensor, cross_entropy

Array = NDArray[Any]


class Shifted(NamedTuple):
    """What was measured before each step.

    Attributes:
        loss: Training loss, shape (seeds, steps).
        shift: How far the mean of a unit's activation function's input moved since the step
            before, mean over the hidden units, shape (seeds, steps); 0 at the first.
    """

    loss: Array
    shift: Array


def train_shifted(
    networks: Networks, data: Split, *, noise: float, lr: float, steps: int, seed: int = 0
) -> Shifted:
    r"""Train by gradient descent on all images in each step, and shift what the units get.

    $$z' = e^{\tau a}\,z + \tau c,\qquad a, c \sim \mathcal{N}(0, 1)$$

    a and c are drawn anew for each hidden unit and step, behind the normalization if the networks
    have one, and are the same for all examples.

    Args:
        networks: Without skips; `norm` is "" or "batch".
        data: Images and labels; those to train on are used.
        noise: τ ≥ 0, the size of the shifts.
        lr: Learning rate.
        steps: Number of steps ≥ 1.
        seed: Of the shifts.

    Returns:
        The curves.

    Raises:
        ValueError: If `steps` is below 1.

    Example:
        >>> from dlkb.experiments.digits import digits
        >>> from dlkb.experiments.networks import draw
        >>> networks = draw((64, 16, 16, 10), norm="batch", seeds=3)
        >>> calm = train_shifted(networks, digits(train=50), noise=0, lr=0.1, steps=5)
        >>> calm.loss.shape, bool((calm.shift < 1e-12).all())  # batch norm holds the mean
        ((3, 5), True)
        >>> shifted = train_shifted(networks, digits(train=50), noise=1, lr=0.1, steps=5)
        >>> bool((shifted.shift[:, 1:] > 0.8).all())
        True
    """
    check_count("steps", steps, 1)
    x, y = as_tensor(data.x_train, networks), as_tensor(data.y_train, networks)
    rng = np.random.default_rng(seed)
    theta, losses, means = networks.theta.detach(), [], []
    for _ in range(steps):
        theta = theta.requires_grad_()
        outputs, mean = _forward(networks._replace(theta=theta), x, noise, rng)
        loss = cross_entropy(outputs, y)
        (grad,) = torch.autograd.grad(loss.sum(), theta)
        theta = theta.detach() - lr * grad
        losses.append(loss.detach())
        means.append(mean)
    moved = torch.stack(means, dim=1).diff(dim=1).abs().mean(2)
    shift = torch.cat([moved.new_zeros((len(moved), 1)), moved], dim=1)
    return Shifted(as_numpy(torch.stack(losses, dim=1)), as_numpy(shift))


def _forward(
    networks: Networks, x: Tensor, noise: float, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Return the outputs, and the mean of each hidden unit's input, (seeds, hidden units)."""
    *hidden, last = layers(networks)
    h, means = x.expand(len(networks.theta), *x.shape[-2:]), []
    for weight, bias in hidden:
        z = torch.bmm(h, weight) if bias is None else torch.baddbmm(bias, h, weight)
        z = normalize(z, networks.norm) if networks.norm else z
        if noise:
            a, c = noise * torch.tensor(rng.normal(size=(2, weight.shape[-1]))).to(z)
            z = a.exp() * z + c
        means.append(z.detach().mean(1))
        h = networks.activation(z)
    outputs = torch.bmm(h, last.weight)
    return outputs if last.bias is None else outputs + last.bias, torch.cat(means, dim=1)
