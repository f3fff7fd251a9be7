"""Torch modules of one architecture, trained side by side: for adapters and other shells.

`dlkb.experiments.training` is faster and measures more, but knows its own networks only.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from dlkb.arrays import check_count
from dlkb.experiments.networks import Networks, layers
from dlkb.experiments.rules import Rule, Schedule, at_step
from dlkb.experiments.scores import Loss, as_numpy, cross_entropy

ACTIVATIONS: dict[Callable[[Tensor], Tensor], type[nn.Module]] = {
    torch.relu: nn.ReLU,
    torch.tanh: nn.Tanh,
    torch.sigmoid: nn.Sigmoid,
}


def as_modules(networks: Networks) -> list[nn.Sequential]:
    """Return the networks as torch modules of their own: linear layers and activations.

    Args:
        networks: Without normalization and skips; φ is torch's relu, tanh or sigmoid.

    Returns:
        One `nn.Sequential` a network, whose linear layers are modules 0, 2, 4, …; parameters
        are copies.

    Raises:
        ValueError: If the networks are not plain, or φ is another function.

    Example:
        >>> from dlkb.experiments.networks import draw
        >>> as_modules(draw((64, 32, 10), seeds=2))[0]
        Sequential(
          (0): Linear(in_features=64, out_features=32, bias=True)
          (1): ReLU()
          (2): Linear(in_features=32, out_features=10, bias=True)
        )
    """
    if networks.norm or networks.skip:
        raise ValueError("networks has a normalization or skips: only plain ones are converted")
    if networks.activation not in ACTIVATIONS:
        raise ValueError(f"networks.activation is {networks.activation}: it must be torch.relu, …")
    found = []
    for s in range(len(networks.theta)):
        parts: list[nn.Module] = []
        for weight, bias in layers(networks):
            fans = weight.shape[1:]
            linear = nn.Linear(*fans, bias=bias is not None, dtype=weight.dtype)
            linear.to(weight.device)
            with torch.no_grad():
                linear.weight.copy_(weight[s].T)
                if bias is not None:
                    linear.bias.copy_(bias[s, 0])
            parts += [linear, ACTIVATIONS[networks.activation]()]
        found.append(nn.Sequential(*parts[:-1]))
    return found


def train_modules(
    models: Sequence[nn.Module],
    x: Any,
    y: Any,
    *,
    rule: Rule | Schedule,
    steps: int,
    loss: Loss = cross_entropy,
) -> NDArray[Any]:
    """Train models of one architecture, all at once, each on all of its examples in each step.

    What does not require a gradient is left alone. Buffers are read and not updated: batch
    normalization with running averages is not for this function.

    Args:
        models: The models; their parameters are changed.
        x: Inputs of each model, shape (models, batch, …), an array or a tensor.
        y: Labels or targets of each, shape (models, batch, …), an array or a tensor.
        rule: Update rule, or a function from the number of the step, 1 … `steps`, to one.
        steps: Number of steps ≥ 0.
        loss: From outputs (models, batch, classes) and targets to one loss a model.

    Returns:
        The loss before each step, shape (models, steps).

    Raises:
        ValueError: If `steps` is negative, nothing is trainable, or `x` or `y` is not one a model.

    Example:
        >>> from dlkb.experiments.digits import digits
        >>> from dlkb.experiments.networks import draw
        >>> from dlkb.experiments.rules import adam_rule
        >>> models = as_modules(draw((64, 32, 10), seeds=3))
        >>> data = digits(train=200, seeds=3)
        >>> x, y, rule = data.x_train, data.y_train, adam_rule(lr=0.01)
        >>> losses = train_modules(models, x, y, rule=rule, steps=30)
        >>> bool((losses[:, -1] < 0.5 * losses[:, 0]).all())
        True
    """
    check_count("steps", steps, 0)
    parameters, buffers = stack_module_state(list(models))
    names = [name for name, p in models[0].named_parameters() if p.requires_grad]
    if not names:
        raise ValueError("models has no parameter that requires a gradient: unfreeze some")
    like = parameters[names[0]]
    inputs, targets = (torch.as_tensor(part, device=like.device) for part in (x, y))
    inputs = inputs.to(like.dtype) if inputs.is_floating_point() else inputs
    targets = targets if targets.is_floating_point() else targets.long()
    for argument, given in (("x", inputs), ("y", targets)):
        if given.ndim < 2 or len(given) != len(models):
            raise ValueError(
                f"{argument} has shape {tuple(given.shape)}: it must be ({len(models)}, batch, …)"
            )
    model = models[0]

    def output(parts: dict[str, Tensor], fixed: dict[str, Tensor], given: Tensor) -> Tensor:
        return functional_call(model, (parts, fixed), (given,))

    outputs = vmap(output, randomness="different")
    state = {name: at_step(rule, 1).start(parameters[name].detach()) for name in names}
    losses = []
    for t in range(1, steps + 1):
        moving = [parameters[name].detach().requires_grad_() for name in names]
        parameters = parameters | dict(zip(names, moving, strict=True))
        values = loss(outputs(parameters, buffers, inputs), targets)
        losses.append(values.detach())
        step = at_step(rule, t).step
        for name, grad in zip(names, torch.autograd.grad(values.sum(), moving), strict=True):
            parameters[name], state[name] = step(parameters[name].detach(), grad, state[name])
    with torch.no_grad():
        for s, one in enumerate(models):
            for name, p in one.named_parameters():
                if p.requires_grad:
                    p.copy_(parameters[name][s])
    empty = like.new_zeros((len(models), 0))
    return as_numpy(torch.stack(losses, dim=1) if losses else empty)
