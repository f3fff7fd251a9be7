"""Putting adapters into a model."""

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from dlkb.finetuning import lora as formula
from dlkb.nn.lora._adapter import Adapter, Init, Options, check_name
from dlkb.nn.lora._find import (
    by_pattern,
    check_patterns,
    find_targets,
    match,
    use,
    visible_modules,
    within,
)
from dlkb.nn.lora._saved import SavedModule, is_bias
from dlkb.nn.lora.attention import LoRAMultiheadAttention
from dlkb.nn.lora.kinds import LoRALinear, kind_of
from dlkb.nn.lora.layers import LoRALayer


def add_lora(
    model: nn.Module,
    targets: str | Sequence[str],
    *,
    r: int,
    alpha: float,
    rule: formula.Rule = "lora",
    lora_dropout: float = 0.0,
    init: Init = "uniform",
    dora: bool = False,
    bias: str = "none",
    rank_pattern: Mapping[str, int] | None = None,
    alpha_pattern: Mapping[str, float] | None = None,
    exclude: str | Sequence[str] = (),
    modules_to_save: Sequence[str] = (),
    adapter: str = "default",
    dtype: torch.dtype | None = None,
    generator: torch.Generator | None = None,
) -> nn.Module:
    r"""Put an adapter on the named modules, in place, and freeze the rest.

    Args:
        model: Any module; it may sit on any device. What lies in DistributedDataParallel,
            `fully_shard` or `torch.compile` is adapted before it is put there.
        targets: Names, or ends of names: `["q_lin", "v_lin"]` means every `….q_lin` and
            `….v_lin`. "all-linear" means all linear layers but what `modules_to_save` names and
            what the model's `get_output_embeddings` returns: a classifier's head is one of
            them unless it is named there. Another string is a regular expression that must
            match the whole name of a module that LoRA goes on: linear layers, Transformers'
            `Conv1D`, embeddings, convolutions, and `nn.MultiheadAttention` (q, k, v and
            `out_proj`).
        r: The rank.
        alpha: The numerator of the scaling.
        rule: How alpha and r make the scaling, see `dlkb.finetuning.lora.lora_scaling`:
            "rslora" divides by √r.
        lora_dropout: Probability of dropping an input of the branches while training.
        init: "uniform" or "gaussian" draw A and leave B zero; "pissa" takes the largest
            singular vectors of the weight and starts from an update of zero all the same, see
            `dlkb.finetuning.lora_variants.factorize`. Embeddings draw B.
        dora: Train the length of each row too, see `dlkb.finetuning.lora_variants.dora`.
        bias: "none"; "lora_only" trains a copy of the biases of adapted layers, "all" of all.
        rank_pattern: Ranks of modules whose end of the name matches a regular expression.
        alpha_pattern: The same for alpha.
        exclude: What of the targets is left out; names or a regular expression.
        modules_to_save: Names of modules of which a copy is trained in full and saved with the
            adapter, such as a new classification head. A weight that is tied to another module
            is not tied in the copy.
        adapter: What the adapter is called. It is the one in use from now on; others that are
            there stay, see `set_adapter`.
        dtype: Of the factors; None for that of each base weight.
        generator: A CPU generator for the factors.

    Returns:
        The same model.

    Raises:
        TypeError: If LoRA does not go on a target, or it is quantized and no dtype given.
        ValueError: If a name matches nothing (close names are listed), no target is left, a target
            has this adapter already, is the model itself, is sharded, or lies inside
            `modules_to_save`, which may name no container, if a pattern matches no target, or if
            an option is out of its range or not for the kind of a target.
            Nothing has been changed then.

    Example:
        >>> from torch import nn
        >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> model = add_lora(model, ["0"], r=2, alpha=4, modules_to_save=["2"])
        >>> sum(p.numel() for p in model.parameters() if p.requires_grad)
        42
    """
    if bias not in ("none", "lora_only", "all"):
        raise ValueError(f'bias is {bias!r}: it must be "none", "lora_only" or "all"')
    check_name("adapter", adapter)
    modules = visible_modules(model)
    saved = match(modules, modules_to_save, "modules_to_save")
    chosen = find_targets(model, modules, targets, exclude, saved)
    if not chosen:
        raise ValueError(
            f"targets is {targets!r}: no module is left to adapt (exclude: {exclude!r})"
        )
    _check(modules, chosen, saved, adapter, lora_dropout)
    check_patterns(chosen, "rank_pattern", rank_pattern or ())
    check_patterns(chosen, "alpha_pattern", alpha_pattern or ())
    made: dict[nn.Module, list[Adapter]] = {}  # a module that is shared stays shared
    for name in chosen:
        module = modules[name]
        if module in made:
            continue
        options = Options(
            by_pattern(name, rank_pattern, r),
            by_pattern(name, alpha_pattern, alpha),
            rule,
            lora_dropout,
            init,
            dora,
            bias != "none",
            dtype,
        )
        made[module] = [
            kind.make_adapter(part, base, options, generator)
            for part, kind, base in _parts(name, module)
        ]
    own = biased(modules, chosen, saved) if bias == "all" else []
    copies = _saved(modules, saved, own, adapter)
    # Nothing was changed so far, and nothing fails from here on.
    model.requires_grad_(False)
    replaced = {m: _with_adapters(m, adapter, made[m]) for m in made} | copies
    for name in chosen + saved + own:
        if modules[name] is not replaced[modules[name]]:
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, replaced[modules[name]])
    use(model, [adapter])
    return model


