"""A weight that is summed when somebody computes with it."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class EffectiveWeight(Tensor):
    """The weight in effect, W + sBA, which is summed when it is computed with.

    Models look at `layer.weight.dtype` in each forward pass (T5 does): dtype, device and shape
    are known without the sum. Whatever else is done with it sees the sum.
    """

    _sum: Callable[[], Tensor]

    @staticmethod
    def of(weight: Tensor, total: Callable[[], Tensor]) -> "EffectiveWeight":
        """Return a tensor that looks like `weight` and computes like `total()`."""
        look: EffectiveWeight = Tensor._make_subclass(EffectiveWeight, weight.detach())
        look._sum = total
        return look

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Answer looks at once; sum for the rest."""
        with torch._C.DisableTorchFunctionSubclass():
            if func in _LOOKS:
                return func(*args, **(kwargs or {}))
            return func(*_summed(args), **_summed(kwargs or {}))


_LOOKS = {
    *(
        getattr(Tensor, name).__get__  # a property of C: no function has its name
        for name in ("dtype", "device", "shape", "ndim", "layout", "is_cuda", "is_cpu", "is_meta")
    ),
    *(getattr(Tensor, name) for name in ("size", "dim", "numel", "is_floating_point", "__len__")),
    *(getattr(Tensor, name) for name in ("is_complex", "element_size")),
}


def _summed(tree: Any) -> Any:
    """Replace each EffectiveWeight in the arguments of a call by its sum."""
    if isinstance(tree, EffectiveWeight):
        return tree._sum()
    if type(tree) in (tuple, list):
        return type(tree)(_summed(leaf) for leaf in tree)
    if type(tree) is dict:
        return {key: _summed(leaf) for key, leaf in tree.items()}
    return tree
