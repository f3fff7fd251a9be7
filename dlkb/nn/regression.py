"""Losses of numbers as modules."""

import math

import torch
from torch import Tensor, nn

from dlkb.arrays import check_between
from dlkb.losses.regression import (
    absolute_error,
    huber,
    huber_vjp,
    smooth_l1,
    smooth_l1_vjp,
    squared_error,
)
from dlkb.nn.cross_entropy import _reduction, lifted
from dlkb.nn.two_graphs import by_hand


class _RegressionLoss(nn.Module):
    """What the losses share: the arguments of PyTorch, and targets of any real dtype."""

    def __init__(
        self, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean"
    ) -> None:
        super().__init__()
        self.reduction = _reduction(size_average, reduce, reduction)

    def _loss(self, input: Tensor, target: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the loss of predictions for targets of the same shape."""
        input, target = lifted("input", input), lifted("target", target)
        if input.shape != target.shape:
            raise ValueError(
                f"target has shape {tuple(target.shape)} but input has shape {tuple(input.shape)}: "
                "they would be broadcast, and each prediction compared with other targets too. "
                "Give both one shape, for instance by input.squeeze(-1)"
            )
        if target.is_complex():
            raise TypeError(f"target has dtype {target.dtype}: real numbers are needed")
        real = target if target.is_floating_point() else target.to(input.dtype)
        return self._loss(input, real)


class MSELoss(_RegressionLoss):
    """Mean squared error.

    A drop-in for `torch.nn.MSELoss`. The arithmetic is `dlkb.losses.regression.squared_error`.

    Args:
        size_average: Deprecated, as in PyTorch.
        reduce: Deprecated, as in PyTorch.
        reduction: "mean" over all entries, "sum" or "none".

    Raises:
        ValueError: If the reduction is none of these.

    Note:
        Differs from `torch.nn.MSELoss` in shapes that differ, which it refuses where PyTorch warns
        and broadcasts; and in half precision, where this computes in float32 and rounds once: a
        mean that fits is finite, though a square does not. Under autocast neither rounds.

    Example:
        >>> import torch
        >>> MSELoss()(torch.tensor([1.0, 4.0]), torch.tensor([1.0, 1.0]))
        tensor(4.5000)
    """

    def _loss(self, input: Tensor, target: Tensor) -> Tensor:
        return squared_error(input, target, reduction=self.reduction)


class L1Loss(_RegressionLoss):
    """Mean absolute error.

    A drop-in for `torch.nn.L1Loss`. The arithmetic is `dlkb.losses.regression.absolute_error`.

    Args:
        size_average: Deprecated, as in PyTorch.
        reduce: Deprecated, as in PyTorch.
        reduction: "mean" over all entries, "sum" or "none".

    Raises:
        ValueError: If the reduction is none of these.

    Note:
        Differs from `torch.nn.L1Loss` as `MSELoss` does from PyTorch's, and in complex numbers,
        which it refuses.

    Example:
        >>> import torch
        >>> L1Loss()(torch.tensor([1.0, 4.0]), torch.tensor([1.0, 1.0]))
        tensor(1.5000)
    """

    def _loss(self, input: Tensor, target: Tensor) -> Tensor:
        return absolute_error(input, target, reduction=self.reduction)


class HuberLoss(_RegressionLoss):
    """Huber's loss: half the square up to δ, a straight line of slope δ beyond.

    A drop-in for `torch.nn.HuberLoss`. The arithmetic is `dlkb.losses.regression.huber`.

    Args:
        reduction: "mean" over all entries, "sum" or "none".
        delta: δ > 0, in the unit of the targets.

    Raises:
        ValueError: If an option is out of its range.

    Note:
        Differs from `torch.nn.HuberLoss` as `MSELoss` does from PyTorch's; in targets of another
        dtype, for which PyTorch 2.13 raises in the backward pass; and in a δ out of its range,
        which raises here when the module is made, there when it is called.

    Example:
        >>> import torch
        >>> HuberLoss(delta=2.0)(torch.tensor([3.0]), torch.tensor([0.0]))
        tensor(4.)
    """

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction=reduction)
        check_between("delta", delta, 0, math.inf, closed="right")
        self.delta = delta

    def _loss(self, input: Tensor, target: Tensor) -> Tensor:
        options = {"delta": self.delta, "reduction": self.reduction}
        fixed = {"target": target}
        return by_hand(huber, huber_vjp, {"prediction": input}, options, fixed=fixed)


class SmoothL1Loss(_RegressionLoss):
    """Huber's loss over β: large errors have slope 1.

    A drop-in for `torch.nn.SmoothL1Loss`. The arithmetic is `dlkb.losses.regression.smooth_l1`.

    Args:
        size_average: Deprecated, as in PyTorch.
        reduce: Deprecated, as in PyTorch.
        reduction: "mean" over all entries, "sum" or "none".
        beta: β ≥ 0, in the unit of the targets. At 0 the loss is `L1Loss`.

    Raises:
        ValueError: If an option is out of its range.

    Note:
        Differs from `torch.nn.SmoothL1Loss` as `MSELoss` does from PyTorch's, and in a β out of its
        range, which raises here when the module is made, there when it is called.

    Example:
        >>> import torch
        >>> SmoothL1Loss(beta=2.0)(torch.tensor([3.0]), torch.tensor([0.0]))
        tensor(2.)
    """

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        beta: float = 1.0,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        check_between("beta", beta, 0, math.inf)
        self.beta = beta

    def _loss(self, input: Tensor, target: Tensor) -> Tensor:
        # Where β underflows, the error over β would be 0/0 or 0.
        dtype = torch.promote_types(torch.promote_types(input.dtype, target.dtype), torch.float32)
        if self.beta < torch.finfo(dtype).tiny:
            return absolute_error(input, target, reduction=self.reduction)
        options = {"beta": self.beta, "reduction": self.reduction}
        fixed = {"target": target}
        return by_hand(smooth_l1, smooth_l1_vjp, {"prediction": input}, options, fixed=fixed)
