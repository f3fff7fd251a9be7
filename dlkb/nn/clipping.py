"""Gradient clipping in place, with the signatures of `torch.nn.utils`."""

import math
import warnings
from collections.abc import Iterable
from types import GeneratorType

import torch
from torch import Tensor

from dlkb.arrays import check_between
from dlkb.gradients.clipping import clip_by_value, clip_factor, global_norm


def _grads(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    if isinstance(parameters, Tensor):
        parameters = [parameters]
    grads = [p.grad for p in parameters if p.grad is not None]
    for grad in grads:
        if grad.layout is not torch.strided:
            raise TypeError(
                f"a gradient has layout {grad.layout}: dense gradients are needed, "
                "construct embeddings with sparse=False"
            )
    return grads


@torch.no_grad()
def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scale the gradients of all parameters by one factor, in place; return their norm before.

    A drop-in for `torch.nn.utils.clip_grad_norm_`; the arithmetic is
    `dlkb.gradients.clipping.global_norm` and `clip_factor`. Call it after `backward()`, and with
    a gradient scaler after `unscale_`. Gradients may differ in dtype and device; nothing waits
    for the device unless `error_if_nonfinite` is set.

    Args:
        parameters: One tensor or several; those whose `grad` is `None` are passed over.
        max_norm: Threshold ≥ 0; `math.inf` only measures.
        norm_type: p > 0 of the norm, may be `math.inf` or `"inf"`.
        error_if_nonfinite: Raise, and leave the gradients alone, if the norm is infinite or NaN.
            Otherwise an infinite norm makes all finite entries 0 and infinite ones NaN, and
            a NaN makes everything NaN.
        foreach: Accepted and without effect: one loop serves all devices.

    Returns:
        The norm of all gradients as one vector before clipping, 0-d, on the device of the first
        gradient; 0 if there is none.

    Raises:
        RuntimeError: If `error_if_nonfinite` and the norm is infinite or NaN.
        ValueError: If `max_norm` is negative or NaN, or `norm_type` not positive.
        TypeError: If a gradient is sparse, complex or of integers.

    Note:
        Differs from torch in refusing a negative `max_norm`, which there turns the gradients
        around, and p ≤ 0, where torch's norm of norms is not the norm of the whole.

    Example:
        >>> weight = torch.zeros(2, requires_grad=True)
        >>> weight.grad = torch.tensor([3.0, 4.0])
        >>> clip_grad_norm_(weight, max_norm=1.0)
        tensor(5.)
        >>> weight.grad.round(decimals=1)
        tensor([0.6000, 0.8000])
    """
    max_norm, norm_type = float(max_norm), float(norm_type)
    check_between("max_norm", max_norm, 0, math.inf)
    check_between("norm_type", norm_type, 0, math.inf, closed="right")
    if isinstance(parameters, GeneratorType):
        parameters = list(parameters)
        if not parameters:
            warnings.warn(
                "`parameters` is an empty generator, no gradient clipping will occur.",
                stacklevel=3,
            )
    grads = _grads(parameters)
    if not grads:
        return torch.tensor(0.0)
    # The norm of the norms is the norm of the whole, so that devices meet in scalars alone.
    each = [global_norm([g], norm_type=norm_type).to(grads[0].device) for g in grads]
    norm: Tensor = global_norm(each, norm_type=norm_type)
    if error_if_nonfinite and not torch.isfinite(norm):
        raise RuntimeError(
            f"The total norm of order {norm_type} for gradients from `parameters` is non-finite: "
            f"{norm.item()}. The gradients are left as they are; skip this step, or set "
            "error_if_nonfinite=False to scale them all the same"
        )
    factor = clip_factor(norm, max_norm=max_norm)
    for grad in grads:
        grad.mul_(factor.to(grad.device))
    return norm


@torch.no_grad()
def clip_grad_value_(
    parameters: Tensor | Iterable[Tensor], clip_value: float, foreach: bool | None = None
) -> None:
    """Limit every entry of every gradient to [−clip_value, clip_value], in place.

    A drop-in for `torch.nn.utils.clip_grad_value_`; the arithmetic is
    `dlkb.gradients.clipping.clip_by_value`. It turns the gradient: prefer `clip_grad_norm_`.

    Args:
        parameters: One tensor or several; those whose `grad` is `None` are passed over.
        clip_value: Limit ≥ 0.
        foreach: Accepted and without effect.

    Raises:
        ValueError: If `clip_value` is negative or NaN.
        TypeError: If a gradient is sparse, complex or of integers.

    Example:
        >>> weight = torch.zeros(2, requires_grad=True)
        >>> weight.grad = torch.tensor([0.5, -4.0])
        >>> clip_grad_value_(weight, 1.0)
        >>> weight.grad
        tensor([ 0.5000, -1.0000])
    """
    clip_value = float(clip_value)
    check_between("clip_value", clip_value, 0, math.inf)
    for grad in _grads(parameters):
        grad.copy_(clip_by_value(grad, clip_value=clip_value))
