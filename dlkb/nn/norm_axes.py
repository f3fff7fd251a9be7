"""Group normalization as a module."""

import torch
from torch import Tensor, nn

from dlkb.nn.two_graphs import by_hand
from dlkb.normalization.norm_axes import group_norm, group_norm_vjp


class GroupNorm(nn.Module):
    """Normalize groups of channels of each example, with a gain and a shift for each channel.

    A drop-in for `torch.nn.GroupNorm`: same arguments, parameters and state dict; the
    arithmetic is `dlkb.normalization.norm_axes.group_norm`.

    Args:
        num_groups: G, a divisor of `num_channels`.
        num_channels: C, the size of axis 1 of the input.
        eps: ε ≥ 0, added to the variance.
        affine: Whether there is a gain, from 1 on.
        device: Where the parameters are.
        dtype: Their type.
        bias: Whether there is a shift, too, from 0 on.

    Raises:
        ValueError: If `num_groups` does not divide `num_channels`; in `forward`, if the shape does
            not fit, or `eps` is negative.

    Note:
        Differs from `torch.nn.GroupNorm` for a batch of one with one number a group: torch
        raises, here the output is the shift. On the CPU torch's backward pass kills the process
        where the input is channels-last and needs no gradient; this one's does not. This one's
        output is contiguous, where torch's stays channels-last.

    Example:
        >>> GroupNorm(2, 4)
        GroupNorm(2, 4, eps=1e-05, affine=True, bias=True)
        >>> GroupNorm(1, 2)(torch.tensor([[1.0, 3.0]])).detach().round(decimals=3)
        tensor([[-1.,  1.]])
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if num_groups < 1 or num_channels % num_groups:
            raise ValueError(
                f"num_groups is {num_groups}: it must divide num_channels, {num_channels}"
            )
        self.num_groups = num_groups
        self.num_channels = num_channels
        self.eps = eps
        self.affine = affine
        for name, wanted in (("weight", affine), ("bias", affine and bias)):
            empty = torch.empty(num_channels, device=device, dtype=dtype)
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
        if input.ndim < 2 or input.shape[1] != self.num_channels:
            raise ValueError(
                f"input has shape {tuple(input.shape)}: (N, {self.num_channels}, …) is needed"
            )
        arrays = {"x": input, "weight": self.weight, "bias": self.bias}
        options = {"num_groups": self.num_groups, "eps": self.eps}
        return by_hand(group_norm, group_norm_vjp, arrays, options)

    def extra_repr(self) -> str:
        """Return the arguments as `torch.nn.GroupNorm` prints them."""
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )
