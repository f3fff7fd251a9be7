"""What lies in memory behind the tensors of a step: shards, pairs of real numbers, vectors."""

import sys
from typing import Any

import torch
from torch import Tensor

Row = tuple[Tensor, ...]
"""Parameter, gradient, and the tensors of the state."""


def is_plain(t: Tensor) -> bool:
    """Tell a tensor from a subclass, whose memory is not for us to view or to join."""
    return type(t) in (Tensor, torch.nn.Parameter)


def is_sharded(t: Tensor) -> bool:
    """Tell a DTensor; who has one has imported its module."""
    module = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(t, module.DTensor)


def as_real(t: Tensor) -> Tensor:
    """View complex numbers as pairs of real ones: the two parts are optimized one by one.

    Of a lazily conjugated gradient it is a copy.
    """
    return torch.view_as_real(t.resolve_conj().resolve_neg()) if t.is_complex() else t


def dense(grad: Any) -> Tensor:
    """Return a gradient with its zeros written out."""
    return grad if grad.layout == torch.strided else grad.to_dense()


def as_arrays(row: Row) -> Row:
    """Return the memory behind a parameter, its gradient and state.

    A formula that is elementwise needs no more of a DTensor than the shard that lies here. A
    gradient that is sharded otherwise, or a sum still to be made, is brought to the parameter's
    placements first. A subclass that dispatches operations stays one, another is taken off.
    """
    if is_plain(row[0]) and is_plain(row[1]) and not row[0].is_complex():
        return row
    theta: Any = row[0]
    if is_sharded(theta):
        row = tuple(
            t
            if t.placements == theta.placements
            else t.redistribute(theta.device_mesh, theta.placements)
            for t in row
        )
        row = tuple(t.to_local() for t in row)
    disabled = Tensor.__torch_dispatch__
    return tuple(
        as_real(t if type(t).__torch_dispatch__ is not disabled else t.as_subclass(Tensor))
        for t in row
    )


def as_vectors(row: Row) -> Row | None:
    """View parameter and state as vectors without copying; None where that cannot be."""
    if not all(map(is_plain, row)):
        return None
    theta, grad, *state = row
    if not theta.is_contiguous():
        order = sorted(range(theta.ndim), key=theta.stride, reverse=True)
        theta, grad, *state = (t.permute(order) for t in row)
    if not all(t.is_contiguous() for t in (theta, *state)):
        return None
    # Detached last: to the compiler a view of a view would be another kind of argument.
    return tuple(t.view(-1).detach() for t in (theta, grad.contiguous(), *state))
