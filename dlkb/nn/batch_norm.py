"""Batch normalization as modules, and how to fold it into the layer in front."""

import copy
import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from dlkb.arrays import check_between
from dlkb.nn.two_graphs import by_hand
from dlkb.normalization.batch_moments import Running, batch_moments, update_running
from dlkb.normalization.batch_norm import (
    batch_norm,
    batch_norm_eval,
    batch_norm_vjp,
    fold_into,
    stored_affine,
)


class BatchNorm(nn.Module):
    """What the three batch norms have in common; they differ in the shapes they accept.

    A drop-in for those of `torch.nn`: same arguments, parameters, buffers and state dict; the
    arithmetic is that of `dlkb.normalization.batch_norm`.

    Args:
        num_features: Number of channels C, the size of axis 1.
        eps: ε ≥ 0, added to the variance.
        momentum: Weight of the new batch in the stored moments. `None` stores their plain mean
            over all batches since the last `reset_running_stats`; an empty one counts with what
            is stored, as in torch.
        affine: Whether there is a gain, from 1 on.
        track_running_stats: Whether moments are stored. If not, evaluation, too, takes those of
            the batch.
        device: Where parameters and buffers are.
        dtype: Their type.
        bias: Whether there is a shift, from 0 on, if `affine`.

    Raises:
        ValueError: If `eps` is negative or `momentum` outside [0, 1]; in `forward`, if the shape
            does not fit, or a channel has one number in training.

    Note:
        Differs from torch's in float32 for entries beyond about 1e19 / √n, with n numbers a
        channel, whose squares sum to infinity: torch gives zeros, and here only the stored
        variance overflows, up to about 3e38 / n, beyond which the output may be NaN. The output
        of a transposed input keeps the strides, so that `view` behind it may need `reshape`;
        torch's is contiguous. What looks for torch's class does not find this one:
        `torch.optim.swa_utils.update_bn`, `SyncBatchNorm.convert_sync_batchnorm`.

    Example:
        >>> layer = BatchNorm1d(2)
        >>> layer
        BatchNorm1d(2, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)
        >>> layer(torch.tensor([[1.0, 5.0], [3.0, 9.0]])).detach().round(decimals=3)
        tensor([[-1., -1.],
                [ 1.,  1.]])
        >>> layer.running_mean
        tensor([0.2000, 0.7000])
    """

    _version = 2  # of the state dict: torch's 1 had no num_batches_tracked
    NDIMS: ClassVar[tuple[int, ...]]
    weight: nn.Parameter | None
    bias: nn.Parameter | None
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        check_between("eps", eps, 0, math.inf, closed="left")
        if momentum is not None:
            check_between("momentum", momentum, 0, 1)
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats

        def empty() -> Tensor:
            return torch.empty(num_features, device=device, dtype=dtype)

        for name, wanted in (("weight", affine), ("bias", affine and bias)):
            self.register_parameter(name, nn.Parameter(empty()) if wanted else None)
        for name in ("running_mean", "running_var"):
            self.register_buffer(name, empty() if track_running_stats else None)
        count = torch.tensor(0, dtype=torch.long, device=device) if track_running_stats else None
        self.register_buffer("num_batches_tracked", count)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Forget the batches that were seen: mean 0, variance 1."""
        if self.running_mean is None or self.running_var is None:
            return
        self.running_mean.zero_()
        self.running_var.fill_(1)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.zero_()

    def reset_parameters(self) -> None:
        """Set gain to 1 and shift to 0, and forget the batches that were seen."""
        self.reset_running_stats()
        if self.weight is not None:
            nn.init.ones_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        """Return the normalized input, in its dtype; in training, store the moments."""
        self._check(input)
        if not self.training and self.running_mean is not None and self.running_var is not None:
            stored = Running(self.running_mean, self.running_var)
            return batch_norm_eval(input, stored, self.weight, self.bias, eps=self.eps)
        if input.numel() == self.num_features > 0:
            raise ValueError(
                f"input has shape {tuple(input.shape)}, one number a channel: batch norm needs "
                "two or more to train; leave out a last batch of one (drop_last=True) or eval()"
            )
        arrays = {"x": input, "weight": self.weight, "bias": self.bias}
        output = by_hand(batch_norm, batch_norm_vjp, arrays, {"eps": self.eps})
        if self.track_running_stats:  # behind what may raise
            self._store(input.detach())
        return output

    def extra_repr(self) -> str:
        """Return the arguments as torch's batch norm prints them."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.affine}, bias={self.bias is not None}, "
            f"track_running_stats={self.track_running_stats}"
        )

    def _check(self, input: Tensor) -> None:
        if input.ndim not in self.NDIMS or input.shape[1] != self.num_features:
            places = " or ".join(f"{n}-dimensional" for n in self.NDIMS)
            raise ValueError(
                f"input has shape {tuple(input.shape)}: {type(self).__name__} needs "
                f"(N, {self.num_features}, …), {places}"
            )

    @torch.no_grad()
    def _store(self, input: Tensor) -> None:
        mean, var, seen = self.running_mean, self.running_var, self.num_batches_tracked
        if mean is None or var is None:
            return
        if seen is not None:
            seen.add_(1)
        if input.numel() == 0:
            return
        momentum: Any = self.momentum
        if momentum is None:  # a tensor, not float(seen): the compiler need not break its graph
            wide = torch.promote_types(mean.dtype, torch.float32)
            momentum = 0.0 if seen is None else 1 / seen.to(wide)
        new = update_running(Running(mean, var), batch_moments(input), momentum=momentum)
        mean.copy_(new.mean)
        var.copy_(new.var)

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, local_metadata: dict[str, Any], *rest: Any
    ) -> None:
        key = f"{prefix}num_batches_tracked"
        old = local_metadata.get("version") is None or local_metadata["version"] < 2
        if old and self.num_batches_tracked is not None and key not in state_dict:
            state_dict[key] = self.num_batches_tracked
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest)


