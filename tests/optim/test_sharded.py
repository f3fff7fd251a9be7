"""Our optimizers where parameters lie on several machines, step by step as torch's.

The models, and how they are taken apart, are those of PyTorch's own tests.
"""

import copy
import os
import warnings

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
from torch.distributed.fsdp import fully_shard
from torch.distributed.optim import ZeroRedundancyOptimizer
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from dlkb.optim import Adam, AdamW
from tests.close import assert_close
from tests.distributed import in_processes
from tests.optim.torch_suite import INFOS, ours

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torch.testing._internal.common_fsdp import MLPStack
    from torch.testing._internal.distributed._tensor.common_dtensor import ModelArgs, Transformer

OPTIONS = [
    {"weight_decay": 0.1},
    {"amsgrad": True, "maximize": True, "weight_decay": 0.1},
    {"capturable": True, "lr": torch.tensor(1e-3), "betas": (torch.tensor(0.9), torch.tensor(0.9))},
]
EVEN, UNEVEN = {}, {"dim": 12, "vocab_size": 7, "max_seq_len": 9}
SHARED = [info for info in INFOS if info.name in ("SGD", "Adagrad", "RMSprop")]


def transformer(device, **sizes):
    torch.manual_seed(0)
    return Transformer(ModelArgs(dropout_p=0.0, **sizes)).to(device)


def loss_of(model, t, *, rank=0, vocabulary=7):
    """Return a loss on a batch of its own for each step and rank."""
    generator = torch.Generator().manual_seed(1000 * rank + t)
    tokens = torch.randint(vocabulary, (4, 8), generator=generator)
    tokens = tokens.to(next(model.parameters()).device)
    return torch.nn.functional.cross_entropy(model(tokens).flatten(0, 1), tokens.flatten())


def shard(model, mesh):
    for layer in model.layers:
        fully_shard(layer, mesh=mesh)
    return fully_shard(model, mesh=mesh)


def whole(t):
    return t.full_tensor() if isinstance(t, DTensor) else t


def assert_same(mine, theirs, a, b):
    """Parameters and state, gathered."""
    for p, q in zip(mine.parameters(), theirs.parameters(), strict=True):
        assert_close(whole(p), whole(q))
        assert list(a.state[p]) == list(b.state[q])
        for name, value in b.state[q].items():
            assert type(a.state[p][name]) is type(value)
            assert_close(whole(a.state[p][name]), whole(value))


def go(model, optimizer, steps, *, rank=None):
    """Train; without a rank on the mean of all ranks' batches."""
    for t in steps:
        optimizer.zero_grad()
        if rank is None:
            ranks = range(dist.get_world_size())
            sum(loss_of(model, t, rank=r) for r in ranks).div(len(ranks)).backward()
        else:
            loss_of(model, t, rank=rank).backward()
        optimizer.step()


def data_parallel(folder, device):
    """DDP, FSDP2 with even and uneven shards: as torch's, and as one process alone."""
    rank, mesh = dist.get_rank(), init_device_mesh(device, (2,))
    for sizes in (EVEN, UNEVEN):
        for options in OPTIONS:
            alone, models = transformer(device, **sizes), []
            for kind in (AdamW, torch.optim.AdamW):
                model = shard(transformer(device, **sizes), mesh)
                theirs = {"capturable": device == "cuda"} if "capturable" in options else {}
                given = options | (theirs if kind is not AdamW else {})
                optimizer = kind(model.parameters(), **given)
                go(model, optimizer, range(20), rank=rank)
                models.append((model, optimizer))
            (mine, a), (torchs, b) = models
            assert_same(mine, torchs, a, b)
            go(alone, AdamW(alone.parameters(), **options), range(20))
            for p, q in zip(mine.parameters(), alone.parameters(), strict=True):
                assert_close(whole(p), q)
    uneven = [p for p in mine.parameters() if p.to_local().numel() * 2 != p.numel()]
    assert uneven

    for kind in (Adam, *(ours(info) for info in SHARED)):
        results = []
        for chosen in (kind, getattr(torch.optim, kind.__name__)):
            model = DistributedDataParallel(transformer(device))
            optimizer = chosen(model.parameters(), lr=0.01)
            go(model, optimizer, range(20), rank=rank)
            results.append((model, optimizer))
        (mine, a), (torchs, b) = results
        assert_same(mine, torchs, a, b)


def tensor_parallel(folder, device):
    """Tensor parallel with sequence parallel norms, and together with FSDP2 on a plane."""
    mesh = init_device_mesh(device, (2, 2), mesh_dim_names=("data", "tensor"))
    rows = {}
    for kind in (AdamW, torch.optim.AdamW):
        model = transformer(device)
        Transformer.parallelize(model, mesh["tensor"], True, local_output_for_attn=True)
        optimizer = kind(model.parameters(), lr=0.01)
        go(model, optimizer, range(20), rank=0)
        rows[kind] = (model, optimizer)
    (mine, a), (theirs, b) = rows.values()
    assert_same(mine, theirs, a, b)
    assert {type(p) for p in mine.parameters()} == {DTensor}
    alone = transformer(device)
    go(alone, AdamW(alone.parameters(), lr=0.01), range(20), rank=0)
    for p, q in zip(mine.parameters(), alone.parameters(), strict=True):
        assert_close(whole(p), q, scale=10)

    torch.manual_seed(0)
    alone = MLPStack(6).to(device)
    plane = copy.deepcopy(alone).parallelize(mesh["tensor"], mesh["data"], False)
    reference = AdamW(alone.parameters(), lr=0.01)
    optimizer = AdamW(plane.parameters(), lr=0.01)
    for t in range(20):
        x = torch.randn(3, 6, generator=torch.Generator().manual_seed(t)).to(device)
        for model, chosen in ((alone, reference), (plane, optimizer)):
            chosen.zero_grad()
            model(x).square().sum().backward()
            chosen.step()
    for p, q in zip(plane.parameters(), alone.parameters(), strict=True):
        assert_close(whole(p), q, scale=10)