def _check(
    modules: Mapping[str, nn.Module],
    chosen: Sequence[str],
    saved: Sequence[str],
    adapter: str,
    lora_dropout: float,
) -> None:
    """Raise if a target or a module to save cannot be what it is to be."""
    adapted = [n for n, m in modules.items() if isinstance(m, LoRALayer)]
    for name in saved:
        inside = [n for n in [*chosen, *adapted] if within(n, name)]
        if inside:
            raise ValueError(f"{name} is in modules_to_save, but {inside} in it has LoRA: choose")
        if isinstance(modules[name], nn.ModuleList | nn.ModuleDict):
            raise ValueError(f"{name} in modules_to_save is a container: name what is in it")
    for name in chosen:
        module = modules[name]
        if isinstance(module, SavedModule):
            raise ValueError(f"{name} is in modules_to_save of {[*module.adapters]}: choose")
        if isinstance(module, LoRALayer):
            if adapter in module.adapters:
                raise ValueError(
                    f"{name} is a {type(module).__name__} already and has an adapter "
                    f"{adapter!r}: give another name, or detach_lora first"
                )
            continue
        kind = kind_of(name, module)
        if name == "":
            raise ValueError(
                f"the model is itself the {type(module).__name__}: use {kind.__name__}(model, ...)"
            )
        if lora_dropout and isinstance(modules[name.rpartition(".")[0]], nn.MultiheadAttention):
            raise ValueError(
                f"{name} belongs to nn.MultiheadAttention, which reads its weight and does not "
                "call it: lora_dropout would do nothing, set it to 0"
            )


def _parts(name: str, module: nn.Module) -> list[tuple[str, type[LoRALayer], nn.Module]]:
    """Return names, kinds and bases of the layers that get factors: an attention has two."""
    if isinstance(module, LoRALayer):
        kind, base = type(module), module.base_layer
    else:
        kind, base = kind_of(name, module), module
    parts = [(name, kind, base)]
    if isinstance(base, nn.MultiheadAttention):
        inner: nn.Module = base.out_proj
        inner = inner.base_layer if isinstance(inner, LoRALayer) else inner
        parts.append((f"{name}.out_proj", LoRALinear, inner))
    return parts


def _with_adapters(module: nn.Module, adapter: str, made: Sequence[Adapter]) -> LoRALayer:
    """Return the layer with a new adapter on it, and on the out_proj of an attention."""
    layer = module if isinstance(module, LoRALayer) else kind_of("", module).around(module)
    layer.add_adapter(adapter, made[0])
    if isinstance(layer, LoRAMultiheadAttention):
        inner = layer.base_layer.out_proj
        layer.base_layer.out_proj = _with_adapters(inner, adapter, made[1:])
    return layer


def biased(
    modules: Mapping[str, nn.Module], chosen: Sequence[str], saved: Sequence[str]
) -> list[str]:
    """Return the modules with biases of their own that have neither LoRA nor a copy."""
    found: list[str] = []
    for name, module in modules.items():
        own = any(is_bias(key) for key, _ in module.named_parameters(recurse=False))
        if own and not any(within(name, n) for n in [*chosen, *saved, *found]):
            inside = [n for n in chosen if within(n, name)]
            if inside or not name or isinstance(module, LoRALayer):
                raise ValueError(
                    f'bias="all": {name or "the model"} has a bias of its own and LoRA within '
                    f'({inside}): use bias="lora_only"'
                )
            found.append(name)
    return found


def _saved(
    modules: Mapping[str, nn.Module], saved: Sequence[str], biased: Sequence[str], adapter: str
) -> dict[nn.Module, nn.Module]:
    """Return the modules to save, each with a copy for the adapter."""
    for name in [*saved, *biased]:
        outside = [n for n in saved if n != name and within(name, n)]
        if outside:
            raise ValueError(f"modules_to_save: {name} lies in {outside[0]}, leave it out")
    copies: dict[nn.Module, nn.Module] = {}
    for name in [*saved, *biased]:
        module = modules[name]
        if module in copies:
            continue
        holder = module if isinstance(module, SavedModule) else None
        if holder is None:
            holder = SavedModule(module, only_bias=name in biased)
        if adapter not in holder.adapters:
            holder.add_adapter(adapter)
        copies[module] = holder
    return copies
