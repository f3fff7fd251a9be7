"""mixup and CutMix for batches, as modules."""

import math

import torch
from torch import Tensor, nn

from dlkb.arrays import check_between, check_float, check_ids
from dlkb.regularization.mixing import cut_box, cut_mix, kept_area, mix


class MixUp(nn.Module):
    r"""Mix each image of a batch with the one before it, and their labels alike.

    A drop-in for `torchvision.transforms.v2.MixUp`, which needs no torchvision:
    $\lambda x + (1 - \lambda)x'$ with one λ from Beta(α, α) for the batch. The batch must be
    shuffled. The arithmetic is `dlkb.regularization.mixing.mix`.

    Args:
        alpha: α > 0. Small ones mix little.
        num_classes: Number of classes, for labels that are numbers; None for rows of probabilities.

    Raises:
        TypeError: In training, if the images are not floating-point.
        ValueError: If `alpha` is not positive, or the labels do not fit: on the CPU also where a
            number is no class, which elsewhere is PyTorch's to notice.

    Note:
        Differs from torchvision in `labels_getter`, which is not taken, and in that it mixes also
        inputs that are no images, needs floating-point ones for CutMix, too, and in `eval()` only
        turns labels into rows.

    Example:
        >>> import torch
        >>> layer = MixUp(alpha=1.0, num_classes=3)
        >>> x, y = layer(torch.ones(4, 1, 8, 8), torch.tensor([0, 1, 2, 0]))
        >>> y.shape, torch.allclose(y.sum(1), torch.ones(4))
        (torch.Size([4, 3]), True)
    """

    def __init__(self, *, alpha: float = 1.0, num_classes: int | None = None) -> None:
        super().__init__()
        check_between("alpha", alpha, 0, math.inf, closed="neither")
        self.alpha = float(alpha)
        self.num_classes = num_classes
        parameter = torch.tensor([self.alpha])
        self._beta = torch.distributions.Beta(parameter, parameter)

    def forward(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return mixed images, and rows of probabilities for labels."""
        targets = self._rows(images, labels)
        if not self.training:
            return images, targets
        check_float("images", images)
        return self._mixed(images, targets, float(self._beta.sample(())))

    def _mixed(self, images: Tensor, targets: Tensor, weight: float) -> tuple[Tensor, Tensor]:
        mixed, soft = (
            mix(x, x.roll(1, 0), torch.tensor(weight, dtype=x.dtype, device=x.device))
            for x in (images, targets)
        )
        return mixed, soft

    def _rows(self, images: Tensor, labels: Tensor) -> Tensor:
        if labels.ndim not in (1, 2) or labels.shape[0] != images.shape[0]:
            raise ValueError(
                f"labels has shape {tuple(labels.shape)} and images {tuple(images.shape)}: labels "
                "must be (batch,) or (batch, classes)"
            )
        if labels.ndim == 2:
            if self.num_classes not in (None, labels.shape[1]):
                raise ValueError(
                    f"labels has rows of {labels.shape[1]} classes but num_classes is "
                    f"{self.num_classes}: give None for rows"
                )
            return labels if labels.is_floating_point() else labels.float()
        if self.num_classes is None:
            raise ValueError("num_classes is None: it is needed where labels are numbers")
        if labels.is_floating_point():
            raise ValueError(f"labels has dtype {labels.dtype}: numbers of classes are integers")
        # long: uint8 and bool would index as masks, and a negative number from the end.
        numbers, count = labels.long(), self.num_classes
        check_ids("labels", numbers, count)
        return nn.functional.one_hot(numbers, count).float()

    def extra_repr(self) -> str:
        """Return the arguments."""
        return f"alpha={self.alpha}, num_classes={self.num_classes}"


class CutMix(MixUp):
    r"""Paste a box of the image before into each image of a batch, and mix labels by area.

    A drop-in for `torchvision.transforms.v2.CutMix`: one box for the batch, whose area is 1 − λ
    before it is cut off and rounded. The arithmetic is that of `dlkb.regularization.mixing`.

    Args:
        alpha: α > 0 of Beta(α, α), from which λ is drawn.
        num_classes: As for `MixUp`.

    Raises:
        TypeError: As for `MixUp`.
        ValueError: As for `MixUp`, and if the images have no two axes behind the batch.

    Note:
        Differs from torchvision as `MixUp` does.

    Example:
        >>> import torch
        >>> layer = CutMix(num_classes=2)
        >>> x, y = layer(torch.eye(2)[:, :, None, None].expand(2, 2, 8, 8), torch.arange(2))
        >>> torch.allclose(x.mean((2, 3)), y)  # area is target
        True
    """

    def _mixed(self, images: Tensor, targets: Tensor, weight: float) -> tuple[Tensor, Tensor]:
        if images.ndim < 3:
            raise ValueError(
                f"images has shape {tuple(images.shape)}: it must be (batch, ..., height, width)"
            )
        height, width = images.shape[-2:]
        column, row = (torch.randint(n, (1,)).to(torch.float64) for n in (width, height))
        share = torch.tensor([weight], dtype=torch.float64)
        box = cut_box(row, column, share, height=height, width=width)
        kept = float(kept_area(box, height=height, width=width))
        edges = (e.to(images.device, torch.float32) for e in box)
        pasted = cut_mix(images, images.roll(1, 0), type(box)(*edges))
        return pasted, super()._mixed(targets, targets, kept)[1]
