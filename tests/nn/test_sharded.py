"""Probes, clipping, initialization, dropout and early stopping on two processes."""

from unittest.mock import patch

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    RowwiseParallel,
    parallelize_module,
)
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel

from dlkb.nn import (
    Dropout,
    EarlyStopping,
    check_model,
    clip_grad_norm_,
    clip_grad_value_,
    clip_grads_with_norm_,
    get_total_norm,
    gradient_norms,
    init,
    jacobian_singular_values,
    signal_norms,
)
from tests.close import assert_close
from tests.distributed import in_processes


def network():
    """Return a network whose first axes, 7 and 3, two processes cannot share evenly."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(5, 7), nn.BatchNorm1d(7), nn.Tanh(), nn.Linear(7, 8), nn.Tanh(), nn.Linear(8, 3)
    )


def sharded(mesh):
    model = network()
    for layer in model:
        if list(layer.parameters()):
            fully_shard(layer, mesh=mesh)
    return fully_shard(model, mesh=mesh)


def batch(n=24):
    torch.manual_seed(1)
    return torch.randn(n, 5), torch.arange(n) % 3


def mean_square(y):
    return y.square().mean()


def whole(x):
    return x.full_tensor() if isinstance(x, DTensor) else x


def close(found, expected):
    """Compare the norms of two models by name."""
    found = {name.removeprefix("module."): norms for name, norms in found.items()}
    assert list(found) == list(expected)
    for name, norms in found.items():
        for ours, theirs in zip(norms, expected[name], strict=True):
            assert ours == pytest.approx(theirs, rel=1e-5), name


def probes(folder, device):
    mesh = init_device_mesh(device, (2,))
    x, y = batch()
    plain = network()
    for model in (DistributedDataParallel(network()), sharded(mesh)):
        fsdp = not isinstance(model, DistributedDataParallel)
        before = {name: whole(b).clone() for name, b in model.named_buffers()}
        close(signal_norms(model, x, mean_square), signal_norms(plain, x, mean_square))
        with patch.object(DistributedDataParallel, "forward", side_effect=AssertionError):
            signal_norms(model, x, mean_square)  # no communication, no reduction is prepared
        report, expected = (
            check_model(m, (x, y), cross_entropy, optimizer=torch.optim.SGD(m.parameters(), lr=0.1))
            for m in (model, plain)
        )
        assert report.names == expected.names == ()
        for ours, theirs in zip(report.weights, expected.weights, strict=True):
            assert ours.gradient == pytest.approx(theirs.gradient, rel=1e-5)
            assert ours.size == pytest.approx(theirs.size, rel=1e-5)
            assert ours.step == pytest.approx(theirs.step, rel=1e-4)
        spectra = [jacobian_singular_values(m, x[:2]).singular_values for m in (model, plain)]
        assert_close(*spectra)
        for name, b in model.named_buffers():
            assert torch.equal(b, before[name])
        # A gradient that is there already stays, and training goes on from the same graph.
        mean_square(model(x)).backward()
        kept = [whole(p.grad).clone() for p in model.parameters()]
        loss = mean_square(model(x))
        close(gradient_norms(model, loss), gradient_norms(plain, mean_square(plain(x))))
        for p, grad in zip(model.parameters(), kept, strict=True):
            assert torch.equal(whole(p.grad), grad)
        loss.backward()
        for p, grad in zip(model.parameters(), kept, strict=True):
            assert_close(whole(p.grad), 2 * grad, scale=10)
        if fsdp:
            with pytest.raises(TypeError, match="count differentiates twice"):
                jacobian_singular_values(model, x[:1], count=1)
        with torch.no_grad():  # batch normalization has moved, as in training
            for _ in range(2):
                plain(x)
        plain = network()


def tensor_parallel(folder, device):
    mesh = init_device_mesh(device, (2,))

    def pair():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3))

    plan = {"0": ColwiseParallel(), "2": RowwiseParallel()}
    plain, model = pair(), parallelize_module(pair(), mesh, plan)
    x, _ = batch()
    expected = gradient_norms(plain, mean_square(plain(x)))
    close(gradient_norms(model, mean_square(model(x))), expected)
    # Between the two layers each process sees its half of the signal.
    found = signal_norms(model, x, mean_square)
    assert found["2"].signal == pytest.approx(
        signal_norms(plain, x, mean_square)["2"].signal, rel=1e-5
    )
    assert 0 < found["1"].signal < signal_norms(plain, x, mean_square)["1"].signal


def clipping(folder, device):
    mesh = init_device_mesh(device, (2,))
    grid = init_device_mesh(device, (1, 2), mesh_dim_names=("a", "b"))
    x, _ = batch()
    for norm_type in (1.0, 2.0, float("inf")):
        plain, model = network(), sharded(mesh)
        for m in (plain, model):
            mean_square(m(x)).backward()
        expected = nn.utils.clip_grad_norm_(plain.parameters(), 0.05, norm_type)
        found = clip_grad_norm_(model.parameters(), 0.05, norm_type)
        assert type(found) is torch.Tensor
        assert_close(found, expected)
        for p, q in zip(model.parameters(), plain.parameters(), strict=True):
            assert_close(whole(p.grad), q.grad)
    clip_grad_value_(model.parameters(), 0.001)
    nn.utils.clip_grad_value_(plain.parameters(), 0.001)
    for p, q in zip(model.parameters(), plain.parameters(), strict=True):
        assert_close(whole(p.grad), q.grad)
    # Shards of two meshes, replicas and ordinary tensors: an error in torch.
    torch.manual_seed(3)
    values = [torch.randn(5, 3), torch.randn(4, 4), torch.randn(3)]
    placements = [(mesh, [Shard(0)]), (grid, [Replicate(), Shard(1)]), None]
    mixed = []
    for value, place in zip(values, placements, strict=True):
        p = nn.Parameter(value if place is None else distribute_tensor(value, *place))
        p.grad = p.detach().clone()
        mixed.append(p)
    expected = torch.linalg.vector_norm(torch.cat([v.flatten() for v in values]))
    assert_close(get_total_norm([p.grad for p in mixed]), expected)
    clip_grads_with_norm_(mixed, 1.0, clip_grad_norm_(mixed, 1.0))
    for p, value in zip(mixed, values, strict=True):
        assert_close(whole(p.grad), value / expected / expected, scale=10)
    # Nothing is scaled before an error.
    mixed.append(nn.Parameter(torch.ones(2)))
    mixed[-1].grad = torch.ones(2).to_sparse()
    before = [whole(p.grad).clone() for p in mixed[:-1]]
    with pytest.raises(TypeError, match="sparse"):
        clip_grad_norm_(mixed, 1e-3)
    for p, grad in zip(mixed, before, strict=False):
        assert torch.equal(whole(p.grad), grad)


def initialization(folder, device):
    mesh = init_device_mesh(device, (2,))
    for name in ("xavier_uniform_", "xavier_normal_", "kaiming_uniform_", "kaiming_normal_"):
        drawn = []
        for module in (init, nn.init):
            torch.manual_seed(5)
            weight = distribute_tensor(torch.empty(7, 4), mesh, [Shard(0)])
            assert getattr(module, name)(weight) is weight
            drawn.append(weight.full_tensor())
        assert torch.equal(*drawn), name
    for placement in (Shard(0), Shard(1), Replicate()):
        weight = nn.Parameter(distribute_tensor(torch.empty(7, 4), mesh, [placement]))
        torch.manual_seed(5 + dist.get_rank())  # processes that differ keep the first one's draw
        assert init.orthogonal_(weight, gain=2.0) is weight
        torch.manual_seed(5)
        assert torch.equal(weight.full_tensor(), nn.init.orthogonal_(torch.empty(7, 4), gain=2.0))
    model = sharded(mesh)
    for layer in model:
        if isinstance(layer, nn.Linear):
            init.orthogonal_(layer.weight)
    assert torch.isfinite(model(batch()[0])).all()  # the next forward works


def stopping(folder, device):
    mesh = init_device_mesh(device, (2,))
    model, stopper = sharded(mesh), EarlyStopping(patience=1)
    best = [whole(p).detach().clone() for p in model.parameters()]
    assert not stopper.step(1.0, model)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(1.0)
    assert stopper.step(2.0, model)
    stopper.restore(model)
    for p, q in zip(model.parameters(), best, strict=True):
        assert torch.equal(whole(p), q)
    assert torch.isfinite(model(batch()[0])).all()


def dropping(folder, device):
    mesh = init_device_mesh(device, (2,))
    x, _ = batch()
    ours, theirs = nn.Sequential(nn.Linear(5, 8), Dropout(0.5)), None
    theirs = nn.Sequential(ours[0], nn.Dropout(0.5))
    results = []
    for model in (ours, theirs):
        wrapped = DistributedDataParallel(model)
        torch.manual_seed(7)
        results.append(wrapped(x))
    assert torch.equal(*results)
    model = fully_shard(nn.Sequential(nn.Linear(5, 8), Dropout(0.5)), mesh=mesh)
    model(x).sum().backward()
    assert 0.2 < float((model(x) == 0).float().mean()) < 0.8


def everything(folder, device):
    """Run all in one start, which takes longer than what is started."""
    for part in (probes, tensor_parallel, clipping, initialization, stopping, dropping):
        with torch.device(device):
            part(folder, device)


@pytest.mark.filterwarnings("ignore:DTensor random operators may not have complete support on cpu")
def test_two_processes(tmp_path, device):
    in_processes(everything, tmp_path, device=device)
