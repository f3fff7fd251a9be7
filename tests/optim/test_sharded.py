"""Our optimizers where parameters lie on several machines, step by step as torch's.

The models, and how they are taken apart, are those of PyTorch's own tests.
"""

import copy
import warnings
from functools import partial

import pytest
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, MixedPrecisionPolicy, fully_shard
from torch.distributed.optim import ZeroRedundancyOptimizer
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from dlkb.optim import Adam, AdamW
from tests.close import assert_close
from tests.distributed import in_processes
from tests.optim.sharded import (
    EVEN,
    STEPS,
    UNEVEN,
    MLPStack,
    Transformer,
    assert_same,
    go,
    shard,
    transformer,
    whole,
)
from tests.optim.torch_suite import INFOS, ours

OPTIONS = [
    {"weight_decay": 0.1},
    {"amsgrad": True, "maximize": True, "weight_decay": 0.1},
    {"capturable": True, "lr": torch.tensor(1e-3), "betas": (torch.tensor(0.9), torch.tensor(0.9))},
]
SHARED = [info for info in INFOS if info.name in ("SGD", "Adagrad", "RMSprop")]


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
                go(model, optimizer, range(2 * STEPS), rank=rank)
                models.append((model, optimizer))
            (mine, a), (torchs, b) = models
            assert_same(mine, torchs, a, b)
            go(alone, AdamW(alone.parameters(), **options), range(2 * STEPS))
            for p, q in zip(mine.parameters(), alone.parameters(), strict=True):
                assert_close(whole(p), q)
    uneven = [p for p in mine.parameters() if p.to_local().numel() * 2 != p.numel()]
    assert uneven

    for kind in (Adam, *(ours(info) for info in SHARED)):
        results = []
        for chosen in (kind, getattr(torch.optim, kind.__name__)):
            model = DistributedDataParallel(transformer(device))
            optimizer = chosen(model.parameters(), lr=0.01)
            go(model, optimizer, range(2 * STEPS), rank=rank)
            results.append((model, optimizer))
        (mine, a), (torchs, b) = results
        assert_same(mine, torchs, a, b)


def flat_and_narrow(folder, device):
    """FSDP1, with parameters and without, and FSDP2 that computes in bfloat16."""
    mesh = init_device_mesh(device, (2,))
    narrow = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    here = torch.device(device, torch.cuda.current_device()) if device == "cuda" else device
    flat = partial(FullyShardedDataParallel, device_id=torch.device(here))
    for wrap in (
        partial(flat, use_orig_params=True),
        partial(flat, use_orig_params=False),
        partial(fully_shard, mesh=mesh, mp_policy=narrow),
    ):
        results = []
        for kind in (AdamW, torch.optim.AdamW):
            model = wrap(transformer(device, **UNEVEN))
            optimizer = kind(model.parameters(), lr=0.01)
            go(model, optimizer, range(STEPS), rank=dist.get_rank())
            if isinstance(model, FullyShardedDataParallel):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # it calls what torch deprecates
                    saved = model.optim_state_dict(model, optimizer)
                    loaded = model.optim_state_dict_to_load(model, optimizer, saved)
                optimizer.load_state_dict(loaded)
            go(model, optimizer, range(STEPS, 2 * STEPS), rank=dist.get_rank())
            results.append((model, optimizer))
        assert_same(results[0][0], results[1][0], results[0][1], results[1][1])


def tensor_parallel(folder, device):
    """Tensor parallel with sequence parallel norms, and together with FSDP2 on a plane."""
    mesh = init_device_mesh(device, (2, 2), mesh_dim_names=("data", "tensor"))
    rows = {}
    for kind in (AdamW, torch.optim.AdamW):
        model = transformer(device)
        Transformer.parallelize(model, mesh["tensor"], True, local_output_for_attn=True)
        optimizer = kind(model.parameters(), lr=0.01)
        go(model, optimizer, range(2 * STEPS), rank=0)
        rows[kind] = (model, optimizer)
    (mine, a), (theirs, b) = rows.values()
    assert_same(mine, theirs, a, b)
    assert {type(p) for p in mine.parameters()} == {DTensor}
    alone = transformer(device)
    go(alone, AdamW(alone.parameters(), lr=0.01), range(2 * STEPS), rank=0)
    for p, q in zip(mine.parameters(), alone.parameters(), strict=True):
        assert_close(whole(p), q, scale=10)

    torch.manual_seed(0)
    alone = MLPStack(6).to(device)
    plane = copy.deepcopy(alone).parallelize(mesh["tensor"], mesh["data"], False)
    reference = AdamW(alone.parameters(), lr=0.01)
    optimizer = AdamW(plane.parameters(), lr=0.01)
    for t in range(2 * STEPS):
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
        go(model, optimizer, range(STEPS), rank=dist.get_rank())
        optimizer.consolidate_state_dict(to=0)
        if dist.get_rank() == 0:
            state = copy.deepcopy(optimizer.state_dict())
            optimizer.load_state_dict(state)
        go(model, optimizer, range(STEPS, 2 * STEPS), rank=dist.get_rank())
        results.append(model)
    for p, q in zip(results[0].parameters(), results[1].parameters(), strict=True):
        assert_close(p, q)


def test_data_parallel(tmp_path, device):
    in_processes(data_parallel, tmp_path, device=device)


def test_flat_and_narrow(tmp_path, device):
    in_processes(flat_and_narrow, tmp_path, device=device)


def test_tensor_parallel_and_a_plane(tmp_path, device):
    in_processes(tensor_parallel, tmp_path, size=4, device=device)


def test_placements(tmp_path, device):
    in_processes(placements, tmp_path, device=device)


def test_zero_redundancy(tmp_path, device):
    in_processes(zero, tmp_path, device=device)
