"""L1 and L2 penalties on the weights of a model, and the proximal step in place."""

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from dlkb.arrays import check_float
from dlkb.regularization import l1_l2


def penalized_parameters(model: nn.Module) -> list[nn.Parameter]:
    """Return the parameters that a penalty usually reaches: trainable, of two axes or more.

    That leaves out biases and the gains of normalization layers, whose names end on "weight"
    too; but those of a LayerNorm over two axes or more are taken, and so are embeddings, class
    tokens, the gains of `weight_norm` and those of a LayerScale of shape (C, 1, 1). A parameter
    that two modules share comes once.

    Args:
        model: Any module. Pass the layers that you mean, one by one, to leave the others out.

    Returns:
        Parameters in the order of `model.parameters()`.

    Raises:
        ValueError: If there is none, since a penalty on nothing goes unnoticed, or if a parameter
            of a lazy module has no shape yet.

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3))
        >>> [tuple(p.shape) for p in penalized_parameters(model)]
        [(3, 4)]
    """
    for name, p in model.named_parameters():
        if is_lazy(p):
            raise ValueError(f"{name} has no shape yet: call the model once before you penalize it")
    found = [p for p in model.parameters() if p.requires_grad and p.ndim >= 2]
    if not found:
        raise ValueError(
            f"{type(model).__name__} has no trainable parameter of two axes or more: "
            "there is nothing to penalize"
        )
    return found


def penalty(model: nn.Module, *, l1: float = 0.0, l2: float = 0.0) -> Tensor:
    """Return the penalty on a model's weights, to be added to the loss.

    The sum of `dlkb.regularization.l1_l2.penalty` over `penalized_parameters(model)`.

    Args:
        model: A module whose weights are on one device.
        l1: Strength λ₁ ≥ 0 of Σ|θ|. For exact zeros use `prox_` instead.
        l2: Strength λ₂ ≥ 0 of Σθ²/2. With SGD it acts as `weight_decay=l2` on these weights.

    Returns:
        A 0-d tensor with a gradient.

    Raises:
        ValueError: If a strength is negative, infinite or NaN, or there is nothing to penalize.
        TypeError: If a weight is complex.

    Example:
        >>> model = nn.Linear(2, 1)
        >>> _ = nn.init.constant_(model.weight, -3.0)
        >>> penalty(model, l1=1.0).item(), penalty(model, l2=1.0).item()
        (6.0, 9.0)
    """
    terms = [l1_l2.penalty(p, l1=l1, l2=l2) for p in penalized_parameters(model)]
    return torch.stack([term.to(terms[0].dtype) for term in terms]).sum()


@torch.no_grad()
def prox_(model: nn.Module, *, lr: float, l1: float = 0.0, l2: float = 0.0) -> None:
    """Apply the proximal map of the penalty to a model's weights, in place.

    Call it after `optimizer.step()` of plain SGD with the same `lr`, the penalty not being in
    the loss: the two make one step of ISTA, and zeros are exact. After SGD with momentum β (no
    dampening) pass `lr / (1 - β)`, which is how far a steady gradient moves a weight in a step.
    With `lr` alone the penalty is too weak by 1 − β.

    Args:
        model: Any module; `penalized_parameters(model)` are changed.
        lr: The step size that the optimizer has just used; with momentum divided by 1 − β.
        l1: Strength λ₁ ≥ 0.
        l2: Strength λ₂ ≥ 0.

    Raises:
        ValueError: If a value is out of range, or there is nothing to penalize.
        TypeError: If a weight is complex. No weight is changed then.

    Note:
        Weights in bfloat16 may not move: a threshold below half their spacing is rounded away.
        With Adam each entry has a step size of its own. The zeros are exact too, but the
        weights that remain are not those of the L1 penalty.

    Example:
        >>> model = nn.Linear(3, 1)
        >>> _ = model.weight.data.copy_(torch.tensor([[0.02, -0.5, 1.0]]))
        >>> prox_(model, lr=0.1, l1=0.5)
        >>> model.weight.data
        tensor([[ 0.0000, -0.4500,  0.9500]])
    """
    weights = penalized_parameters(model)
    for p in weights:
        check_float("a weight", p)
    for p in weights:
        p.copy_(l1_l2.prox(p, lr=lr, l1=l1, l2=l2))
