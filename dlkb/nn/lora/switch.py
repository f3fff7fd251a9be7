"""Which adapters are in use, merging, mixing, and taking them out."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from dlkb.finetuning import lora_variants as variants
from dlkb.finetuning.lora import Factors
from dlkb.nn.lora._adapter import Adapter, Options, check_name
from dlkb.nn.lora._find import adapted_modules, check_adapter, layers, use, visible_modules
from dlkb.nn.lora._plain import is_sharded, put_weight, why_not_merged
from dlkb.nn.lora._saved import SavedModule
from dlkb.nn.lora.layers import LoRALayer


def set_adapter(model: nn.Module, adapter: str | Sequence[str]) -> None:
    """Use one adapter, or the sum of several; they alone are trainable then.

    Args:
        model: A module after `add_lora`. Merged layers are merged anew.
        adapter: A name or names.

    Raises:
        ValueError: If a name is unknown, or several adapters cannot be added up: those with DoRA
            or with copies of one module. Nothing has been changed then.

    Example:
        >>> from torch import nn
        >>> from dlkb.nn import add_lora
        >>> model = nn.Sequential(nn.Linear(4, 3))
        >>> for name in ("red", "blue"):
        ...     model = add_lora(model, ["0"], r=1, alpha=1, adapter=name)
        >>> model[0].active
        ['blue']
        >>> set_adapter(model, ["red", "blue"])
        >>> model[0].active
        ['red', 'blue']
    """
    names = [adapter] if isinstance(adapter, str) else list(dict.fromkeys(adapter))
    check_adapter(model, *names)
    for where, module in adapted_modules(model):
        here = [n for n in names if n in module.adapters]
        single = isinstance(module, SavedModule) or any(
            module.adapters[n].options.dora for n in here
        )
        if len(here) > 1 and single:
            raise ValueError(
                f"{where} has DoRA or a copy in {here}, which cannot be added up: use one of them"
            )
    use(model, names)


@contextmanager
def without_lora(model: nn.Module) -> Iterator[nn.Module]:
    """Switch all adapters off: within the block the model is the pretrained one.

    So one model is policy and reference in one (DPO, KL penalties). Copies of
    `modules_to_save` and trained biases are off as well, merged layers too.

    Args:
        model: A module after `add_lora`.

    Returns:
        A context manager that gives the model; the adapters are back after it, come what may.

    Raises:
        ValueError: If there is no adapter.

    Example:
        >>> from torch import nn
        >>> from dlkb.nn import add_lora
        >>> model = add_lora(nn.Sequential(nn.Linear(4, 3)), ["0"], r=1, alpha=1)
        >>> _ = model[0].lora_B.data.fill_(1)
        >>> x = torch.ones(1, 4)
        >>> with without_lora(model):
        ...     reference = model(x)
        >>> torch.equal(reference, model(x))
        False
    """
    layers(model)
    before = [(module, module.enabled) for _, module in adapted_modules(model)]
    try:
        for module, _ in before:
            module.enabled = False
        yield model
    finally:
        for module, enabled in before:
            module.enabled = enabled


def merge_lora(model: nn.Module) -> nn.Module:
    """Merge every adapted layer of the model, see `LoRALinear.merge`.

    Raises:
        ValueError: If there is none.
        TypeError: If a layer cannot be merged (quantized, or with a forward of its own); none
            has been merged then.
    """
    _check_merge(model)
    for layer in layers(model).values():
        layer.merge()
    return model


def unmerge_lora(model: nn.Module) -> nn.Module:
    """Unmerge every adapted layer of the model, see `LoRALinear.unmerge`.

    Raises:
        ValueError: If there is none.
    """
    for layer in layers(model).values():
        layer.unmerge()
    return model


def _check_merge(model: nn.Module) -> None:
    for name, module in adapted_modules(model):
        reason = why_not_merged(module) if isinstance(module, LoRALayer) else ""
        if reason:
            raise TypeError(f"{name} cannot be merged: {reason}")


def detach_lora(model: nn.Module, *, merge: bool = True) -> nn.Module:
    """Put plain modules back, with what the adapters in use have learnt in their weights.

    Args:
        model: A module with LoRA in it, or an adapted layer.
        merge: True writes W + sBA into the layers, and leaves the trained copies of
            `modules_to_save`. False throws the update away and gives the pretrained weights,
            heads and biases back, bit for bit. Within `without_lora`, which switches adapters
            off and leaves them in use, it is the same.

    Returns:
        The same model, or the plain layer if `model` was an adapted one. All that was frozen
        stays frozen; without LoRA in it the model is returned as it is. A merged weight is not
        tied to another module any more, nor normalized, parametrized or pruned.

    Raises:
        TypeError: If `merge` is asked for and a layer cannot be merged.
        ValueError: If `merge` is asked for and weights are sharded. Nothing has been changed
            then.

    Example:
        >>> from torch import nn
        >>> from dlkb.nn import add_lora
        >>> model = add_lora(nn.Sequential(nn.Linear(4, 3)), ["0"], r=2, alpha=4)
        >>> detach_lora(model)
        Sequential(
          (0): Linear(in_features=4, out_features=3, bias=True)
        )
    """
    if merge:
        _check_merge(model)
        for name, module in adapted_modules(model):
            if is_sharded(module):
                raise ValueError(
                    f"{name} is sharded, and fully_shard would put its own weights back: "
                    "merge_lora predicts; to write a merged model, load the saved adapter into "
                    "one that is not sharded"
                )
    for _, module in adapted_modules(model):
        module.enabled = True  # as merge_lora does, take what without_lora has switched off
    plain: dict[nn.Module, nn.Module] = {}
    for name, module in visible_modules(model).items():
        if isinstance(module, LoRALayer | SavedModule):
            if module not in plain:
                plain[module] = _plain(module, merge=merge)
            if name == "":
                return plain[module]
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, plain[module])
    return model


def _plain(module: LoRALayer | SavedModule, *, merge: bool) -> nn.Module:
    """Return what stands in the place of an adapted module."""
    if isinstance(module, SavedModule):
        return (module.chosen() if merge else module.base_layer).requires_grad_(False)
    base = module.base_layer
    inner = getattr(base, "out_proj", None)
    if isinstance(inner, LoRALayer):
        base.out_proj = _plain(inner, merge=merge)
    if merge and module.in_use():
        weight, bias = module.merged_weight, module.effective_bias()
        put_weight(base, module.names[0], module.total() if weight is None else weight)
        if any(a.bias is not None for a in module.in_use()) and bias is not None:
            put_weight(base, module.names[1], bias)
    return base


def combine_lora(
    model: nn.Module, weights: Mapping[str, float], *, adapter: str, r: int | None = None
) -> nn.Module:
    r"""Make a new adapter that is the weighted sum of others, and use it.

    $$\Delta\mathbf{W} = \sum_k w_k\,s_k\,\mathbf{B}_k\mathbf{A}_k$$

    Args:
        model: A module after several calls of `add_lora`.
        weights: What each adapter counts.
        adapter: The name of the new one. Its scaling is 1.
        r: None for the exact sum, whose rank is the sum of the ranks, those of PiSSA counted
            twice; a number for the nearest adapter of that rank.

    Returns:
        The same model.

    Raises:
        ValueError: If a name is unknown, taken or none at all, `weights` is empty, `r` is below 1,
            or an adapter has DoRA, a bias, copies of modules, or groups of a convolution. Nothing
            has been changed then.

    Note:
        As `add_weighted_adapter` of peft with `combination_type="cat"`, or "svd" if r is given.
        peft's "linear" adds the factors, which is not the sum of the updates.

    Example:
        >>> from torch import nn
        >>> from dlkb.nn import add_lora
        >>> model = nn.Sequential(nn.Linear(4, 3))
        >>> for name in ("red", "blue"):
        ...     model = add_lora(model, ["0"], r=1, alpha=1, adapter=name)
        >>> model = combine_lora(model, {"red": 0.7, "blue": 0.3}, adapter="both")
        >>> model[0].lora_A.shape
        torch.Size([2, 4])
    """
    check_name("adapter", adapter)
    check_adapter(model, *weights)
    if not weights:
        raise ValueError("weights is empty: name one adapter or more")
    made: dict[LoRALayer, Adapter] = {}
    for name, module in adapted_modules(model):
        here = [n for n in weights if n in module.adapters]
        if adapter in module.adapters:
            raise ValueError(f"{name} has an adapter {adapter!r} already: give another name")
        if not here:
            continue
        options = (
            [] if isinstance(module, SavedModule) else [a.options for a in map(module.get, here)]
        )
        if not options or any(o.dora or o.bias for o in options) or _groups(module) > 1:
            raise ValueError(
                f"{name}: adapters with DoRA, a bias, copies of modules (modules_to_save) or "
                "groups cannot be added up"
            )
        made[module] = _combined(module, {n: weights[n] for n in here}, r)
    for module, new in made.items():
        module.add_adapter(adapter, new)
    use(model, [adapter])
    return model


def _groups(module: LoRALayer) -> int:
    groups: int = getattr(module.base_layer, "groups", 1)
    return groups


def _combined(module: LoRALayer, weights: Mapping[str, float], r: int | None) -> Adapter:
    """Return the weighted sum of the adapters of one layer."""
    pairs: list[Factors] = []
    numbers: list[float] = []
    with torch.no_grad():
        for name, weight in weights.items():
            one = module.get(name)
            if hasattr(one.lora_A, "full_tensor"):
                raise ValueError("factors are sharded: combine adapters before fully_shard")
            pairs.append(Factors(one.lora_A.detach(), one.lora_B.detach()))
            numbers.append(weight * one.scaling)
            if one.start_A is not None:
                pairs.append(Factors(one.start_A, one.start_B))
                numbers.append(-weight * one.scaling)
        A, B = variants.stack(pairs, weights=numbers)
        if r is not None:
            wide = torch.promote_types(A.dtype, torch.float32)
            A, B = variants.factorize((B.to(wide) @ A.to(wide)), r=r)
        dtype, rank = pairs[0].A.dtype, len(A)
        like = torch.empty((), dtype=dtype, device=A.device).expand(len(B), A.shape[1])
        seed = torch.Generator("cpu").manual_seed(0)  # draws that are overwritten at once
        made = Adapter(like, None, Options(rank, rank), generator=seed)
        made.lora_A.copy_(A)
        made.lora_B.copy_(B)
    return made
