"""Which convention of stochastic depth a library follows, found by running it.

Ones go through at p = 0.2, where dropping and keeping differ.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import nn
from transformers import SwinConfig, SwinModel

from dlkb.nn import StochasticDepth
from scripts.peers.apart import torchvision

LIBRARIES = ("torch", "torchvision", "transformers")

P = 0.2
models, Theirs = torchvision("models"), torchvision("ops").StochasticDepth


def behaviour(layer: nn.Module) -> tuple[str, str]:
    """Return for what one draw decides, and what becomes of a branch that is kept."""
    ones = torch.ones(2000, 3, 2)
    if not torch.equal(layer.eval()(ones), ones):
        raise LookupError(f"{layer} acts in eval()")
    layer.train()
    torch.manual_seed(0)
    outputs = torch.stack([layer(ones) for _ in range(40)])
    if not (outputs == outputs[..., :1, :1]).all():
        raise LookupError(f"{layer} drops parts of an example")
    rows = outputs[..., 0, 0]
    dropped = float((rows == 0).float().mean())
    if abs(dropped - P) > 0.2:
        raise LookupError(f"a share {dropped:.2f} is dropped at {P}: does it keep?")
    if not torch.allclose(rows.max(), torch.tensor(1 / (1 - P))):
        raise LookupError(f"what is kept becomes {rows.max()}")
    alone = bool((rows != rows[:, :1]).any())
    return "an example" if alone else "the batch", "÷ (1 − p)"


def both_modes(make: Callable[[str], nn.Module]) -> tuple[str, str]:
    """Return what the two modes of a layer do."""
    (row, kept), (batch, same) = (behaviour(make(mode)) for mode in ("row", "batch"))
    if kept != same:
        raise LookupError("the modes rescale differently")
    return f"{row} (`row`) or {batch} (`batch`)", kept


def drop_path() -> tuple[str, str]:
    """Return what Transformers' layer does, which each of its models has a copy of."""
    model = SwinModel(SwinConfig(depths=[2], num_heads=[3], embed_dim=12))
    layer = next(m for m in model.modules() if type(m).__name__ == "SwinDropPath")
    layer.drop_prob = P
    return behaviour(layer)


def which_convention() -> dict[str, tuple[str, ...]]:
    """Return argument, for what one draw decides, and what becomes of what is kept."""
    ours, theirs = (both_modes(partial(kind, P)) for kind in (StochasticDepth, Theirs))
    if ours != theirs:
        raise LookupError(f"this package and torchvision differ: {ours}, {theirs}")
    return {
        "this package, torchvision `StochasticDepth`": ("`p`", *ours),
        "Transformers `DropPath`": ("`drop_prob`", *drop_path()),
    }


def rates(model: nn.Module) -> list[float]:
    """Return the probability of dropping of each layer, in order; checked to rise linearly."""
    found = [float(m.p) for m in model.modules() if isinstance(m, Theirs)]
    rise = found[1] - found[0]
    if any(abs(p - (found[0] + k * rise)) > 1e-6 for k, p in enumerate(found)):
        raise LookupError(f"not linear: {found}")
    return found


def schedule(model: nn.Module) -> tuple[str, str, str]:
    """Return the first rate that is used, the last, and on how many branches.

    A block without a shortcut has a layer that it does not call; a block of Swin calls its
    layer twice.
    """
    known, used = rates(model), []
    for layer in model.modules():
        if isinstance(layer, Theirs):
            layer.register_forward_hook(lambda layer, inputs, output: used.append(layer.p))
    with torch.no_grad():
        model(torch.zeros(2, 3, 64, 64))
    if not set(used) <= set(known) or used != sorted(used):
        raise LookupError(f"{used} of {known}")
    return f"{used[0]:.3g}", f"{used[-1]:.3g}", f"{len(used)}"


def schedules() -> dict[str, tuple[str, ...]]:
    """Return the rates of a network's first and last branch, and how many there are."""
    names = {
        "convnext_tiny": "torchvision ConvNeXt-T",
        "convnext_base": "torchvision ConvNeXt-B",
        "swin_t": "torchvision Swin-T",
        "swin_b": "torchvision Swin-B",
        "efficientnet_b0": "torchvision EfficientNet-B0",
        "efficientnet_b7": "torchvision EfficientNet-B7",
    }
    with torch.device("meta"):  # rates and calls alone
        return {t: schedule(getattr(models, name)(weights=None)) for name, t in names.items()}
