"""Layers with adapters in them: linear ones, GPT-2's Conv1D, embeddings, convolutions."""

from typing import Any, Self

import torch
from torch import Tensor, nn

from dlkb.finetuning import lora as formula
from dlkb.nn.lora._adapter import Adapter, Init, Options, check_name
from dlkb.nn.lora._base import AdaptableLayer
from dlkb.nn.lora._effective import EffectiveWeight
from dlkb.nn.lora._plain import gathered, why_not_merged


class LoRALayer(AdaptableLayer):
    r"""A frozen layer and the adapters on it, of which some are in use.

    $$\mathbf{y} = \mathbf{x}\mathbf{W}^\top + \mathbf{b}
      + s\,(\operatorname{dropout}(\mathbf{x})\,\mathbf{A}^\top)\,\mathbf{B}^\top$$

    The weight of the base layer is never written to: merging keeps the sum beside it. So
    `merge` and `unmerge` may be called in any order and any number of times, `unmerge` gives the
    old weight back bit for bit, and a `state_dict` is the same whether merged or not. The price is
    one more weight in memory while merged; `detach_lora` leaves only the sum.

    Args:
        base_layer: The layer to adapt. It is kept, not copied, and frozen.
        r: The rank, at least 1.
        alpha: The numerator of the scaling.
        rule: How alpha and r make the scaling, see `dlkb.finetuning.lora.lora_scaling`.
        lora_dropout: Probability of dropping an input of the branch while training.
        init: How the factors start, see `dlkb.nn.add_lora`.
        dora: Train the length of each row too, see `dlkb.finetuning.lora_variants.dora`.
        bias: Train a copy of the bias, too.
        adapter: What the adapter is called.
        dtype: Of the factors; None for that of the base weight. `torch.float32` keeps small
            updates from being rounded away when the base is bfloat16.
        generator: A CPU generator for the factors; None for torch's own. The draw is made on
            the CPU, so it is the same on every device.

    Raises:
        TypeError: If `base_layer` is of another kind, or quantized and no dtype given.
        ValueError: If an option is not accepted, or the weight is sharded.

    Note:
        Differs from peft: `weight` is the weight in effect, so that code that reads it in place
        of calling the layer (`nn.MultiheadAttention`, the fast path of
        `nn.TransformerEncoderLayer`) sees the update; it is summed only when it is computed
        with. Factors follow the base's dtype, where `get_peft_model` makes half precision
        float32. Forward in training mode while merged is an error. PiSSA keeps the start of its
        factors and leaves the base weight as it is. With DoRA and dropout the base sees the whole
        input.
    """

    merged_weight: Tensor | None

    def __init__(
        self,
        base_layer: nn.Module,
        *,
        r: int,
        alpha: float,
        rule: formula.Rule = "lora",
        lora_dropout: float = 0.0,
        init: Init = "uniform",
        dora: bool = False,
        bias: bool = False,
        adapter: str = "default",
        dtype: torch.dtype | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        check_name("adapter", adapter)
        options = Options(r, alpha, rule, lora_dropout, init, dora, bias, dtype)
        made = self.make_adapter("base_layer", base_layer, options, generator)
        self._set_up(base_layer)
        self.add_adapter(adapter, made)

    def _set_up(self, base_layer: nn.Module) -> None:
        super().__init__()
        self.training = base_layer.training
        self.adapters = nn.ModuleDict().train(self.training)
        self.active: list[str] = []
        self.enabled = True
        self.base_layer = base_layer.requires_grad_(False)
        self.register_buffer("merged_weight", None, persistent=False)
        self.register_load_state_dict_post_hook(_refresh)

    @classmethod
    def around(cls, base_layer: nn.Module) -> Self:
        """Return the layer without an adapter on it."""
        layer = cls.__new__(cls)
        layer._set_up(base_layer)
        return layer

    # Adapters

    def add_adapter(self, name: str, adapter: Adapter) -> None:
        """Take an adapter in; it is the one in use from now on."""
        self.adapters[name] = adapter.train(self.training)
        self.active = [name]
        self.unmerge()

    def in_use(self) -> list[Adapter]:
        """Return the adapters whose updates are added."""
        return [self.get(n) for n in self.active if self.enabled]

    def get(self, name: str) -> Adapter:
        """Return an adapter by name."""
        adapter: Adapter = self.adapters[name]
        return adapter

    def trained(self, name: str) -> dict[str, Tensor]:
        """Return what an adapter trains and saves, by name."""
        return self.adapters[name].state_dict(keep_vars=True)

    def _one(self) -> Adapter:
        if len(self.active) != 1:
            raise ValueError(f"in use are {self.active}: ask for layer.adapters[name]")
        return self.get(self.active[0])

    @property
    def lora_A(self) -> nn.Parameter:  # noqa: N802
        """The down-projection of the adapter in use."""
        return self._one().lora_A

    @property
    def lora_B(self) -> nn.Parameter:  # noqa: N802
        """The up-projection of the adapter in use."""
        return self._one().lora_B

    @property
    def options(self) -> Options:
        """How the adapter in use was made: `options.r`, `options.alpha` and the others."""
        return self._one().options

    @property
    def scaling(self) -> float:
        """The scaling of the adapter in use."""
        return self._one().scaling

    # Weight and bias in effect

    def base_weight(self) -> Tensor:
        """Return the frozen weight."""
        weight: Tensor = getattr(self.base_layer, self.names[0])
        return weight

    def effective_bias(self) -> Tensor | None:
        """Return the bias with what adapters learnt."""
        bias: Tensor | None = getattr(self.base_layer, self.names[1], None)
        if bias is None:
            return None
        learnt = [a.bias - bias for a in self.in_use() if a.bias is not None]
        return sum(learnt, bias)

    def total(self) -> Tensor:
        """Return W + sBA, summed in float32 at least and rounded once to the dtype of W."""
        reason = why_not_merged(self)
        if reason:
            raise TypeError(reason)
        base, weight = self.base_layer, self.base_weight()
        adapters = [self.get(name) for name in self.active]  # also while they are switched off
        if not adapters:
            return weight
        wide = torch.promote_types(weight.dtype, torch.float32)
        for adapter in adapters:
            wide = torch.promote_types(wide, adapter.lora_A.dtype)
        matrix = self.matrix(base, weight.to(wide))
        for adapter in adapters:
            matrix = adapter.merged(matrix, getattr(base, "groups", 1))
        return self.stored(base, matrix).to(weight.dtype)

    def effective_weight(self) -> Tensor:
        """Return the weight in effect as a tensor; gradients flow from it to the factors."""
        weight = self.base_weight()
        if self.merged_weight is not None and self.enabled:
            # Within a forward pass fully_shard has gathered what it knows of; not this sum.
            inside = not hasattr(weight, "full_tensor")
            return gathered(self.merged_weight) if inside else self.merged_weight
        if not self.in_use():
            return weight
        # The compiler drops a sum that nobody uses; a shard is no plain tensor to look like.
        if torch.compiler.is_compiling() or hasattr(weight, "full_tensor"):
            return self.total()
        return EffectiveWeight.of(weight, self.total)

    @property
    def weight(self) -> Tensor:
        """The weight in effect, W + sBA."""
        return self.effective_weight()

    @property
    def bias(self) -> Tensor | None:
        """The bias in effect."""
        return self.effective_bias()

    @property
    def merged(self) -> bool:
        """Whether the sum is kept and used."""
        return self.merged_weight is not None

    def merge(self) -> None:
        """Use one weight W + sBA from now on: the cost of the plain layer. Twice is once."""
        if not self.merged:
            self.merged_weight = self.total().detach()

    def unmerge(self) -> None:
        """Go back to the base weight, which is bit for bit what it was. Twice is once."""
        self.merged_weight = None

    def refuse_training(self) -> None:
        """Raise if the layer is merged and in training mode."""
        if self.training:
            raise RuntimeError(
                f"{type(self).__name__} is merged, so lora_A and lora_B would get no gradient: "
                "call unmerge() (or unmerge_lora(model)) to train, eval() to predict"
            )

    # Forward

    def forward(self, x: Tensor) -> Tensor:
        """Do what the base layer does, with the adapters in use."""
        base = self.base_layer
        if self.merged_weight is not None and self.enabled:
            self.refuse_training()
            return self.apply_weight(base, x, gathered(self.merged_weight), self.effective_bias())
        y: Tensor = base(x)
        for adapter in self.in_use():
            y = self._add(y, x, adapter)
        return y

    def _add(self, y: Tensor, x: Tensor, adapter: Adapter) -> Tensor:
        base, scaling = self.base_layer, adapter.scaling
        dropped = adapter.lora_dropout(x)
        update = self.branch(base, dropped, adapter.lora_A, adapter.lora_B, scaling)
        if adapter.start_A is not None and adapter.start_B is not None:
            update = update - self.branch(base, x, adapter.start_A, adapter.start_B, scaling)
        update = update.to(y.dtype)
        if update.shape != y.shape:
            raise RuntimeError(
                f"the base layer gives shape {tuple(y.shape)}, the factors {tuple(update.shape)}: "
                "under tensor parallelism let the base layer's output be Replicate()"
            )
        bias = getattr(base, self.names[1], None)
        if adapter.magnitude is not None:
            W = self.matrix(base, gathered(self.base_weight()).to(adapter.lora_A.dtype))
            V = adapter.direction(W, getattr(base, "groups", 1))
            stretch = self._channels(adapter.stretch(V), y)
            plain = y if bias is None else y - self._channels(bias, y)
            y = (stretch * (plain + update)).to(y.dtype)
            y = y if bias is None else y + self._channels(bias, y)
        else:
            y = y + update
        if adapter.bias is not None and bias is not None:
            y = y + self._channels(adapter.bias - bias, y)
        return y

    def _channels(self, values: Tensor, y: Tensor) -> Tensor:
        """Return one value a channel in a shape that goes with the output."""
        return values

    def extra_repr(self) -> str:
        """Say which adapters are in use."""
        return f"active={self.active}, merged={self.merged}"


def _refresh(layer: LoRALayer, _: Any) -> None:
    """Merge again after new factors or a new base were loaded into a merged layer."""
    if layer.merged:
        layer.unmerge()
        layer.merge()
