"""Gradient clipping in place, with the signatures of `torch.nn.utils`."""

import math
import warnings
from collections.abc import Iterable
from types import GeneratorType

import torch
from torch import Tensor

from dlkb.arrays import check_between, check_float
from dlkb.gradients.clipping import clip_by_value, clip_factor, global_norm
from dlkb.nn._calls import whole


def _listed(tensors: Tensor | Iterable[Tensor]) -> list[Tensor]:
    return [tensors] if isinstance(tensors, Tensor) else list(tensors)


def _checked(grads: list[Tensor], *, written: bool) -> list[Tensor]:
    """Raise, before any is scaled, if a gradient is of a kind that cannot be."""
    for grad in grads:
        if grad.layout is not torch.strided:
            raise TypeError(
                f"a gradient has layout {grad.layout}: dense gradients are needed, "
                "construct embeddings with sparse=False"
            )
        check_float("a gradient", grad)
        pairs = zip(grad.stride(), grad.shape, strict=True)
        if written and any(stride == 0 and size > 1 for stride, size in pairs):
            raise ValueError(
                f"a gradient of shape {tuple(grad.shape)} is expanded, its entries share memory: "
                "it cannot be scaled in place, clone() it first"
            )
    return grads


def _gradients(parameters: list[Tensor]) -> list[Tensor]:
    return _checked([p.grad for p in parameters if p.grad is not None], written=True)