class Odd:
    """A plain parameter with a sharded gradient, which autograd does not make, but hooks may."""

    def __init__(self, p):
        self.grad, self.dtype = p.grad, p.dtype


def placements(folder, device):
    """A gradient that is still to be summed, or sharded otherwise; refusals change nothing."""
    rank, mesh = dist.get_rank(), init_device_mesh(device, (2,))
    values = torch.arange(15.0, device=device).view(5, 3)
    for placed, given in (
        (Shard(0), Partial()),
        (Replicate(), Partial()),
        (Shard(0), Replicate()),
        (Replicate(), Shard(1)),
        (Shard(1), Shard(0)),
    ):
        p = torch.nn.Parameter(distribute_tensor(values, mesh, [placed]))
        q = torch.nn.Parameter(values.clone())
        if given == Partial():
            p.grad = DTensor.from_local(values * (rank + 1), mesh, [given])
        else:
            p.grad = distribute_tensor(3 * values, mesh, [given])
        q.grad = 3 * values
        Adam([p], lr=0.1, weight_decay=0.1).step()
        Adam([q], lr=0.1, weight_decay=0.1).step()
        assert_close(whole(p), q)
        assert p.placements == (placed,)

    # Refused, and nothing has been changed: a state or a gradient that is not sharded.
    held = Adam([q])
    held.step()
    with pytest.raises(ValueError, match=r"one is a DTensor and one is not.*set_optimizer_state"):
        Adam([p]).load_state_dict(held.state_dict())
    first = torch.nn.Parameter(torch.ones(3, device=device))
    first.grad = torch.ones(3, device=device)
    odd = Odd(p)
    optimizer = Adam([first, p])
    optimizer.param_groups[0]["params"][1] = odd
    with pytest.raises(TypeError, match=r"one is a DTensor and one is not: shard both"):
        optimizer.step()
    assert first.tolist() == [1, 1, 1]
    assert not optimizer.state


def zero(folder, device):
    """ZeroRedundancyOptimizer: each rank keeps a part of the state."""
    results = []
    for kind in (AdamW, torch.optim.AdamW):
        model = DistributedDataParallel(transformer(device, **UNEVEN))
        optimizer = ZeroRedundancyOptimizer(
            model.parameters(), optimizer_class=kind, lr=0.01, weight_decay=0.1
        )
        go(model, optimizer, range(10), rank=dist.get_rank())
        optimizer.consolidate_state_dict(to=0)
        if dist.get_rank() == 0:
            state = copy.deepcopy(optimizer.state_dict())
            optimizer.load_state_dict(state)
        go(model, optimizer, range(10, 20), rank=dist.get_rank())
        results.append(model)
    for p, q in zip(results[0].parameters(), results[1].parameters(), strict=True):
        assert_close(p, q)


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
    for t in range(20):
        with accelerator.accumulate(model):
            accelerator.backward(loss_of(model, t, rank=int(rank)))
            if accelerator.sync_gradients:
                accelerator.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
    assert all(isinstance(p, DTensor) == sharded for p in model.parameters())
    assert all(state["step"] == 10 for state in optimizer.state.values())
    weights = [whole(p) for p in model.parameters()]
    torch.save(weights, folder / f"{kind.__module__}-{rank}")


def save(folder, device, name):
    """Train sharded over these processes and leave a checkpoint of each optimizer."""
    kind = {"torch": torch.optim.AdamW, "dlkb": AdamW}[name]
    mesh = init_device_mesh(device, (dist.get_world_size(),))
    model = shard(transformer(device, **UNEVEN), mesh)
    optimizer = kind(model.parameters(), lr=0.01, weight_decay=0.1, amsgrad=True)
    go(model, optimizer, range(10), rank=0)
    weights, state = get_state_dict(model, optimizer)
    dcp.save({"model": weights, "optimizer": state}, checkpoint_id=folder / name)


def resume(folder, device, name):
    """Resume on another number of processes, under the other optimizer."""
    kind = {"torch": AdamW, "dlkb": torch.optim.AdamW}[name]
    alone = transformer(device, **UNEVEN)
    reference = AdamW(alone.parameters(), lr=0.01, weight_decay=0.1, amsgrad=True)
    go(alone, reference, range(20), rank=0)
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
        go(model, optimizer, range(10, 20), rank=0)
        for p, q in zip(model.parameters(), alone.parameters(), strict=True):
            assert_close(whole(p), q, scale=10)
        options = StateDictOptions(full_state_dict=True)
        gathered = get_optimizer_state_dict(model, optimizer, options=options)
        if dist.get_rank() == 0:
            for name_of, p in alone.named_parameters():
                for key, value in reference.state[p].items():
                    assert_close(gathered["state"][name_of][key], value, scale=10)


def test_data_parallel(tmp_path, device):
    in_processes(data_parallel, tmp_path, device=device)


def test_tensor_parallel_and_a_plane(tmp_path, device):
    in_processes(tensor_parallel, tmp_path, size=4, device=device)


def test_placements(tmp_path, device):
    in_processes(placements, tmp_path, device=device)


def test_zero_redundancy(tmp_path, device):
    in_processes(zero, tmp_path, device=device)


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
