"""Where the time goes: parts of the book's commands, operators of a step."""

import json
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

import dlkb.optim
from dlkb.book.draw.drawing import ENVIRONMENT
from dlkb.regularization.l1_l2 import soft_threshold
from scripts.bench import lora, optimizers
from scripts.bench.formulas import SIZES, runner
from scripts.bench.processes import copy_repository, environment, seconds
from scripts.bench.timers import PARTS

CALLS = 10
OPERATORS = 6
"""How many operators are named; the others are the rest."""


def commands() -> Iterator[dict[str, Any]]:
    """Yield the parts of each of the book's commands."""
    with tempfile.TemporaryDirectory() as folder:
        book, output = copy_repository(Path(folder).resolve() / "book"), Path(folder) / "parts"
        seconds(book, environment(book), "-m", "dlkb.book", "prepare")
        for task in PARTS:
            env = environment(book, **ENVIRONMENT)
            whole = seconds(book, env, "-m", "scripts.bench.timers", task, str(output))
            parts = json.loads(output.read_text())
            if task != "refresh":  # which is a moment of a process, not the whole of it
                parts["starting and ending Python"] = whole - sum(parts.values())
            yield {"name": task, "parts": in_order(parts)}


def in_order(parts: dict[str, float]) -> dict[str, float]:
    """Return parts, the longest first."""
    ranked = sorted(parts.items(), key=lambda item: -item[1])
    return {name: float(f"{seconds:.3g}") for name, seconds in ranked}


def operators(work: Callable[[], object], device: str) -> dict[str, float]:
    """Return the seconds that a call spends in each operator, on the device.

    On a GPU, time is that of the kernels, by the operator that launched them.
    """
    work()
    work()
    on_cuda = device == "cuda"
    activities = [ProfilerActivity.CPU, *[ProfilerActivity.CUDA] * on_cuda]
    with profile(activities=activities) as found:
        for _ in range(CALLS):
            work()
        if on_cuda:
            torch.cuda.synchronize()
    attribute = "self_device_time_total" if on_cuda else "self_cpu_time_total"
    times: dict[str, float] = defaultdict(float)
    for event in found.key_averages():
        if event.device_type != DeviceType.CPU:
            continue  # a kernel, whose time its operator has too
        made = "CompiledFxGraph" in event.key or event.key.startswith("triton_")
        name = "compiled graph" if made else event.key
        times[name] += getattr(event, attribute) / 1e6 / CALLS
    ranked = sorted(times, key=lambda name: -times[name])
    parts = {name: times[name] for name in ranked[:OPERATORS]}
    return in_order(parts) | in_order({"rest": sum(times[name] for name in ranked[OPERATORS:])})


def tasks(device: str) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield a step of each kind, eager and compiled."""
    generator = torch.Generator().manual_seed(0)
    for name, fused in {"AdamW step, eager": False, "AdamW step, compiled": True}.items():
        parameters = optimizers.with_gradients(optimizers.transformer(), torch.float32, device)
        yield name, dlkb.optim.AdamW(parameters, fused=fused).step
    width = lora.WIDTH[device]
    stack = nn.Sequential(*(lora.Block(width) for _ in range(lora.BLOCKS[device]))).to(device)
    model = lora.with_ours(stack)
    x = torch.randn(*lora.TOKENS[device], width, generator=generator).to(device)
    optimizer = dlkb.optim.AdamW(p for p in model.parameters() if p.requires_grad)

    def step() -> None:
        lora.forward_and_backward(model, x)
        optimizer.step()

    yield "LoRA step", step
    shrink = partial(soft_threshold, threshold=0.5)
    x = torch.randn(SIZES[device][-2] // 1024, 1024, generator=generator).to(device)
    given = [x.requires_grad_()]
    yield "soft_threshold, forward + backward, eager", runner(shrink, given, backward=True)
    compiled = torch.compile(shrink, fullgraph=True)
    yield "soft_threshold, forward + backward, compiled", runner(compiled, given, backward=True)


def measure(device: str) -> Iterator[dict[str, Any]]:
    """Yield a row for each command and each step; parts are seconds."""
    if device == "cpu":  # where the book is built
        yield from commands()
    for name, work in tasks(device):
        yield {"name": name, "parts": operators(work, device)}
