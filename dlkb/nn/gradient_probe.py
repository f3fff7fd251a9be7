"""Measure gradients in any `nn.Module`: by parameter and by layer.

The model is left as it was: mode, buffers (running statistics included), `.grad` and hooks.
Nothing is detached or cast on the way, so that what is measured is what training would see.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._pytree import keystr, tree_flatten_with_path, tree_map

from dlkb.nn._calls import (
    call_on_copies,
    check_scalar,
    gradients_at,
    parameter_gradients,
    refuse_unseen,
    whole,
)


class GradientNorm(NamedTuple):
    """2-norms for one parameter.

    Attributes:
        gradient: Of the gradient; `None` if the loss does not depend on the parameter.
        parameter: Of the parameter itself.
    """

    gradient: float | None
    parameter: float


class SignalNorm(NamedTuple):
    """2-norms for the output of one layer.

    Attributes:
        gradient: Of the loss's gradient with respect to it; `None` if none gets there: the loss
            ignores it, or it comes from frozen layers or from under `no_grad()`.
        signal: Of the output itself.
    """

    gradient: float | None
    signal: float


def _norm(x: Tensor) -> float:
    x = x.detach()
    x = x.coalesce().values() if x.is_sparse else x  # of nn.Embedding(sparse=True)
    x = x.abs() if x.is_complex() else x
    return float(whole(torch.linalg.vector_norm(x, dtype=torch.float64)))


def gradient_norms(model: nn.Module, loss: Tensor) -> dict[str, GradientNorm]:
    """Measure the gradient of every parameter that requires one.

    Args:
        model: Any module. A shared parameter is listed once, under its first name.
        loss: A scalar computed by the model. Its graph is kept: `loss.backward()` works after it.

    Returns:
        The norms by parameter name, in the model's order. `.grad` is left as it was. Of sharded
        parameters (FSDP2, tensor parallelism) the norms are those of the whole: all ranks must
        call. Under DDP they are those of this rank's batch.

    Raises:
        ValueError: If `loss` is no scalar or has no graph, or no parameter requires a gradient.
        RuntimeError: By torch, which says why, if the graph cannot be kept: behind
            `checkpoint(…, use_reentrant=True)`, whose other form works, and behind some compiled
            models, unless `torch._functorch.config.donated_buffer` is False.
        TypeError: If `model` is a `FullyShardedDataParallel` (FSDP1).

    Example:
        >>> model = nn.Linear(2, 1, bias=False)
        >>> _ = nn.init.constant_(model.weight, 0.5)
        >>> norms = gradient_norms(model, model(torch.tensor([3.0, 4.0])).sum())["weight"]
        >>> norms.gradient, round(norms.parameter, 4)
        (5.0, 0.7071)
    """
    check_scalar(loss)
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if not named:
        raise ValueError("model has no parameter that requires a gradient: nothing to measure")
    gradients = parameter_gradients(model, loss, named.values())
    return {
        name: GradientNorm(None if g is None else _norm(g), _norm(p))
        for (name, p), g in zip(named.items(), gradients, strict=True)
    }


def _layers(model: nn.Module) -> dict[str, nn.Module]:
    """Return the modules without children or with parameters of their own, by name."""
    found = {}
    for name, module in model.named_modules():
        parts = name.split(".")
        inner = [child for child, _ in module.named_children() if child != "parametrizations"]
        own = list(module.parameters(recurse=False)) or hasattr(module, "parametrizations")
        if "parametrizations" not in parts and (own or not inner):
            found[".".join(part for part in parts if part != "_orig_mod")] = module
    return found


# What may stand in an output beside tensors.
_PLAIN = (bool, int, float, complex, str, bytes, type(None), torch.Size, torch.dtype, torch.device)


def _tensors(name: str, output: Any) -> dict[str, Tensor]:
    """Return the floating-point tensors of an output, by their place in it."""
    found = {}
    for path, leaf in tree_flatten_with_path(output)[0]:
        if isinstance(leaf, Tensor):
            if leaf.is_floating_point() or leaf.is_complex():
                found[keystr(path)] = leaf
        elif not isinstance(leaf, _PLAIN):
            raise TypeError(
                f"{name} returns a {type(leaf).__name__}, whose tensors cannot be seen: return a "
                "tensor, tuple, list or dict, or register it as a pytree"
            )
    return found


@torch.enable_grad()
def signal_norms(
    model: nn.Module,
    x: Any,
    loss_fn: Callable[[Any], Tensor],
    *,
    keywords: Mapping[str, Any] | None = None,
) -> dict[str, SignalNorm]:
    """Measure signal and gradient at the output of every layer, in the order of the calls.

    Args:
        model: Any module, in the mode in which it is to be measured. Layers are the modules without
            children, and those with parameters of their own. Compiled modules run uncompiled,
            checkpointed ones of either kind without recomputing, a DDP module without
            communication. Under FSDP2 and tensor parallelism all ranks must call.
        x: What the model is called with; a tuple holds several arguments.
        loss_fn: Takes the model's output, returns a scalar.
        keywords: Keyword arguments of the call.

    Returns:
        The norms by module name; the k-th call of a shared module is "name#k". Where a layer
        returns several tensors, as an LSTM does, each is listed by its place, "lstm[0]" or
        "attention['weights']". Integer tensors have no gradient and are left out. A layer that is
        not called is not listed.

    Raises:
        ValueError: If the loss is no scalar or has no graph.
        TypeError: If a module cannot be seen into: a ScriptModule, FSDP1, or an output that hides
            its tensors.
        RuntimeError: If parameters enter the loss past their layer, whose output is then unknown.

    Note:
        Runs one forward pass, which advances the random state where there is dropout. Activations
        with `inplace=True` work: they get a copy.

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 4), nn.Sigmoid(), nn.Linear(4, 1))
        >>> list(signal_norms(model, torch.ones(2, 4), lambda y: y.sum()))
        ['0', '1', '2']
    """
    outputs: dict[str, Tensor] = {}
    sizes: dict[str, float] = {}
    calls: Counter[str] = Counter()

    def record(name: str) -> Callable[[nn.Module, Any, Any], Any]:
        def hook(_: nn.Module, __: Any, output: Any) -> Any:
            calls[name] += 1
            label = f"{name}#{calls[name]}" if calls[name] > 1 else name
            for place, tensor in _tensors(name, output).items():
                outputs[label + place], sizes[label + place] = tensor, _norm(tensor)
            # What follows may change it in place.
            return tree_map(lambda t: t.clone() if _is_tracked(t) else t, output)

        return hook

    refuse_unseen(model)
    layers = _layers(model)
    with ExitStack() as stack:
        for name, module in layers.items():
            stack.callback(module.register_forward_hook(record(name)).remove)
        loss = loss_fn(call_on_copies(model, x, keywords))
    check_scalar(loss)
    _check_all_called(layers, calls, loss)
    tracked = [key for key, output in outputs.items() if output.requires_grad]
    found = dict(zip(tracked, gradients_at(loss, [outputs[k] for k in tracked]), strict=True))
    gradients = {key: found.get(key) for key in outputs}
    return {
        key: SignalNorm(None if g is None else _norm(g), sizes[key]) for key, g in gradients.items()
    }


def _is_tracked(x: Any) -> bool:
    return isinstance(x, Tensor) and x.requires_grad


def _check_all_called(layers: dict[str, nn.Module], calls: Counter[str], loss: Tensor) -> None:
    """Raise if a layer that was not called has parameters in the loss, and no one speaks for it."""
    seen = {p for name in calls for p in layers[name].parameters()}
    missed = {
        p: name
        for name, layer in layers.items()
        for p in layer.parameters(recurse=False)
        if p.requires_grad and p not in seen
    }
    if not missed:
        return
    used = gradients_at(loss, missed)
    past = dict.fromkeys(n for n, g in zip(missed.values(), used, strict=True) if g is not None)
    if past:
        raise RuntimeError(
            f"{', '.join(past)}: the parameters enter the loss, but not by a call of the layer, "
            "so that its output cannot be seen; call it as a module"
        )
