"""Gradient descent and momentum for PyTorch: `torch.optim.SGD` on the formulas of this package."""

import math
from collections.abc import Iterable
from typing import Any, ClassVar, NamedTuple

from torch import Tensor

from dlkb.arrays import check_between
from dlkb.optim._formula import FormulaOptimizer, as_scalar
from dlkb.optim._memory import Row
from dlkb.optimizers.momentum import momentum
from dlkb.optimizers.sgd import sgd


class Options(NamedTuple):
    """What a parameter group says of the step."""

    lr: Any
    momentum: float
    dampening: float
    nesterov: bool
    weight_decay: Any
    maximize: bool


class SGD(FormulaOptimizer):
    """Gradient descent, heavy ball and Nesterov momentum, in the place of `torch.optim.SGD`.

    Arguments, parameter groups and `state_dict` are those of `torch.optim.SGD`: a run saved under
    one resumes under the other. `dlkb.optimizers.sgd.sgd` and `dlkb.optimizers.momentum.momentum`
    compute the step.

    Args:
        params: Parameters, pairs of a name and a parameter, or dicts of a parameter group each.
        lr: Learning rate, a number or a tensor of one element.
        momentum: Decay rate of the velocity, ≥ 0. With 0 nothing is stored.
        dampening: New gradients enter the velocity with the weight 1 − dampening, the first one
            of a parameter with the weight 1.
        weight_decay: Decay rate: an L2 penalty, added to the gradient.
        nesterov: Step along gradient + momentum · velocity. Needs a momentum, and no dampening.
        maximize: Ascend instead of descend.
        foreach: Accepted and kept. It chooses a kernel of torch; here small tensors are joined.
        differentiable: Let autograd see the step: gradients flow through the new parameters to
            the old ones, their gradients, and `lr`, `weight_decay` that are tensors.
        fused: Whether to compile the formula to a kernel that reads and writes each array once.
            `None` does so on the CPU from a million entries of a group on. Without a C++ compiler
            it warns and runs uncompiled.

    Raises:
        ValueError: If a value is out of its range, or the shapes of a loaded state are not those
            of the parameters.
        RuntimeError: If `fused` and `differentiable` are both `True`.

    Note:
        Differs from `torch.optim.SGD`: what is refused is refused before anything is changed; a
        number out of its range also in the middle of a run. With `differentiable` the first
        velocity is the gradient, and autograd sees it; torch cuts it off. Sparse gradients are
        made dense.

    Example:
        >>> import torch
        >>> theta = torch.nn.Parameter(torch.ones(2))
        >>> optimizer = SGD([theta], lr=0.1, momentum=0.9)
        >>> for _ in range(2):
        ...     optimizer.zero_grad()
        ...     theta.sum().backward()
        ...     optimizer.step()
        >>> theta.detach()
        tensor([0.7100, 0.7100])
    """

    COUNTED = False
    NEWER: ClassVar[dict[str, Any]] = {
        "nesterov": False,
        "maximize": False,
        "foreach": None,
        "differentiable": False,
        "fused": None,
    }

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float | Tensor = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
            "foreach": foreach,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)

    def _check(self, group: dict[str, Any]) -> None:
        check_between("lr", group["lr"], 0, math.inf, closed="left")
        check_between("weight_decay", group["weight_decay"], 0, math.inf, closed="left")
        nesterov = group["nesterov"]
        closed = "neither" if nesterov else "left"
        check_between("momentum", group["momentum"], 0, math.inf, closed=closed)
        if nesterov:
            check_between("dampening", group["dampening"], 0, 0)

    def _names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("momentum_buffer",) if group["momentum"] else ()

    def _options(self, group: dict[str, Any]) -> Options:
        return Options(
            lr=as_scalar(group["lr"]),
            momentum=group["momentum"],
            dampening=group["dampening"],
            nesterov=group["nesterov"],
            weight_decay=as_scalar(group["weight_decay"]),
            maximize=group["maximize"],
        )

    @staticmethod
    def _rule(row: Row, step: float | Tensor, options: Options) -> Row:
        theta, grad, *velocity = row
        decay, maximize = options.weight_decay, options.maximize
        if not velocity:
            return (sgd(theta, grad, lr=options.lr, weight_decay=decay, maximize=maximize),)
        return momentum(
            theta,
            grad,
            velocity[0] if step else None,
            lr=options.lr,
            momentum=options.momentum,
            dampening=options.dampening,
            nesterov=options.nesterov,
            weight_decay=decay,
            maximize=maximize,
        )

    @staticmethod
    def _fold(step: float | Tensor, options: Options) -> tuple[bool, Options]:
        return bool(step), options  # two kernels, one for the first step
