"""What all optimizers share: a pure, elementwise formula, written into parameters and state.

An optimizer is a class of few lines: its constructor with the arguments of torch's, and

- `NEWER`: options that checkpoints of an older torch lack, with what they meant then;
- `SPARSE`: torch's optimizer for sparse gradients, None to make them dense;
- `COUNTED`: whether the state holds `step`, the number of gradients seen;
- `_check(group)`: raise if an option is out of its range, ignoring tensors;
- `_names(group)`: the names under which torch keeps the tensors of the state;
- `_start(p, group)`: these tensors before the first gradient, zeros unless it says otherwise;
- `_options(group)`: the hyperparameters of the formula, numbers or 0-d tensors;
- `_rule(row, step, options)`: parameter, gradient and state to new parameter and new state;
- `_fold(step, options)`: what of them are numbers may be computed once, before a kernel reads it.
"""

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import torch
from torch import Tensor

from dlkb.arrays import as_numbers
from dlkb.optim._in_place import advance
from dlkb.optim._memory import Row, as_arrays, as_real, dense, is_sharded

WORTH_COMPILING = 2**20
"""From so many entries on, a few hundred steps earn back the seconds of compilation."""


def as_scalar(value: Any) -> Any:
    """Return a tensor of one element without its axes, a number as it is."""
    return value.reshape(()) if isinstance(value, Tensor) else value


def check_single(name: str, value: Any) -> None:
    """Raise if a tensor, by itself or in a tuple, has not one element."""
    if isinstance(value, tuple):
        for i, entry in enumerate(value):
            check_single(f"{name}[{i}]", entry)
    elif isinstance(value, Tensor) and value.numel() != 1:
        raise ValueError(
            f"{name} has shape {tuple(value.shape)}: it must be a number or a tensor of one element"
        )


def as_number(name: str, value: Any) -> Any:
    """Return what tensors of one element, by themselves or in a tuple, hold."""
    if isinstance(value, tuple):
        return tuple(as_number(f"{name}[{i}]", entry) for i, entry in enumerate(value))
    check_single(name, value)
    return value.item() if isinstance(value, Tensor) and not value.is_meta else value


def put_numbers(group: dict[str, Any], names: Iterable[str]) -> None:
    """Replace NumPy's scalars among these options by Python numbers, which widen no state.

    A `state_dict` with them would be refused by `torch.load`.
    """
    for name in names:
        value = group.get(name)
        if isinstance(value, tuple | list):
            group[name] = (tuple if isinstance(value, tuple) else list)(as_numbers(*value))
        elif name in group:
            (group[name],) = as_numbers(value)


