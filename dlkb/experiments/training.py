"""Training many networks at once, and what is measured on the way."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dlkb.arrays import check_between, check_count
from dlkb.experiments.digits import Split
from dlkb.experiments.networks import Networks, forward, layer_sizes
from dlkb.experiments.rules import Rule, Schedule, at_step
from dlkb.experiments.scores import Loss, as_numpy, as_tensor, cross_entropy, evaluate
from dlkb.gradients.clipping import clip_factor

Array = NDArray[Any]


class Run(NamedTuple):
    """What training came to, and how. Loss and gradients are those before each step.

    Attributes:
        networks: The trained networks.
        loss: Training loss of the batch, with dropout, shape (seeds, steps).
        grad_norm: Norm of the gradient before clipping, shape (seeds, steps).
        layer_grad_norm: The same for each layer, shape (seeds, steps, layers).
        test_steps: How many steps were made before each test; the last test is after all.
        test_loss: Shape (seeds, tests).
        test_accuracy: Shape (seeds, tests).
        watched: What `watch` returned, shape (seeds, steps, …), or None.
    """

    networks: Networks
    loss: Array
    grad_norm: Array
    layer_grad_norm: Array
    test_steps: Array
    test_loss: Array
    test_accuracy: Array
    watched: Array | None


def train(
    networks: Networks,
    data: Split,
    *,
    rule: Rule | Schedule,
    steps: int,
    batch: int | None = None,
    loss: Loss = cross_entropy,
    dropout: float = 0.0,
    clip: float | None = None,
    trained: Iterable[int] | None = None,
    every: int | None = None,
    watch: Callable[[Networks, Tensor], Tensor] | None = None,
    seed: int = 0,
    seeds: int | None = None,
) -> Run:
    """Train networks, all at once, each on its own batches.

    Args:
        networks: The networks to start from; they are not changed.
        data: Images and labels to train on, for all networks or stacked for each: both alike with
            `batch`. The test images likewise.
        rule: Update rule, or a function from the number of the step, 1 … `steps`, to one.
        steps: Number of steps ≥ 0.
        batch: Examples in a step. They come from fresh permutations of the training set, one
            after the other, of each network its own. None for all of them in each step.
        loss: One loss a network.
        dropout: Probability with which a hidden unit is dropped in training, in [0, 1).
        clip: Largest norm of a network's gradient; longer ones are scaled down to it.
        trained: Indices of the layers that are trained, from 0; None for all.
        every: Test every that many steps, from step 0 on. The end is tested always.
        watch: Called before each step with the networks and the gradient, clipped, in the shape of
            `theta`; returns a tensor whose first axis is the seeds. All are kept.
        seed: Network s takes its batches and masks from the seeds 1 and `seed + s`.
        seeds: After so many networks the seeds begin anew, as where one draw of networks is
            repeated for several learning rates. None for a seed of its own for each.

    Returns:
        The trained networks and the curves, as NumPy arrays.

    Raises:
        ValueError: If an argument is out of its range, or the data does not fit.

    Example:
        >>> from dlkb.experiments.digits import digits
        >>> from dlkb.experiments.networks import draw
        >>> from dlkb.experiments.rules import sgd_rule
        >>> start, data = draw((64, 32, 10), seeds=10), digits()
        >>> run = train(start, data, rule=sgd_rule(lr=0.5), steps=200, batch=32)
        >>> run.loss.shape, run.test_accuracy.shape
        ((10, 200), (10, 1))
        >>> bool((run.test_accuracy > 0.9).all())
        True
    """
    check_count("steps", steps, 0)
    check_between("dropout", dropout, 0, 1, closed="left")
    if clip is not None:
        check_between("clip", clip, 0, np.inf, closed="neither")
    if every is not None:
        check_count("every", every, 1)
    if seeds is not None:
        check_count("seeds", seeds, 1)
    x, y = as_tensor(data.x_train, networks), as_tensor(data.y_train, networks)
    count = len(networks.theta)
    _check_data(x, y, count, paired=batch is not None)
    examples = x.shape[-2]
    if batch is not None:
        check_count("batch", batch, 1, examples)
    sizes = layer_sizes(networks)
    mask = _mask(networks, sizes, trained)
    generators = [np.random.default_rng([1, seed + s % (seeds or count)]) for s in range(count)]
    order = _order(generators, examples, steps * (batch or 0), networks)
    own = torch.arange(count, device=networks.theta.device)[:, None]
    state = at_step(rule, 1).start(networks.theta)
    losses, norms, watched, tests = [], [], [], {}
    for step in range(steps):
        if every is not None and step % every == 0:
            tests[step] = evaluate(networks, data.x_test, data.y_test, loss=loss)
        theta = networks.theta.detach().requires_grad_()
        inputs, targets = x, y
        if batch is not None:
            rows = order[:, step * batch : (step + 1) * batch]
            inputs = x[rows] if x.ndim == 2 else x[own, rows]
            targets = y[rows] if x.ndim == 2 else y[own, rows]
        here = networks._replace(theta=theta)
        outputs = forward(here, inputs, dropout=dropout, generators=generators)[-1]
        values = loss(outputs, targets)
        (grad,) = torch.autograd.grad(values.sum(), theta)
        grad = grad if mask is None else grad * mask
        losses.append(values.detach())
        parts = torch.stack([part.norm(dim=1) for part in grad.split(sizes, dim=1)], dim=1)
        norms.append(parts)
        if clip is not None:
            grad = grad * clip_factor(parts.norm(dim=1), max_norm=clip)[:, None]
        theta = theta.detach()
        if watch is not None:
            watched.append(watch(networks, grad).detach())
        new, state = at_step(rule, step + 1).step(theta, grad, state)
        networks = networks._replace(theta=new if mask is None else torch.where(mask, new, theta))
    tests[steps] = evaluate(networks, data.x_test, data.y_test, loss=loss)
    empty = networks.theta.new_zeros
    by_layer = torch.stack(norms, dim=1) if norms else empty((count, 0, len(sizes)))
    return Run(
        networks,
        as_numpy(torch.stack(losses, dim=1) if losses else empty((count, 0))),
        as_numpy(by_layer.norm(dim=2)),
        as_numpy(by_layer),
        np.asarray(list(tests)),
        np.stack([score.loss for score in tests.values()], axis=1),
        np.stack([score.accuracy for score in tests.values()], axis=1),
        as_numpy(torch.stack(watched, dim=1)) if watched else None,
    )


def _check_data(x: Tensor, y: Tensor, seeds: int, *, paired: bool) -> None:
    """Raise unless examples fit the networks and targets the examples; `paired`: seed by seed."""
    lead = tuple(x.shape[:-1])
    fits = len(lead) == 1 or (len(lead) == 2 and lead[0] == seeds)
    allowed = (lead,) if paired else (lead[-1:], (seeds, *lead[-1:]))
    if not fits or not any(tuple(y.shape[: len(axes)]) == axes for axes in allowed):
        raise ValueError(
            f"data.x_train has shape {tuple(x.shape)} and data.y_train {tuple(y.shape)}: they must "
            f"be (batch, in) and (batch,), or ({seeds}, batch, in) and ({seeds}, batch)"
        )


def _order(
    generators: list[np.random.Generator], examples: int, needed: int, networks: Networks
) -> Tensor:
    """Return which example each network sees when, shape (seeds, at least `needed`)."""
    epochs = -(-needed // examples)
    rows = [
        np.concatenate([np.arange(0), *(g.permutation(examples) for _ in range(epochs))])
        for g in generators
    ]
    return torch.tensor(np.stack(rows), device=networks.theta.device)


def _mask(networks: Networks, sizes: list[int], trained: Iterable[int] | None) -> Tensor | None:
    """Return a row that is true where parameters are trained."""
    if trained is None:
        return None
    chosen = set(trained)
    if not chosen <= set(range(len(sizes))):
        raise ValueError(f"trained is {sorted(chosen)}: layers are numbered 0 … {len(sizes) - 1}")
    rows = [torch.full((size,), k in chosen) for k, size in enumerate(sizes)]
    return torch.cat(rows).to(networks.theta.device)
