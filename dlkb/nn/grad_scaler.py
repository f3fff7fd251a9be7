"""Dynamic loss scaling with the interface of `torch.amp.GradScaler`."""

import math
import warnings
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dlkb.arrays import check_between, check_float
from dlkb.training.mixed_precision import LossScale, loss_scale_init, loss_scale_update, unscale


def _factor(name: str, value: Any, low: float, high: float) -> float:
    """Return a number strictly between two bounds as a float, NumPy's and 0-d tensors, too."""
    number = float(value)
    check_between(name, number, low, high, closed="neither")
    return number


def _scale(name: str, value: Any) -> float:
    """Return a factor of the loss, which float32 rounds neither to 0 nor to infinity."""
    number = float(value)
    check_between(name, number, SMALLEST, torch.finfo(torch.float32).max)
    return number


SMALLEST = 2.0**-149
"""The smallest positive number of float32, in which the scale is kept."""


def _count(name: str, value: Any, low: int) -> int:
    """Return a count, which is compared with whole numbers: a fraction would never be met."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} is {value!r}: an integer is needed, such as int({name})")
    number = value.__index__()
    check_between(name, number, low, math.inf, closed="left")
    return number


class _Seen(NamedTuple):
    """What was done with an optimizer since the last update."""

    finite: Tensor
    stepped: bool = False


def _values(grad: Tensor) -> Tensor:
    """Return the dense numbers of a gradient on this process, sharing memory."""
    if grad.is_sparse:
        return grad._values()
    local = getattr(grad, "to_local", None)
    return grad if local is None else local()


class GradScaler:
    """Scales losses so that float16 gradients do not vanish, and skips steps that overflow.

    A drop-in for `torch.amp.GradScaler`; the arithmetic is that of `unscale` and
    `loss_scale_update` in `dlkb.training.mixed_precision`.

    Args:
        device: Where gradients live. Without CUDA, "cuda" disables the scaler, with a warning.
        init_scale: First factor of the loss, > 0 in float32.
        growth_factor: Factor after `growth_interval` good steps in a row, > 1.
        backoff_factor: Factor after an overflow, in (0, 1).
        growth_interval: Good steps until the scale grows, an integer ≥ 1.
        enabled: Whether to scale at all; if not, `step` is the optimizer's.

    Raises:
        ValueError: If a number is out of its range, given here, to a setter or by
            `load_state_dict`, which has changed nothing then; if `unscale_` meets float16
            gradients: the optimizer's parameters should be float32.
        TypeError: If `growth_interval` is no integer, or `unscale_` meets complex gradients. None
            has been divided then.
        RuntimeError: If methods are called out of order, or no parameter has a gradient.

    Note:
        Differs from torch in `step`, which takes no further arguments and unscales before it calls
        fused optimizers, too; and under FSDP2, where the processes of the default group agree on
        each overflow. What torch asserts of numbers is a ValueError here, of the order of
        calls a RuntimeError.

    Example:
        >>> weight = torch.nn.Parameter(torch.ones(1))
        >>> optimizer = torch.optim.SGD([weight], lr=0.5)
        >>> scaler = GradScaler("cpu", init_scale=1024.0)
        >>> scaler.scale(weight.sum()).backward()
        >>> weight.grad
        tensor([1024.])
        >>> scaler.step(optimizer)
        >>> scaler.update()
        >>> weight.item(), scaler.get_scale()
        (0.5, 1024.0)
    """

    def __init__(
        self,
        device: str = "cuda",
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        self._device = torch.device(device).type
        if enabled and self._device == "cuda" and not torch.cuda.is_available():
            warnings.warn(
                'GradScaler is disabled, since CUDA is not available: pass device="cpu"',
                stacklevel=2,
            )
            enabled = False
        self._enabled = enabled
        self._seen: dict[int, _Seen] = {}
        self._set(
            ("init_scale", init_scale), growth_factor, backoff_factor, growth_interval, good=0
        )

    def _set(
        self, scale: tuple[str, Any], growth: Any, backoff: Any, interval: Any, good: Any
    ) -> None:
        """Check all numbers, then take them over."""
        value = _scale(*scale)
        growth = _factor("growth_factor", growth, 1, math.inf)
        backoff = _factor("backoff_factor", backoff, 0, 1)
        interval = _count("growth_interval", interval, 1)
        self._state = self._at(value, _count("_growth_tracker", good, 0))
        self._growth_factor, self._backoff_factor, self._growth_interval = growth, backoff, interval

    def _at(self, scale: float, good: int) -> LossScale:
        like = torch.empty((), dtype=torch.float32, device=self._device if self._enabled else "cpu")
        start = loss_scale_init(like, init_scale=scale)
        return start._replace(good=torch.full_like(start.good, good))

    def scale(self, outputs: Any) -> Any:
        """Return a tensor, or tensors in lists and tuples, times the scale."""
        if not self._enabled:
            return outputs
        if isinstance(outputs, Tensor):
            return outputs * self._state.scale.to(outputs.device)
        if isinstance(outputs, Iterable) and not isinstance(outputs, (str, Mapping)):
            parts = [self.scale(part) for part in outputs]
            return parts if isinstance(outputs, list) else tuple(parts)
        raise ValueError(
            f"outputs is {type(outputs).__name__}: a tensor, or a list of them, is needed"
        )

    @torch.no_grad()
    def unscale_(self, optimizer: torch.optim.Optimizer) -> None:
        """Divide the gradients of an optimizer by the scale, before they are clipped, say."""
        if not self._enabled:
            return
        seen = self._seen.get(id(optimizer))
        if seen is not None:
            what = "after step()" if seen.stepped else "twice"
            raise RuntimeError(f"unscale_() is called {what}: call update() once after each step()")
        params = [p for group in optimizer.param_groups for p in group["params"]]
        for p in params:
            if p.grad is not None and p.grad.is_sparse:
                p.grad = p.grad.coalesce()  # parts of one entry could overflow together
        grads = [p.grad for p in params if p.grad is not None]
        if any(grad.dtype == torch.float16 for grad in grads):
            raise ValueError(
                "gradients are float16: keep parameters in float32 and compute under autocast"
            )
        for grad in grads:
            check_float("a gradient", grad)
        finite = torch.tensor(True, device=self._state.scale.device)
        for grad in grads:
            values = _values(grad)
            (found,), good = unscale([values], self._state.scale.to(values.device))
            values.copy_(found)
            finite &= good.to(finite.device)
        if any(hasattr(grad, "to_local") for grad in grads):
            agreed = finite.int()
            torch.distributed.all_reduce(agreed, torch.distributed.ReduceOp.MIN)
            finite = agreed.bool()
        if grads:
            self._seen[id(optimizer)] = _Seen(finite)

    def step(self, optimizer: torch.optim.Optimizer) -> Any:
        """Unscale, unless that was done, and step unless a gradient is infinite or NaN."""
        if not self._enabled:
            return optimizer.step()
        if id(optimizer) not in self._seen:
            self.unscale_(optimizer)
        seen = self._seen.get(id(optimizer))
        if seen is None:
            raise RuntimeError(
                "no parameter of the optimizer has a gradient: call backward() first"
            )
        if seen.stepped:
            raise RuntimeError("step() is called twice: call update() in between")
        self._seen[id(optimizer)] = _Seen(seen.finite, stepped=True)
        return optimizer.step() if seen.finite.item() else None

    def update(self, new_scale: float | Tensor | None = None) -> None:
        """Shrink the scale if a gradient overflowed, grow it if none has for long, or set it."""
        if not self._enabled:
            return
        if new_scale is not None:
            self._state = self._at(_scale("new_scale", new_scale), int(self._state.good))
        elif not self._seen:
            raise RuntimeError("no gradients were seen: call step() or unscale_() before update()")
        else:
            finite = torch.stack([seen.finite for seen in self._seen.values()]).all()
            self._state = loss_scale_update(
                self._state,
                finite,
                growth_factor=self._growth_factor,
                backoff_factor=self._backoff_factor,
                growth_interval=self._growth_interval,
            )
        self._seen = {}

    def get_scale(self) -> float:
        """Return the scale, 1 if disabled."""
        return self._state.scale.item() if self._enabled else 1.0

    def get_growth_factor(self) -> float:
        """Return the factor by which the scale grows."""
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        """Set the factor by which the scale grows."""
        self._growth_factor = _factor("new_factor", new_factor, 1, math.inf)

    def get_backoff_factor(self) -> float:
        """Return the factor by which the scale shrinks."""
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        """Set the factor by which the scale shrinks."""
        self._backoff_factor = _factor("new_factor", new_factor, 0, 1)

    def get_growth_interval(self) -> int:
        """Return how many good steps in a row make the scale grow."""
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        """Set how many good steps in a row make the scale grow."""
        self._growth_interval = _count("new_interval", new_interval, 1)

    def is_enabled(self) -> bool:
        """Return whether losses are scaled."""
        return self._enabled

    def state_dict(self) -> dict[str, Any]:
        """Return scale, factors, interval and the count of good steps, under torch's names."""
        if not self._enabled:
            return {}
        return {
            "scale": self.get_scale(),
            "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval,
            "_growth_tracker": int(self._state.good),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what `state_dict` of this class or of torch's returned."""
        if not self._enabled:
            return
        if not state_dict:
            raise RuntimeError("the state dict is empty: it was saved from a disabled scaler")
        missing = [name for name in SAVED if name not in state_dict]
        if missing:
            raise ValueError(
                f"state_dict lacks {missing}: give what state_dict() of a GradScaler returned"
            )
        scale, *others = (state_dict[name] for name in SAVED)
        self._set(("scale", scale), *others)


SAVED = ("scale", "growth_factor", "backoff_factor", "growth_interval", "_growth_tracker")
