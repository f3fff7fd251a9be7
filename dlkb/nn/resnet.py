"""Residual networks as modules, with the weights' names of torchvision."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from dlkb.vision.resnet import Stride

Norm = Callable[[int], nn.Module]


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)


class _Residual(nn.Module):
    """A branch, a shortcut, and a ReLU behind their sum."""

    expansion = 1
    relu: nn.Module
    downsample: nn.Module | None

    def branch(self, x: Tensor) -> Tensor:
        """Return what is added to the shortcut."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Return relu(shortcut + branch)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        output: Tensor = self.relu(shortcut + self.branch(x))
        return output


class BasicBlock(_Residual):
    """Two 3×3 convolutions beside a shortcut: the block of ResNet-18 and ResNet-34.

    Args:
        inplanes: Channels that come in.
        planes: Channels that go out.
        stride: Of the first convolution.
        downsample: The shortcut's module; `None` for the identity.
        norm_layer: Makes a normalization for a number of channels; batch norm by default.

    Example:
        >>> import torch
        >>> BasicBlock(8, 8)(torch.ones(2, 8, 5, 5)).shape
        torch.Size([2, 8, 5, 5])
    """

    def __init__(
        self,
        inplanes: int,
        planes: int,
        stride: int = 1,
        downsample: nn.Module | None = None,
        norm_layer: Norm | None = None,
    ) -> None:
        super().__init__()
        norm_layer = norm_layer or nn.BatchNorm2d
        self.conv1 = _conv(inplanes, planes, 3, stride)
        self.bn1 = norm_layer(planes)
        self.relu = nn.ReLU()
        self.conv2 = _conv(planes, planes, 3)
        self.bn2 = norm_layer(planes)
        self.downsample = downsample
        self.stride = stride

    def branch(self, x: Tensor) -> Tensor:
        """Return what is added to the shortcut."""
        hidden = self.relu(self.bn1(self.conv1(x)))
        output: Tensor = self.bn2(self.conv2(hidden))
        return output


class Bottleneck(_Residual):
    """1×1, 3×3 and 1×1 convolutions beside a shortcut: the block of ResNet-50 and deeper.

    In evaluation it is `dlkb.vision.resnet.bottleneck` of the folded convolutions.

    Args:
        inplanes: Channels that come in.
        planes: Channels in the middle; four times as many go out.
        stride: Of one convolution.
        downsample: The shortcut's module; `None` for the identity.
        norm_layer: Makes a normalization for a number of channels; batch norm by default.
        stride_in: Which convolution has the stride, "3x3" as in torchvision, or the first,
            "1x1", as in He et al. (2016).

    Raises:
        ValueError: If `stride_in` is neither.

    Example:
        >>> import torch
        >>> Bottleneck(16, 4)(torch.ones(2, 16, 5, 5)).shape
        torch.Size([2, 16, 5, 5])
    """

    expansion = 4

    def __init__(
        self,
        inplanes: int,
        planes: int,
        stride: int = 1,
        downsample: nn.Module | None = None,
        norm_layer: Norm | None = None,
        stride_in: Stride = "3x3",
    ) -> None:
        super().__init__()
        if stride_in not in ("1x1", "3x3"):
            raise ValueError(f"stride_in is {stride_in!r}: it must be '1x1' or '3x3'")
        norm_layer = norm_layer or nn.BatchNorm2d
        first, second = (stride, 1) if stride_in == "1x1" else (1, stride)
        self.conv1 = _conv(inplanes, planes, 1, first)
        self.bn1 = norm_layer(planes)
        self.conv2 = _conv(planes, planes, 3, second)
        self.bn2 = norm_layer(planes)
        self.conv3 = _conv(planes, planes * self.expansion, 1)
        self.bn3 = norm_layer(planes * self.expansion)
        self.relu = nn.ReLU()
        self.downsample = downsample
        self.stride = stride

    def branch(self, x: Tensor) -> Tensor:
        """Return what is added to the shortcut."""
        hidden = self.relu(self.bn1(self.conv1(x)))
        hidden = self.relu(self.bn2(self.conv2(hidden)))
        output: Tensor = self.bn3(self.conv3(hidden))
        return output


