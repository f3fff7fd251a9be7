"""Initialization in place, a drop-in for `torch.nn.init`: the same signatures, the same draws.

The arithmetic is `dlkb.initialization.xavier`. A function fills a tensor of torch's layout,
(out, in) or (out, in, *kernel), and returns it. Without a `generator` the draw comes from the
global generator of the tensor's device.

All names of `torch.nn.init` are here. Those without a formula, such as `zeros_`, `dirac_` and
`trunc_normal_`, which rejects draws until they fit, are torch's own, and so are those that torch
deprecates, such as `xavier_normal`, without an underscore at the end. (`sparse_` of torch 2.13
takes its zeros from the global generator, whatever `generator` says.)
"""

import warnings

import torch
from torch import Generator, Tensor
from torch.nn.init import (
    constant,
    constant_,
    dirac,
    dirac_,
    eye,
    eye_,
    kaiming_normal,
    kaiming_uniform,
    normal,
    normal_,
    ones_,
    orthogonal,
    sparse,
    sparse_,
    trunc_normal_,
    uniform,
    uniform_,
    xavier_normal,
    xavier_uniform,
    zeros_,
)

from dlkb.initialization.xavier import (
    calculate_gain,
    fans,
    kaiming_std,
    orthogonalize,
    uniform_bound,
    xavier_std,
)

__all__ = [
    "calculate_gain",
    "constant",
    "constant_",
    "dirac",
    "dirac_",
    "eye",
    "eye_",
    "kaiming_normal",
    "kaiming_normal_",
    "kaiming_uniform",
    "kaiming_uniform_",
    "normal",
    "normal_",
    "ones_",
    "orthogonal",
    "orthogonal_",
    "sparse",
    "sparse_",
    "trunc_normal_",
    "uniform",
    "uniform_",
    "xavier_normal",
    "xavier_normal_",
    "xavier_uniform",
    "xavier_uniform_",
    "zeros_",
]


def _xavier_std(tensor: Tensor, gain: float) -> float:
    fan_in, fan_out = fans(tuple(tensor.shape))
    # Both fans are 0 only where there is nothing to fill.
    return xavier_std(fan_in, fan_out, gain=gain) if fan_in + fan_out else 0.0


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    fan_in, fan_out = fans(tuple(tensor.shape))
    by_mode = {"fan_in": fan_in, "fan_out": fan_out}
    if mode.lower() not in by_mode:
        raise ValueError(f"mode is {mode!r}: fan_in or fan_out is needed")
    gain = calculate_gain(nonlinearity, a)
    if tensor.numel() == 0:
        warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=3)
        return 0.0
    return kaiming_std(by_mode[mode.lower()], gain=gain)


def _fill_normal(tensor: Tensor, std: float, generator: Generator | None) -> Tensor:
    with torch.no_grad():
        return tensor.normal_(0, std, generator=generator)


def _fill_uniform(tensor: Tensor, std: float, generator: Generator | None) -> Tensor:
    bound = uniform_bound(std)
    with torch.no_grad():
        return tensor.uniform_(-bound, bound, generator=generator)


