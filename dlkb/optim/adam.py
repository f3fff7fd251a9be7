"""Adam for PyTorch parameters: `torch.optim.Adam` on the formula of this package."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from dlkb.arrays import check_between
from dlkb.optim._in_place import Options, Row, advance
from dlkb.optimizers.adam import adam_init

WORTH_COMPILING = 2**20
"""From so many entries on, a few hundred steps earn back the seconds of compilation."""


class Adam(torch.optim.Optimizer):
    """Adam and AMSGrad, in the place of `torch.optim.Adam`.

    Arguments, parameter groups and `state_dict` are those of `torch.optim.Adam`: a run saved
    under one resumes under the other. `dlkb.optimizers.adam.adam` computes the step.

    Args:
        params: Parameters, pairs of a name and a parameter, or dicts of a parameter group each.
        lr: Learning rate, a number or a tensor of one element.
        betas: Decay rates of the two moving averages, floats in [0, 1).
        eps: Added to the root of the second moment.
        weight_decay: Decay rate; an L2 penalty unless `decoupled_weight_decay`.
        amsgrad: Divide by the maximum of all second moments.
        foreach: `None` or `False`. `True` asks for a kernel that is not here.
        maximize: Ascend instead of descend.
        capturable: Keep the step counter on the parameter's device, for CUDA graphs.
        differentiable: `False`. To differentiate through a step, call the formula.
        fused: Whether to compile the formula to a kernel that reads and writes each array once.
            `None` does so on the CPU from a million entries on, where it pays for the seconds of
            compilation. Without a C++ compiler it warns and runs uncompiled.
        decoupled_weight_decay: Decay the parameters instead of penalizing them, as `AdamW`.

    Raises:
        TypeError: If `betas` are tensors, or a parameter is complex.
        ValueError: If a value is out of its range.
        NotImplementedError: If `foreach` or `differentiable` is `True`.

    Note:
        Differs from `torch.optim.Adam` in the errors above. Loading a checkpoint resets
        `foreach`: it chooses a kernel and does not change the numbers.

    Example:
        >>> theta = torch.nn.Parameter(torch.ones(2))
        >>> optimizer = Adam([theta], lr=0.1)
        >>> theta.square().sum().backward()
        >>> optimizer.step()
        >>> theta.detach()
        tensor([0.9000, 0.9000])
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
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
        _check(defaults)
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters with options of their own, as `torch.optim.Optimizer` does."""
        _check(self.defaults | param_group)
        super().add_param_group(param_group)
        if any(p.is_complex() for p in param_group["params"]):
            self.param_groups.pop()
            raise TypeError("params holds a complex tensor: optimize torch.view_as_real of it")

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over a loaded or unpickled state, also one of an older PyTorch."""
        for group in state["param_groups"]:
            group.setdefault("amsgrad", False)
            group.setdefault("maximize", False)
            group.setdefault("capturable", False)
            group.setdefault("differentiable", False)
            group.setdefault("decoupled_weight_decay", False)
            group.setdefault("fused", None)
            group["foreach"] = None
            _check(group)
        super().__setstate__(state)
        for group in self.param_groups:
            for p in group["params"]:
                if self.state.get(p):
                    step = self.state[p]["step"]
                    step = step if isinstance(step, Tensor) else _new_counter() + step
                    self.state[p]["step"] = step.to(p.device if group["capturable"] else "cpu")

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step with every parameter that has a gradient.

        Args:
            closure: Evaluates the model again and returns the loss.

        Returns:
            What `closure` returned, or `None`.

        Raises:
            RuntimeError: If a gradient is sparse, or a CUDA graph is being captured and
                `capturable` is `False`.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        capturing = torch.cuda.is_available() and torch.cuda.is_current_stream_capturing()
        for group in self.param_groups:
            if capturing and not group["capturable"]:
                raise RuntimeError("capturable is False: set it to True to capture a CUDA graph")
            params = [p for p in group["params"] if p.grad is not None]
            for p in params:
                self._start(p, group)
            if params:
                self._step_group(params, group)
        return loss

    def _start(self, p: Tensor, group: dict[str, Any]) -> None:
        if p.grad.layout != torch.strided:
            raise RuntimeError(
                f"{type(self).__name__} does not support sparse gradients: "
                "use torch.optim.SparseAdam, or a layer with sparse=False"
            )
        if not self.state[p]:
            zero = adam_init(p, amsgrad=group["amsgrad"])
            self.state[p]["step"] = _new_counter().to(p.device if group["capturable"] else "cpu")
            self.state[p]["exp_avg"], self.state[p]["exp_avg_sq"] = zero.m, zero.v
            if group["amsgrad"]:
                self.state[p]["max_exp_avg_sq"] = zero.v_max

    def _step_group(self, params: list[Tensor], group: dict[str, Any]) -> None:
        lr = group["lr"]
        options = Options(
            lr=lr.reshape(()) if isinstance(lr, Tensor) else lr,
            betas=group["betas"],
            eps=group["eps"],
            weight_decay=group["weight_decay"],
            maximize=group["maximize"],
            decoupled=group["decoupled_weight_decay"],
        )
        states = [self.state[p] for p in params]
        steps = [state["step"] for state in states]
        names = ["exp_avg", "exp_avg_sq", "max_exp_avg_sq"][: 3 if group["amsgrad"] else 2]
        moments = [[state[name] for name in names] for state in states]
        rows = [(p, p.grad, *m) for p, m in zip(params, moments, strict=True)]
        # A number costs no kernel and is exact; a tensor does not leave the device.
        counts = steps if group["capturable"] else [step.item() for step in steps]
        alike: dict[Any, list[Row]] = {}
        for p, count, row in zip(params, counts, rows, strict=True):
            alike.setdefault((count, p.dtype, p.device), []).append(row)
        fused = group["fused"]
        if fused is None:
            on_cpu = all(p.is_cpu for p in params)
            fused = on_cpu and sum(p.numel() for p in params) >= WORTH_COMPILING
        for (count, _, _), of_one_kind in alike.items():
            advance(of_one_kind, count, options, compiled=fused)
        # A number would be made a tensor once a step counter.
        torch._foreach_add_(steps, 1 if group["capturable"] else torch.ones(()))


def _new_counter() -> Tensor:
    """Return zero in the dtype in which torch.optim counts."""
    double = torch.get_default_dtype() == torch.float64
    return torch.zeros((), dtype=torch.float64 if double else torch.float32)


def _check(group: dict[str, Any]) -> None:
    if group["foreach"]:
        raise NotImplementedError("foreach=True is not supported: leave foreach out")
    if group["differentiable"]:
        raise NotImplementedError(
            "differentiable=True is not supported: call dlkb.optimizers.adam.adam, "
            "which is a pure function, and differentiate that"
        )
    lr = group["lr"]
    if isinstance(lr, Tensor) and lr.numel() != 1:
        raise ValueError(f"lr has shape {tuple(lr.shape)}: it must be a number or one element")
    check_between("lr", float(lr), 0, math.inf, closed="left")
    check_between("eps", group["eps"], 0, math.inf, closed="left")
    check_between("weight_decay", group["weight_decay"], 0, math.inf, closed="left")
    for i, beta in enumerate(group["betas"]):
        if isinstance(beta, Tensor):
            raise TypeError(f"betas[{i}] is a Tensor: pass a float, for example betas[{i}].item()")
        check_between(f"betas[{i}]", beta, 0, 1, closed="left")
