"""RMSProp for PyTorch parameters: `torch.optim.RMSprop` on the formula of this package."""

import math
from collections.abc import Iterable
from typing import Any, ClassVar, NamedTuple

from torch import Tensor

from dlkb.arrays import check_between
from dlkb.optim._formula import FormulaOptimizer, as_scalar
from dlkb.optim._memory import Row
from dlkb.optimizers.adagrad import RMSpropState, rmsprop


class Options(NamedTuple):
    """What a parameter group says of the step, and which tensors its state has."""

    lr: float | Tensor
    alpha: float
    eps: float
    weight_decay: float
    momentum: float
    maximize: bool
    names: tuple[str, ...]


class RMSprop(FormulaOptimizer):
    """RMSProp, in the place of `torch.optim.RMSprop`.

    Arguments, parameter groups and `state_dict` are those of `torch.optim.RMSprop`: a run saved
    under one resumes under the other. `dlkb.optimizers.adagrad.rmsprop` computes the step.

    Args:
        params: Parameters, pairs of a name and a parameter, or dicts of a parameter group each.
        lr: Learning rate, a number or a tensor of one element.
        alpha: Decay rate of the moving averages, in [0, 1].
        eps: Added to the root of the second moment.
        weight_decay: An L2 penalty, added to the gradient.
        momentum: Of the steps, not of the gradients.
        centered: Divide by the standard deviation of the gradient.
        capturable: Keep the step counter on the parameter's device, for CUDA graphs.
        foreach: Accepted and kept, see `Adam`.
        maximize: Ascend instead of descend.
        differentiable: Let autograd see the step, see `Adam`.

    Raises:
        ValueError: If a value is out of its range, or the shapes of a loaded state are not those
            of the parameters.

    Note:
        Differs from `torch.optim.RMSprop`: where rounding makes the variance of `centered`
        negative, torch's step is NaN, and this takes 0 for it. `alpha` above 1 is refused. The
        formula is compiled as by `Adam`, unless a parameter group says `"fused": False`.

    Example:
        >>> import torch
        >>> theta = torch.nn.Parameter(torch.ones(2))
        >>> optimizer = RMSprop([theta], lr=0.01)
        >>> theta.square().sum().backward()
        >>> optimizer.step()
        >>> theta.detach()  # the first step is lr / √(1 − alpha)
        tensor([0.9000, 0.9000])
    """

    SPARSE = "SparseAdam"
    NEWER: ClassVar[dict[str, Any]] = {
        "momentum": 0,
        "centered": False,
        "foreach": None,
        "maximize": False,
        "differentiable": False,
        "capturable": False,
    }

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "alpha": alpha,
            "eps": eps,
            "centered": centered,
            "weight_decay": weight_decay,
            "capturable": capturable,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _check(self, group: dict[str, Any]) -> None:
        for name in ("lr", "eps", "weight_decay", "momentum"):
            check_between(name, group[name], 0, math.inf, closed="left")
        check_between("alpha", group["alpha"], 0, 1)

    def _names(self, group: dict[str, Any]) -> tuple[str, ...]:
        buffer = ("momentum_buffer",) if group["momentum"] > 0 else ()
        return ("square_avg", *buffer, *(("grad_avg",) if group["centered"] else ()))

    def _options(self, group: dict[str, Any]) -> Options:
        return Options(
            lr=as_scalar(group["lr"]),
            alpha=group["alpha"],
            eps=group["eps"],
            weight_decay=group["weight_decay"],
            momentum=group["momentum"],
            maximize=group["maximize"],
            names=self._names(group),
        )

    @staticmethod
    def _rule(row: Row, step: float | Tensor, options: Options) -> Row:
        theta, grad, *state = row
        named = dict(zip(options.names, state, strict=True))
        held = RMSpropState(
            named["square_avg"], named.get("grad_avg"), named.get("momentum_buffer")
        )
        theta, new = rmsprop(
            theta,
            grad,
            held,
            lr=options.lr,
            alpha=options.alpha,
            eps=options.eps,
            weight_decay=options.weight_decay,
            momentum=options.momentum,
            maximize=options.maximize,
        )
        after = {"square_avg": new.v, "grad_avg": new.mean, "momentum_buffer": new.buffer}
        return (theta, *(after[name] for name in options.names))
