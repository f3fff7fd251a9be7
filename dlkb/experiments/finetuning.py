"""Networks that know the upright digits, tuned on digits that lie on their side.

In full, some layers, layers at rates of their own, or by LoRA; several learning rates at once, each
on every network.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dlkb.arrays import check_between, check_count, check_float
from dlkb.experiments.digits import IMAGES, Split, digits, turned
from dlkb.experiments.networks import Networks, draw, forward, layer_sizes, layers
from dlkb.experiments.rules import adam_rule
from dlkb.experiments.scores import as_tensor, cross_entropy, evaluate
from dlkb.experiments.training import train
from dlkb.finetuning.lora import Rule, lora_init, lora_scaling
from dlkb.regularization.augmentation import rotation_grid, warp

Array = NDArray[Any]


class Pretrained(NamedTuple):
    """Networks before they are tuned, and the two tasks.

    Attributes:
        networks: Trained on the old task.
        old: Upright digits.
        new: Other digits, turned; the test images are those of `old`, turned.
    """

    networks: Networks
    old: Split
    new: Split


class Tuned(NamedTuple):
    """What tuning came to, for each learning rate and network.

    Attributes:
        theta: Weights and biases with the update added, shape (rates, seeds, parameters).
        new_error: Share of wrong answers on the new task's test images, shape (rates, seeds).
        old_error: The same on the old task's.
    """

    theta: Tensor
    new_error: Array
    old_error: Array


def rotated(images: Array, *, angle: float) -> Array:
    """Return the digits turned to the left by any angle, about their centre.

    Args:
        images: Shape (..., 64), floating-point.
        angle: In degrees. What comes from beyond the edge is 0.

    Returns:
        An array like `images`.

    Raises:
        TypeError: If `images` is not floating-point.

    Example:
        >>> import numpy as np
        >>> image = np.arange(64.0)
        >>> bool(np.allclose(rotated(image, angle=90), turned(image)))
        True
    """
    check_float("images", images)
    square = images.reshape(*images.shape[:-1], 8, 8)
    grid = rotation_grid(square, angle=np.asarray(np.radians(angle), images.dtype))
    read: Array = warp(square, grid).reshape(images.shape)
    return read


def pretrained(
    *,
    width: int = 64,
    old: int = 700,
    new: int = 300,
    angle: float = 90.0,
    seeds: int = 10,
    dtype: str = "float32",
) -> Pretrained:
    """Train networks with two hidden layers on upright digits.

    Args:
        width: Units of each hidden layer.
        old: Number of upright digits to train on, ≥ 1.
        new: Number of other digits, turned, to tune on; at most 1796 with those of `old`.
        angle: By how many degrees to the left; a quarter moves pixels without interpolation.
        seeds: Number of networks, each with its own split of the digits.
        dtype: "float64" or "float32".

    Returns:
        The networks and the two tasks.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> start = pretrained(width=32, seeds=2)
        >>> start.old.x_train.shape, start.new.x_train.shape
        ((2, 700, 64), (2, 300, 64))
        >>> score = evaluate(start.networks, start.old.x_test, start.old.y_test)
        >>> bool((score.accuracy > 0.9).all())
        True
    """
    check_count("old", old, 1, IMAGES - 1)
    check_count("new", new, 0, IMAGES - 1)
    check_between("old + new", old + new, 1, IMAGES - 1)
    x, y, x_test, y_test = digits(train=old + new, seeds=seeds, dtype=dtype)
    upright = Split(x[:, :old], y[:, :old], x_test, y_test)
    turn = turned if angle == 90 else partial(rotated, angle=angle)
    lying = Split(turn(x[:, old:]).copy(), y[:, old:], turn(x_test).copy(), y_test)
    networks = draw((64, width, width, 10), seeds=seeds, dtype=dtype)
    run = train(networks, upright, rule=adam_rule(lr=0.01), steps=150, batch=min(64, old))
    return Pretrained(run.networks, upright, lying)


def finetune(
    start: Pretrained,
    *,
    rates: Sequence[float],
    r: int | None = None,
    alpha: float = 16.0,
    rule: Rule = "lora",
    head: bool = False,
    head_only: bool = False,
    factors: Sequence[float] | None = None,
    steps: int = 200,
    batch: int = 50,
) -> Tuned:
    r"""Tune on the new task with Adam, each network at each learning rate.

    $$\mathbf{W}' = \mathbf{W} + s\,\mathbf{B}\mathbf{A}$$

    Args:
        start: The pretrained networks and the tasks; nothing of it is changed.
        rates: Learning rates.
        r: Rank of LoRA in the hidden layers, the rest being frozen; None to train all parameters.
        alpha: Numerator of LoRA's scaling.
        rule: How alpha and r make the scaling, see `dlkb.finetuning.lora.lora_scaling`.
        head: With r, train the last layer, too, in full.
        head_only: With r None, train the last layer alone.
        factors: With r None, what the rate of each layer is multiplied by, first layer first; a
            layer with 0 stays. None for 1 throughout.
        steps: Number of steps.
        batch: Examples in a step, from fresh permutations of the training set.

    Returns:
        Updated weights and test errors.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> start = pretrained(width=32, seeds=2)
        >>> tuned = finetune(start, rates=(0.003, 0.01), r=4)
        >>> tuned.new_error.shape
        (2, 2)
    """
    check_count("steps", steps, 0)
    networks, new = start.networks, start.new
    x, y = as_tensor(new.x_train, networks), as_tensor(new.y_train, networks)
    seeds, examples = y.shape
    check_count("batch", batch, 1, examples)
    frozen = networks.theta.repeat(len(rates), 1)
    if head and r is None:
        raise ValueError("head is True and r is None: give a rank, or head_only")
    if r is None:
        theta = frozen
        if head_only:
            theta = frozen[:, -layer_sizes(networks)[-1] :]
        scaling = 1.0
    else:
        theta = _draw_factors(networks, r).repeat(len(rates), 1)
        if head:
            theta = torch.cat([theta, frozen[:, -layer_sizes(networks)[-1] :]], dim=1)
        scaling = lora_scaling(alpha, r, rule=rule)
    lr = torch.tensor(rates, dtype=theta.dtype).repeat_interleave(seeds)[:, None]
    if factors is not None:
        sizes = layer_sizes(networks)
        if r is not None or head_only or len(factors) != len(sizes):
            raise ValueError(
                f"factors is {tuple(factors)}: one for each of {len(sizes)} layers is needed, "
                "without r and head_only"
            )
        of_layer = torch.tensor(factors, dtype=theta.dtype)
        lr = lr * of_layer.repeat_interleave(torch.tensor(sizes))
    adam = adam_rule(lr=1.0)  # its steps are then multiplied by each network's own rate
    state = adam.start(theta)
    order = _order(seeds, examples, steps * batch).repeat(len(rates), 1)
    own = torch.arange(seeds).repeat(len(rates))[:, None]
    for step in range(steps):
        rows = order[:, step * batch : (step + 1) * batch]
        theta = theta.detach().requires_grad_()
        outputs = forward(_with(networks, frozen, theta, r, scaling), x[own, rows])[-1]
        (grad,) = torch.autograd.grad(cross_entropy(outputs, y[own, rows]).sum(), theta)
        moved, state = adam.step(theta.detach(), grad, state)
        theta = theta.detach() + lr * (moved - theta.detach())
    whole = _with(networks, frozen, theta, r, scaling).theta.detach()
    by_rate = whole.unflatten(0, (len(rates), seeds))
    scores = [
        [evaluate(networks._replace(theta=one), t.x_test, t.y_test) for one in by_rate]
        for t in (new, start.old)
    ]
    new_error, old_error = (1 - np.stack([s.accuracy for s in task]) for task in scores)
    return Tuned(by_rate, new_error, old_error)


def _draw_factors(networks: Networks, r: int) -> Tensor:
    """Return A and B of each hidden layer, flat, one row a network."""
    rows = []
    for s in range(len(networks.theta)):
        generator = np.random.default_rng([2, s])
        parts = []
        for weight, _ in layers(networks)[:-1]:
            like = np.zeros((weight.shape[2], weight.shape[1]))  # (out, in)
            parts += [f.ravel() for f in lora_init(like, r=r, generator=generator)]
        rows.append(np.concatenate(parts))
    return torch.tensor(np.stack(rows), dtype=networks.theta.dtype)


def _with(
    networks: Networks, frozen: Tensor, trained: Tensor, r: int | None, scaling: float
) -> Networks:
    """Return the networks in effect: frozen parameters with the trained ones in or on them."""
    if r is None:
        kept = frozen[:, : frozen.shape[1] - trained.shape[1]]
        return networks._replace(theta=torch.cat([kept, trained], dim=1))
    *hidden, _ = layers(networks._replace(theta=frozen))
    parts, at = [], 0
    for weight, bias in hidden:
        fan_in, fan_out = weight.shape[1:]
        A = trained[:, at : at + r * fan_in].unflatten(1, (r, fan_in))
        at += r * fan_in
        B = trained[:, at : at + r * fan_out].unflatten(1, (fan_out, r))
        at += r * fan_out
        parts.append((weight + scaling * torch.bmm(B, A).mT).flatten(1))
        if bias is not None:
            parts.append(bias.flatten(1))
    head = trained[:, at:]  # nothing where it is frozen
    parts.append(head if head.shape[1] else frozen[:, -layer_sizes(networks)[-1] :])
    return networks._replace(theta=torch.cat(parts, dim=1))


def _order(seeds: int, examples: int, needed: int) -> Tensor:
    """Return which example each network sees when."""
    epochs = -(-needed // examples)
    rows = []
    for s in range(seeds):
        generator = np.random.default_rng([1, s])
        shuffled = [generator.permutation(examples) for _ in range(epochs)]
        rows.append(np.concatenate([np.arange(0), *shuffled]))
    return torch.tensor(np.stack(rows))
