"""Gated linear units as modules."""

from torch import Tensor, nn

from dlkb.activations.glu import VARIANTS, gated, gated_vjp, glu, glu_vjp
from dlkb.nn.two_graphs import by_hand_in_float32


class GLU(nn.Module):
    """The first half of an axis, gated by the second: a drop-in for `torch.nn.GLU`.

    Args:
        dim: The axis that is split.

    Note:
        Half precision is computed in float32, as in torch. Differs from `torch.nn.GLU` in the
        error for an odd axis, a ValueError here.

    Example:
        >>> import torch
        >>> GLU()
        GLU(dim=-1)
        >>> GLU()(torch.tensor([1.0, 1.0, 0.0, 3.0]))
        tensor([0.5000, 0.9526])
    """

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """Return the gated half."""
        return by_hand_in_float32(glu, glu_vjp, {"x": input}, {"axis": self.dim})

    def extra_repr(self) -> str:
        """Return the argument as `torch.nn.GLU` prints it."""
        return f"dim={self.dim}"


class GatedMLP(nn.Module):
    """The gated feed-forward block of Llama: two projections, a product, a projection back.

    A drop-in for the `LlamaMLP` of Transformers: its state_dict has the same keys. `variant` may
    be any of `dlkb.activations.glu.VARIANTS`; the GELU of "geglu" is exact, that of T5 1.1 and
    Gemma has the tanh form.

    Args:
        hidden_size: Width of input and output.
        intermediate_size: Width of the hidden layer; see `dlkb.activations.glu.matched_width`.
        variant: What the gate goes through.
        bias: Whether the three projections have biases.

    Raises:
        ValueError: If there is no such variant.

    Note:
        For the backward pass it keeps three arrays of the hidden width, `LlamaMLP` four: the
        activation of the gate is computed again.

    Example:
        >>> import torch
        >>> block = GatedMLP(512, 1365)
        >>> sum(p.numel() for p in block.parameters())
        2096640
        >>> block(torch.ones(2, 512)).shape
        torch.Size([2, 512])
    """

    def __init__(
        self,
        hidden_size: int,
        intermediate_size: int,
        variant: str = "swiglu",
        bias: bool = False,
    ) -> None:
        super().__init__()
        if variant not in VARIANTS:
            raise ValueError(f"variant is {variant!r}: it must be one of {VARIANTS}")
        self.variant = variant
        self.gate_proj = nn.Linear(hidden_size, intermediate_size, bias=bias)
        self.up_proj = nn.Linear(hidden_size, intermediate_size, bias=bias)
        self.down_proj = nn.Linear(intermediate_size, hidden_size, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output, in the shape of the input."""
        gate, value = self.gate_proj(x), self.up_proj(x)
        pair, options = {"value": value, "gate": gate}, {"variant": self.variant}
        hidden = by_hand_in_float32(gated, gated_vjp, pair, options)
        output: Tensor = self.down_proj(hidden)
        return output

    def extra_repr(self) -> str:
        """Return the variant."""
        return f"variant={self.variant!r}"
