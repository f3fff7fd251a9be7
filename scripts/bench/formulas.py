"""Formulas, eager and compiled, against the function that PyTorch ships, and a plain copy.

A copy reads and writes each entry once. No formula that returns an array like its argument can
be faster than that on memory-bound sizes, so it is the limit set beside each time.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from dlkb.book.publish.measured import CONTROL
from dlkb.gradients.clipping import clip_by_value, global_norm
from dlkb.nn import Dropout
from dlkb.regularization.l1_l2 import penalty, soft_threshold
from scripts.bench.timing import in_turn

SIZES = {"cpu": (2**14, 2**18, 2**22, 2**24), "cuda": (2**18, 2**22, 2**25, 2**28)}
"""Entries: from what the cache holds to what it does not."""
DTYPES = (torch.float32, torch.bfloat16)
ROUNDS = 7

Function = Callable[[Tensor], Tensor]


class Pair(NamedTuple):
    """A formula of ours and the function of PyTorch that computes the same."""

    name: str
    peer: str
    ours: Function
    theirs: Function
    same: bool = True
    """Whether the values must agree; masks are drawn anew."""
    kink: float = 0.0
    """|x| at which the derivative jumps, so that either side of it may be returned."""


def pairs() -> Iterator[Pair]:
    """Yield what PyTorch has a function of its own for."""
    yield Pair("dropout", "F.dropout", Dropout(0.1), partial(F.dropout, p=0.1), same=False)
    yield Pair(
        "soft_threshold",
        "F.softshrink",
        partial(soft_threshold, threshold=0.5),
        partial(F.softshrink, lambd=0.5),
        kink=0.5,
    )
    yield Pair(
        "clip_by_value",
        "F.hardtanh",
        partial(clip_by_value, clip_value=1.0),
        F.hardtanh,
        kink=1.0,
    )
    yield Pair(
        "penalty, L1",
        "linalg.vector_norm",
        partial(penalty, l1=1.0),
        partial(torch.linalg.vector_norm, ord=1),
    )
    yield Pair(
        "global_norm",
        "linalg.vector_norm",
        lambda x: global_norm([x]),
        torch.linalg.vector_norm,
    )
    # What the compiler makes of one of PyTorch's own functions, to tell its cost from ours.
    yield Pair(CONTROL, "itself", torch.relu, torch.relu)


def runner(f: Function, x: Tensor, backward: bool) -> Callable[[], object]:
    """Return a call of `f`, followed by its backward pass if that is wanted."""
    if not backward:
        with_constant = x.detach()
        return lambda: f(with_constant)
    x = x.detach().requires_grad_()
    cotangent = torch.ones_like(f(x))

    def forward_and_backward() -> None:
        x.grad = None
        f(x).backward(cotangent)

    return forward_and_backward


def check_equal(pair: Pair, compiled: Function, x: Tensor) -> None:
    """Refuse to time what does not compute the same values and gradients."""
    tolerance = 2e-2 if x.dtype == torch.bfloat16 else 2e-4
    found = []
    for f in (pair.ours, compiled, pair.theirs):
        leaf = x.detach().clone().requires_grad_()
        y = f(leaf)
        y.sum().backward()
        assert leaf.grad is not None
        found.append((y.detach(), leaf.grad))
    smooth = (x.abs() - pair.kink).abs() > 0.01
    y, gradient = found.pop()
    for ours, our_gradient in found if pair.same else []:
        # torch's own norm of order 1 is off by 0.5 % on 16 million float32 entries.
        loss = 1e-2 if y.ndim == 0 else 0.0
        torch.testing.assert_close(ours, y, rtol=tolerance + loss, atol=tolerance)
        torch.testing.assert_close(
            our_gradient[smooth], gradient[smooth], rtol=tolerance, atol=tolerance
        )


def measure(device: str) -> Iterator[dict[str, Any]]:
    """Yield a row for each formula, dtype, size and direction."""
    generator = torch.Generator(device).manual_seed(0)
    for pair in pairs():
        for dtype in DTYPES:
            for size in SIZES[device]:
                x = torch.randn(size // 1024, 1024, generator=generator, device=device).to(dtype)
                torch.compiler.reset()  # one shape, one kernel
                # Masks from PyTorch's own generator: the compiler's draws number by number.
                options = {"fallback_random": not pair.same}
                compiled = torch.compile(pair.ours, fullgraph=True, options=options)
                check_equal(pair, compiled, x)
                out = torch.empty_like(x)
                for backward in (False, True):
                    rounds = in_turn(
                        {
                            "compiled": runner(compiled, x, backward),
                            "eager": runner(pair.ours, x, backward),
                            "torch": runner(pair.theirs, x, backward),
                            "copy": partial(out.copy_, x),
                        },
                        ROUNDS,
                    )
                    yield {
                        "name": pair.name,
                        "peer": pair.peer,
                        "dtype": str(dtype).removeprefix("torch."),
                        "entries": size,
                        "backward": backward,
                        "rounds": rounds,
                    }
