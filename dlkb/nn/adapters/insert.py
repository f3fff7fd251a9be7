"""The two stages: put an adapter in and train it, fuse several and train that."""

from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import nn

from dlkb.nn.adapters.layers import AdaptedLayer, Adapter, AdapterFusion
from dlkb.nn.lora._adapter import check_name
from dlkb.nn.lora._find import match

Model = TypeVar("Model", bound=nn.Module)


def adapted_layers(model: nn.Module) -> dict[str, AdaptedLayer]:
    """Return the adapted layers of a model by name.

    Raises:
        ValueError: If there is none.
    """
    found = {n: m for n, m in model.named_modules() if isinstance(m, AdaptedLayer)}
    if not found:
        raise ValueError(f"{type(model).__name__} holds no adapter: call add_adapter first")
    return found


def _named(model: nn.Module, train: Sequence[str]) -> list[nn.Module]:
    names = dict(model.named_modules(remove_duplicate=False))
    return [names[n] for n in (match(names, train, "train") if train else [])]


def _train_only(model: nn.Module, parts: Sequence[nn.Module]) -> None:
    model.requires_grad_(False)
    for module in parts:
        module.requires_grad_(True)


def add_adapter(
    model: Model,
    modules: Sequence[str],
    *,
    width: int,
    bottleneck: int,
    name: str = "default",
    train: Sequence[str] = (),
    parallel: bool = False,
    non_linearity: str = "relu",
    scaling: float = 1.0,
    std: float | None = None,
) -> Model:
    """Put an adapter on modules and train it alone: the first stage.

    Called again with another name, it adds a second adapter to the same modules; those that are
    there stay, frozen and out of use.

    Args:
        model: Changed in place: each module is replaced by an `AdaptedLayer` around it.
        modules: Names, or their ends: `["output.dense"]` is both places of Houlsby et al. in
            BERT, after attention and after the feed-forward layer, in front of the skip.
        width: Width of the modules' output.
        bottleneck: Width m of the adapter.
        name: What the adapter is called.
        train: Names, or their ends, of modules that are trained too: a new head, layer norms.
        parallel: Whether the adapter reads the module's input.
        non_linearity: As for `Adapter`.
        scaling: As for `Adapter`.
        std: As for `Adapter`.

    Returns:
        The model.

    Raises:
        ValueError: If a name means no module, or the `out_proj` of an attention, which reads it
            and does not call it; if the name is taken or unfit; if `parallel` is not that
            of the adapters that are there, or an option is out of its range. Nothing has been
            changed then.

    Example:
        >>> model = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2))
        >>> _ = add_adapter(model, ["0"], width=4, bottleneck=2, train=["2"])
        >>> sum(p.numel() for p in model.parameters() if p.requires_grad)
        32
    """
    check_name("name", name)
    known = dict(model.named_modules(remove_duplicate=False))
    inside = {n for n, m in known.items() if isinstance(m, AdaptedLayer)}
    visible = [n for n in known if n and not any(n.startswith(f"{a}.") for a in inside)]
    chosen = match(visible, modules, "modules")
    taken = [n for n in chosen if n in inside and name in known[n].adapters]
    if taken:
        raise ValueError(f"{taken[0]} has an adapter called {name!r}: take another name")
    for path in chosen:
        there = known[path]
        if isinstance(known[path.rpartition(".")[0]], nn.MultiheadAttention):
            raise ValueError(
                f"{path} belongs to nn.MultiheadAttention, which reads its weight and does not "
                "call it: put the adapter on what comes behind, such as dropout1"
            )
        if isinstance(there, AdaptedLayer) and there.parallel != parallel:
            raise ValueError(
                f"parallel is {parallel}: {path} has adapters with parallel={there.parallel}, "
                "and all adapters of a module read the same"
            )
    trained = _named(model, train)
    made: dict[nn.Module, Adapter] = {}  # a module that is shared stays shared
    for there in (known[path] for path in chosen):
        if there in made:
            continue
        adapter = Adapter(width, bottleneck, non_linearity, scaling, std)
        floating = (p for p in there.parameters() if p.is_floating_point())
        beside = next(floating, torch.empty(0))
        made[there] = adapter.to(beside.device, beside.dtype).train(there.training)
    # Nothing was changed so far, and nothing fails from here on.
    layers: dict[nn.Module, AdaptedLayer] = {}
    for there, adapter in made.items():
        adapted = there if isinstance(there, AdaptedLayer) else AdaptedLayer(there, parallel)
        adapted.adapters[name] = adapter
        layers[there] = adapted
    for path in chosen:
        parent, _, last = path.rpartition(".")
        setattr(known[parent], last, layers[known[path]])
    use_adapter(model, name)
    _train_only(model, [*made.values(), *trained])
    return model


def use_adapter(model: Model, *names: str) -> Model:
    """Use one adapter, several with the fusion they were given, or none: the pretrained model.

    What is trained does not change.

    Args:
        model: Changed in place.
        *names: Of the adapters; layers that lack one of them use none.

    Returns:
        The model.

    Raises:
        ValueError: If no layer has all of them, or they were not fused.

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 4))
        >>> _ = add_adapter(model, ["0"], width=4, bottleneck=2)
        >>> use_adapter(model)[0].active
        []
    """
    layers = _with_all(model, names)
    if len(names) > 1 and any(layer.fused != list(names) for layer in layers):
        raise ValueError(f"the adapters {list(names)} are not fused: call fuse_adapters")
    for layer in adapted_layers(model).values():
        layer.active = list(names) if layer in layers else []
    return model


def _with_all(model: nn.Module, names: Sequence[str]) -> list[AdaptedLayer]:
    found = adapted_layers(model).values()
    layers = [layer for layer in found if set(names) <= set(layer.adapters)]
    if not layers:
        raise ValueError(f"no layer has all of the adapters {list(names)}")
    return layers


def fuse_adapters(model: Model, names: Sequence[str], train: Sequence[str] = ()) -> Model:
    """Fuse adapters by attention and train that alone: the second stage.

    A new fusion takes the place of the one that a layer has.

    Args:
        model: Changed in place. Layers that lack one of the adapters use none.
        names: Of the adapters, in the order of the attention's weights.
        train: Names, or their ends, of modules that are trained too: the target's head.

    Returns:
        The model.

    Raises:
        ValueError: If there is one name or none, no layer has all the adapters, or an entry of
            `train` means no module. Nothing has been changed then.

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 4))
        >>> for name in ("a", "b"):
        ...     _ = add_adapter(model, ["0"], width=4, bottleneck=2, name=name)
        >>> _ = fuse_adapters(model, ["a", "b"])
        >>> [n for n, p in model.named_parameters() if p.requires_grad][-1]
        '0.fusion.value.weight'
    """
    if len(names) < 2:
        raise ValueError(f"names is {list(names)}: fusion takes two adapters or more")
    layers, trained = _with_all(model, names), _named(model, train)
    new = []
    for layer in layers:
        like = layer.adapters[names[0]].adapter_up.weight
        layer.fused = list(names)
        fusion = AdapterFusion(like.shape[0]).to(like.device, like.dtype)
        layer.fusion = fusion.train(layer.training)
        new.append(fusion)
    use_adapter(model, *names)
    _train_only(model, [*new, *trained])
    return model
