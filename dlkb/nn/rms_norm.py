"""RMS normalization as a module."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dlkb.nn.layer_norm import check_shape, last_axes
from dlkb.nn.two_graphs import by_hand
from dlkb.normalization.rms_norm import rms_norm, rms_norm_vjp


class RMSNorm(nn.Module):
    """Divide by the root mean square over the last axes, with a learned gain.

    A drop-in for `torch.nn.RMSNorm`: same arguments, parameter and state dict; the arithmetic
    is `dlkb.normalization.rms_norm.rms_norm`.

    Args:
        normalized_shape: Sizes of the last axes, normalized together.
        eps: ε ≥ 0, added to the mean square. `None` is the machine epsilon of the type that is
            computed in: of float32 for half precision.
        elementwise_affine: Whether there is a gain, from 1 on.
        device: Where the gain is.
        dtype: Its type.

    Raises:
        ValueError: If `normalized_shape` is empty; in `forward`, if the input does not end in
            it, or `eps` is negative.

    Note:
        Differs from `torch.nn.RMSNorm` in float32 for entries beyond about 1e19 / √features,
        whose squares sum to infinity: there it gives zeros, and this the quotient. The output has
        the input's type, also where that of the gain is another, and a transposed input's strides,
        so that `view` behind it may need `reshape`; torch's is contiguous on the CPU.

    Example:
        >>> RMSNorm(3, eps=1e-6)
        RMSNorm((3,), eps=1e-06, elementwise_affine=True)
        >>> RMSNorm(2)(torch.tensor([[3.0, 3.0]])).detach()
        tensor([[1., 1.]])
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = last_axes(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        empty = torch.empty(self.normalized_shape, device=device, dtype=dtype)
        self.register_parameter("weight", nn.Parameter(empty) if elementwise_affine else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the gain to 1."""
        if self.weight is not None:
            nn.init.ones_(self.weight)

    def forward(self, input: Tensor) -> Tensor:
        """Return the normalized input, in its dtype."""
        check_shape(input, self.normalized_shape)
        options = {"dims": len(self.normalized_shape), "eps": self.eps}
        return by_hand(rms_norm, rms_norm_vjp, {"x": input, "weight": self.weight}, options)

    def extra_repr(self) -> str:
        """Return the arguments as `torch.nn.RMSNorm` prints them."""
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
        )
