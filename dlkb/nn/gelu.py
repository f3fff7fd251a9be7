"""GELU, SiLU, Mish and QuickGELU as modules."""

from torch import Tensor, nn

from dlkb.activations.gelu import (
    QUICK,
    gelu,
    gelu_vjp,
    mish,
    mish_vjp,
    silu,
    silu_vjp,
    swish,
    swish_vjp,
)
from dlkb.nn.two_graphs import Graph, by_hand_in_float32


class GELU(nn.Module):
    """x times the normal distribution function of x: a drop-in for `torch.nn.GELU`.

    Args:
        approximate: "none" for the exact function, "tanh" for the approximation of GPT-2.

    Raises:
        ValueError: If `approximate` is neither.

    Note:
        Differs from `torch.nn.GELU`, which takes any `approximate` and raises when it is called,
        has a NaN gradient at +∞ and may give NaN itself there in float32 on the CPU, and in the
        tanh form has a NaN gradient where x² overflows. Half precision is computed in float32, as
        there.

    Example:
        >>> import torch
        >>> GELU("tanh")
        GELU(approximate='tanh')
        >>> GELU()(torch.tensor([-1.0, 2.0]))
        tensor([-0.1587,  1.9545])
    """

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        if approximate not in ("none", "tanh"):
            raise ValueError(f"approximate is {approximate!r}: it must be 'none' or 'tanh'")
        self.approximate = approximate

    def forward(self, input: Tensor) -> Tensor:
        """Return the activations, in the shape of the input."""
        return by_hand_in_float32(gelu, gelu_vjp, {"x": input}, {"approximate": self.approximate})

    def extra_repr(self) -> str:
        """Return the argument as `torch.nn.GELU` prints it."""
        return f"approximate={self.approximate!r}"


class QuickGELU(nn.Module):
    """x σ(1.702 x), the sigmoid form of GELU that CLIP was trained with.

    Note:
        torch has no such module; Transformers calls it "quick_gelu".

    Example:
        >>> import torch
        >>> QuickGELU()(torch.tensor([-1.0, 2.0]))
        tensor([-0.1542,  1.9357])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the activations, in the shape of the input."""
        return by_hand_in_float32(swish, swish_vjp, {"x": input}, {"beta": QUICK})


class _InPlace(nn.Module):
    """What `torch.nn.SiLU` and `torch.nn.Mish` have in common: an argument `inplace`."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def extra_repr(self) -> str:
        """Return the argument as torch prints it."""
        return "inplace=True" if self.inplace else ""

    def _apply_by_hand(self, formula: Graph, vjp: Graph, input: Tensor) -> Tensor:
        # Autograd keeps what it is given, and this the result overwrites.
        kept = input.clone() if self.inplace else input
        output = by_hand_in_float32(formula, vjp, {"x": kept})
        return input.copy_(output) if self.inplace else output


class SiLU(_InPlace):
    """x σ(x), also called Swish: a drop-in for `torch.nn.SiLU`.

    Args:
        inplace: Write the result into the input.

    Note:
        Half precision is computed in float32, as in torch.

    Example:
        >>> import torch
        >>> SiLU()
        SiLU()
        >>> SiLU()(torch.tensor([-1.0, 2.0]))
        tensor([-0.2689,  1.7616])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the activations, in the shape of the input."""
        return self._apply_by_hand(silu, silu_vjp, input)


class Mish(_InPlace):
    """x tanh(softplus(x)): a drop-in for `torch.nn.Mish`.

    Args:
        inplace: Write the result into the input.

    Note:
        Half precision is computed in float32, as in torch.

    Example:
        >>> import torch
        >>> Mish(inplace=True)
        Mish(inplace=True)
        >>> Mish()(torch.tensor([-1.0, 2.0]))
        tensor([-0.3034,  1.9440])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the activations, in the shape of the input."""
        return self._apply_by_hand(mish, mish_vjp, input)
