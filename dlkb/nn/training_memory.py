"""Measure what any module keeps for its backward pass, and the peak of a whole step.

`saved_memory` asks autograd, `peak_memory` watches the tensors. Both work on the CPU, on other
devices, and on the device "meta", where a model of any size takes no memory.
"""

import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode, is_traceable_wrapper_subclass
from torch.utils._pytree import tree_leaves

from dlkb.nn._calls import refuse_unseen


@dataclass(frozen=True)
class SavedMemory:
    """Bytes that are alive between forward and backward pass; print it.

    Attributes:
        parameters: Of the model; shared ones once.
        gradients: That the backward pass will add, one for each parameter that requires it.
        buffers: Of the model, such as running statistics.
        inputs: Of the call's arguments, as far as they are kept.
        activations: Whatever else is kept.
        modules: The activations by the module in whose call they were first kept, as
            `named_modules` has it. "" is the model itself, "loss" is the loss function.
    """

    parameters: int
    gradients: int
    buffers: int
    inputs: int
    activations: int
    modules: dict[str, int]

    def __str__(self) -> str:
        rows = {
            name: getattr(self, name)
            for name in ("parameters", "gradients", "buffers", "inputs", "activations")
        }
        rows |= {f"  {name or '(model)'}": size for name, size in self.modules.items()}
        width = max(map(len, rows))
        return "\n".join(f"{name:{width}} {_readable(size):>10}" for name, size in rows.items())


def _readable(size: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.4g} {unit}"
        size /= 1024
    return f"{size:.4g} GiB"


class _Held:
    """A kept tensor: lives as long as the graph that keeps it."""

    def __init__(self, tensor: Tensor, name: str) -> None:
        self.tensor = tensor
        self.name = name


def _storages(x: Tensor) -> Iterator[torch.UntypedStorage]:
    """Yield the memory of a tensor; of a wrapper (DTensor, jagged), that of what is inside."""
    if is_traceable_wrapper_subclass(x):
        for name in x.__tensor_flatten__()[0]:
            yield from _storages(getattr(x, name))
    elif x.layout is torch.sparse_coo:
        yield from (part.untyped_storage() for part in (x._indices(), x._values()))
    elif x.layout is torch.strided:
        yield x.untyped_storage()
    else:
        raise TypeError(f"a tensor has the layout {x.layout}: its memory cannot be counted")


def _sizes(tensors: Iterable[Any]) -> dict[int, int]:
    """Return the bytes of each storage, by its address."""
    parts = (part for x in tensors if isinstance(x, Tensor) for part in _storages(x))
    return {part._cdata: part.nbytes() for part in parts}


def _entries(x: Tensor) -> int:
    """Return the bytes of a tensor's entries, of a wrapper those of what is inside."""
    if is_traceable_wrapper_subclass(x):
        return sum(_entries(getattr(x, name)) for name in x.__tensor_flatten__()[0])
    return x.numel() * x.element_size()


