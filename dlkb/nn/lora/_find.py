"""Which modules a name or a pattern means."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import TypeVar

from torch import nn

from dlkb.nn.lora._adapter import START
from dlkb.nn.lora._saved import SavedModule
from dlkb.nn.lora.kinds import LoRALinear, can_be_adapted, is_gpt_conv
from dlkb.nn.lora.layers import LoRALayer

T = TypeVar("T")

ADAPTED = (LoRALayer, SavedModule)


def visible_modules(model: nn.Module) -> dict[str, nn.Module]:
    """Return every module by name, shared ones by each, without the insides of adapted ones."""
    found: dict[str, nn.Module] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        outer = ["", *(name[:i] for i, letter in enumerate(name) if letter == ".")] if name else []
        # What computes a parametrized weight is part of its layer.
        inside = "parametrizations" in name.split(".")
        inside |= not all(p in found and not isinstance(found[p], ADAPTED) for p in outer)
        if not inside:
            found[name] = module
    return found


def adapted_modules(model: nn.Module) -> Iterator[tuple[str, LoRALayer | SavedModule]]:
    """Yield each adapted layer and each saved module once, those within others too."""
    for name, module in model.named_modules():
        if isinstance(module, LoRALayer | SavedModule):
            yield name, module


def layers(model: nn.Module) -> dict[str, LoRALayer]:
    """Return each adapted layer by name.

    Raises:
        ValueError: If there is none.
    """
    found = {n: m for n, m in adapted_modules(model) if isinstance(m, LoRALayer)}
    if not found:
        raise ValueError(f"{type(model).__name__} holds no LoRALinear: call add_lora first")
    return found


def check_adapter(model: nn.Module, *names: str) -> None:
    """Raise ValueError if no layer has an adapter of such a name."""
    known = sorted({n for layer in layers(model).values() for n in layer.adapters})
    for name in names:
        if name not in known:
            raise ValueError(f"no adapter is called {name!r}; there are {known}")


def match(names: Iterable[str], wanted: str | Sequence[str], argument: str) -> list[str]:
    """Return the names that `wanted` means; each of its entries must mean one at least."""
    names = list(names)
    if isinstance(wanted, str):
        found = [name for name in names if re.fullmatch(wanted, name)]
        if not found:
            raise ValueError(f"{argument}={wanted!r} matches no module; there are {names}")
        return found
    for target in wanted:
        if not any(is_called(name, target) for name in names):
            known = sorted({part for name in names for part in (name, name.rpartition(".")[2])})
            close = get_close_matches(target, known) or names[:8]
            raise ValueError(f"{argument}: no module is called {target!r}; close names: {close}")
    return [name for name in names if any(is_called(name, target) for target in wanted)]


def is_called(name: str, target: str) -> bool:
    """Whether a name is `target`, or ends in it after a dot."""
    return name == target or name.endswith(f".{target}")


def within(name: str, outer: str) -> bool:
    """Whether a module is `outer` or lies in it."""
    return name == outer or name.startswith(f"{outer}.") or outer == ""


def all_linear(model: nn.Module, modules: Mapping[str, nn.Module]) -> list[str]:
    """Return the linear modules but the output embeddings, as peft's "all-linear" does."""
    ask = getattr(model, "get_output_embeddings", None)
    output = ask() if callable(ask) else None
    linear = (
        n for n, m in modules.items() if isinstance(m, nn.Linear | LoRALinear) or is_gpt_conv(m)
    )
    found = [n for n in linear if modules[n] is not output]
    if not found:
        raise ValueError(f"{type(model).__name__} holds no linear layer: name the targets")
    return found


def find_targets(
    model: nn.Module,
    modules: Mapping[str, nn.Module],
    targets: str | Sequence[str],
    exclude: str | Sequence[str],
    saved: Sequence[str],
) -> list[str]:
    """Return the names of the modules to adapt.

    Raises:
        ValueError: If an entry means nothing.
    """
    if isinstance(targets, str) and targets.lower() == "all-linear":
        chosen = [n for n in all_linear(model, modules) if not any(within(n, s) for s in saved)]
    elif isinstance(targets, str):
        chosen = match((n for n, m in modules.items() if can_be_adapted(m)), targets, "targets")
    else:
        chosen = match(modules, targets, "targets")
    # An attention takes its out_proj along.
    whole = [n for n in chosen if isinstance(modules[n], nn.MultiheadAttention)]
    chosen = [n for n in chosen if not any(n != w and within(n, w) for w in whole)]
    left_out = set(match(modules, exclude, "exclude")) if exclude else set()
    return [n for n in chosen if n not in left_out]


def by_pattern(name: str, patterns: Mapping[str, T] | None, default: T) -> T:
    """Return the value of the first pattern that the end of a name matches, as in peft."""
    return next((v for p, v in (patterns or {}).items() if is_matched(name, p)), default)


def is_matched(name: str, pattern: str) -> bool:
    """Whether a pattern matches a name, or its end after a dot."""
    return re.match(rf"(.*\.)?({pattern})$", name) is not None


def check_patterns(names: Sequence[str], argument: str, patterns: Iterable[str]) -> None:
    """Raise ValueError for a pattern that would be passed over."""
    for pattern in patterns:
        if not any(is_matched(name, pattern) for name in names):
            raise ValueError(f"{argument}: {pattern!r} matches no target; there are {names}")


def use(model: nn.Module, names: Sequence[str]) -> None:
    """Make adapters the ones in use: theirs are added, and theirs alone are trainable."""
    for _, module in adapted_modules(model):
        if isinstance(module, LoRALayer):
            merged = module.merged
            module.unmerge()
        module.active = [n for n in names if n in module.adapters]
        for name in module.adapters:
            for key, parameter in module.trained(name).items():
                if isinstance(parameter, nn.Parameter) and key not in START:
                    parameter.requires_grad_(name in names)
        if isinstance(module, LoRALayer) and merged:
            module.merge()
