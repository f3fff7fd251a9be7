"""Layer normalization as a module."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dlkb.nn.two_graphs import by_hand
from dlkb.normalization.layer_norm import layer_norm, layer_norm_vjp


class LayerNorm(nn.Module):
    """Normalize over the last axes, with learned gain and shift.

    A drop-in for `torch.nn.LayerNorm`: same arguments, parameters and state dict; the
    arithmetic is `dlkb.normalization.layer_norm.layer_norm`.

    Args:
        normalized_shape: Sizes of the last axes, normalized together.
        eps: ε ≥ 0, added to the variance.
        elementwise_affine: Whether there is a gain, from 1 on.
        bias: Whether there is a shift, too, from 0 on.
        device: Where the parameters are.
        dtype: Their type.

    Raises:
        ValueError: If `normalized_shape` is empty; in `forward`, if the input does not end in
            it, or `eps` is negative.

    Note:
        Differs from `torch.nn.LayerNorm` in float32 for entries beyond about 1e19 / √features,
        whose squares sum to infinity: there it gives zeros or NaN, and this the quotient up to
        about 3e38 / features. Parameters may be of another type than the input; the output has
        that of the input. In half precision torch's CPU kernel sums the gradients of gain and
        shift in the input's type, this in float32. Of a transposed input the output keeps the
        strides, so that `view` behind it may need `reshape`; torch's is contiguous. In eager mode
        torch's fused kernel is faster: compile this one.

    Example:
        >>> LayerNorm(3)
        LayerNorm((3,), eps=1e-05, elementwise_affine=True, bias=True)
        >>> LayerNorm(2)(torch.tensor([[1.0, 3.0]])).detach().round(decimals=3)
        tensor([[-1.,  1.]])
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = last_axes(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        for name, wanted in (("weight", elementwise_affine), ("bias", elementwise_affine and bias)):
            empty = torch.empty(self.normalized_shape, device=device, dtype=dtype)
            self.register_parameter(name, nn.Parameter(empty) if wanted else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set gain to 1 and shift to 0."""
        if self.weight is not None:
            nn.init.ones_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        """Return the normalized input, in its dtype."""
        check_shape(input, self.normalized_shape)
        arrays = {"x": input, "weight": self.weight, "bias": self.bias}
        options = {"dims": len(self.normalized_shape), "eps": self.eps}
        return by_hand(layer_norm, layer_norm_vjp, arrays, options)

    def extra_repr(self) -> str:
        """Return the arguments as `torch.nn.LayerNorm` prints them."""
        return (
            f"{self.normalized_shape}, eps={self.eps}, "
            f"elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"
        )


def last_axes(normalized_shape: int | Sequence[int]) -> tuple[int, ...]:
    """Return the sizes of the axes that are normalized together, as a tuple.

    Raises:
        ValueError: If there is none.
    """
    one = not hasattr(normalized_shape, "__iter__")  # NumPy's integers are no int
    shape = (normalized_shape,) if one else tuple(normalized_shape)  # type: ignore[arg-type]
    if not shape:
        raise ValueError("normalized_shape is empty: give the size of at least the last axis")
    return shape  # type: ignore[return-value]


def check_shape(input: Tensor, shape: tuple[int, ...]) -> None:
    """Raise unless an input ends in the axes that are normalized.

    Raises:
        ValueError: Naming both shapes.
    """
    if tuple(input.shape[-len(shape) :]) != shape:
        raise ValueError(
            f"input has shape {tuple(input.shape)}: its last axes must be {shape}, "
            "the normalized_shape of this layer"
        )
