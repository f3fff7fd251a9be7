"""What a kind of layer says of itself."""

from typing import Any

import torch
from torch import Tensor, nn

from dlkb.finetuning import lora as formula
from dlkb.nn.lora._adapter import Adapter, Options
from dlkb.nn.lora._plain import is_quantized


class AdaptableLayer(nn.Module):
    """How the weight of a kind of layer is a matrix, and what a layer does with another one.

    As it stands here the layer is linear, with a weight of shape (out, in).
    """

    #: What the weight of the base layer is called, and its bias.
    names = ("weight", "bias")

    @staticmethod
    def shape(base: Any) -> tuple[int, int]:
        """Return (out, in) of the weight as a matrix."""
        return base.out_features, base.in_features

    @staticmethod
    def matrix(base: Any, weight: Tensor) -> Tensor:
        """Return the weight as a matrix, (out, in)."""
        return weight

    @staticmethod
    def stored(base: Any, matrix: Tensor) -> Tensor:
        """Return a matrix in the shape of the weight."""
        return matrix

    @staticmethod
    def apply_weight(base: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Do what the base layer does, with another weight and bias."""
        raise NotImplementedError

    @staticmethod
    def branch(base: Any, x: Tensor, A: Tensor, B: Tensor, scaling: float) -> Tensor:
        """Return what the factors add to the output."""
        return formula.lora_branch(x.to(A.dtype), A, B, scaling=scaling)

    @classmethod
    def check(cls, name: str, base: Any, options: Options) -> None:
        """Raise TypeError or ValueError if the layer cannot have such an adapter."""

    @classmethod
    def make_adapter(
        cls, name: str, base: Any, options: Options, generator: torch.Generator | None = None
    ) -> Adapter:
        """Return an adapter for `base`, which stays as it is."""
        cls.check(name, base, options)
        weight, groups = getattr(base, cls.names[0]), getattr(base, "groups", 1)
        if isinstance(weight, nn.UninitializedParameter):
            raise ValueError(f"{name} has no weight yet: call the model on an example first")
        if hasattr(weight, "full_tensor"):
            raise ValueError(
                f"{name} is sharded: new factors would not be. Call add_lora before fully_shard "
                "or parallelize_module"
            )
        if is_quantized(weight):
            if options.dtype is None or options.dora or options.init == "pissa":
                raise TypeError(
                    f"{name} is quantized ({type(weight).__name__}, {weight.dtype}): give the "
                    "dtype of the factors, such as dtype=torch.bfloat16; dora and pissa read the "
                    "weight and need a layer that is not quantized"
                )
            weight = torch.empty((), dtype=options.dtype, device=weight.device).expand(
                cls.shape(base)
            )
        else:
            weight = cls.matrix(base, weight)
        bias = getattr(base, cls.names[1], None)
        return Adapter(weight, bias, options, groups=groups, generator=generator)
