"""Dropout as a module, and the switch for sampling at test time."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from dlkb.arrays import check_between
from dlkb.regularization.dropout import dropout


@torch.fx.wrap  # one node of a traced graph: the shape of the input is not known there
def _drop(input: Tensor, p: float, inplace: bool) -> Tensor:
    if input.is_nested and input.layout is torch.jagged:
        values = _drop(input.values(), p, inplace)
        if inplace:
            return input
        jagged_dim = input._ragged_idx
        return torch.nested.nested_tensor_from_jagged(
            values, input.offsets(), input.lengths(), jagged_dim=jagged_dim
        )
    # Into bytes: their frequencies do not depend on the precision of the input, and a
    # compiled kernel reads many at once, booleans one by one.
    keep = torch.empty_like(input, dtype=torch.uint8).bernoulli_(1 - p) != 0
    output = dropout(input, keep, p=p)
    return input.copy_(output) if inplace else output


class Dropout(nn.Module):
    """Zero activations at random while training; the identity in `eval()`.

    A drop-in for `torch.nn.Dropout`. The mask comes from the global generator of the input's
    device; the arithmetic is `dlkb.regularization.dropout.dropout`. The backward pass keeps
    the mask alone, one byte an entry.

    Args:
        p: Probability of dropping an entry, in [0, 1].
        inplace: Write the result into the input.

    Raises:
        ValueError: If `p` is outside [0, 1].

    Note:
        Differs from `torch.nn.Dropout` on the CPU in half precision, where that rounds 1/(1 − p)
        to the input's dtype and so scales by 1.109 in place of 1.111 (bfloat16, p = 0.1), and in
        a dropped infinity, which is 0 here and NaN there. In float32 and float64 on the CPU the
        same seed gives the same output. Unlike torch's it takes neither `torch.jit.script` nor
        nested tensors of the strided layout; jagged ones, `torch.fx`, `torch.compile`,
        `torch.export` and `torch.func.vmap` work.

    Example:
        >>> layer = Dropout(0.5)
        >>> layer
        Dropout(p=0.5, inplace=False)
        >>> _ = torch.manual_seed(0)
        >>> sorted(set(layer(torch.ones(100)).tolist()))
        [0.0, 2.0]
        >>> layer.eval()(torch.ones(3))
        tensor([1., 1., 1.])
    """

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        check_between("p", p, 0, 1)
        self.p = p
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """Return the input with entries dropped when training, unchanged in `eval()`."""
        return _drop(input, self.p, self.inplace) if self.training and self.p else input

    def extra_repr(self) -> str:
        """Return the arguments as `torch.nn.Dropout` prints them."""
        return f"p={self.p}, inplace={self.inplace}"


# Modules whose training flag switches dropout and nothing else. The last three apply it as a
# function; TransformerEncoderLayer in eval() takes a fast path that skips its own children.
STOCHASTIC = (
    Dropout,
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Dropout3d,
    nn.AlphaDropout,
    nn.FeatureAlphaDropout,
    nn.RNNBase,
    nn.MultiheadAttention,
    nn.TransformerEncoderLayer,
)


def _drops(module: nn.Module) -> bool:
    # Modules of this package that drop in their own forward say so: they import this file.
    return isinstance(module, STOCHASTIC) or getattr(module, "drops_in_forward", False)


@contextmanager
def mc_dropout(model: nn.Module) -> Iterator[nn.Module]:
    """Put the dropout of a model in training mode, everything else in `eval()`, for a while.

    Batch normalization keeps its running statistics, which `model.train()` would overwrite.
    On leaving, also by an exception, each module is in the mode that it was in before.

    Args:
        model: A model with dropout modules, torch's or ours. Calls of
            `torch.nn.functional.dropout` in a module's own `forward` cannot be seen: in
            Transformers the dropout of attention weights stays off.

    Yields:
        The same model.

    Raises:
        ValueError: If the model holds no dropout module: all samples would be equal.

    Example:
        >>> model = nn.Sequential(nn.BatchNorm1d(2), Dropout(0.5)).eval()
        >>> with mc_dropout(model):
        ...     [module.training for module in model]
        [False, True]
        >>> [module.training for module in model]
        [False, False]
    """
    before = [(module, module.training) for module in model.modules()]
    if not any(_drops(module) for module, _ in before):
        raise ValueError(
            f"{type(model).__name__} has no dropout module: sampling needs at least one, "
            "as a module rather than a function"
        )
    try:
        for module, _ in before:
            module.training = _drops(module)
        yield model
    finally:
        for module, mode in before:
            module.training = mode
