"""LoRA on a stack of transformer blocks, against peft on a copy of the same model."""

import copy
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import peft
import torch
from torch import Tensor, nn

from dlkb.nn import add_lora, lora_state_dict, merge_lora, unmerge_lora
from scripts.bench.timing import in_turn, once_in_turn

WIDTH, BLOCKS = {"cpu": 512, "cuda": 4096}, {"cpu": 4, "cuda": 2}
TOKENS = {"cpu": (8, 128), "cuda": (8, 1024)}
R, ALPHA = 8, 16
TARGETS = ["q", "v", "up", "down"]


class Block(nn.Module):
    """The linear layers of a transformer block, with ReLU; attention itself does not differ."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(width, width) for _ in range(3))
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., width) to (..., width)."""
        x = x + self.q(x) + self.k(x) + self.v(x)
        return x + self.down(torch.relu(self.up(x)))


def with_ours(model: nn.Module) -> nn.Module:
    """Add LoRA with this package."""
    return add_lora(model, TARGETS, r=R, alpha=ALPHA)


def with_peft(model: nn.Module) -> nn.Module:
    """Add LoRA with peft, factors in the dtype of the base layer as ours are."""
    config = peft.LoraConfig(r=R, lora_alpha=ALPHA, target_modules=TARGETS, lora_dropout=0.0)
    return peft.get_peft_model(model, config, autocast_adapter_dtype=False)


def same_factors(ours: nn.Module, theirs: nn.Module, generator: torch.Generator) -> None:
    """Give both the same factors A and B, drawn so that the update is not zero."""
    factors = {
        name.replace(".default.weight", "").removeprefix("base_model.model."): p
        for name, p in theirs.named_parameters()
        if p.requires_grad
    }
    mine = {
        name.replace(".adapters.default", ""): p
        for name, p in ours.named_parameters()
        if p.requires_grad
    }
    assert mine.keys() == factors.keys(), mine.keys() ^ factors.keys()
    with torch.no_grad():
        for name, p in mine.items():
            drawn = 0.02 * torch.randn(p.shape, generator=generator)
            p.copy_(drawn)
            factors[name].copy_(drawn)


def forward(model: nn.Module, x: Tensor) -> Tensor:
    """Predict."""
    with torch.no_grad():
        return model(x)


def forward_and_backward(model: nn.Module, x: Tensor) -> None:
    """Compute the gradients of the factors."""
    model.zero_grad(set_to_none=True)
    model(x).square().mean().backward()


def saved_bytes(model: nn.Module, x: Tensor) -> int:
    """Return the bytes that autograd keeps from forward to backward, weights not counted."""
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, int] = {}

    def pack(saved: Tensor) -> Tensor:
        storage = saved.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return saved

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda saved: saved):
        loss = model(x).square().mean()
    loss.backward()
    return sum(kept.values())


def optimizer_bytes(model: nn.Module) -> int:
    """Return the bytes of AdamW's state after a step, the gradients being there."""
    optimizer = torch.optim.AdamW(p for p in model.parameters() if p.requires_grad)
    optimizer.step()
    return sum(
        value.nbytes
        for state in optimizer.state.values()
        for value in state.values()
        if isinstance(value, Tensor)
    )


def seconds_to_add(add: Callable[[nn.Module], nn.Module], base: nn.Module) -> float:
    """Return the seconds that it takes to put LoRA into a fresh copy of the model."""
    model = copy.deepcopy(base)
    start = time.perf_counter()
    add(model)
    return time.perf_counter() - start


def seconds_to_merge(model: nn.Module, ours: bool) -> float:
    """Return the seconds that merging takes; the model is unmerged again."""
    start = time.perf_counter()
    if ours:
        merge_lora(model)
    else:
        model.merge_adapter()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    seconds = time.perf_counter() - start
    if ours:
        unmerge_lora(model)
    else:
        model.unmerge_adapter()
    return seconds


def measure(device: str) -> Iterator[dict[str, Any]]:
    """Yield a row for each quantity: rounds of seconds, or bytes."""
    generator = torch.Generator().manual_seed(0)
    width = WIDTH[device]
    for dtype in (torch.float32, torch.bfloat16):
        torch.manual_seed(0)
        with torch.device(device):
            base = nn.Sequential(*(Block(width) for _ in range(BLOCKS[device]))).to(dtype)
        ours, theirs = with_ours(copy.deepcopy(base)), with_peft(copy.deepcopy(base))
        same_factors(ours, theirs, generator)
        x = torch.randn(*TOKENS[device], width, generator=generator).to(device, dtype)
        tolerance = 2e-5 if dtype == torch.float32 else 5e-2
        torch.testing.assert_close(
            forward(ours, x), forward(theirs, x), rtol=tolerance, atol=tolerance
        )
        row = {"dtype": str(dtype).removeprefix("torch."), "state": len(lora_state_dict(ours))}
        for name, work in {"forward": forward, "forward + backward": forward_and_backward}.items():
            contestants = {"ours": partial(work, ours, x), "peft": partial(work, theirs, x)}
            yield {**row, "name": name, "rounds": in_turn(contestants)}
        once: dict[str, dict[str, Callable[[], float]]] = {
            "merge": {
                "ours": partial(seconds_to_merge, ours, True),
                "peft": partial(seconds_to_merge, theirs, False),
            },
            "add LoRA to the model": {
                "ours": partial(seconds_to_add, with_ours, base),
                "peft": partial(seconds_to_add, with_peft, base),
            },
        }
        for name, sides in once.items():
            yield {**row, "name": name, "rounds": once_in_turn(sides, rounds=11)}
        counts: dict[str, Callable[[nn.Module], int]] = {
            "activations kept for backward": partial(saved_bytes, x=x),
            "state of AdamW": optimizer_bytes,
        }
        for name, count in counts.items():
            yield {**row, "name": name, "bytes": {"ours": count(ours), "peft": count(theirs)}}
