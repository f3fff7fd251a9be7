"""Formulas, eager and compiled, against the function that PyTorch ships, and a plain copy.

A copy reads and writes each entry once. No formula that returns an array like its argument can
be faster than that on memory-bound sizes, so it is the limit set beside each time.

On a GPU, Liger-Kernel's functions take part where it is installed: `pip install liger-kernel`.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from dlkb.activations.gelu import gelu, gelu_vjp, silu, silu_vjp
from dlkb.activations.glu import gated, gated_vjp
from dlkb.book.publish.measured import COMPILED, CONTROL, LIGER
from dlkb.gradients.clipping import clip_by_value, clip_by_value_vjp, global_norm
from dlkb.losses.cross_entropy import cross_entropy, cross_entropy_vjp
from dlkb.nn import Dropout, compiled
from dlkb.normalization.layer_norm import layer_norm, layer_norm_vjp
from dlkb.normalization.rms_norm import rms_norm, rms_norm_vjp
from dlkb.regularization.l1_l2 import penalty, penalty_vjp, soft_threshold, soft_threshold_vjp
from scripts.bench.timing import in_turn, keep_freed_memory

SIZES = {"cpu": (2**14, 2**18, 2**22, 2**24), "cuda": (2**24, 2**28)}
"""Entries: from what the cache holds to what it does not; 2²⁸ are a GiB in float32."""
DTYPES = (torch.float32, torch.bfloat16)
ROUNDS = 7

WIDTH = 1024
"""Entries of a row: features, or classes."""

Function = Callable[..., Tensor]


class Pair(NamedTuple):
    """A formula of ours and the function of PyTorch that computes the same."""

    name: str
    peer: str
    ours: Function
    theirs: Function
    vjp: Callable[..., Any] | None = None
    """The gradient by hand: where there is one, it is compiled as a graph of its own."""
    options: Mapping[str, Any] = MappingProxyType({})
    """Of the formula and its gradient."""
    others: Callable[[Tensor], tuple[Tensor, ...]] = lambda x: ()
    """The arguments after the first."""
    arrays: float = 2
    """Arrays like the first that a forward pass must read or write; a copy moves two."""
    same: bool = True
    """Whether the values must agree; masks are drawn anew."""
    kink: float = 0.0
    """|x| at which the derivative jumps, so that either side of it may be returned."""


def pairs() -> Iterator[Pair]:
    """Yield what PyTorch has a function of its own for."""
    yield Pair("dropout", "F.dropout", Dropout(0.1), partial(F.dropout, p=0.1), same=False)
    yield Pair("gelu", "F.gelu", gelu, F.gelu, gelu_vjp)
    yield Pair("silu", "F.silu", silu, F.silu, silu_vjp)
    yield Pair(
        "swiglu",
        "F.silu times x",
        gated,
        lambda value, gate: value * F.silu(gate),
        gated_vjp,
        {"variant": "swiglu"},
        others=lambda x: (x.flip(0),),
        arrays=3,
    )
    yield Pair(
        "layer_norm",
        "F.layer_norm",
        layer_norm,
        lambda x, w, b: F.layer_norm(x, (WIDTH,), w, b),
        layer_norm_vjp,
        others=lambda x: (x[0].abs(), x[1].clone()),
    )
    yield Pair(
        "rms_norm",
        "F.rms_norm",
        rms_norm,
        lambda x, w: F.rms_norm(x, (WIDTH,), w),
        rms_norm_vjp,
        others=lambda x: (x[0].abs(),),
    )
    yield Pair(
        "cross_entropy",
        "F.cross_entropy",
        cross_entropy,
        F.cross_entropy,
        cross_entropy_vjp,
        others=lambda x: (x.argmin(-1),),
        arrays=1,
    )
    yield Pair(
        "soft_threshold",
        "F.softshrink",
        soft_threshold,
        partial(F.softshrink, lambd=0.5),
        soft_threshold_vjp,
        {"threshold": 0.5},
        kink=0.5,
    )
    yield Pair(
        "clip_by_value",
        "F.hardtanh",
        clip_by_value,
        F.hardtanh,
        clip_by_value_vjp,
        {"clip_value": 1.0},
        kink=1.0,
    )
    yield Pair(
        "penalty, L1",
        "linalg.vector_norm",
        penalty,
        partial(torch.linalg.vector_norm, ord=1),
        penalty_vjp,
        {"l1": 1.0},
        arrays=1,
    )
    yield Pair(
        "global_norm",
        "linalg.vector_norm",
        lambda x: global_norm([x]),
        torch.linalg.vector_norm,
        arrays=1,
    )
    # What the compiler makes of one of PyTorch's own functions, to tell its cost from ours.
    yield Pair(CONTROL, "itself", torch.relu, torch.relu)


def liger() -> dict[str, Function]:
    """Return what Liger-Kernel has of these formulas, nothing where it is not installed."""
    if find_spec("liger_kernel") is None:
        return {}
    ops = import_module("liger_kernel.ops")
    return {
        "swiglu": lambda value, gate: ops.LigerSiLUMulFunction.apply(gate, value),
        "layer_norm": lambda x, w, b: ops.LigerLayerNormFunction.apply(x, w, b, 1e-5),
        "rms_norm": lambda x, w: ops.LigerRMSNormFunction.apply(x, w, torch.finfo(x.dtype).eps),
        "cross_entropy": lambda x, labels: ops.LigerCrossEntropyFunction.apply(x, labels, None)[0],
    }


def graphs(pair: Pair) -> Function:
    """Return the formula, compiled: with its gradient by hand where there is one."""
    if pair.vjp is not None:
        return compiled(pair.ours, pair.vjp, pair.options)
    return graph(pair, partial(pair.ours, **pair.options))


def graph(pair: Pair, f: Function) -> Function:
    """Return a function of the pair, compiled; the compiler derives its gradient."""
    # Masks from PyTorch's own generator: the compiler's draws number by number.
    options: dict[str, str | int | bool | Callable[..., Any]] = {"fallback_random": not pair.same}
    return torch.compile(f, fullgraph=True, options=options)


def leaves(pair: Pair, x: Tensor, *, backward: bool) -> list[Tensor]:
    """Return the arguments, of which the floating-point ones have a gradient if it is wanted."""
    given = [a.detach().clone() for a in (x, *pair.others(x))]
    return [a.requires_grad_(backward and a.is_floating_point()) for a in given]


def runner(f: Function, arguments: list[Tensor], *, backward: bool) -> Callable[[], object]:
    """Return a call of `f`, followed by its backward pass if that is wanted."""
    if not backward:
        return lambda: f(*arguments)
    cotangent = torch.ones_like(f(*arguments))

    def forward_and_backward() -> None:
        for a in arguments:
            a.grad = None
        f(*arguments).backward(cotangent)

    return forward_and_backward


def check_equal(pair: Pair, both: Function, kernels: Mapping[str, Function], x: Tensor) -> None:
    """Refuse to time what does not compute the same values and gradients."""
    tolerance = 2e-2 if x.dtype == torch.bfloat16 else 2e-4
    found = []
    functions: list[Function] = [partial(pair.ours, **pair.options), both]
    if pair.name in kernels:
        functions.append(kernels[pair.name])
    runs = [(f, x) for f in (*functions, pair.theirs)]
    # Of a gain or a shift torch's CPU kernel sums the rows in bfloat16, which ends far too low.
    for f, at in (*runs, (pair.theirs, x.float())):
        given = leaves(pair, at, backward=True)
        y = f(*given)
        y.sum().backward()
        found.append((y.detach(), [a.grad for a in given if a.grad is not None]))
    smooth = (x.abs() - pair.kink).abs() > 0.01
    _, (_, *more) = found.pop()
    y, (gradient, *_) = found.pop()
    for ours, (our_gradient, *ours_more) in found if pair.same else []:
        # torch's own norm of order 1 is off by 0.5 % on 16 million float32 entries.
        loss = 1e-2 if y.ndim == 0 else 0.0
        torch.testing.assert_close(ours, y, rtol=tolerance + loss, atol=tolerance)
        torch.testing.assert_close(
            our_gradient[smooth], gradient[smooth], rtol=tolerance, atol=tolerance
        )
        for a, b in zip(ours_more, more, strict=True):
            # Of a gain: a sum over all rows, whose rounding grows with their number.
            largest = float(b.abs().max())
            torch.testing.assert_close(a.float(), b, rtol=tolerance, atol=tolerance * largest)


def measure(device: str) -> Iterator[dict[str, Any]]:
    """Yield a row for each formula, dtype, size and direction."""
    keep_freed_memory()
    generator = torch.Generator(device).manual_seed(0)
    kernels = liger() if device == "cuda" else {}
    for pair in pairs():
        for dtype in DTYPES:
            for size in SIZES[device]:
                x = torch.randn(size // WIDTH, WIDTH, generator=generator, device=device).to(dtype)
                torch.compiler.reset()  # one shape, one kernel
                both, eager = graphs(pair), partial(pair.ours, **pair.options)
                control = graph(pair, pair.theirs)
                check_equal(pair, both, kernels, x)
                out = torch.empty_like(x)
                for backward in (False, True):
                    given = leaves(pair, x, backward=backward)
                    contestants: dict[str, Callable[[], object]] = {
                        "compiled": runner(both, given, backward=backward),
                        "eager": runner(eager, given, backward=backward),
                        "torch": runner(pair.theirs, given, backward=backward),
                        COMPILED: runner(control, given, backward=backward),
                        "copy": partial(out.copy_, x),
                    }
                    if pair.name in kernels:
                        # Liger-Kernel writes gradients over the arguments: it gets its own.
                        own = leaves(pair, x, backward=backward)
                        kernel = runner(kernels[pair.name], own, backward=backward)
                        contestants[LIGER] = kernel
                    yield {
                        "name": pair.name,
                        "peer": pair.peer,
                        "dtype": str(dtype).removeprefix("torch."),
                        "entries": size,
                        "backward": backward,
                        "arrays": pair.arrays,
                        "rounds": in_turn(contestants, ROUNDS),
                    }
