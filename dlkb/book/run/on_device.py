"""Run a page, written for the CPU, on another device: with the CPU's random numbers."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

_MADE = {torch.rand, torch.randn, torch.randint, torch.randperm}
_ALIKE = {torch.rand_like, torch.randn_like, torch.randint_like}
_SAMPLED = {torch.bernoulli, torch.multinomial, torch.normal, torch.poisson, Tensor.multinomial}
_SAMPLED |= {Tensor.bernoulli}
_FILLED = {
    *(Tensor.normal_, Tensor.uniform_, Tensor.random_, Tensor.bernoulli_, Tensor.exponential_),
    *(Tensor.cauchy_, Tensor.geometric_, Tensor.log_normal_),
    *(getattr(nn.init, name) for name in vars(nn.init) if name.endswith("_") and name[0] != "_"),
}
_READ = {Tensor.numpy, Tensor.__array__}


class OnDevice(TorchFunctionMode):
    """Within it, what a page's code makes with torch lies on a device.

    A generator of another device draws other numbers from the same seed, so all is drawn on the
    CPU and moved. `numpy()` copies to the CPU, where on the CPU it shares memory; a tensor is
    printed without its device. Random numbers that are drawn inside torch's own functions, as by
    `F.dropout`, are the device's; `torch.from_numpy` stays on the CPU.

    Args:
        device: Such as "cuda".
    """

    def __init__(self, device: str) -> None:
        super().__init__()
        self.device = torch.device(device)

    def __enter__(self) -> "OnDevice":
        """Begin; what torch makes without being asked for a device lies on this one."""
        torch.set_default_device(self.device)
        super().__enter__()
        return self

    def __exit__(self, *raised: Any) -> None:
        """End; the default device is the CPU again."""
        super().__exit__(*raised)
        torch.set_default_device("cpu")

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Call a function of torch."""
        kwargs = dict(kwargs or {})
        if func in _MADE and kwargs.get("device") is None:
            wanted = kwargs.pop("requires_grad", False)
            drawn = func(*args, **kwargs | {"device": "cpu"})
            return drawn.to(self.device).requires_grad_(wanted)
        like = kwargs.get("tensor", *args[:1]) if func in _FILLED else next(iter(args), None)
        if not isinstance(like, Tensor) or like.is_cpu:
            return func(*args, **kwargs)
        if func in _ALIKE and kwargs.get("device") is None:
            return func(*args, **kwargs | {"device": "cpu"}).to(like.device)
        if func in _SAMPLED:
            found = func(*map(_on_cpu, args), **{k: _on_cpu(x) for k, x in kwargs.items()})
            return found.to(like.device)
        if func in _FILLED:
            on_cpu = torch.empty_like(like, device="cpu")
            rest = {k: _on_cpu(x) for k, x in kwargs.items() if k != "tensor"}
            with torch.no_grad():
                like.copy_(func(on_cpu, *map(_on_cpu, args[1:]), **rest))
            return like
        if func in _READ:
            return func(like.cpu(), *args[1:], **kwargs)
        if func is Tensor.__repr__:
            return func(*args, **kwargs).replace(f", device='{like.device}'", "")
        return func(*args, **kwargs)


def _on_cpu(x: Any) -> Any:
    return x.cpu() if isinstance(x, Tensor) else x
