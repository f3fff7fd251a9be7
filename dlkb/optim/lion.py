"""Lion for PyTorch parameters, which `torch.optim` does not have."""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

from torch import Tensor

from dlkb.arrays import check_between
from dlkb.optim._formula import FormulaOptimizer, as_scalar
from dlkb.optim._memory import Row
from dlkb.optimizers.lion import LionState, lion


class Options(NamedTuple):
    """What a parameter group says of the step."""

    lr: float | Tensor
    betas: tuple[float, float]
    weight_decay: float
    maximize: bool


class Lion(FormulaOptimizer):
    """Lion, with one tensor of state; arguments and state are named as those of its authors.

    `dlkb.optimizers.lion.lion` computes the step.

    Args:
        params: Parameters, pairs of a name and a parameter, or dicts of a parameter group each.
        lr: Learning rate, a number or a tensor of one element: the length of a step.
        betas: Weights of the average in the step, and in the average itself, each in [0, 1).
        weight_decay: A step multiplies the parameters by 1 − lr · weight_decay.
        maximize: Ascend instead of descend.

    Raises:
        ValueError: If a value is out of its range, or the shapes of a loaded state are not those
            of the parameters.

    Note:
        The formula is compiled as by `Adam`, unless a parameter group says `"fused": False`.

    Example:
        >>> import torch
        >>> theta = torch.nn.Parameter(torch.ones(2))
        >>> optimizer = Lion([theta], lr=0.1)
        >>> theta.square().sum().backward()
        >>> optimizer.step()
        >>> theta.detach()
        tensor([0.9000, 0.9000])
    """

    SPARSE = "SparseAdam"
    COUNTED = False

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "weight_decay": weight_decay, "maximize": maximize}
        super().__init__(params, defaults)

    def _check(self, group: dict[str, Any]) -> None:
        for name in ("lr", "weight_decay"):
            check_between(name, group[name], 0, math.inf, closed="left")
        for i, beta in enumerate(group["betas"]):
            check_between(f"betas[{i}]", beta, 0, 1, closed="left")

    def _names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("exp_avg",)

    def _options(self, group: dict[str, Any]) -> Options:
        return Options(
            lr=as_scalar(group["lr"]),
            betas=group["betas"],
            weight_decay=group["weight_decay"],
            maximize=group["maximize"],
        )

    @staticmethod
    def _rule(row: Row, step: float | Tensor, options: Options) -> Row:
        theta, grad, m = row
        theta, new = lion(theta, grad, LionState(m), **options._asdict())
        return theta, new.m