def xavier_uniform_(
    tensor: Tensor, gain: float = 1.0, generator: Generator | None = None
) -> Tensor:
    r"""Fill a weight from U(−b, b), b = g √(6 / (n_in + n_out)).

    Args:
        tensor: A weight with at least 2 axes; it is overwritten.
        gain: Factor g, see `calculate_gain`.
        generator: Source of randomness.

    Returns:
        The same tensor.

    Raises:
        ValueError: If `tensor` has fewer than 2 axes.

    Note:
        Differs from `torch.nn.init.xavier_uniform_` in a tensor both of whose fans are 0, as of
        shape (0, 0), which is left alone here and divides by zero there. The draws are the same.

    Example:
        >>> import torch
        >>> w = xavier_uniform_(torch.empty(3, 5), generator=torch.Generator().manual_seed(0))
        >>> bool(w.abs().max() <= (6 / 8) ** 0.5)
        True
    """
    return _fill_uniform(tensor, _xavier_std(tensor, gain), generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    r"""Fill a weight from N(0, σ²), σ = g √(2 / (n_in + n_out)).

    Args:
        tensor: A weight with at least 2 axes; it is overwritten.
        gain: Factor g, see `calculate_gain`.
        generator: Source of randomness.

    Returns:
        The same tensor.

    Raises:
        ValueError: If `tensor` has fewer than 2 axes.

    Example:
        >>> import torch
        >>> w = torch.empty(300, 100)
        >>> xavier_normal_(w, generator=torch.Generator().manual_seed(0)) is w
        True
        >>> round(float(w.std()), 3)
        0.071
    """
    return _fill_normal(tensor, _xavier_std(tensor, gain), generator)


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    r"""Fill a weight from U(−b, b), b = g √(3 / n).

    Args:
        tensor: A weight with at least 2 axes; it is overwritten.
        a: Negative slope of a leaky ReLU, if `nonlinearity` is "leaky_relu".
        mode: "fan_in" keeps the signal's scale, "fan_out" the gradient's.
        nonlinearity: Name of the activation, for `calculate_gain`.
        generator: Source of randomness.

    Returns:
        The same tensor.

    Raises:
        ValueError: If `tensor` has fewer than 2 axes, or `mode` or `nonlinearity` is unknown.

    Note:
        With `a=5**0.5` this is the default of `torch.nn.Linear`: b = 1/√n, a variance of 1/(3n).

    Example:
        >>> import torch
        >>> w = kaiming_uniform_(torch.empty(8, 2), generator=torch.Generator().manual_seed(0))
        >>> bool(w.abs().max() <= 3**0.5)
        True
    """
    return _fill_uniform(tensor, _kaiming_std(tensor, a, mode, nonlinearity), generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    r"""Fill a weight from N(0, σ²), σ = g / √n.

    Args:
        tensor: A weight with at least 2 axes; it is overwritten.
        a: Negative slope of a leaky ReLU, if `nonlinearity` is "leaky_relu".
        mode: "fan_in" keeps the signal's scale, "fan_out" the gradient's.
        nonlinearity: Name of the activation, for `calculate_gain`.
        generator: Source of randomness.

    Returns:
        The same tensor.

    Raises:
        ValueError: If `tensor` has fewer than 2 axes, or `mode` or `nonlinearity` is unknown.

    Note:
        The shape does not tell the groups of a convolution: as in torch, "fan_out" is then too
        large by that factor. Compute `fans(shape, groups=…)` and fill with `Tensor.normal_`.

    Example:
        >>> import torch
        >>> w = kaiming_normal_(torch.empty(100, 200), generator=torch.Generator().manual_seed(0))
        >>> round(round(float(w.std()), 2), 2)
        0.1
    """
    return _fill_normal(tensor, _kaiming_std(tensor, a, mode, nonlinearity), generator)


def orthogonal_(tensor: Tensor, gain: float = 1, generator: Generator | None = None) -> Tensor:
    r"""Fill a weight with a random orthogonal matrix, or with orthonormal rows or columns.

    Args:
        tensor: A weight with at least 2 axes; all but the first count as one. It is overwritten.
        gain: Factor g: all singular values are |g|.
        generator: Source of randomness.

    Returns:
        The same tensor.

    Raises:
        ValueError: If `tensor` has fewer than 2 axes.

    Note:
        Differs from `torch.nn.init.orthogonal_` in half precision, which is factorized in float32
        here and is an error there, and in a sharded weight (`DTensor`), an error there, of which
        every process draws the whole and keeps its part of what the first one drew. In float32
        and float64 the draws are the same.

    Example:
        >>> import torch
        >>> w = orthogonal_(torch.empty(2, 6), generator=torch.Generator().manual_seed(0))
        >>> (w @ w.T).round(decimals=3).abs()
        tensor([[1., 0.],
                [0., 1.]])
    """
    if tensor.dim() < 2:
        raise ValueError(f"tensor has shape {tuple(tensor.shape)}: at least 2 axes are needed")
    if tensor.numel() == 0 or tensor.is_meta:
        return tensor
    with torch.no_grad():
        wide = torch.promote_types(tensor.dtype, torch.float32)
        z = torch.empty(tensor.shape, dtype=wide, device=tensor.device)
        W = orthogonalize(z.normal_(generator=generator), gain=gain)
        mesh = getattr(tensor, "device_mesh", None)
        if mesh is not None:
            from torch.distributed.tensor import distribute_tensor  # whose tensor it is

            W = distribute_tensor(W, mesh, tensor.placements)
        return tensor.copy_(W)