@torch.enable_grad()
def saved_memory(
    model: nn.Module,
    x: Any,
    loss_fn: Callable[[Any], Tensor] | None = None,
    *,
    keywords: Mapping[str, Any] | None = None,
) -> SavedMemory:
    """Measure what a forward pass keeps for the backward pass.

    Storages are counted, whole and once each: a tensor that several operations keep, and views of
    one tensor, take memory once; a small view keeps all of its storage.

    Args:
        model: Any module, in the mode in which it is trained. Checkpointed and compiled modules run
            as they are. Under FSDP2 and tensor parallelism the bytes are this rank's.
        x: What the model is called with; a tuple holds several arguments.
        loss_fn: Takes the model's output, returns the loss; what it keeps is counted too.
        keywords: Keyword arguments of the call.

    Returns:
        The bytes. Buffers are left as they were.

    Raises:
        TypeError: If a module cannot be seen into (a ScriptModule, FSDP1), or a tensor's layout is
            neither strided nor sparse COO.

    Note:
        Runs one forward pass, which advances the random state where there is dropout. Tensors that
        an `autograd.Function` keeps without `save_for_backward` are not seen, nor is what a kernel
        allocates only while it runs: for these, `peak_memory` or `torch.cuda.memory`. On "meta"
        PyTorch's fused attention keeps its scores, as it does with dropout on the CPU.

    Example:
        >>> model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 4))
        >>> saved = saved_memory(model, torch.ones(32, 8))
        >>> saved.inputs, saved.activations, saved.modules
        (1024, 2048, {'1': 2048})
    """
    refuse_unseen(model)
    kept: list[weakref.ref[_Held]] = []
    names = [""]

    def pack(tensor: Tensor) -> _Held:
        # Detached: a result that leads to the graph that keeps it would never be freed.
        held = _Held(tensor.detach(), names[-1])
        kept.append(weakref.ref(held))
        return held

    def unpack(held: _Held) -> Tensor:
        return held.tensor

    def enter(name: str) -> Callable[..., None]:
        return lambda *_: names.append(name)

    def leave(*_: Any) -> None:
        names.pop()

    args = x if type(x) is tuple else (x,)
    buffers = {name: b.clone() for name, b in model.named_buffers()}
    with ExitStack() as stack:
        for name, module in model.named_modules():
            stack.callback(module.register_forward_pre_hook(enter(name)).remove)
            hook = module.register_forward_hook(leave, always_call=True)
            stack.callback(hook.remove)
        stack.enter_context(saved_tensors_hooks(pack, unpack))
        output = functional_call(model, buffers, args, dict(keywords or {}))
        names.append("loss")
        output = loss_fn(output) if loss_fn is not None else output
    seen = _sizes((*model.parameters(), *model.buffers(), *buffers.values()))
    given = _sizes(tree_leaves((args, keywords)))
    inputs, modules = 0, dict[str, int]()
    for held in filter(None, (reference() for reference in kept)):
        for key, size in _sizes([held.tensor]).items():
            if key in seen:
                continue
            seen[key] = size
            if key in given:
                inputs += size
            else:
                modules[held.name] = modules.get(held.name, 0) + size
    del output  # until here it held the graph
    trained = [p for p in model.parameters() if p.requires_grad]
    return SavedMemory(
        parameters=sum(_sizes(model.parameters()).values()),
        gradients=sum(map(_entries, trained)),  # a view of a storage has a gradient of its own
        buffers=sum(_sizes(model.buffers()).values()),
        inputs=inputs,
        activations=sum(modules.values()),
        modules=modules,
    )


class _Watch(TorchDispatchMode):
    """Counts the bytes of the storages that operations create, as long as each lives."""

    def __init__(self) -> None:
        super().__init__()
        self.alive: dict[int, weakref.ref[torch.UntypedStorage]] = {}
        self.now = self.peak = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        # torch.tensor fills its memory unseen, then hands it to this operation; an array's memory,
        # which cannot be resized, was there.
        fresh = func is torch.ops.aten.lift_fresh.default and args[0].untyped_storage().resizable()
        self.see((args, kwargs), new=fresh)
        output = func(*args, **kwargs)
        self.see(output, new=True)
        return output

    def see(self, tree: Any, *, new: bool) -> None:
        for leaf in tree_leaves(tree):
            for storage in _storages(leaf) if isinstance(leaf, Tensor) else ():
                self.count(storage, storage.nbytes() if new else 0)

    def count(self, storage: torch.UntypedStorage, size: int) -> None:
        key = storage._cdata
        if key in self.alive:
            return

        def gone(_: Any) -> None:
            self.now -= size
            self.alive.pop(key)

        self.alive[key] = weakref.ref(storage, gone)
        self.now += size
        self.peak = max(self.peak, self.now)


def peak_memory(step: Callable[[], Any]) -> int:
    """Measure the most bytes that tensors made in a call took at one time.

    Args:
        step: Called without arguments: a training step, or a part of it. What it returns lives
            until the end. Clear `.grad` before, if gradients are to be counted.

    Returns:
        Bytes beyond what was there before. What was there and is freed by the call is not taken
        off.

    Raises:
        TypeError: If a tensor's layout is neither strided nor sparse COO.

    Note:
        Differs from `torch.cuda.max_memory_allocated`, which also sees what a kernel allocates
        while it runs and rounds up, and needs a GPU. Compiled code is seen where it calls
        operations, not inside its kernels.

    Example:
        >>> x = torch.ones(1000)
        >>> peak_memory(lambda: (x + 1) * 2), peak_memory(lambda: x.view(10, 100))
        (8000, 0)
    """
    with _Watch() as watch:
        result = step()
    del result
    return watch.peak
