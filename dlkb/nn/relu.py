"""ReLU, leaky ReLU, PReLU and ELU as modules, and a probe that finds units that are dead."""

from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from dlkb.activations.relu import elu, elu_vjp, leaky_relu, prelu, prelu_vjp, relu
from dlkb.nn._calls import call_on_copies
from dlkb.nn.two_graphs import by_hand


class ReLU(nn.Module):
    """Replace what is negative by zero. A drop-in for `torch.nn.ReLU`.

    The arithmetic is `dlkb.activations.relu.relu`.

    Args:
        inplace: Write the result into the input.

    Note:
        Differs from `torch.nn.ReLU`: integers are refused.

    Example:
        >>> layer = ReLU()
        >>> layer, layer(torch.tensor([-1.0, 2.0]))
        (ReLU(), tensor([0., 2.]))
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """Return max(0, input)."""
        output = relu(input)
        return input.copy_(output) if self.inplace else output

    def extra_repr(self) -> str:
        """Return the arguments as `torch.nn.ReLU` prints them."""
        return "inplace=True" if self.inplace else ""


class LeakyReLU(nn.Module):
    """Scale what is negative by a fixed factor. A drop-in for `torch.nn.LeakyReLU`.

    The arithmetic is `dlkb.activations.relu.leaky_relu`.

    Args:
        negative_slope: The factor, any number.
        inplace: Write the result into the input.

    Note:
        Differs from `torch.nn.LeakyReLU` in place with a negative slope, whose gradient is an
        error there and right here.

    Example:
        >>> layer = LeakyReLU(0.1)
        >>> layer, layer(torch.tensor([-1.0, 2.0]))
        (LeakyReLU(negative_slope=0.1), tensor([-0.1000,  2.0000]))
    """

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__()
        self.negative_slope = negative_slope
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """Return the input where it is positive, elsewhere `negative_slope` times it."""
        output = leaky_relu(input, negative_slope=self.negative_slope)
        return input.copy_(output) if self.inplace else output

    def extra_repr(self) -> str:
        """Return the arguments as `torch.nn.LeakyReLU` prints them."""
        return f"negative_slope={self.negative_slope}" + (", inplace=True" if self.inplace else "")


class PReLU(nn.Module):
    """Scale what is negative by learned factors. A drop-in for `torch.nn.PReLU`.

    The arithmetic is `dlkb.activations.relu.prelu`. Weight decay would pull the factors to 0:
    leave it out for them, as He et al. (2015) do.

    Args:
        num_parameters: 1 for one factor in all, else the length of axis 1 of the input.
        init: What each factor starts at.
        device: Of the parameter.
        dtype: Of the parameter.

    Raises:
        ValueError: In `forward`, if `num_parameters` is neither 1 nor the length of axis 1.

    Note:
        Differs from `torch.nn.PReLU` where the input has another dtype than the parameter: that is
        an error there, and promoted here.

    Example:
        >>> layer = PReLU()
        >>> layer, layer(torch.tensor([-1.0, 2.0])).tolist()
        (PReLU(num_parameters=1), [-0.25, 2.0])
    """

    def __init__(
        self,
        num_parameters: int = 1,
        init: float = 0.25,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.num_parameters = num_parameters
        self.init = init
        self.weight = nn.Parameter(torch.empty(num_parameters, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set each factor to `init`."""
        nn.init.constant_(self.weight, self.init)

    def forward(self, input: Tensor) -> Tensor:
        """Return the input where it is positive, elsewhere its factor times it."""
        channels = input.shape[1] if input.ndim > 1 else 1
        if self.num_parameters not in (1, channels):
            raise ValueError(
                f"input has shape {tuple(input.shape)} but num_parameters is "
                f"{self.num_parameters}: it must be 1 or the length of axis 1, {channels}"
            )
        shape = (-1, *[1] * (input.ndim - 2)) if input.ndim > 1 else (1,) * input.ndim
        return by_hand(prelu, prelu_vjp, {"x": input, "alpha": self.weight.reshape(shape)})

    def extra_repr(self) -> str:
        """Return the arguments as `torch.nn.PReLU` prints them."""
        return f"num_parameters={self.num_parameters}"


