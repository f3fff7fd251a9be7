"""What layers of attention in shifted windows do at the edges, found by running them.

Each layer has the same parameters: queries, keys and values are its input, biases are zero.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from transformers import SwinConfig
from transformers.models.swin.modeling_swin import SwinLayer

from dlkb.nn import ShiftedWindowAttention
from scripts.peers.apart import torchvision

LIBRARIES = ("torch", "torchvision", "transformers")

theirs = torchvision("models.swin_transformer")
WINDOW, SHIFT, DIM = 4, 2, 2
Layer = Callable[[Tensor], Tensor]


def as_they_come(kind: type[nn.Module], strength: float) -> Layer:
    """Make a layer of torchvision's arguments that reads by the likeness of its inputs."""
    layer = kind(DIM, [WINDOW, WINDOW], [SHIFT, SHIFT], 1)
    eye = torch.eye(DIM)
    with torch.no_grad():
        layer.qkv.weight.copy_(torch.cat([strength * eye, strength * eye, eye]))
        layer.proj.weight.copy_(eye)
        for zero in (layer.qkv.bias, layer.proj.bias, layer.relative_position_bias_table):
            zero.zero_()
    return layer


def of_transformers(strength: float) -> Layer:
    """Make Transformers' block without its norms and its network behind the attention."""
    config = SwinConfig(window_size=WINDOW, hidden_dropout_prob=0.0)
    block = SwinLayer(config, DIM, (8, 8), 1, shift_size=SHIFT)
    block.layernorm_before = block.layernorm_after = nn.Identity()
    eye = torch.eye(DIM)
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.zero_()
        for projection, factor in (("q", strength), ("k", strength), ("v", 1.0), ("o", 1.0)):
            getattr(block.attention, f"{projection}_proj").weight.copy_(factor * eye)

    def run(x: Tensor) -> Tensor:
        height, width = x.shape[1:3]
        return block(x.flatten(1, 2), (height, width))[0].unflatten(1, (height, width)) - x

    return run


def leaks(make: Callable[[float], Layer]) -> str:
    """Say whether a place is read across the edge of the image if its score is large enough."""
    x = torch.full((1, 8, 8, DIM), 1.0)
    x[0, -1, -1] = torch.tensor([30.0, 0.0])  # after the roll it shares a window with the first
    with torch.no_grad():
        here = make(3.0)(x)[0, 0, 0]
    return "−∞" if torch.allclose(here, torch.ones(DIM)) else "−100"


def padding(make: Callable[[float], Layer]) -> str:
    """Say whether what is padded is read: a mean over zeros, too, is below one."""
    with torch.no_grad():
        found = make(0.0)(torch.ones(1, 9, 9, DIM))
    return "yes" if float(found.min()) < 0.9 else "no"


def smaller(make: Callable[[float], Layer]) -> str:
    """Say what becomes of an image that is smaller than a window, and of a larger one after it."""
    layer = make(0.0)
    if runs(layer, 3):
        return "padded"
    return "an error" if runs(layer, 8) else "an error, for later images too"


def runs(layer: Layer, side: int) -> bool:
    """Whether the layer takes a square image, and returns one."""
    x = torch.ones(1, side, side, DIM)
    try:
        with torch.no_grad():
            return layer(x).shape == x.shape
    except RuntimeError:
        return False


def history(make: Callable[[float], Layer]) -> str:
    """Say whether a large image's output depends on one of a window's height before it."""
    torch.manual_seed(0)
    x, layer = torch.randn(1, 8, 8, DIM), make(1.0)
    with torch.no_grad():
        fresh = layer(x)
        layer(torch.ones(1, WINDOW, 2 * WINDOW, DIM))
        later = layer(x)
    return "no" if torch.allclose(fresh, later) else "yes: it stops shifting"


def row(make: Callable[[float], Layer]) -> tuple[str, ...]:
    """Return what a layer does."""
    return leaks(make), padding(make), smaller(make), history(make)


def which_convention() -> dict[str, tuple[str, ...]]:
    """Return mask, padding, small images, and what one of a window's height leaves behind."""
    default = SwinConfig()
    last = default.image_size // default.patch_size // 2 ** (len(default.depths) - 1)
    if last > default.window_size:
        raise LookupError(f"the last stage is {last} places high: mend the sentence on the page")
    return {
        "this package": row(lambda s: as_they_come(ShiftedWindowAttention, s)),
        "torchvision": row(lambda s: as_they_come(theirs.ShiftedWindowAttention, s)),
        "Transformers": row(of_transformers),
    }
