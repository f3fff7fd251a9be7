"""The kinds of layers that adapters go on."""

from typing import Any

import torch
from torch import Tensor, nn

from dlkb.nn.lora._adapter import Adapter, Options, refuse
from dlkb.nn.lora.attention import LoRAMultiheadAttention
from dlkb.nn.lora.layers import LoRALayer


class LoRALinear(LoRALayer):
    """A frozen `nn.Linear` with a trainable low-rank update, see `LoRALayer`.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> layer = LoRALinear(nn.Linear(4, 3), r=2, alpha=4)
        >>> layer
        LoRALinear(
          active=['default'], merged=False
          (adapters): ModuleDict(
            (default): Adapter(
              r=2, alpha=4, rule=lora, scaling=2.0
              (lora_dropout): Identity()
            )
          )
          (base_layer): Linear(in_features=4, out_features=3, bias=True)
        )
        >>> x = torch.ones(1, 4)
        >>> torch.equal(layer(x), layer.base_layer(x))      # B = 0
        True
    """

    @classmethod
    def check(cls, name: str, base: Any, options: Options) -> None:
        """Raise TypeError if the layer is no `nn.Linear`."""
        if not isinstance(base, nn.Linear):
            raise TypeError(f"{name} is {type(base).__name__}: nn.Linear is needed")

    @property
    def in_features(self) -> int:
        """Width of the input."""
        return self.shape(self.base_layer)[1]

    @property
    def out_features(self) -> int:
        """Width of the output."""
        return self.shape(self.base_layer)[0]

    @staticmethod
    def apply_weight(base: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Return xWᵀ + b."""
        return nn.functional.linear(x, weight, bias)


class LoRAConv1D(LoRALinear):
    """A frozen `Conv1D` of Transformers (GPT-2), whose weight is (in, out), with an update."""

    @classmethod
    def check(cls, name: str, base: Any, options: Options) -> None:
        """Raise TypeError if the layer is no `Conv1D`."""
        if not is_gpt_conv(base):
            raise TypeError(f"{name} is {type(base).__name__}: Conv1D of Transformers is needed")

    @staticmethod
    def shape(base: Any) -> tuple[int, int]:
        """Return (out, in)."""
        return base.weight.shape[1], base.weight.shape[0]

    @staticmethod
    def matrix(base: Any, weight: Tensor) -> Tensor:
        """Return the weight as (out, in)."""
        return weight.T

    @staticmethod
    def stored(base: Any, matrix: Tensor) -> Tensor:
        """Return the weight as (in, out)."""
        return matrix.T.contiguous()

    @staticmethod
    def apply_weight(base: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Return xW + b."""
        return nn.functional.linear(x, weight.T, bias)


def is_gpt_conv(module: nn.Module) -> bool:
    """Whether a module is Transformers' `Conv1D`, which need not be installed."""
    return type(module).__name__ == "Conv1D" and isinstance(getattr(module, "nf", None), int)


class LoRAEmbedding(LoRALayer):
    """A frozen `nn.Embedding` with a trainable low-rank update of its table.

    A starts at zero and B at random, so that the row of `padding_idx`, which has no gradient,
    stays as it is.
    """

    names = ("weight", "")

    @classmethod
    def check(cls, name: str, base: Any, options: Options) -> None:
        """Raise TypeError or ValueError if the table cannot have such an adapter."""
        if not isinstance(base, nn.Embedding):
            raise TypeError(f"{name} is {type(base).__name__}: nn.Embedding is needed")
        if base.max_norm is not None:
            raise ValueError(
                f"{name} has max_norm, which rewrites its weight in each forward pass: LoRA keeps "
                "the weight. Set max_norm to None"
            )
        refuse(name, base, options, "lora_dropout", "dora", "pissa")

    @classmethod
    def make_adapter(
        cls, name: str, base: Any, options: Options, generator: torch.Generator | None = None
    ) -> Adapter:
        """Return an adapter whose A is zero."""
        cls.check(name, base, options)
        return super().make_adapter(name, base, options._replace(init="embedding"), generator)

    @staticmethod
    def shape(base: Any) -> tuple[int, int]:
        """Return (dimension, entries)."""
        return base.embedding_dim, base.num_embeddings

    @staticmethod
    def matrix(base: Any, weight: Tensor) -> Tensor:
        """Return the table with entries as columns."""
        return weight.T

    @staticmethod
    def stored(base: Any, matrix: Tensor) -> Tensor:
        """Return the table with entries as rows."""
        return matrix.T.contiguous()

    @staticmethod
    def branch(base: Any, x: Tensor, A: Tensor, B: Tensor, scaling: float) -> Tensor:
        """Look up columns of A and map them by B."""
        hidden = nn.functional.embedding(
            x, A.T, base.padding_idx, scale_grad_by_freq=base.scale_grad_by_freq
        )
        return scaling * (hidden @ B.T)

    @staticmethod
    def apply_weight(base: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Look up rows of another table."""
        return nn.functional.embedding(x, weight, base.padding_idx)


class LoRAConv(LoRALayer):
    """A frozen `nn.Conv1d`, `nn.Conv2d` or `nn.Conv3d` with a trainable low-rank update.

    A is a convolution of the same kernel to r channels, B one of kernel 1. With groups each group
    has factors of its own, of rank r / groups.
    """

    @classmethod
    def check(cls, name: str, base: Any, options: Options) -> None:
        """Raise TypeError or ValueError if the convolution cannot have such an adapter."""
        if not isinstance(base, nn.Conv1d | nn.Conv2d | nn.Conv3d):
            raise TypeError(f"{name} is {type(base).__name__}: nn.Conv1d, 2d or 3d is needed")
        if options.r % base.groups:
            raise ValueError(
                f"r is {options.r}: for {name} it must be a multiple of its {base.groups} groups"
            )
        refuse(name, base, options, "pissa")

    @staticmethod
    def shape(base: Any) -> tuple[int, int]:
        """Return (out, in / groups · kernel)."""
        return base.out_channels, base.weight[0].numel()

    @staticmethod
    def matrix(base: Any, weight: Tensor) -> Tensor:
        """Return the weight with one row a channel of output."""
        return weight.flatten(1)

    @staticmethod
    def stored(base: Any, matrix: Tensor) -> Tensor:
        """Return the weight with its kernel."""
        return matrix.reshape(base.weight.shape)

    @staticmethod
    def branch(base: Any, x: Tensor, A: Tensor, B: Tensor, scaling: float) -> Tensor:
        """Convolve with A, then mix channels by B."""
        kernel = base.weight.shape[1:]
        hidden = base._conv_forward(x.to(A.dtype), A.reshape(len(A), *kernel), None)
        mix = (nn.functional.conv1d, nn.functional.conv2d, nn.functional.conv3d)[len(kernel) - 2]
        ones = (1,) * (len(kernel) - 1)
        return scaling * mix(hidden, B.reshape(*B.shape, *ones), groups=base.groups)

    @staticmethod
    def apply_weight(base: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Convolve with another weight."""
        y: Tensor = base._conv_forward(x, weight, bias)
        return y

    def _channels(self, values: Tensor, y: Tensor) -> Tensor:
        kernel = self.base_weight().ndim - 2
        return values.reshape(-1, *(1,) * kernel)


def kind_of(name: str, module: nn.Module) -> type[LoRALayer]:
    """Return the kind of adapted layer for a module.

    Raises:
        TypeError: If there is none.
    """
    for base, kind in _KINDS:
        if isinstance(module, base):
            return kind
    if is_gpt_conv(module):
        return LoRAConv1D
    hint = ""
    if hasattr(module, "qweight") or "uant" in type(module).__name__:
        hint = "; it is quantized in a class of its own: dequantize the model first, or use peft"
    raise TypeError(
        f"{name} is {type(module).__name__}: LoRA goes on nn.Linear, nn.Embedding, nn.Conv1d, "
        f"nn.Conv2d, nn.Conv3d, nn.MultiheadAttention and Transformers' Conv1D{hint}"
    )


def can_be_adapted(module: nn.Module) -> bool:
    """Whether adapters go on a module, or are on it already."""
    known: tuple[type[nn.Module], ...] = (LoRALayer, *(base for base, _ in _KINDS))
    return isinstance(module, known) or is_gpt_conv(module)


_KINDS: tuple[tuple[type[nn.Module], type[LoRALayer]], ...] = (
    (nn.Linear, LoRALinear),
    (nn.Embedding, LoRAEmbedding),
    (nn.Conv1d, LoRAConv),
    (nn.Conv2d, LoRAConv),
    (nn.Conv3d, LoRAConv),
    (nn.MultiheadAttention, LoRAMultiheadAttention),
)
