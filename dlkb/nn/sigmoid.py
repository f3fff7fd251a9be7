"""Sigmoid, tanh, softplus and log-sigmoid as modules."""

import torch
from torch import Tensor, nn

from dlkb.activations.sigmoid import (
    log_sigmoid,
    log_sigmoid_vjp,
    sigmoid,
    sigmoid_vjp,
    softplus,
    softplus_vjp,
    tanh,
    tanh_vjp,
)
from dlkb.nn.two_graphs import by_hand


class Sigmoid(nn.Module):
    """Squash each entry into (0, 1). A drop-in for `torch.nn.Sigmoid`.

    The arithmetic is `dlkb.activations.sigmoid.sigmoid`.

    Note:
        Differs from `torch.nn.Sigmoid`: the gradient keeps its digits where the output rounds to
        1, for which the input is kept, not the output; half precision, which torch rounds once,
        may be one unit in the last place off; and integers are refused.

    Example:
        >>> layer = Sigmoid()
        >>> layer, layer(torch.tensor([0.0, 100.0])).tolist()
        (Sigmoid(), [0.5, 1.0])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return 1 / (1 + e^(−input))."""
        return by_hand(sigmoid, sigmoid_vjp, {"x": input})


class Tanh(nn.Module):
    """Squash each entry into (−1, 1). A drop-in for `torch.nn.Tanh`.

    The arithmetic is `dlkb.activations.sigmoid.tanh`.

    Note:
        Differs from `torch.nn.Tanh` as `Sigmoid` does from torch's.

    Example:
        >>> layer = Tanh()
        >>> layer, layer(torch.tensor([0.0, 100.0])).tolist()
        (Tanh(), [0.0, 1.0])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the hyperbolic tangent."""
        return by_hand(tanh, tanh_vjp, {"x": input})


class LogSigmoid(nn.Module):
    """Return the logarithm of the sigmoid. A drop-in for `torch.nn.LogSigmoid`.

    The arithmetic is `dlkb.activations.sigmoid.log_sigmoid`.

    Note:
        Differs from `torch.nn.LogSigmoid` in half precision, which torch rounds once: here it may
        be one unit in the last place off.

    Example:
        >>> layer = LogSigmoid()
        >>> layer, layer(torch.tensor([-1000.0, 1000.0])).tolist()
        (LogSigmoid(), [-1000.0, 0.0])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return ln σ(input)."""
        return by_hand(log_sigmoid, log_sigmoid_vjp, {"x": input})


class Softplus(nn.Module):
    """Smooth the corner of ReLU. A drop-in for `torch.nn.Softplus`.

    The arithmetic is `dlkb.activations.sigmoid.softplus`.

    Args:
        beta: Sharpness β > 0.
        threshold: Where β times the input is above it, the input itself is returned, as torch
            does. `math.inf` keeps all digits; the form does not overflow.

    Raises:
        ValueError: In `forward`, if `beta` is not positive.

    Note:
        Differs from `torch.nn.Softplus` in that β must be positive, and in half precision as
        `LogSigmoid` does from torch's.

    Example:
        >>> layer = Softplus()
        >>> layer, layer(torch.tensor([-1000.0, 1000.0])).tolist()
        (Softplus(beta=1.0, threshold=20.0), [0.0, 1000.0])
    """

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta = beta
        self.threshold = threshold

    def forward(self, input: Tensor) -> Tensor:
        """Return ln(1 + e^(β input)) / β, or the input where it is large."""
        options = {"beta": self.beta, "threshold": self.threshold}
        return by_hand(_softplus, _softplus_vjp, {"x": input}, options)

    def extra_repr(self) -> str:
        """Return the arguments as `torch.nn.Softplus` prints them."""
        return f"beta={self.beta}, threshold={self.threshold}"


def _softplus(x: Tensor, *, beta: float, threshold: float) -> Tensor:
    return torch.where(x * beta > threshold, x, softplus(x, beta=beta))


def _softplus_vjp(x: Tensor, cotangent: Tensor, *, beta: float, threshold: float) -> Tensor:
    return torch.where(x * beta > threshold, cotangent, softplus_vjp(x, cotangent, beta=beta))