class FormulaOptimizer(torch.optim.Optimizer):
    """An optimizer whose step is a pure formula, see the module."""

    NEWER: ClassVar[dict[str, Any]] = {}
    SPARSE: ClassVar[str | None] = None
    COUNTED: ClassVar[bool] = True

    def _check(self, group: dict[str, Any]) -> None:
        raise NotImplementedError

    def _names(self, group: dict[str, Any]) -> tuple[str, ...]:
        raise NotImplementedError

    def _start(self, p: Tensor, group: dict[str, Any]) -> dict[str, Tensor]:
        return {
            name: torch.zeros_like(p, memory_format=torch.preserve_format)
            for name in self._names(group)
        }

    def _begin(self, p: Tensor, group: dict[str, Any]) -> None:
        """Enter the state before the first gradient; where torch does so early, call it early."""
        if self.COUNTED:
            self.state[p]["step"] = new_counter().to(p.device if group.get("capturable") else "cpu")
        if start := self._start(p, group):  # what keeps no state gets no entry, as in torch
            self.state[p].update(start)

    def _options(self, group: dict[str, Any]) -> Any:
        raise NotImplementedError

    @staticmethod
    def _rule(row: Row, step: float | Tensor, options: Any) -> Row:
        raise NotImplementedError

    @staticmethod
    def _fold(step: float | Tensor, options: Any) -> tuple[float | Tensor, Any]:
        return step, options

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        put_numbers(defaults, defaults)
        self._check_all(defaults, defaults)
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters with options of their own, as `torch.optim.Optimizer` does."""
        if isinstance(param_group, dict):  # what else it may be, torch says
            put_numbers(param_group, self.defaults)
            self._check_all(self.defaults | param_group, self.defaults)
        super().add_param_group(param_group)

    def _check_all(self, group: dict[str, Any], names: Iterable[str]) -> None:
        """Check the options that have these names, also those that are tensors."""
        if group.get("fused") and group.get("differentiable"):
            raise RuntimeError(
                "fused=True and differentiable=True exclude each other: a kernel "
                "that writes in place has no gradient, leave fused out"
            )
        # Loading a state, torch puts "differentiable" among the defaults of every optimizer.
        self._check({name: as_number(name, group[name]) for name in names if name in group})

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over a loaded or unpickled state, also one of an older PyTorch."""
        names = state.get("defaults") or self.defaults  # unpickled, or loaded
        for group in state["param_groups"]:
            for name, value in self.NEWER.items():
                group.setdefault(name, value)
            put_numbers(group, names)
            self._check_all(group, names)
            for i, p in enumerate(group["params"]):
                _check_state(state["state"].get(p, {}), p, i, self._names(group))
        super().__setstate__(state)
        for group in self.param_groups:
            for p in group["params"]:
                held = self.state.get(p, {})
                for name in self._names(group):
                    if name in held and held[name] is None:  # SGD of an older torch
                        del held[name]
                if "step" in held and self.COUNTED:
                    step = held["step"]
                    step = step if isinstance(step, Tensor) else new_counter() + step
                    held["step"] = step.to(p.device if group.get("capturable") else "cpu")

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step with every parameter that has a gradient.

        Args:
            closure: Evaluates the model again and returns the loss.

        Returns:
            What `closure` returned, or `None`.

        Raises:
            ValueError: If a value of a group has left its range since, an option was switched on
                that needs another state, or a parameter is conjugated lazily.
            TypeError: If a gradient and its parameter differ in dtype, or one of them is sharded.
            RuntimeError: If a gradient is sparse (`SGD` and `Adagrad` take it), or a CUDA graph is
                being captured and `capturable` is not `True`. Whichever of these is raised,
                nothing has been changed.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        work = []
        for group in self.param_groups:
            put_numbers(group, self.defaults)  # a scheduler may give NumPy's
            params = [p for p in group["params"] if p.grad is not None]
            self._check_step(params, group)
            work.append((params, group))
        for params, group in work:
            if params:
                self._step_group(params, group)
        return loss

    def _check_step(self, params: list[Tensor], group: dict[str, Any]) -> None:
        """Raise before anything is written."""
        for name in self.defaults:
            check_single(name, group.get(name))
        self._check(group)
        capturing = torch.cuda.is_available() and torch.cuda.is_current_stream_capturing()
        if capturing and self.COUNTED and not group.get("capturable"):
            if "capturable" not in group:
                raise RuntimeError(
                    f"{type(self).__name__} counts on the CPU, which a CUDA graph does not repeat: "
                    "use Adam or RMSprop with capturable=True"
                )
            raise RuntimeError("capturable is False: set it to True to capture a CUDA graph")
        names = self._names(group)
        for p in params:
            grad: Any = p.grad
            if p.dtype.is_complex and p.is_conj():
                raise ValueError(
                    "a parameter is conjugated lazily, its memory holds other numbers: make it "
                    "from resolve_conj()"
                )
            if self.SPARSE and grad.layout != torch.strided:
                raise RuntimeError(
                    f"{type(self).__name__} does not support sparse gradients: "
                    f"use torch.optim.{self.SPARSE}, or a layer with sparse=False"
                )
            if grad.dtype != p.dtype:
                raise TypeError(
                    f"a gradient has dtype {grad.dtype} but its parameter has {p.dtype}: cast one"
                )
            if is_sharded(grad) != is_sharded(p):
                raise TypeError(
                    "of a parameter and its gradient one is a DTensor and one is not: "
                    "shard both, or neither"
                )
            held = self.state.get(p)
            if held and not all(name in held for name in names):
                missing = [name for name in names if name not in held]
                raise ValueError(
                    f"the state of a parameter lacks {missing}: an option of its group "
                    "was switched on after the first step, add it in a new optimizer"
                )

    def _step_group(self, params: list[Tensor], group: dict[str, Any]) -> None:
        names = self._names(group)
        capturable, differentiable = group.get("capturable"), bool(group.get("differentiable"))
        with torch.set_grad_enabled(differentiable):
            options = self._options(group)
        counts, steps = [], []
        for p in params:
            fresh = not self.state.get(p)
            if fresh:
                self._begin(p, group)
            if self.COUNTED:
                step = self.state[p]["step"]
                steps.append(step)
                # A number costs no kernel and is exact; a tensor does not leave the device.
                counts.append(step if capturable else step.item())
            else:
                counts.append(0.0 if fresh else 1.0)
        if differentiable:
            with torch.enable_grad():
                for p, count in zip(params, counts, strict=True):
                    row = (p, dense(p.grad), *(self.state[p][name] for name in names))
                    self._differentiate(row, count, options)
        else:
            self._write(params, names, counts, options, group.get("fused"))
        if steps:
            # A number would be made a tensor once a step counter.
            one: Any = 1 if capturable else torch.ones((), device="cpu")
            torch._foreach_add_(steps, one)

    def _differentiate(self, row: Row, count: float | Tensor, options: Any) -> None:
        """Take a step that autograd sees; the copies are what it may keep for the way back."""
        theta, grad, *state = (as_real(t) for t in row)
        copies = (theta.clone(), grad, *(s.clone() for s in state))
        count = count.clone() if isinstance(count, Tensor) else count
        new = self._rule(copies, count, options)
        for old, value in zip((theta, *state), new, strict=True):
            old.copy_(value)

    def _write(
        self,
        params: list[Tensor],
        names: tuple[str, ...],
        counts: list[Any],
        options: Any,
        fused: bool | None,
    ) -> None:
        alike: dict[Any, list[Row]] = {}
        for p, count in zip(params, counts, strict=True):
            state = (self.state[p][name] for name in names)
            row = as_arrays((p, dense(p.grad), *state))
            alike.setdefault((count, row[0].dtype, row[0].device), []).append(row)
        if fused is None:
            rows = [row for of_one_kind in alike.values() for row in of_one_kind]
            on_cpu = all(row[0].is_cpu for row in rows)
            fused = on_cpu and sum(row[0].numel() for row in rows) >= WORTH_COMPILING
        for (count, _, _), of_one_kind in alike.items():
            step, folded = self._fold(count, options) if fused else (count, options)
            advance(type(self)._rule, of_one_kind, step, folded, compiled=fused)


def new_counter() -> Tensor:
    """Return zero in the dtype in which torch.optim counts."""
    double = torch.get_default_dtype() == torch.float64
    return torch.zeros((), dtype=torch.float64 if double else torch.float32, device="cpu")


def _check_state(held: dict[str, Any], p: Tensor, i: int, names: tuple[str, ...]) -> None:
    for name in names:
        value = held.get(name)
        if isinstance(value, Tensor) and value.shape != p.shape:
            raise ValueError(
                f"the loaded state does not fit: {name} of parameter {i} of its group has shape "
                f"{tuple(value.shape)}, the parameter {tuple(p.shape)}. Give the optimizer the "
                "parameters in the order of the checkpoint"
            )
        if isinstance(value, Tensor) and is_sharded(value) != is_sharded(p):
            raise ValueError(
                f"the loaded state does not fit: of parameter {i} of its group and its {name} one "
                "is a DTensor and one is not. Load with "
                "torch.distributed.checkpoint.state_dict.set_optimizer_state_dict"
            )
