"""Cross entropy from logits as modules."""

import warnings

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor

from dlkb.arrays import check_between
from dlkb.losses.cross_entropy import (
    REDUCTIONS,
    binary_cross_entropy_with_logits,
    binary_cross_entropy_with_logits_vjp,
    cross_entropy,
    cross_entropy_vjp,
)
from dlkb.nn.two_graphs import HALF, by_hand


def _reduction(size_average: bool | None, reduce: bool | None, reduction: str) -> str:
    if size_average is not None or reduce is not None:
        reduction = "none" if reduce is False else "sum" if size_average is False else "mean"
        warnings.warn(
            f"size_average and reduce are deprecated: pass reduction={reduction!r}", stacklevel=3
        )
    if reduction not in REDUCTIONS:
        raise ValueError(f'reduction is {reduction!r}: it must be "none", "mean" or "sum"')
    return reduction


def lifted(name: str, x: Tensor) -> Tensor:
    """Under autocast, as PyTorch's losses: half precision becomes float32, and the loss is."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} is {type(x).__name__}: pass a tensor")
    kind = x.device.type
    known = x.dtype in HALF and kind != "meta"  # which autocast does not know
    return x.float() if known and torch.is_autocast_enabled(kind) else x


class CrossEntropyLoss(nn.Module):
    """Cross entropy of class labels, from logits.

    A drop-in for `torch.nn.CrossEntropyLoss`: classes on the second axis, on the first of an
    input without batch. The arithmetic is `dlkb.losses.cross_entropy.cross_entropy`.

    Args:
        weight: A factor for each class, shape (C,): a buffer.
        size_average: Deprecated, as in PyTorch.
        ignore_index: Label whose loss is 0 and which the mean leaves out.
        reduce: Deprecated, as in PyTorch.
        reduction: "mean", "sum" or "none".
        label_smoothing: ε in [0, 1].

    Raises:
        ValueError: If an option is out of its range.

    Note:
        Differs from `torch.nn.CrossEntropyLoss` in half precision, where this computes in float32
        and rounds once (under autocast neither rounds); in 0 · log 0 for targets that are
        probabilities, NaN there; and in the errors for shapes that do not fit. A label out of
        bounds raises `IndexError` on the CPU; compiled or on a GPU, where looking would halt the
        queue, the loss is NaN. `backward()` computes from the logits again: it refuses logits
        that were changed in place.

    Example:
        >>> loss = CrossEntropyLoss()
        >>> loss
        CrossEntropyLoss()
        >>> loss(torch.zeros(5, 10), torch.arange(5))
        tensor(2.3026)
    """

    weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        check_between("label_smoothing", label_smoothing, 0, 1)
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index
        self.reduction = _reduction(size_average, reduce, reduction)
        self.label_smoothing = label_smoothing

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the loss of logits (N, C, …) for labels (N, …) or probabilities (N, C, …)."""
        input, target = lifted("input", input), lifted("target", target)
        classes_first = 0 if input.ndim == 1 else 1
        if input.ndim == 0:
            raise ValueError("input has shape (): logits need an axis of classes")
        if target.is_floating_point():
            target = target.movedim(classes_first, -1) if target.ndim == input.ndim else target
        else:
            self._check_labels(target, input.shape[classes_first])
        logits = input.movedim(classes_first, -1)
        return by_hand(
            cross_entropy,
            cross_entropy_vjp,
            {"logits": logits},
            {
                "ignore_index": self.ignore_index,
                "reduction": self.reduction,
                "label_smoothing": self.label_smoothing,
            },
            fixed={"labels": target, "weight": self.weight},
        )

    def _check_labels(self, target: Tensor, classes: int) -> None:
        unseen = torch.compiler.is_compiling() or isinstance(target, FakeTensor)
        if unseen or target.device.type != "cpu":
            return
        while torch._C._functorch.is_functorch_wrapped_tensor(target):
            target = torch._C._functorch.get_unwrapped(target)  # vmap refuses to look
        target = target.long()  # a narrow dtype cannot be compared with 300
        wrong = ((target < 0) | (target >= classes)) & (target != self.ignore_index)
        if wrong.any():
            raise IndexError(
                f"Target {target[wrong][0].item()} is out of bounds: with {classes} logits a label "
                f"lies in [0, {classes - 1}], or is ignore_index, {self.ignore_index}"
            )


class BCEWithLogitsLoss(nn.Module):
    """Cross entropy of yes or no, from logits, entry by entry.

    A drop-in for `torch.nn.BCEWithLogitsLoss`. The arithmetic is
    `dlkb.losses.cross_entropy.binary_cross_entropy_with_logits`.

    Args:
        weight: A factor for each entry, in a shape that broadcasts to the input's: a buffer.
        size_average: Deprecated, as in PyTorch.
        reduce: Deprecated, as in PyTorch.
        reduction: "mean", "sum" or "none".
        pos_weight: Factor of the part of yes, likewise, for instance one a column: a buffer.

    Raises:
        ValueError: If the reduction is none of these.

    Note:
        Differs from `torch.nn.BCEWithLogitsLoss` in half precision, where this computes in
        float32 and rounds once (under autocast neither rounds). Both refuse targets of integers,
        here with a `TypeError`.

    Example:
        >>> loss = BCEWithLogitsLoss(reduction="none")
        >>> loss(torch.tensor([0.0, -200.0]), torch.tensor([1.0, 1.0]))
        tensor([  0.6931, 200.0000])
    """

    weight: Tensor | None
    pos_weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        pos_weight: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("pos_weight", pos_weight)
        self.reduction = _reduction(size_average, reduce, reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the loss of logits for targets in [0, 1] of the same shape."""
        fixed = {
            "targets": lifted("target", target),
            "weight": self.weight,
            "pos_weight": self.pos_weight,
        }
        return by_hand(
            binary_cross_entropy_with_logits,
            binary_cross_entropy_with_logits_vjp,
            {"logits": lifted("input", input)},
            {"reduction": self.reduction},
            fixed=fixed,
        )
