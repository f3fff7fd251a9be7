"""pix2pix as modules: the U-Net that draws, and the discriminator that judges patches."""

import torch
from torch import Tensor, nn

from dlkb.arrays import check_count
from dlkb.vision.pix2pix import KERNEL, LEAK, Block, patch_strides, unet_blocks


class _Level(nn.Module):
    """One level of the U-Net, with all levels below it: its input beside what they make of it."""

    def __init__(self, down: Block, up: Block, below: nn.Module | None, *, dropout: bool) -> None:
        super().__init__()
        outermost = not up.norm
        layers: list[nn.Module] = [] if outermost else [nn.LeakyReLU(LEAK)]
        sizes = (KERNEL, 2, 1)
        layers.append(nn.Conv2d(down.channels_in, down.channels_out, *sizes, bias=False))
        layers += [nn.BatchNorm2d(down.channels_out)] if down.norm else []
        layers += [below] if below else []
        layers.append(nn.ReLU())
        layers.append(nn.ConvTranspose2d(up.channels_in, up.channels_out, *sizes, bias=outermost))
        layers.append(nn.BatchNorm2d(up.channels_out) if up.norm else nn.Tanh())
        layers += [nn.Dropout(0.5)] if up.dropout and dropout else []
        self.outermost = outermost
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        made = self.model(x)
        return made if self.outermost else torch.cat([x, made], 1)


class UNetGenerator(nn.Module):
    """The U-Net of pix2pix, with the parameter names of its authors' PyTorch code.

    Args:
        in_channels: Channels of the input image.
        out_channels: Channels of the output, in [−1, 1].
        depth: Halvings ≥ 5; 8 for sides of 256, 7 for 128.
        width: Channels of the first convolution.
        dropout: Whether depth − 5 blocks of the way up, from the second on, drop half of what they
            give: none at depth 5. In the paper this is the only noise, and stays on when images
            are made.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> net = UNetGenerator(1, 3, depth=5, width=4)
        >>> net(torch.zeros(2, 1, 64, 96)).shape
        torch.Size([2, 3, 64, 96])
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        *,
        depth: int = 8,
        width: int = 64,
        dropout: bool = False,
    ) -> None:
        super().__init__()
        blocks = unet_blocks(
            2**depth, depth=depth, width=width, channels=(in_channels, out_channels)
        )
        level = _Level(blocks[depth - 1], blocks[depth], None, dropout=dropout)
        for down, up in zip(blocks[depth - 2 :: -1], blocks[depth + 1 :], strict=True):
            level = _Level(down, up, level, dropout=dropout)
        self.model = level
        self.depth = depth

    def forward(self, x: Tensor) -> Tensor:
        """Draw the output for images whose sides are multiples of 2 to the depth."""
        if any(side % 2**self.depth for side in x.shape[-2:]):
            raise ValueError(
                f"x has sides {tuple(x.shape[-2:])}: multiples of {2**self.depth}, 2 to the depth, "
                "are needed: pad or crop it"
            )
        return self.model(x)


class PatchDiscriminator(nn.Sequential):
    """A discriminator that gives a logit for each patch, with the names of the authors' code.

    Args:
        in_channels: Channels of input and output image together, side by side.
        width: Channels of the first convolution.
        layers: Convolutions of stride 2, ≥ 1; 3 for patches of 70 by 70.

    Raises:
        ValueError: If `layers` is below 1.

    Example:
        >>> judge = PatchDiscriminator()
        >>> judge(torch.zeros(1, 6, 256, 256)).shape
        torch.Size([1, 1, 30, 30])
        >>> sum(p.numel() for p in judge.parameters())
        2768705
    """

    def __init__(self, in_channels: int = 6, *, width: int = 64, layers: int = 3) -> None:
        check_count("layers", layers, 1)
        wide = [in_channels, *(width * min(2**i, 8) for i in range(layers + 1)), 1]
        modules: list[nn.Module] = []
        for i, stride in enumerate(patch_strides(layers)):
            inner = 0 < i <= layers
            modules.append(nn.Conv2d(wide[i], wide[i + 1], KERNEL, stride, 1, bias=not inner))
            modules += [nn.BatchNorm2d(wide[i + 1])] if inner else []
            modules += [nn.LeakyReLU(LEAK)] if i <= layers else []
        super().__init__()
        self.model = nn.Sequential(*modules)