class ELU(nn.Module):
    """Let what is negative saturate at −α. A drop-in for `torch.nn.ELU`.

    The arithmetic is `dlkb.activations.relu.elu`.

    Args:
        alpha: α.
        inplace: Write the result into the input.

    Example:
        >>> layer = ELU()
        >>> layer, layer(torch.tensor([-1.0, 2.0]))
        (ELU(alpha=1.0), tensor([-0.6321,  2.0000]))
    """

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha = alpha
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """Return the input where it is positive, elsewhere α (eˣ − 1)."""
        # Autograd keeps what it is given, and this the result overwrites.
        kept = input.clone() if self.inplace else input
        output = by_hand(elu, elu_vjp, {"x": kept}, {"alpha": self.alpha})
        return input.copy_(output) if self.inplace else output

    def extra_repr(self) -> str:
        """Return the arguments as `torch.nn.ELU` prints them."""
        return f"alpha={self.alpha}" + (", inplace=True" if self.inplace else "")


@torch.no_grad()
def unit_activity(model: nn.Module, inputs: Iterable[Any], *, axis: int = 1) -> dict[str, Tensor]:
    """Measure how often each unit behind a ReLU is active; a unit at 0 is dead on these inputs.

    Args:
        model: Any module that calls ReLUs as modules, torch's or ours. It is run in the mode it
            is in; buffers, such as running statistics, are left as they were.
        inputs: Batches, each of which the model is called with. Take as many as training sees: a
            unit that is inactive on one batch may be active on another.
        axis: Axis of the units in the output of a ReLU: 1 for (batch, units) and for images, −1
            for (batch, tokens, units). All others are averaged over.

    Returns:
        By module name, the share of outputs above 0, one float64 number a unit. Where a model
        calls one module for several layers, as torchvision's ResNets do, each call of a pass has
        an entry: "relu", "relu#2", …

    Raises:
        ValueError: If the model calls no ReLU module, or there are no examples.
        IndexError: If the output of a ReLU has no such axis.

    Example:
        >>> model = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 1))
        >>> model[0].weight.data = torch.tensor([[1.0], [1.0]])
        >>> model[0].bias.data = torch.tensor([0.0, -9.0])
        >>> unit_activity(model, [torch.tensor([[-1.0], [2.0]])])["1"]
        tensor([0.5000, 0.0000], dtype=torch.float64)
    """
    active: dict[str, Tensor] = {}
    total: dict[str, int] = {}
    calls: dict[str, int] = {}  # of this pass

    def count(name: str) -> Any:
        def hook(_: nn.Module, __: Any, output: Tensor) -> None:
            calls[name] = calls.get(name, 0) + 1
            key = f"{name}#{calls[name]}" if calls[name] > 1 else name
            if not -output.ndim <= axis < output.ndim:
                raise IndexError(
                    f"axis is {axis} but {name!r} returned shape {tuple(output.shape)}: inputs "
                    "are batches; pass axis=-1 for examples without a batch"
                )
            rows = output.movedim(axis, 0)[..., None].flatten(1) > 0
            active[key] = active.get(key, 0) + rows.sum(1)
            total[key] = total.get(key, 0) + rows.shape[1]

        return hook

    with ExitStack() as stack:
        for name, module in model.named_modules():
            if isinstance(module, (ReLU, nn.ReLU, nn.ReLU6)):
                stack.callback(module.register_forward_hook(count(name)).remove)
        for batch in inputs:
            calls.clear()
            call_on_copies(model, batch)
    if not any(total.values()):
        raise ValueError(
            f"{type(model).__name__} called no ReLU module: pass at least one example, and call "
            "nn.ReLU in the place of torch.relu"
        )
    return {name: counts.double() / total[name] for name, counts in active.items()}
