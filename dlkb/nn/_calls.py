"""What the probes share: calls and gradients that leave the model as it was, sharded or not."""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.func import functional_call


def whole(x: Tensor) -> Tensor:
    """Return an ordinary tensor: what all shards of a `DTensor` make up. All ranks must call."""
    gather = getattr(x, "full_tensor", None)
    return x if gather is None else gather()


def check_scalar(loss: Tensor) -> None:
    """Raise a ValueError unless the loss is one number that can be differentiated."""
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        what = f"shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
        raise ValueError(f"loss is {what}: a scalar tensor is needed, reduce with .mean()")
    if not loss.requires_grad:
        raise ValueError(
            "loss has no graph: compute it outside torch.no_grad(), from parameters that require "
            "gradients, and before any backward() that frees the graph"
        )


def gradients_at(loss: Tensor, at: Iterable[Tensor]) -> list[Tensor | None]:
    """Return the gradients of a loss, whose graph is kept; None where it does not depend."""
    return list(torch.autograd.grad(loss, list(at), retain_graph=True, allow_unused=True))


def parameter_gradients(
    model: nn.Module, loss: Tensor, at: Iterable[Tensor]
) -> list[Tensor | None]:
    """Return the gradients of parameters; `.grad` is left as it was.

    FSDP2 computes with parameters that it makes for the purpose: there the gradients of the sharded
    ones are what `backward` adds to `.grad`.
    """
    refuse_flat(model)
    if not is_fully_sharded(model):
        return gradients_at(loss, at)
    kept = [(p, p.grad, None if p.grad is None else p.grad.clone()) for p in model.parameters()]
    try:
        for p in model.parameters():
            p.grad = None
        loss.backward(retain_graph=True)
        return [p.grad for p in at]
    finally:
        for p, grad, values in kept:
            p.grad = grad
            if grad is not None and values is not None:
                grad.copy_(values)


class _Reentrant:
    """Stands in for the reentrant form of checkpointing, which hides what is inside from autograd.

    Nothing is recomputed. As there, no gradient is known where no argument requires one.
    """

    @staticmethod
    def apply(function: Callable[..., Any], _: bool, *args: Any) -> Any:
        tracked = any(isinstance(x, Tensor) and x.requires_grad for x in args)
        with torch.set_grad_enabled(tracked and torch.is_grad_enabled()):
            return function(*args)


def _not_reentrant(*_: Any, **__: Any) -> Iterator[None]:
    """Stand in for what the other form does before and after a call, to recompute it later.

    The call would be repeated in the backward pass, on the model's own buffers.
    """
    yield


@contextmanager
def _eager() -> Iterator[None]:
    """Run compiled modules as they were written, and checkpoints without recomputing."""
    import torch.utils.checkpoint as checkpoint  # not among what `import torch` imports

    with (
        torch.compiler.set_stance("force_eager"),
        patch.object(checkpoint, "CheckpointFunction", _Reentrant),
        patch.object(checkpoint, "_checkpoint_without_reentrant_generator", _not_reentrant),
    ):
        yield


def _of_fsdp(model: nn.Module, kind: str) -> bool:
    # No import: whose modules are sharded has imported it.
    found = getattr(sys.modules.get("torch.distributed.fsdp"), kind, ())
    return any(isinstance(module, found) for module in model.modules())


def is_fully_sharded(model: nn.Module) -> bool:
    """Whether `fully_shard` (FSDP2) manages a part of the model."""
    return _of_fsdp(model, "FSDPModule")


def refuse_flat(model: nn.Module) -> None:
    """Raise a TypeError if parameters are flattened by FSDP1: their gradients have no names."""
    if _of_fsdp(model, "FullyShardedDataParallel"):
        raise TypeError(
            "model is a FullyShardedDataParallel, whose parameters are flattened: use fully_shard"
        )


def refuse_unseen(model: nn.Module) -> None:
    """Raise a TypeError that names the modules whose inside no hook can see."""
    refuse_flat(model)
    for name, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            raise TypeError(
                f"{name or 'model'} is a ScriptModule: hooks do not run in it, probe the module "
                "that it was made from"
            )


def call_on_copies(
    model: Callable[..., Any], x: Any, keywords: Mapping[str, Any] | None = None
) -> Any:
    """Call a model; what a module does to its buffers happens to copies.

    A tuple `x` holds several arguments. Under DDP the module inside is called, without any
    communication.
    """
    args = x if type(x) is tuple else (x,)
    keywords = dict(keywords or {})
    if not isinstance(model, nn.Module):
        return model(*args, **keywords)
    inner = model.module if isinstance(model, nn.parallel.DistributedDataParallel) else model
    buffers = {name: b.clone() for name, b in inner.named_buffers()}
    with _eager():
        return functional_call(inner, buffers, args, keywords)