class BatchNorm1d(BatchNorm):
    """Batch norm of features `(N, C)` or sequences `(N, C, L)`. Arguments as for `BatchNorm`.

    Example:
        >>> layer = BatchNorm1d(3).eval()
        >>> layer(torch.ones(1, 3)).detach().round(decimals=3)  # mean 0, variance 1 are stored
        tensor([[1., 1., 1.]])
    """

    NDIMS = (2, 3)


class BatchNorm2d(BatchNorm):
    """Batch norm of images `(N, C, H, W)`. Arguments as for `BatchNorm`.

    Example:
        >>> BatchNorm2d(3)(torch.ones(1, 3, 4, 4)).abs().max().item()  # a batch of one runs
        0.0
    """

    NDIMS = (4,)


class BatchNorm3d(BatchNorm):
    """Batch norm of volumes `(N, C, D, H, W)`. Arguments as for `BatchNorm`.

    Example:
        >>> list(BatchNorm3d(3, affine=False).state_dict())
        ['running_mean', 'running_var', 'num_batches_tracked']
    """

    NDIMS = (5,)


def fold_batch_norm(layer: nn.Module, norm: nn.Module) -> nn.Module:
    """Return a copy of a layer that does what it and the batch norm behind it do in evaluation.

    Args:
        layer: `nn.Linear`, `nn.Conv1d`, `nn.Conv2d` or `nn.Conv3d`, whatever its padding and
            groups, that computes with its weight as it is. Its output must go to `norm` alone,
            whose axis 1 must be its units: (N, features) for a linear layer, no sequences.
        norm: A batch norm in evaluation mode, with stored moments, of this package or of torch.

    Returns:
        A layer of the same kind, with a bias, in the dtype of `layer`.

    Raises:
        TypeError: If `layer` is of another kind; for transposed convolutions see
            `torch.nn.utils.fuse_conv_bn_eval`.
        ValueError: If `norm` is in training mode or stores nothing, or has not one channel an
            output of `layer`, or if weight or bias of `layer` are no parameters, but computed in
            each pass.

    Example:
        >>> norm = BatchNorm1d(2).eval()
        >>> fold_batch_norm(nn.Linear(3, 2, bias=False), norm)
        Linear(in_features=3, out_features=2, bias=True)
    """
    if not isinstance(layer, (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)):
        raise TypeError(
            f"layer is {type(layer).__name__}: nn.Linear, nn.Conv1d, Conv2d or Conv3d is needed"
        )
    if not {"weight", "bias"} <= layer._parameters.keys():
        raise ValueError(
            "layer computes its weight or bias from other parameters, as with weight_norm or "
            "pruning: make them permanent first (parametrize.remove_parametrizations, prune.remove)"
        )
    mean, var = getattr(norm, "running_mean", None), getattr(norm, "running_var", None)
    if norm.training or mean is None or var is None:
        raise ValueError(
            "norm is in training mode or stores no moments, so that its output depends on the "
            "batch: call eval(), and build it with track_running_stats=True"
        )
    if len(mean) != len(layer.weight):
        raise ValueError(
            f"norm has {len(mean)} channels and layer {len(layer.weight)} outputs: they must be "
            "equal"
        )
    folded = copy.deepcopy(layer)
    with torch.no_grad():
        running = Running(mean, var)
        gain, shift = stored_affine(running, norm.weight, norm.bias, eps=norm.eps)
        weight, bias = fold_into(gain, shift, layer.weight, layer.bias)
        folded.weight.copy_(weight)
        folded.bias = nn.Parameter(bias.to(layer.weight.dtype))
    return folded
