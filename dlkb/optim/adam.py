"""Adam for PyTorch parameters: `torch.optim.Adam` on the formula of this package."""

import math
from collections.abc import Iterable
from typing import Any, ClassVar, NamedTuple

from torch import Tensor

from dlkb.arrays import check_between
from dlkb.optim._formula import FormulaOptimizer, as_scalar
from dlkb.optim._memory import Row
from dlkb.optimizers.adam import AdamState, adam, bias_correction
from dlkb.optimizers.adamw import adamw


class Options(NamedTuple):
    """What a parameter group says of the step."""

    lr: float | Tensor
    betas: tuple[float | Tensor, float | Tensor]
    eps: float
    weight_decay: float | Tensor
    maximize: bool
    decoupled: bool


class Adam(FormulaOptimizer):
    """Adam and AMSGrad, in the place of `torch.optim.Adam`.

    Arguments, parameter groups and `state_dict` are those of `torch.optim.Adam`: a run saved
    under one resumes under the other. `dlkb.optimizers.adam.adam` computes the step.

    Args:
        params: Parameters, pairs of a name and a parameter, or dicts of a parameter group each.
        lr: Learning rate, a number or a tensor of one element.
        betas: Decay rates of the two moving averages in [0, 1), numbers or tensors of one element.
        eps: Added to the root of the second moment.
        weight_decay: Decay rate; an L2 penalty unless `decoupled_weight_decay`.
        amsgrad: Divide by the maximum of all second moments.
        foreach: Accepted and kept. It chooses a kernel of torch; here small tensors are joined.
        maximize: Ascend instead of descend.
        capturable: Keep the step counter on the parameter's device, for CUDA graphs.
        differentiable: Let autograd see the step: gradients flow through the new parameters to
            the old ones, their gradients, and `lr`, `betas`, `weight_decay` that are tensors.
        fused: Whether to compile the formula to a kernel that reads and writes each array once.
            `None` does so on the CPU from a million entries of a group on, where it pays for the
            seconds of compilation. Without a C++ compiler it warns and runs uncompiled.
        decoupled_weight_decay: Decay the parameters instead of penalizing them, as `AdamW`.

    Raises:
        ValueError: If a value is out of its range, or the shapes of a loaded state are not those
            of the parameters.
        RuntimeError: If `fused` and `differentiable` are both `True`.

    Note:
        Differs from `torch.optim.Adam`: what is refused is refused before anything is changed; a
        learning rate below 0 (a number, no tensor) also in the middle of a run, a state of another
        shape while it is loaded. A tensor as `lr` goes with every option. DTensors and complex
        parameters are taken as torch takes them: shard by shard, part by part.

    Example:
        >>> import torch
        >>> theta = torch.nn.Parameter(torch.ones(2))
        >>> optimizer = Adam([theta], lr=0.1)
        >>> theta.square().sum().backward()
        >>> optimizer.step()
        >>> theta.detach()
        tensor([0.9000, 0.9000])
    """

    SPARSE = "SparseAdam"
    NEWER: ClassVar[dict[str, Any]] = {
        "amsgrad": False,
        "maximize": False,
        "foreach": None,
        "capturable": False,
        "differentiable": False,
        "fused": None,
        "decoupled_weight_decay": False,
    }

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults)

    def _check(self, group: dict[str, Any]) -> None:
        check_between("lr", group["lr"], 0, math.inf, closed="left")
        check_between("eps", group["eps"], 0, math.inf, closed="left")
        check_between("weight_decay", group["weight_decay"], 0, math.inf, closed="left")
        for i, beta in enumerate(group["betas"]):
            check_between(f"betas[{i}]", beta, 0, 1, closed="left")

    def _names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")[: 3 if group["amsgrad"] else 2]

    def _options(self, group: dict[str, Any]) -> Options:
        beta1, beta2 = group["betas"]
        return Options(
            lr=as_scalar(group["lr"]),
            betas=(as_scalar(beta1), as_scalar(beta2)),
            eps=group["eps"],
            weight_decay=group["weight_decay"],
            maximize=group["maximize"],
            decoupled=group["decoupled_weight_decay"],
        )

    @staticmethod
    def _rule(row: Row, step: float | Tensor, options: Options) -> Row:
        theta, grad, m, v, *v_max = row
        theta, new = (adamw if options.decoupled else adam)(
            theta,
            grad,
            AdamState(step, m, v, *v_max),
            lr=options.lr,
            betas=options.betas,
            eps=options.eps,
            weight_decay=options.weight_decay,
            maximize=options.maximize,
        )
        return (theta, new.m, new.v) if new.v_max is None else (theta, *new[1:])

    @staticmethod
    def _fold(step: float | Tensor, options: Options) -> tuple[float | Tensor, Options]:
        return (step, options) if isinstance(step, Tensor) else without_correction(step, options)


def without_correction(step: float, options: Options) -> tuple[float, Options]:
    """Put the bias correction of a step into its scalars: there is none left for t → ∞.

    η m̂/(√v̂ + ε) = η' m/(√v + ε') with η' = η √(1−β₂ᵗ)/(1−β₁ᵗ) and ε' = ε √(1−β₂ᵗ), as in
    section 2 of Kingma and Ba, Adam (2015). A kernel then reads numbers; it would compute the
    two powers for each entry anew.
    """
    beta1, beta2 = options.betas
    root = bias_correction(step + 1, beta=beta2) ** 0.5
    factor = root / bias_correction(step + 1, beta=beta1)
    decay = options.weight_decay
    return math.inf, options._replace(
        lr=options.lr * factor,
        eps=options.eps * root,
        weight_decay=decay / factor if options.decoupled else decay,
    )