class ResNet(nn.Module):
    """A residual network for images: four stages, a mean over all places, a linear classifier.

    `ResNet(Bottleneck, [3, 4, 6, 3])` is ResNet-50, `ResNet(BasicBlock, [2, 2, 2, 2])` ResNet-18.
    The names of the weights are torchvision's, so that its weights load; one seed gives the same
    weights in both. The output are logits.

    Args:
        block: `BasicBlock` or `Bottleneck`.
        layers: Blocks of each of the four stages.
        num_classes: Outputs.
        zero_init_residual: Start each branch at zero, by the gain of its last normalization.
        norm_layer: Makes a normalization for a number of channels; batch norm by default.
        stride_in: As for `Bottleneck`; "3x3" for weights of torchvision.

    Raises:
        ValueError: If `layers` does not list four positive numbers, `stride_in` does not fit, or
            `zero_init_residual` finds a normalization without a gain.

    Note:
        Differs from `torchvision.models.ResNet` in what is not here: groups and widths (ResNeXt,
        Wide ResNet), dilation in place of strides. Its rectifiers do not write in place, so that
        hooks see what went in. The stride of the paper is here only.

    Example:
        >>> import torch
        >>> model = ResNet(BasicBlock, [1, 1, 1, 1], num_classes=10).eval()
        >>> model(torch.ones(2, 3, 64, 64)).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        block: type[BasicBlock | Bottleneck],
        layers: Sequence[int],
        num_classes: int = 1000,
        zero_init_residual: bool = False,
        norm_layer: Norm | None = None,
        stride_in: Stride = "3x3",
    ) -> None:
        super().__init__()
        if len(layers) != 4 or min(layers) < 1:
            raise ValueError(f"layers is {list(layers)}: four numbers, each at least 1, are needed")
        if not issubclass(block, Bottleneck) and stride_in != "3x3":
            name = block.__name__
            raise ValueError(f"stride_in is {stride_in!r}: a {name} has no 1×1 in its branch")
        norm_layer = norm_layer or nn.BatchNorm2d
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = norm_layer(64)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        inplanes = 64
        for number, count in enumerate(layers, start=1):
            planes, stride = 64 * 2 ** (number - 1), 1 if number == 1 else 2
            outputs = planes * block.expansion
            stage = []
            for index in range(count):
                step = stride if index == 0 else 1
                downsample = None
                if step != 1 or inplanes != outputs:
                    downsample = nn.Sequential(
                        _conv(inplanes, outputs, 1, step), norm_layer(outputs)
                    )
                option = {"stride_in": stride_in} if issubclass(block, Bottleneck) else {}
                stage.append(
                    block(inplanes, planes, step, downsample, norm_layer=norm_layer, **option)
                )
                inplanes = outputs
            setattr(self, f"layer{number}", nn.Sequential(*stage))
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(inplanes, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if zero_init_residual:
            for module in self.modules():
                if isinstance(module, _Residual):
                    last = module.bn3 if isinstance(module, Bottleneck) else module.bn2
                    if getattr(last, "weight", None) is None:
                        raise ValueError(
                            f"zero_init_residual is True but {type(last).__name__} has no gain to "
                            "set to zero: give another norm_layer, or False"
                        )
                    nn.init.zeros_(last.weight)

    def features(self, x: Tensor) -> list[Tensor]:
        """Return the signal behind the first convolution, the pooling, and each stage."""
        signals = [self.relu(self.bn1(self.conv1(x)))]
        signals.append(self.maxpool(signals[0]))
        for number in range(1, 5):
            signals.append(getattr(self, f"layer{number}")(signals[-1]))
        return signals

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits, shape (examples, num_classes)."""
        output: Tensor = self.fc(torch.flatten(self.avgpool(self.features(x)[-1]), 1))
        return output
