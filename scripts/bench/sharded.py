"""A step of AdamW on a model that FSDP2 shards over two processes, ours and `torch.optim`'s.

Each process has one thread and half of each tensor. All take the same contestant at the same time;
what counts is the process that takes longer.
"""

import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

import dlkb.optim
from scripts.bench.optimizers import BLOCKS, VOCABULARY, WIDTH, check_close, peak_bytes
from scripts.bench.timing import in_turn

PROCESSES = 2
SIZES = VOCABULARY, WIDTH, BLOCKS
DTYPES = (torch.float32, torch.bfloat16)

OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "ours": dlkb.optim.AdamW,
    "ours, compiled": lambda parameters: dlkb.optim.AdamW(parameters, fused=True),
    "default": torch.optim.AdamW,
    "foreach": lambda parameters: torch.optim.AdamW(parameters, foreach=True),
    "fused": lambda parameters: torch.optim.AdamW(parameters, fused=True),
}


def transformer(vocabulary: int, width: int, blocks: int) -> nn.Sequential:
    """Return a small transformer: about 100 tensors and 30 million entries by default."""
    torch.manual_seed(0)
    made = [nn.TransformerEncoderLayer(width, 2, 4 * width) for _ in range(blocks)]
    return nn.Sequential(nn.Embedding(vocabulary, width), *made, nn.LayerNorm(width))


def sharded(device: str, dtype: torch.dtype, sizes: tuple[int, int, int]) -> list[nn.Parameter]:
    """Return the parameters of a sharded model, with gradients that are sharded alike."""
    model = transformer(*sizes).to(device, dtype)
    mesh = init_device_mesh(device, (PROCESSES,))
    for block in model:
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)
    parameters = list(model.parameters())
    torch.manual_seed(1)
    for p in parameters:
        p.grad = torch.randn_like(p)
    return parameters


def local_bytes(optimizer: torch.optim.Optimizer) -> int:
    """Return what this process keeps of the optimizer's state."""
    tensors = [x for of in optimizer.state.values() for x in of.values() if isinstance(x, DTensor)]
    return sum(x.to_local().nbytes for x in tensors)


def slowest(seconds: float) -> float:
    """Return the longest of the times of all processes, which leave this line together."""
    device = "cuda" if dist.get_backend() == "nccl" else "cpu"
    found = torch.tensor(seconds, dtype=torch.float64, device=device)
    dist.all_reduce(found, dist.ReduceOp.MAX)
    return float(found)


def check_equal(made: dict[str, torch.optim.Optimizer]) -> None:
    """Refuse to time optimizers that do not go the same way."""
    for optimizer in made.values():
        for _ in range(3):
            optimizer.step()
    shards = {
        name: [p.to_local() for p in optimizer.param_groups[0]["params"]]
        for name, optimizer in made.items()
    }
    for kind in ("ours", "ours, compiled"):
        check_close(shards[kind], shards["default"])


def row(device: str, dtype: torch.dtype, sizes: tuple[int, int, int]) -> dict[str, Any]:
    """Measure one dtype, in each process."""
    made = {name: make(sharded(device, dtype, sizes)) for name, make in OPTIMIZERS.items()}
    check_equal(made)
    parameters = made["ours"].param_groups[0]["params"]
    steps = {name: optimizer.step for name, optimizer in made.items()}
    return {
        "name": "AdamW",
        "dtype": str(dtype).removeprefix("torch."),
        "tensors": len(parameters),
        "entries": sum(p.numel() for p in parameters),
        "rounds": in_turn(steps, agree=slowest),
        "bytes": {name: peak_bytes(step) for name, step in steps.items()},
        "state": {name: local_bytes(optimizer) for name, optimizer in made.items()},
    }


def work(
    rank: int,
    folder: str,
    device: str,
    dtypes: tuple[torch.dtype, ...],
    sizes: tuple[int, int, int],
) -> None:
    """Be one of the processes; the first one writes down what was found."""
    torch.set_num_threads(1)
    if device == "cuda":
        torch.cuda.set_device(rank)
    dist.init_process_group(
        "nccl" if device == "cuda" else "gloo",
        init_method=f"file://{folder}/rendezvous",
        rank=rank,
        world_size=PROCESSES,
    )
    rows = [row(device, dtype, sizes) for dtype in dtypes]
    if rank == 0:
        Path(folder, "rows.json").write_text(json.dumps(rows))
    dist.destroy_process_group()


def measure(device: str) -> Iterator[dict[str, Any]]:
    """Yield a row for each dtype."""
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.start_processes(
            work, (folder, device, DTYPES, SIZES), nprocs=PROCESSES, start_method="spawn"
        )
        yield from json.loads(Path(folder, "rows.json").read_text())
