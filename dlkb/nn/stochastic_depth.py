"""Stochastic depth as a module."""

import torch
from torch import Tensor, nn

from dlkb.arrays import check_between
from dlkb.regularization.stochastic_depth import stochastic_depth


class StochasticDepth(nn.Module):
    """Drop a residual branch at random while training; the identity in `eval()`.

    A drop-in for `torchvision.ops.StochasticDepth`. It wraps the branch, not the sum:
    `x + drop(branch(x))`. The mask comes from the global generator of the input's device; the
    arithmetic is `dlkb.regularization.stochastic_depth.stochastic_depth`.

    Args:
        p: Probability of dropping, in [0, 1].
        mode: "row" draws for each example, "batch" once for all.

    Raises:
        ValueError: If `p` is outside [0, 1] or `mode` is neither.

    Note:
        Differs from `torchvision.ops.StochasticDepth`, which checks `mode` when it is called,
        and turns a NaN or ∞ in a dropped branch into NaN, which is 0 here. In float32 and float64
        on the CPU the same seed gives the same output. In half precision torchvision rounds
        1/(1 − p).

    Example:
        >>> layer = StochasticDepth(0.5, "row")
        >>> layer
        StochasticDepth(p=0.5, mode=row)
        >>> _ = torch.manual_seed(0)
        >>> sorted(set(map(tuple, layer(torch.ones(100, 2)).tolist())))
        [(0.0, 0.0), (2.0, 2.0)]
        >>> layer.eval()(torch.ones(1, 2))
        tensor([[1., 1.]])
    """

    def __init__(self, p: float, mode: str) -> None:
        super().__init__()
        check_between("p", p, 0, 1)
        if mode not in ("row", "batch"):
            raise ValueError(f"mode is {mode!r}: it must be 'row' or 'batch'")
        self.p = p
        self.mode = mode

    def forward(self, input: Tensor) -> Tensor:
        """Return the branch dropped or rescaled when training, unchanged in `eval()`."""
        if not self.training or self.p == 0:
            return input
        size = input.shape[:1] if self.mode == "row" else ()
        exact = input.dtype if input.dtype.itemsize >= 4 else torch.float32
        draw = torch.empty(size, dtype=exact, device=input.device)
        return stochastic_depth(input, draw.bernoulli_(1 - self.p) != 0, p=self.p)

    def extra_repr(self) -> str:
        """Return the arguments as torchvision prints them."""
        return f"p={self.p}, mode={self.mode}"