@torch.no_grad()
def get_total_norm(
    tensors: Tensor | Iterable[Tensor],
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Return the norm of all tensors as one vector.

    A drop-in for `torch.nn.utils.get_total_norm`; the arithmetic is
    `dlkb.gradients.clipping.global_norm`. Tensors may differ in dtype, device and mesh.

    Args:
        tensors: One tensor or several: gradients, not the parameters.
        norm_type: p > 0 of the norm, may be `math.inf` or `"inf"`.
        error_if_nonfinite: Raise if the norm is infinite or NaN.
        foreach: Accepted and without effect: one loop serves all devices.

    Returns:
        The norm, 0-d, on the device of the first tensor; 0 if there is none.

    Raises:
        RuntimeError: If `error_if_nonfinite` and the norm is infinite or NaN.
        ValueError: If `norm_type` is not positive.
        TypeError: If a tensor is sparse, complex or of integers.

    Note:
        Differs from torch for sharded tensors (`DTensor`): all ranks get the whole norm as an
        ordinary tensor, where torch returns a DTensor for `full_tensor()` to reduce, and where
        tensors of several meshes are an error.

    Example:
        >>> get_total_norm([torch.tensor([3.0, 0.0]), torch.tensor([[4.0]])])
        tensor(5.)
    """
    norm_type = float(norm_type)
    check_between("norm_type", norm_type, 0, math.inf, closed="right")
    grads = _checked(_listed(tensors), written=False)
    if not grads:
        return torch.tensor(0.0)
    # The norm of the norms is the norm of the whole, so that devices meet in scalars alone.
    each = [whole(global_norm([g], norm_type=norm_type)).to(grads[0].device) for g in grads]
    norm: Tensor = global_norm(each, norm_type=norm_type)
    if error_if_nonfinite and not torch.isfinite(norm):
        raise RuntimeError(
            f"The total norm of order {norm_type} for gradients from `parameters` is non-finite: "
            f"{norm.item()}. The gradients are left as they are; skip this step, or set "
            "error_if_nonfinite=False to scale them all the same"
        )
    return norm


@torch.no_grad()
def clip_grads_with_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    total_norm: Tensor,
    foreach: bool | None = None,
) -> None:
    """Scale the gradients of all parameters as a norm that is known demands, in place.

    A drop-in for `torch.nn.utils.clip_grads_with_norm_`; the factor is
    `dlkb.gradients.clipping.clip_factor`. For norms that this process cannot compute from its own
    gradients, as in a pipeline.

    Args:
        parameters: One tensor or several; those whose `grad` is `None` are passed over.
        max_norm: Threshold ≥ 0; `math.inf` leaves gradients of finite norm alone, and turns others
            to NaN, as in torch.
        total_norm: The norm, 0-d, from `get_total_norm`.
        foreach: Accepted and without effect.

    Raises:
        ValueError: If `max_norm` is negative or NaN, or a gradient's entries share memory.
        TypeError: If a gradient is sparse, complex or of integers. No gradient is scaled then.

    Example:
        >>> weight = torch.zeros(2, requires_grad=True)
        >>> weight.grad = torch.tensor([3.0, 4.0])
        >>> clip_grads_with_norm_(weight, max_norm=1.0, total_norm=torch.tensor(10.0))
        >>> weight.grad.round(decimals=1)
        tensor([0.3000, 0.4000])
    """
    max_norm = float(max_norm)
    check_between("max_norm", max_norm, 0, math.inf)
    grads = _gradients(_listed(parameters))
    factor = clip_factor(whole(total_norm), max_norm=max_norm)
    for grad in grads:
        grad.mul_(factor.to(grad.device))


@torch.no_grad()
def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scale the gradients of all parameters by one factor, in place; return their norm before.

    A drop-in for `torch.nn.utils.clip_grad_norm_`: `get_total_norm`, then
    `clip_grads_with_norm_`. Call it after `backward()`, and with a gradient scaler after
    `unscale_`. Gradients may differ in dtype, device and mesh; nothing waits for the device
    unless `error_if_nonfinite` is set. Under FSDP2 and tensor parallelism call it on all ranks;
    under DDP it is local, since gradients are equal already.

    Args:
        parameters: One tensor or several; those whose `grad` is `None` are passed over.
        max_norm: Threshold ≥ 0; `math.inf` only measures a finite norm, and turns gradients of an
            infinite one to NaN, as in torch: `get_total_norm` measures both.
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
        ValueError: If `max_norm` is negative or NaN, `norm_type` not positive, or a gradient's
            entries share memory.
        TypeError: If a gradient is sparse, complex or of integers. No gradient is scaled then.

    Note:
        Differs from torch in refusing a negative `max_norm`, which there turns the gradients
        around, p ≤ 0 and complex gradients; and for sharded gradients as `get_total_norm` does.

    Example:
        >>> weight = torch.zeros(2, requires_grad=True)
        >>> weight.grad = torch.tensor([3.0, 4.0])
        >>> clip_grad_norm_(weight, max_norm=1.0)
        tensor(5.)
        >>> weight.grad.round(decimals=1)
        tensor([0.6000, 0.8000])
    """
    check_between("max_norm", float(max_norm), 0, math.inf)
    generated = isinstance(parameters, GeneratorType)
    parameters = _listed(parameters)
    if generated and not parameters:
        warnings.warn(
            "`parameters` is an empty generator, no gradient clipping will occur.", stacklevel=3
        )
    norm = get_total_norm(_gradients(parameters), norm_type, error_if_nonfinite)
    clip_grads_with_norm_(parameters, max_norm, norm)
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
        ValueError: If `clip_value` is negative or NaN, or a gradient's entries share memory.
        TypeError: If a gradient is sparse, complex or of integers. No gradient is limited then.

    Example:
        >>> weight = torch.zeros(2, requires_grad=True)
        >>> weight.grad = torch.tensor([0.5, -4.0])
        >>> clip_grad_value_(weight, 1.0)
        >>> weight.grad
        tensor([ 0.5000, -1.0000])
    """
    clip_value = float(clip_value)
    check_between("clip_value", clip_value, 0, math.inf)
    for grad in _gradients(_listed(parameters)):
        # A limit beyond float16 would be infinite there.
        largest = torch.finfo(grad.dtype).max if clip_value < math.inf else math.inf
        grad.copy_(clip_by_value(grad, clip_value=min(clip_value, largest)))
