"""Adapters on q, k and v of `nn.MultiheadAttention`."""

from typing import Any

from torch import Tensor, nn
from torch.func import functional_call

from dlkb.nn.lora._adapter import Options, refuse
from dlkb.nn.lora._plain import gathered
from dlkb.nn.lora.layers import LoRALayer


class LoRAMultiheadAttention(LoRALayer):
    """A frozen `nn.MultiheadAttention` with an update of q, k and v, and of `out_proj`.

    The three projections are one packed weight, (3·dimension, dimension), and share A, as in
    peft. `out_proj` becomes a `LoRALinear`. What else is read of the attention is the base's.
    """

    names = ("in_proj_weight", "in_proj_bias")

    @classmethod
    def check(cls, name: str, base: Any, options: Options) -> None:
        """Raise TypeError or ValueError if the attention cannot have such an adapter."""
        if not isinstance(base, nn.MultiheadAttention):
            raise TypeError(f"{name} is {type(base).__name__}: nn.MultiheadAttention is needed")
        if not base._qkv_same_embed_dim:
            raise ValueError(
                f"{name} has kdim or vdim of its own, so its projections are not one weight: "
                "target its out_proj, or use projections that are nn.Linear"
            )
        if "in_proj_weight" not in base._parameters:
            raise ValueError(f"in_proj_weight of {name} is parametrized: remove that first")
        refuse(name, base, options, "lora_dropout", "dora", "pissa")

    @staticmethod
    def shape(base: Any) -> tuple[int, int]:
        """Return (3·dimension, dimension)."""
        return base.in_proj_weight.shape

    @property
    def in_proj_weight(self) -> Tensor:
        """The packed weight in effect."""
        return self.effective_weight()

    @property
    def in_proj_bias(self) -> Tensor | None:
        """The packed bias in effect."""
        return self.effective_bias()

    def __getattr__(self, name: str) -> Any:
        """Return what the base has, where the layer itself has nothing of that name."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == "base_layer":
                raise
            return getattr(self.base_layer, name)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Attend, with W + sBA in the place of the packed weight."""
        base = self.base_layer
        if not self.in_use():
            return base(*args, **kwargs)
        if self.merged_weight is not None:
            self.refuse_training()
            weight = gathered(self.merged_weight)
        else:
            weight = self.total()
        swapped = {"in_proj_weight": weight}
        bias = self.effective_bias()
        if bias is not None:
            swapped["in_proj_bias"] = bias
        return functional_call(base, swapped, args, kwargs)
