"""Sharded optimizers in use: accelerate, checkpoints for another number of processes."""

import os

import pytest
import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from accelerate import Accelerator, DistributedType
from accelerate.utils import FullyShardedDataParallelPlugin
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    get_state_dict,
    set_state_dict,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor

from dlkb.optim import AdamW
from tests.close import assert_close
from tests.distributed import in_processes
from tests.optim.sharded import STEPS, UNEVEN, go, loss_of, shard, transformer, whole


def accelerated(folder, device, kind, sharded):
    """accelerate prepares ours as it does torch's, DDP or FSDP2, with accumulation and clipping."""
    rank, size = str(dist.get_rank()), str(dist.get_world_size())
    os.environ |= {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}  # both unused: a group is there
    plugin = FullyShardedDataParallelPlugin(fsdp_version=2, auto_wrap_policy="no_wrap")
    accelerator = Accelerator(
        cpu=device == "cpu",
        gradient_accumulation_steps=2,
        fsdp_plugin=plugin if sharded else None,
    )
    if sharded and device == "cpu":  # accelerate shards on accelerators alone, unless persuaded
        accelerator.state.distributed_type = DistributedType.FSDP
        accelerator.state.fsdp_plugin = plugin
    model = transformer(device, **UNEVEN)
    optimizer = kind(model.parameters(), lr=0.01, weight_decay=0.1)
    model, optimizer = accelerator.prepare(model, optimizer)
    assert type(optimizer.optimizer) is kind
    for t in range(2 * STEPS):
        with accelerator.accumulate(model):
            accelerator.backward(loss_of(model, t, rank=int(rank)))
            if accelerator.sync_gradients:
                accelerator.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
    assert all(isinstance(p, DTensor) == sharded for p in model.parameters())
    assert all(state["step"] == STEPS for state in optimizer.state.values())
    weights = [whole(p) for p in model.parameters()]
    torch.save(weights, folder / f"{kind.__module__}-{rank}")


def save(folder, device, name):
    """Train sharded over these processes and leave a checkpoint of each optimizer."""
    kind = {"torch": torch.optim.AdamW, "dlkb": AdamW}[name]
    mesh = init_device_mesh(device, (dist.get_world_size(),))
    model = shard(transformer(device, **UNEVEN), mesh)
    optimizer = kind(model.parameters(), lr=0.01, weight_decay=0.1, amsgrad=True)
    go(model, optimizer, range(STEPS), rank=0)
    weights, state = get_state_dict(model, optimizer)
    dcp.save({"model": weights, "optimizer": state}, checkpoint_id=folder / name)


def resume(folder, device, name):
    """Resume on another number of processes, under the other optimizer."""
    kind = {"torch": AdamW, "dlkb": torch.optim.AdamW}[name]
    alone = transformer(device, **UNEVEN)
    reference = AdamW(alone.parameters(), lr=0.01, weight_decay=0.1, amsgrad=True)
    go(alone, reference, range(2 * STEPS), rank=0)
    for chosen in (kind, AdamW):
        mesh = init_device_mesh(device, (dist.get_world_size(),))
        model = shard(transformer(device, **UNEVEN), mesh)
        with torch.no_grad():
            for p in model.parameters():
                p.zero_()
        optimizer = chosen(model.parameters(), amsgrad=True)
        weights, state = get_state_dict(model, optimizer)
        dcp.load({"model": weights, "optimizer": state}, checkpoint_id=folder / name)
        set_state_dict(model, optimizer, model_state_dict=weights, optim_state_dict=state)
        assert optimizer.param_groups[0]["lr"] == 0.01
        go(model, optimizer, range(STEPS, 2 * STEPS), rank=0)
        for p, q in zip(model.parameters(), alone.parameters(), strict=True):
            assert_close(whole(p), q, scale=10)
        options = StateDictOptions(full_state_dict=True)
        gathered = get_optimizer_state_dict(model, optimizer, options=options)
        if dist.get_rank() == 0:
            for name_of, p in alone.named_parameters():
                for key, value in reference.state[p].items():
                    assert_close(gathered["state"][name_of][key], value, scale=10)


@pytest.mark.parametrize("sharded", [False, True], ids=["DDP", "FSDP2"])
def test_accelerate(tmp_path, device, sharded):
    for kind in (AdamW, torch.optim.AdamW):
        in_processes(accelerated, tmp_path, kind, sharded, device=device)
    mine, theirs = (torch.load(tmp_path / f"{m}.optim.adamw-0") for m in ("dlkb", "torch"))
    for p, q in zip(mine, theirs, strict=True):
        assert_close(p, q)


@pytest.mark.parametrize("name", ["torch", "dlkb"])
def test_checkpoints_are_resharded(tmp_path, device, name):
    in_processes(save, tmp_path, name, device=device)
    for size in (1, 3):
        in_processes(resume, tmp_path, name, size=size, device=device)
