"""LoRA in two processes: data parallel, sharded, tensor parallel, and checkpoints."""

import copy
from collections import OrderedDict

import pytest
import torch
import torch.distributed as dist
import torch.distributed.checkpoint as checkpoint
from torch import nn
from torch.distributed.checkpoint.state_dict import get_model_state_dict, set_model_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import Replicate
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    RowwiseParallel,
    parallelize_module,
)

from dlkb.nn import (
    add_lora,
    combine_lora,
    detach_lora,
    load_lora_state_dict,
    lora_state_dict,
    merge_lora,
    set_adapter,
    unmerge_lora,
    without_lora,
)
from tests.close import assert_close
from tests.distributed import in_processes


class Net(nn.Module):
    """Widths that two processes cannot halve, an embedding, a normalization and a head."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(11, 7)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                OrderedDict(up=nn.Linear(7, 5), act=nn.Tanh(), down=nn.Linear(5, 7), out=nn.Tanh())
            )
            for _ in range(2)
        )
        self.attend = nn.MultiheadAttention(7, 1, batch_first=True)
        self.norm = nn.LayerNorm(7)
        self.head = nn.Linear(7, 3)

    def forward(self, ids):
        x = self.table(ids)
        for block in self.blocks:
            x = x + block(x)
        x = x + self.attend(x, x, x, need_weights=False)[0]
        return self.head(self.norm(x).mean(1))


def batch(rank=None):
    generator = torch.Generator().manual_seed(3)
    ids, labels = (
        torch.randint(n, size, generator=generator) for n, size in ((11, (8, 4)), (3, (8,)))
    )
    rows = slice(None) if rank is None else slice(4 * rank, 4 * rank + 4)
    return ids[rows], labels[rows]


def adapted(dtype=torch.float64, **options):
    torch.manual_seed(0)
    model = Net().to(dtype)
    given = {"r": 3, "alpha": 6, "modules_to_save": ["head"], **options}
    targets = given.pop("targets", ["up", "down", "table", "attend"])
    return add_lora(model, targets, **given)


def train(model, data, steps=20):
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=0.02)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(data[0]), data[1])
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return torch.stack(losses)


def whole(state):
    return {k: v.full_tensor() if hasattr(v, "full_tensor") else v for k, v in state.items()}


def compare(state, expected, scale=1e4):
    assert state.keys() == expected.keys()
    for key, value in whole(state).items():
        assert_close(value, expected[key], scale=scale)


def shard(model, mesh):
    for block in model.blocks:
        fully_shard(block, mesh=mesh)
    return fully_shard(model, mesh=mesh)


def with_ddp(folder, device):
    rank = dist.get_rank()
    expected = adapted()
    train(expected, batch())
    model = nn.parallel.DistributedDataParallel(adapted())
    train(model, batch(rank))
    compare(lora_state_dict(model), lora_state_dict(expected))
    reference = adapted()
    with without_lora(model), without_lora(reference):
        assert torch.equal(model(batch()[0]), reference(batch()[0]))


def with_fsdp(folder, device):
    rank, mesh = dist.get_rank(), init_device_mesh("cpu", (2,))
    for options in (
        {},
        {"dora": True, "targets": ["up", "down"]},
        {"init": "pissa", "targets": ["up"]},
    ):
        expected = adapted(**options)
        train(expected, batch())
        model = shard(adapted(**options), mesh)
        assert hasattr(model.blocks[0].up.lora_A, "full_tensor")
        train(model, batch(rank))
        compare(lora_state_dict(model), lora_state_dict(expected))

        model.eval(), expected.eval()
        y = expected(batch()[0])
        with torch.no_grad():
            assert_close(merge_lora(model)(batch()[0]), y, scale=1e4)
            assert_close(unmerge_lora(model)(batch()[0]), y, scale=1e4)
            with without_lora(model), without_lora(expected):
                assert_close(model(batch()[0]), expected(batch()[0]), scale=1e4)
            merge_lora(model)
            with without_lora(model), without_lora(expected):
                assert_close(model(batch()[0]), expected(batch()[0]), scale=1e4)
            unmerge_lora(model)

        before = str(model)
        with pytest.raises(ValueError, match="is sharded, and fully_shard would"):
            detach_lora(model)
        with pytest.raises(ValueError, match="is sharded: new factors would not be"):
            add_lora(model, ["up"], r=1, alpha=1, adapter="late")
        assert str(model) == before
        bare = adapted(**options)
        load_lora_state_dict(bare, whole(lora_state_dict(model)))
        assert_close(bare.eval()(batch()[0]), y, scale=1e4)
        fresh = shard(adapted(**options), mesh)
        load_lora_state_dict(fresh, lora_state_dict(expected))
        assert_close(fresh.eval()(batch()[0]), y, scale=1e4)
        with torch.no_grad():
            old = detach_lora(model, merge=False)(batch()[0])
        assert_close(old, detach_lora(expected, merge=False)(batch()[0]), scale=1e4)


def with_several_under_fsdp(folder, device):
    rank, mesh = dist.get_rank(), init_device_mesh("cpu", (2,))

    def two():
        model = adapted(adapter="red")
        return add_lora(model, ["up", "table"], r=2, alpha=2, adapter="blue")

    expected, model = two(), shard(two(), mesh)
    for names in ("blue", "red", "blue"):
        set_adapter(expected, names)
        set_adapter(model, names)
        train(expected, batch(), 5)
        train(model, batch(rank), 5)
    for name in ("red", "blue"):
        compare(lora_state_dict(model, adapter=name), lora_state_dict(expected, adapter=name))
    with pytest.raises(ValueError, match="sharded: combine adapters before"):
        combine_lora(model, {"blue": 1.0}, adapter="mixed")


def with_tensor_parallelism(folder, device):
    mesh = init_device_mesh("cpu", (2,))
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 6)).double()
    expected = add_lora(copy.deepcopy(plain), ["0", "2"], r=2, alpha=2, generator=seeded())
    model = add_lora(copy.deepcopy(plain), ["0", "2"], r=2, alpha=2, generator=seeded())
    plan = {
        "0.base_layer": ColwiseParallel(output_layouts=Replicate()),
        "2.base_layer": RowwiseParallel(input_layouts=Replicate()),
    }
    parallelize_module(model, mesh, plan)
    x = torch.randn(5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for m in (expected, model):
        optimizer = torch.optim.SGD([p for p in m.parameters() if p.requires_grad], lr=0.1)
        for _ in range(5):
            optimizer.zero_grad()
            m(x).square().sum().backward()
            optimizer.step()
    compare(lora_state_dict(model), lora_state_dict(expected))
    assert_close(model(x), expected(x), scale=100)
    halves = add_lora(copy.deepcopy(plain), ["0"], r=2, alpha=2)
    parallelize_module(halves, mesh, {"0.base_layer": ColwiseParallel()})
    with pytest.raises(RuntimeError, match=r"let the base layer's output be Replicate"):
        halves(x)


def seeded():
    return torch.Generator().manual_seed(7)


def save_sharded(folder, device):
    mesh = init_device_mesh("cpu", (2,))
    model = shard(adapted(), mesh)
    train(model, batch(dist.get_rank()), 3)
    checkpoint.save(get_model_state_dict(model), checkpoint_id=folder / "sharded")
    torch.save(whole(lora_state_dict(model)), folder / f"whole-{dist.get_rank()}.pt")


def load_sharded(folder, device):
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    model = shard(adapted(generator=seeded()), mesh)
    state = get_model_state_dict(model)
    checkpoint.load(state, checkpoint_id=folder / "sharded")
    set_model_state_dict(model, state)
    expected = torch.load(folder / "whole-0.pt", weights_only=True)
    compare(lora_state_dict(model), expected, scale=1)


def everything(folder, device):
    with_ddp(folder, device)
    with_fsdp(folder, device)
    with_several_under_fsdp(folder, device)
    with_tensor_parallelism(folder, device)
    save_sharded(folder, device)
    load_sharded(folder, device)


def test_two_processes_and_a_checkpoint_for_three(tmp_path):
    in_processes(everything, tmp_path)
    in_processes(load_sharded, tmp_path, size=3)
