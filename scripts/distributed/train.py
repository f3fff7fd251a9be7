"""Tune the digits network with LoRA and AdamW, sharded over the processes of torchrun by FSDP2.

    torchrun --nproc-per-node 2 scripts/distributed/train.py --checkpoint runs/digits --steps 40
    torchrun --nproc-per-node 3 scripts/distributed/train.py --checkpoint runs/digits --steps 80

The second run resumes where the first stopped, on another number of processes. Each step takes
the same images whatever their number, a slice for each process: so the runs differ in rounding
alone. The network knows upright digits; it is tuned on digits that lie on their side. Only the
adapter and the state of the optimizer are saved.
"""

import argparse
import os
from pathlib import Path

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_state_dict,
    set_state_dict,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from dlkb.experiments.finetuning import pretrained
from dlkb.experiments.networks import layers
from dlkb.nn import LoRALinear, add_lora
from dlkb.optim import AdamW

BATCH = 60
"""Images of a step, over all processes; a multiple of their number."""

ADAPTER = StateDictOptions(ignore_frozen_params=True, strict=False)
"""What is frozen is not saved, so that it is missing when the rest is loaded."""


def build(generator: torch.Generator) -> tuple[nn.Module, dict[str, Tensor]]:
    """Return the network with its adapter, and the digits on their side.

    All is drawn from seeds, so each process makes the same before it is sharded.
    """
    start = pretrained(width=64, seeds=1)
    model = nn.Sequential()
    for layer in layers(start.networks):
        _, fan_in, fan_out = layer.weight.shape
        linear = nn.Linear(fan_in, fan_out)
        with torch.no_grad():
            linear.weight.copy_(layer.weight[0].T)
            linear.bias.copy_(layer.bias[0, 0] if layer.bias is not None else 0)
        model.extend([linear, nn.ReLU()])
    model = add_lora(model[:-1], ".*", r=4, alpha=16, generator=generator)
    x, y, x_test, y_test = (torch.tensor(a[0] if a.ndim > 1 else a) for a in start.new)
    return model, {"x": x, "y": y, "x_test": x_test.view(-1, 64), "y_test": y_test}


def shard(model: nn.Module, device: str) -> nn.Module:
    """Give each process its part of every layer."""
    mesh = init_device_mesh(device, (dist.get_world_size(),))
    for module in model:
        if isinstance(module, LoRALinear):
            fully_shard(module, mesh=mesh)
    return fully_shard(model, mesh=mesh)


def batch(data: dict[str, Tensor], step: int) -> tuple[Tensor, Tensor]:
    """Return this process's slice of the images of a step."""
    order = torch.randperm(len(data["y"]), generator=torch.Generator().manual_seed(step))
    mine = order[:BATCH].chunk(dist.get_world_size())[dist.get_rank()]
    return data["x"][mine], data["y"][mine]


def load(model: nn.Module, optimizer: AdamW, folder: Path) -> int:
    """Take over the newest checkpoint, if there is one, and return the steps behind it."""
    steps = [int(path.parent.name) for path in folder.glob("*/.metadata")]  # written last
    if steps:
        weights, state = get_state_dict(model, optimizer, options=ADAPTER)
        dcp.load({"model": weights, "optimizer": state}, checkpoint_id=folder / str(max(steps)))
        set_state_dict(
            model, optimizer, model_state_dict=weights, optim_state_dict=state, options=ADAPTER
        )
    return max(steps, default=0)


def save(model: nn.Module, optimizer: AdamW, folder: Path, step: int) -> None:
    """Write a checkpoint, each process its shards."""
    weights, state = get_state_dict(model, optimizer, options=ADAPTER)
    dcp.save({"model": weights, "optimizer": state}, checkpoint_id=folder / str(step))


def train(folder: Path, steps: int, lr: float, device: str) -> None:
    """Resume, train up to `steps`, save, and print what the first process sees."""
    size, rank = dist.get_world_size(), dist.get_rank()
    if BATCH % size:
        raise ValueError(f"{size} processes cannot share {BATCH} images: take a divisor of {BATCH}")
    model, data = build(torch.Generator().manual_seed(0))
    data = {name: t.to(device) for name, t in data.items()}
    model = shard(model.to(device), device)
    optimizer = AdamW([p for p in model.parameters() if p.requires_grad], lr=lr)
    start = load(model, optimizer, folder)
    if rank == 0:
        print(f"{size} processes, from step {start}")
    for step in range(start, steps):
        x, y = batch(data, step)
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        if (step + 1) % 10 == 0:
            dist.all_reduce(loss.detach_())
            if rank == 0:
                print(f"step {step + 1}: loss {loss.item() / size:.5f}")
    if start < steps:
        save(model, optimizer, folder, steps)
    with torch.no_grad():
        right = (model(data["x_test"]).argmax(1) == data["y_test"]).double().mean().item()
    if rank == 0:
        print(f"test accuracy {right:.3f}")


def main() -> None:
    """Read the command line; torchrun says the rest by environment variables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--checkpoint", type=Path, required=True, help="folder to resume from")
    parser.add_argument("--steps", type=int, default=100, help="in all, earlier runs included")
    parser.add_argument("--lr", type=float, default=0.01)
    options = parser.parse_args()
    # A GPU for each process of this machine, or none: NCCL shares none.
    enough = torch.cuda.device_count() >= int(os.environ["LOCAL_WORLD_SIZE"])
    device = "cuda" if enough else "cpu"
    if device == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if device == "cuda" else "gloo")
    try:
        train(options.checkpoint, options.steps, options.lr, device)
    finally:
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
