"""A whole `step()` of our optimizers against every implementation that `torch.optim` has."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

import dlkb.optim
from scripts.bench.timing import in_turn

VOCABULARY, WIDTH, BLOCKS = 8192, 512, 8

KINDS = {
    "Adam": (dlkb.optim.Adam, torch.optim.Adam),
    "AdamW": (dlkb.optim.AdamW, torch.optim.AdamW),
}


def transformer() -> list[Tensor]:
    """Return parameters in the shapes of a small transformer: 100 tensors, 30 million entries."""
    shapes: list[tuple[int, ...]] = [(VOCABULARY, WIDTH), (WIDTH,), (WIDTH,)]
    for _ in range(BLOCKS):
        shapes += [(WIDTH,), (WIDTH,), (3 * WIDTH, WIDTH), (3 * WIDTH,), (WIDTH, WIDTH), (WIDTH,)]
        shapes += [(WIDTH,), (WIDTH,), (4 * WIDTH, WIDTH), (4 * WIDTH,)]
        shapes += [(WIDTH, 4 * WIDTH), (WIDTH,)]
    shapes += [(256, WIDTH)]
    return [torch.randn(shape) for shape in shapes]


def tiny() -> list[Tensor]:
    """Return the parameters of a perceptron for scikit-learn's digits: 6 tensors, 7 thousand."""
    model = nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 32), nn.Linear(32, 10))
    return [p.detach() for p in model.parameters()]


def with_gradients(tensors: list[Tensor], dtype: torch.dtype, device: str) -> list[Tensor]:
    """Return fresh parameters with gradients."""
    generator = torch.Generator().manual_seed(0)
    parameters = []
    for tensor in tensors:
        p = nn.Parameter(tensor.to(device, dtype, copy=True))
        p.grad = torch.randn(p.shape, generator=generator).to(device, dtype)
        parameters.append(p)
    return parameters


def check_equal(ours: torch.optim.Optimizer, theirs: torch.optim.Optimizer) -> None:
    """Refuse to time two optimizers that do not go the same way."""
    for _ in range(3):
        ours.step()
        theirs.step()
    check_close(ours.param_groups[0]["params"], theirs.param_groups[0]["params"])


def check_close(ours: list[Tensor], theirs: list[Tensor]) -> None:
    """Refuse to time optimizers whose parameters differ by more than rounding."""
    for a, b in zip(ours, theirs, strict=True):
        tolerance = 3e-2 if a.dtype == torch.bfloat16 else 2e-6
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def peak_bytes(step: Callable[[], object]) -> int:
    """Return how much memory a step needs besides what it leaves behind."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step()
        return torch.cuda.max_memory_allocated() - before
    with torch.profiler.profile(profile_memory=True) as profile:
        step()
    now = highest = 0
    for event in profile.profiler.kineto_results.events():
        if event.name() == "[memory]":
            now += event.nbytes()
            highest = max(highest, now)
    return highest


def measure(device: str) -> Iterator[dict[str, Any]]:
    """Yield a row for each optimizer, model and dtype."""
    for name, (ours, theirs) in KINDS.items():
        for model, tensors in {"transformer": transformer(), "tiny": tiny()}.items():
            for dtype in (torch.float32, torch.bfloat16):
                made = {
                    "ours": ours(with_gradients(tensors, dtype, device)),
                    "ours, compiled": ours(with_gradients(tensors, dtype, device), fused=True),
                    "default": theirs(with_gradients(tensors, dtype, device)),
                    "foreach": theirs(with_gradients(tensors, dtype, device), foreach=True),
                    "fused": theirs(with_gradients(tensors, dtype, device), fused=True),
                }
                for kind in ("ours", "ours, compiled"):
                    check_equal(copy.deepcopy(made[kind]), copy.deepcopy(made["default"]))
                steps = {kind: optimizer.step for kind, optimizer in made.items()}
                yield {
                    "name": name,
                    "model": model,
                    "tensors": len(tensors),
                    "entries": sum(t.numel() for t in tensors),
                    "dtype": str(dtype).removeprefix("torch."),
                    "rounds": in_turn(steps),
                    "bytes": {kind: peak_bytes(step) for kind, step in steps.items()},
                }
