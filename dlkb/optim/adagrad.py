"""AdaGrad for PyTorch parameters: `torch.optim.Adagrad` on the formula of this package."""

import math
from collections.abc import Iterable
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from dlkb.arrays import check_between
from dlkb.optim._formula import FormulaOptimizer, as_scalar
from dlkb.optim._memory import Row
from dlkb.optimizers.adagrad import AdagradState, adagrad


class Options(NamedTuple):
    """What a parameter group says of the step."""

    lr: float | Tensor
    lr_decay: float
    weight_decay: float
    eps: float
    maximize: bool


class Adagrad(FormulaOptimizer):
    """AdaGrad, in the place of `torch.optim.Adagrad`.

    Arguments, parameter groups and `state_dict` are those of `torch.optim.Adagrad`: a run saved
    under one resumes under the other. `dlkb.optimizers.adagrad.adagrad` computes the step.

    Args:
        params: Parameters, pairs of a name and a parameter, or dicts of a parameter group each.
        lr: Learning rate, a number or a tensor of one element.
        lr_decay: Step t is divided by 1 + (t − 1) · lr_decay, on top of the decay by the sum.
        weight_decay: An L2 penalty, added to the gradient.
        initial_accumulator_value: What the sum of squares starts from.
        eps: Added to the root of the sum.
        foreach: Accepted and kept, see `Adam`.
        maximize: Ascend instead of descend.
        differentiable: Let autograd see the step, see `Adam`.
        fused: Whether to compile the formula, see `Adam`.

    Raises:
        ValueError: If a value is out of its range, or the shapes of a loaded state are not those
            of the parameters.
        RuntimeError: If `fused` and `differentiable` are both `True`.

    Note:
        Differs from `torch.optim.Adagrad`: sparse gradients are made dense, also with
        `weight_decay`, which torch refuses. With ε > 0 in the dtype values are the same (with 0,
        as 1e-10 is in float16 uncompiled, rows that never had a gradient turn NaN); memory and time
        are those of the whole table. A group's own `initial_accumulator_value` counts, which torch
        ignores. No CUDA graph captures a step.

    Example:
        >>> import torch
        >>> theta = torch.nn.Parameter(torch.ones(2))
        >>> optimizer = Adagrad([theta], lr=0.1)
        >>> theta.square().sum().backward()
        >>> optimizer.step()
        >>> theta.detach()
        tensor([0.9000, 0.9000])
    """

    NEWER: ClassVar[dict[str, Any]] = {
        "foreach": None,
        "maximize": False,
        "differentiable": False,
        "fused": None,
    }

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "eps": eps,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)
        for group in self.param_groups:
            for p in group["params"]:
                self._begin(p, group)

    def share_memory(self) -> None:
        """Move the sums to shared memory, for processes that train one model together."""
        for held in self.state.values():
            held["sum"].share_memory_()

    def _check(self, group: dict[str, Any]) -> None:
        for name in ("lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps"):
            check_between(name, group[name], 0, math.inf, closed="left")

    def _names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("sum",)

    def _start(self, p: Tensor, group: dict[str, Any]) -> dict[str, Tensor]:
        value: Any = group["initial_accumulator_value"]
        value = complex(value, value) if p.is_complex() else value
        return {"sum": torch.full_like(p, value, memory_format=torch.preserve_format)}

    def _options(self, group: dict[str, Any]) -> Options:
        return Options(
            lr=as_scalar(group["lr"]),
            lr_decay=group["lr_decay"],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=group["maximize"],
        )

    @staticmethod
    def _rule(row: Row, step: float | Tensor, options: Options) -> Row:
        theta, grad, total = row
        theta, new = adagrad(theta, grad, AdagradState(step, total), **options._asdict())
        return theta, new.sum

    @staticmethod
    def _fold(step: float | Tensor, options: Options) -> tuple[float | Tensor, Options]:
        return 0.0, options._replace(lr=options.lr / (1 + step * options.lr_decay), lr_decay=0.0)
