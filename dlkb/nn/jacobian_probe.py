"""Measure the end-to-end Jacobian of any `nn.Module` at an input.

A module is left as it was: mode, buffers (running statistics included), `.grad` and hooks. A
function is called as it is: one that calls a module changes its running statistics.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from dlkb.arrays import check_count
from dlkb.linear_algebra.singular_values import condition_number
from dlkb.nn._calls import call_on_copies, gradients_at, is_fully_sharded


class JacobianSpectrum(NamedTuple):
    """Singular values of a Jacobian.

    Attributes:
        singular_values: Descending, float32 or float64.
        shape: Rows (outputs) and columns (inputs) of the Jacobian.
    """

    singular_values: Tensor
    shape: tuple[int, int]

    @property
    def condition_number(self) -> float:
        """Largest over smallest of the singular values that were computed."""
        return float(condition_number(self.singular_values))


def _unrelated(y: Tensor, x: Tensor) -> ValueError:
    return ValueError(
        f"the output, {y.numel()} numbers, does not depend on x, {x.numel()} numbers: choose an "
        "output that is computed from x, outside torch.no_grad()"
    )


def _not_finite(what: str) -> ValueError:
    return ValueError(
        f"{what} not finite: the signal overflowed, measure fewer layers or in float64"
    )


def _rows(y: Tensor, x: Tensor) -> Tensor:
    rows = []
    for i in range(y.numel()):
        (row,) = gradients_at(y.reshape(-1)[i], [x])
        if row is None:
            raise _unrelated(y, x)
        rows.append(row.reshape(-1))
    return torch.stack(rows)


def _largest(y: Tensor, x: Tensor, count: int, steps: int) -> Tensor:
    """Iterate on a subspace with products Jv and Jᵀu, both by backpropagation."""
    u = torch.zeros_like(y, requires_grad=True)
    (back,) = torch.autograd.grad(y, x, u, create_graph=True, allow_unused=True)
    if back is None:  # else it is Jᵀu, linear in u
        raise _unrelated(y, x)

    def products(of: Tensor, at: Tensor, columns: Tensor) -> Tensor:
        found = [
            torch.autograd.grad(of, at, c.to(of.dtype).reshape(of.shape), retain_graph=True)[0]
            for c in columns.T
        ]
        return torch.stack([f.reshape(-1) for f in found], dim=1).to(columns.dtype)

    wide = torch.float64 if x.dtype == torch.float64 else torch.float32
    generator = torch.Generator().manual_seed(0)  # of the CPU, whatever the default device
    V = torch.randn(x.numel(), count, generator=generator, dtype=wide, device="cpu").to(x.device)
    for _ in range(steps):
        U = torch.linalg.qr(products(back, u, V)).Q
        V = torch.linalg.qr(products(y, x, U)).Q
    last = products(back, u, V)
    if not bool(torch.isfinite(last).all()):
        raise _not_finite("products with the Jacobian are")
    return torch.linalg.svdvals(last)


@torch.enable_grad()
def jacobian_singular_values(
    model: Callable[[Tensor], Tensor], x: Tensor, *, count: int | None = None, steps: int = 30
) -> JacobianSpectrum:
    """Measure the end-to-end Jacobian of a model at an input.

    Outputs and inputs are flattened, batch included: pass one example, as a batch of one, for the
    Jacobian of one example.

    Args:
        model: Any module, in the mode in which it is to be measured, or any function of one tensor,
            such as `lambda e: llm(inputs_embeds=e).logits[:, -1]`.
        x: The input, floating-point.
        count: Compute only the largest so many, by subspace iteration with products: count ·
            (2 · steps + 1) + 1 backward passes, and no Jacobian in memory. All of them by
            default, from one backward pass for each output.
        steps: Rounds of that iteration.

    Returns:
        The singular values and the shape of the Jacobian.

    Raises:
        TypeError: If `x` is not floating-point or the model does not return one tensor; or, with
            `count`, if the model is sharded by FSDP2.
        ValueError: If the output does not depend on `x`, the Jacobian has entries that are not
            finite, or `count` or `steps` is out of range.

    Note:
        `count` differentiates twice; attention kernels that cannot must be switched to the "math"
        backend. Runs one forward pass, which advances the random state where there is dropout.

    Example:
        >>> model = nn.Linear(3, 2, bias=False)
        >>> model.weight.data = torch.tensor([[3.0, 0.0, 0.0], [0.0, 0.5, 0.0]])
        >>> jacobian_singular_values(model, torch.zeros(1, 3))
        JacobianSpectrum(singular_values=tensor([3.0000, 0.5000]), shape=(2, 3))
    """
    if not (isinstance(x, Tensor) and x.is_floating_point()):
        what = x.dtype if isinstance(x, Tensor) else type(x).__name__
        raise TypeError(
            f"x is {what}: a floating-point tensor is needed; for token ids pass embeddings"
        )
    if count is not None and isinstance(model, nn.Module) and is_fully_sharded(model):
        raise TypeError(
            "count differentiates twice, which fully_shard does not allow: leave count out, or "
            "probe the model before it is sharded"
        )
    x = x.detach().clone().requires_grad_()
    y = call_on_copies(model, x.clone())  # a first layer that works in place may not change a leaf
    if not isinstance(y, Tensor):
        raise TypeError(
            f"model returns {type(y).__name__}: one tensor is needed, choose it with a lambda"
        )
    shape = (y.numel(), x.numel())
    if not y.requires_grad or 0 in shape:
        raise _unrelated(y, x)
    if count is None:
        J = _rows(y, x)
        bad = int((~torch.isfinite(J)).sum())
        if bad:
            raise _not_finite(f"{bad} entries of the Jacobian are")
        sigma = torch.linalg.svdvals(J if J.dtype == torch.float64 else J.float())
    else:
        check_count("count", count, 1, min(shape))
        check_count("steps", steps, 1)
        sigma = _largest(y, x, count, steps)
    return JacobianSpectrum(sigma.detach(), shape)
