"""What an adapter holds: counting, saving and loading its parameters."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor, nn

from dlkb.finetuning.lora_variants import lora_plus_rates
from dlkb.nn.lora._find import adapted_modules, check_adapter
from dlkb.nn.lora._plain import copy_into, unwrapped
from dlkb.nn.lora.layers import LoRALayer


class TrainableParameters(NamedTuple):
    """What an optimizer would change: counts by name, their sum, and the size of the model."""

    counts: dict[str, int]
    trainable: int
    total: int


def trainable_parameters(model: nn.Module) -> TrainableParameters:
    """List the parameters that require a gradient.

    Args:
        model: Any module.

    Returns:
        Names with counts, the number that is trainable, and the number of all parameters.

    Example:
        >>> from torch import nn
        >>> from dlkb.nn import add_lora
        >>> model = add_lora(nn.Sequential(nn.Linear(100, 100)), ["0"], r=2, alpha=4)
        >>> listed = trainable_parameters(model)
        >>> listed.trainable, listed.total
        (400, 10500)
        >>> list(listed.counts)
        ['0.adapters.default.lora_A', '0.adapters.default.lora_B']
    """
    counts = {n: p.numel() for n, p in model.named_parameters() if p.requires_grad}
    total = sum(p.numel() for p in model.parameters())
    return TrainableParameters(counts, sum(counts.values()), total)


def lora_plus_groups(model: nn.Module, *, lr: float, ratio: float = 16.0) -> list[dict[str, Any]]:
    r"""Return parameter groups for LoRA+: $\mathbf{B}$ is trained `ratio` times as fast.

    Args:
        model: A module after `add_lora`.
        lr: The learning rate of all but B.
        ratio: How many times as large that of B is, at least 1.

    Returns:
        Two groups for an optimizer, of the parameters that require a gradient.

    Raises:
        ValueError: If there is no adapter, or a number is out of range.

    Example:
        >>> from torch import nn
        >>> from dlkb.nn import add_lora
        >>> model = add_lora(nn.Sequential(nn.Linear(4, 3)), ["0"], r=1, alpha=1)
        >>> [group["lr"] for group in lora_plus_groups(model, lr=1e-3, ratio=8)]
        [0.001, 0.008]
    """
    rates = lora_plus_rates(lr, ratio=ratio)
    check_adapter(model)
    adapted = [m for _, m in adapted_modules(model) if isinstance(m, LoRALayer)]
    fast = {m.get(n).lora_B for m in adapted for n in m.adapters}
    trained = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trained if p not in fast], "lr": rates.A},
        {"params": [p for p in trained if p in fast], "lr": rates.B},
    ]


def lora_state_dict(model: nn.Module, *, adapter: str = "default") -> dict[str, Tensor]:
    """Return what belongs to an adapter, under names without the adapter's.

    Args:
        model: A module with LoRA in it; it may be sharded, or in DistributedDataParallel.
        adapter: The name of the adapter.

    Returns:
        `lora_A`, `lora_B` and the scaling of every layer, what DoRA, PiSSA and `bias` add to
        them, and all of `modules_to_save`, under the names that they had before: `0.lora_A`,
        `head.weight`. The tensors are not copied, and shards are shards.

    Raises:
        ValueError: If there is no such adapter.

    Example:
        >>> from torch import nn
        >>> from dlkb.nn import add_lora
        >>> model = add_lora(nn.Sequential(nn.Linear(4, 3)), ["0"], r=1, alpha=1)
        >>> list(lora_state_dict(model))
        ['0.lora_A', '0.lora_B', '0._extra_state']
    """
    return {key: value.detach() for key, value in _held(model, adapter).items()}


def _held(model: nn.Module, adapter: str) -> dict[str, Tensor]:
    model = unwrapped(model)
    check_adapter(model, adapter)
    return {
        f"{clean(name)}.{key}" if name else key: value
        for name, module in adapted_modules(model)
        if adapter in module.adapters
        for key, value in module.trained(adapter).items()
    }


def clean(name: str) -> str:
    """Return a name without what checkpointing and torch.compile put into it."""
    return name.replace("_checkpoint_wrapped_module.", "").replace("_orig_mod.", "")


def load_lora_state_dict(
    model: nn.Module, state: Mapping[str, Tensor], *, adapter: str = "default"
) -> None:
    """Load what `lora_state_dict` returned into a model that was prepared in the same way.

    Args:
        model: A module after the same call of `add_lora`. Merged layers are merged anew. It may
            be sharded, whatever `state` was saved from.
        state: The saved adapter.
        adapter: The adapter that it is loaded into.

    Raises:
        ValueError: If names are missing or left over, a shape differs (another rank, say), or a
            layer has another scaling. Nothing has been changed then.
    """
    held = _held(model, adapter)
    missing, left_over = sorted(held.keys() - state.keys()), sorted(state.keys() - held.keys())
    if missing or left_over:
        raise ValueError(
            f"the adapter does not fit this model: missing {missing}, left over {left_over}"
        )
    for key, own in held.items():
        if tuple(state[key].shape) != tuple(own.shape):
            raise ValueError(
                f"size mismatch: {key} was saved with shape {tuple(state[key].shape)}, this model "
                f"has {tuple(own.shape)}: build it with the rank of the training"
            )
        if key.endswith("_extra_state") and float(state[key]) != float(own):
            name = key.removesuffix("_extra_state").removesuffix(".") or "this layer"
            raise ValueError(
                f"the factors were saved with scaling {float(state[key])}, {name} has "
                f"{float(own)}: build it with the alpha, r and rule of the training"
            )
    for key, own in held.items():
        if not key.endswith("_extra_state"):
            value = state[key]
            copy_into(own, value.full_tensor() if hasattr(value, "full_tensor") else value)
    for _, module in adapted_modules(unwrapped(model)):
        if isinstance(module, LoRALayer) and module.merged:
            module.unmerge()
            module.merge()
