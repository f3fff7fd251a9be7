"""Multilayer perceptrons, one for each of several seeds, side by side in one tensor.

All parameters of a network lie in one row: `theta` has the shape (seeds, parameters). A formula of
`dlkb.optimizers` then updates every network at once, a row's norm is a network's gradient norm,
and entry s is what one network with the seed `seed + s` would be.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import layer_norm, rms_norm

from dlkb.arrays import check_between, check_count
from dlkb.initialization.xavier import kaiming_std, orthogonalize, xavier_std
from dlkb.regularization.dropout import dropout as drop
from dlkb.regularization.dropout import keep_mask

INITS = ("fan_in", "xavier", "orthogonal", "torch")
NORMS = ("", "batch", "layer", "rms", "center")


class Networks(NamedTuple):
    r"""Networks of one architecture, one a row.

    $$\mathbf{z}_1 = N\bigl(\mathbf{x}\mathbf{W}_1 + \mathbf{b}_1\bigr),\qquad
      \mathbf{z}_{k+1} = \alpha'\mathbf{z}_k + \alpha N\bigl(\phi(\mathbf{z}_k)\,
      \mathbf{W}_{k+1} + \mathbf{b}_{k+1}\bigr)$$

    Without skips α′ = 0 and α = 1; with skips α′ = 1 between hidden layers and α is `skip`. N is
    the normalization, of hidden layers, without learned scale. The last z is the output.

    Attributes:
        theta: Weights and biases, layer by layer, shape (seeds, parameters).
        widths: Units of the input, of the hidden layers, of the output.
        activation: φ, elementwise.
        bias: Whether there are biases.
        norm: "" for none, "batch" over the examples, "layer" over the units; of "layer", "rms"
            is the division alone (by the root mean square), "center" the subtraction alone.
        skip: Factor α of the branch of a residual block; 0 for no skips.
    """

    theta: Tensor
    widths: tuple[int, ...]
    activation: Callable[[Tensor], Tensor] = torch.relu
    bias: bool = True
    norm: str = ""
    skip: float = 0.0


class Layer(NamedTuple):
    """One layer of all networks.

    Attributes:
        weight: Shape (seeds, in, out).
        bias: Shape (seeds, 1, out), or None.
    """

    weight: Tensor
    bias: Tensor | None


def layer_sizes(networks: Networks) -> list[int]:
    """Return how many parameters each layer of one network has.

    Args:
        networks: The networks.

    Returns:
        A count for each layer; they sum to the length of a row of `theta`.

    Example:
        >>> layer_sizes(draw((64, 32, 10), seeds=1))
        [2080, 330]
    """
    more = 1 if networks.bias else 0
    return [(fan_in + more) * fan_out for fan_in, fan_out in pairwise(networks.widths)]


def layers(networks: Networks) -> list[Layer]:
    """Return weights and biases as views of `theta`.

    Args:
        networks: The networks.

    Returns:
        The layers, first to last.

    Example:
        >>> [tuple(layer.weight.shape) for layer in layers(draw((64, 32, 10)))]
        [(10, 64, 32), (10, 32, 10)]
    """
    sizes: list[int] = []
    for fan_in, fan_out in pairwise(networks.widths):
        sizes += [fan_in * fan_out, fan_out] if networks.bias else [fan_in * fan_out]
    parts = iter(networks.theta.split(sizes, dim=1))
    return [
        Layer(next(parts).unflatten(1, fans), next(parts)[:, None] if networks.bias else None)
        for fans in pairwise(networks.widths)
    ]


def _draw_layer(
    fan_in: int, fan_out: int, init: str, gain: float, bias: bool, rng: np.random.Generator
) -> NDArray[np.float64]:
    shape, zeros = (fan_in, fan_out), np.zeros(fan_out)
    if init == "torch":
        weight, zeros = (rng.uniform(-1, 1, size) / fan_in**0.5 for size in (shape, fan_out))
    elif init == "orthogonal":
        weight = orthogonalize(rng.normal(size=shape), gain=gain)
    elif init == "xavier":
        weight = xavier_std(fan_in, fan_out, gain=gain) * rng.normal(size=shape)
    else:
        weight = kaiming_std(fan_in, gain=gain) * rng.normal(size=shape)
    return np.concatenate([weight.ravel(), zeros]) if bias else weight.ravel()


def draw(
    widths: tuple[int, ...],
    *,
    activation: Callable[[Tensor], Tensor] = torch.relu,
    init: str = "fan_in",
    gain: float = 2**0.5,
    last_gain: float = 1.0,
    bias: bool = True,
    norm: str = "",
    skip: float = 0.0,
    seeds: int = 10,
    seed: int = 0,
    dtype: str = "float64",
) -> Networks:
    """Draw networks.

    Args:
        widths: Units of the input, of the hidden layers, of the output.
        activation: φ, elementwise: `torch.relu`, `torch.tanh`, `torch.sigmoid`, …
        init: "fan_in" for normal weights of standard deviation gain / √fan-in (with the gain √2
            that is He's); "xavier" for Xavier's; "orthogonal"; "torch" for what `torch.nn.Linear`
            draws, weights and biases uniform within ±1 / √fan-in, whatever the gain.
        gain: Factor of the weights of all layers but the last.
        last_gain: Factor of the last layer's weights.
        bias: With biases; they start at zero, unless `init` is "torch".
        norm: "", "batch", "layer", "rms" or "center", as `Networks` describes.
        skip: Factor of the residual branches, 0 for none. Hidden layers must have one width.
        seeds: Number of networks.
        seed: Network s is drawn from `numpy.random.default_rng(seed + s)`.
        dtype: "float64" or "float32".

    Returns:
        The networks, on torch's default device.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> import torch
        >>> networks = draw((64, 32, 32, 10), activation=torch.tanh, gain=1.0)
        >>> tuple(networks.theta.shape)
        (10, 3466)
    """
    if len(widths) < 2 or min(widths) < 1:
        raise ValueError(f"widths is {widths}: it must list two widths or more, each at least 1")
    if init not in INITS:
        raise ValueError(f"init is {init!r}: it must be one of {INITS}")
    if norm not in NORMS:
        raise ValueError(f"norm is {norm!r}: it must be one of {NORMS}")
    if skip and len(set(widths[1:-1])) != 1:
        raise ValueError(f"widths is {widths}: with skips the hidden layers must have one width")
    if dtype not in ("float64", "float32"):
        raise ValueError(f'dtype is {dtype!r}: it must be "float64" or "float32"')
    check_count("seeds", seeds, 1)
    gains = [gain] * (len(widths) - 2) + [last_gain]
    rows = []
    for s in range(seeds):
        rng = np.random.default_rng(seed + s)
        fans = zip(pairwise(widths), gains, strict=True)
        parts = [_draw_layer(i, o, init, g, bias, rng) for (i, o), g in fans]
        rows.append(np.concatenate(parts))
    theta = torch.tensor(np.stack(rows), dtype=getattr(torch, dtype))
    return Networks(theta, tuple(widths), activation, bias, norm, skip)


def normalize(z: Tensor, norm: str) -> Tensor:
    """Give mean 0 and variance 1 to each unit over the examples, or to each example's units.

    Args:
        z: Shape (seeds, batch, units).
        norm: "batch" or "layer"; "rms" and "center" do one half of "layer".

    Returns:
        A tensor like `z`. Differs from `torch.nn.BatchNorm1d` in evaluation, which uses running
        averages; this uses the examples at hand always.

    Example:
        >>> import torch
        >>> normalize(torch.tensor([[[1.0, 3.0]]]), "layer")
        tensor([[[-1.0000,  1.0000]]])
    """
    if norm == "batch":
        return normalize(z.mT, "layer").mT
    if norm == "center":
        return z - z.mean(2, keepdim=True)
    fused = rms_norm if norm == "rms" else layer_norm
    return fused(z, z.shape[2:], eps=1e-5)


class _SideBySide(NamedTuple):
    """A generator for `keep_mask`: what each network draws from its own, one after the other."""

    generators: list[np.random.Generator]

    def random(self, shape: tuple[int, ...]) -> NDArray[np.float64]:
        return np.stack([g.random(shape[1:]) for g in self.generators])


def forward(
    networks: Networks,
    x: Tensor,
    *,
    dropout: float = 0.0,
    generators: list[np.random.Generator] | None = None,
) -> list[Tensor]:
    """Return the pre-activations of every layer; the last are the outputs.

    Args:
        networks: The networks.
        x: Examples for all networks, shape (batch, in), or for each, (seeds, batch, in).
        dropout: Probability with which a hidden unit's activation is dropped, in [0, 1).
        generators: One a network, needed with dropout; they advance.

    Returns:
        A tensor of shape (seeds, batch, units) for each layer.

    Raises:
        ValueError: If `x` does not fit the networks, or dropout is out of its range or has not
            one generator a network.

    Example:
        >>> import torch
        >>> networks = draw((64, 32, 10), seeds=3)
        >>> outputs = forward(networks, torch.ones(5, 64).double())[-1]
        >>> tuple(outputs.shape)
        (3, 5, 10)
    """
    seeds, inputs = len(networks.theta), networks.widths[0]
    fits = x.ndim == 2 or (x.ndim == 3 and len(x) == seeds)
    if not fits or x.shape[-1] != inputs:
        raise ValueError(
            f"x has shape {tuple(x.shape)}: it must be (batch, {inputs}) or "
            f"({seeds}, batch, {inputs})"
        )
    check_between("dropout", dropout, 0, 1, closed="left")
    if dropout and (generators is None or len(generators) != seeds):
        given = generators if generators is None else f"a list of {len(generators)}"
        raise ValueError(f"generators is {given}: dropout needs one a network, {seeds}")
    signals: list[Tensor] = []
    last = len(networks.widths) - 2
    z, h = x, x
    for k, (weight, bias) in enumerate(layers(networks)):
        h = h.expand(seeds, *h.shape[-2:])
        branch = torch.bmm(h, weight) if bias is None else torch.baddbmm(bias, h, weight)
        hidden = k < last
        if hidden and networks.norm:
            branch = normalize(branch, networks.norm)
        z = z + networks.skip * branch if hidden and k and networks.skip else branch
        signals.append(z)
        if hidden:
            h = networks.activation(z)
        if hidden and dropout and generators is not None:
            keep = keep_mask(h, p=dropout, generator=_SideBySide(generators))
            h = drop(h, keep, p=dropout)
    return signals
