import copy
import math
import pickle

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

import dlkb.optim
from dlkb.nn import GradScaler
from tests.close import assert_close
from tests.distributed import in_processes


def network(device="cpu"):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 1)).to(device)


def run(kind, *, make=torch.optim.Adam, overflows=(3, 4, 9), clip=False, steps=14, device="cpu"):
    """Train with a scaler; at some steps the loss is so large that a gradient overflows."""
    model = network(device)
    optimizer = make(model.parameters(), lr=0.01)
    scaler = kind(device, init_scale=2.0**12, growth_interval=3)
    rng, scales = np.random.default_rng(0), []
    for t in range(steps):
        x = torch.tensor(rng.normal(size=(6, 4)), dtype=torch.float32, device=device)
        loss = model(x).square().mean() * (1e38 if t in overflows else 1.0)
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        if clip:
            scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        scaler.step(optimizer)
        scaler.update()
        scales.append(scaler.get_scale())
    return torch.cat([p.detach().flatten() for p in model.parameters()]), scales, scaler


MAKERS = [
    torch.optim.SGD,
    torch.optim.Adam,
    lambda p, lr: torch.optim.Adam(p, lr=lr, fused=True),
    dlkb.optim.Adam,
]


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("clip", [False, True])
def test_trains_as_torchs_does(make, clip, device):
    ours, theirs = (
        run(kind, make=make, clip=clip, device=device)
        for kind in (GradScaler, torch.amp.GradScaler)
    )
    assert_close(ours[0], theirs[0])
    assert ours[1] == theirs[1]
    assert len(set(ours[1])) > 2
    assert ours[2].state_dict() == theirs[2].state_dict()


def test_state_dicts_go_both_ways():
    ours, theirs = run(GradScaler)[2], run(torch.amp.GradScaler)[2]
    for source in (ours, theirs):
        for kind in (GradScaler, torch.amp.GradScaler):
            fresh = kind("cpu")
            fresh.load_state_dict(source.state_dict())
            assert fresh.state_dict() == source.state_dict()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for copied in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
        assert copied.state_dict() == ours.state_dict()


@pytest.mark.parametrize("bad", [0, 1])
def test_several_optimizers_share_a_scale(bad):
    found = []
    for kind in (GradScaler, torch.amp.GradScaler):
        a, b = (nn.Parameter(torch.ones(2)) for _ in "ab")
        optimizers = [torch.optim.SGD([p], lr=1.0) for p in (a, b)]
        scaler = kind("cpu", init_scale=4.0)
        factors = [math.inf if k == bad else 1.0 for k in range(2)]
        scaler.scale(factors[0] * a.sum() + factors[1] * b.sum()).backward()
        for optimizer in optimizers:
            scaler.step(optimizer)
        scaler.update()
        found.append(([a.tolist(), b.tolist()], scaler.get_scale()))
    assert found[0] == found[1]
    assert found[0][0][bad] == [1.0, 1.0]
    assert found[0][0][1 - bad] == [0.0, 0.0]
    assert found[0][1] == 2.0


def test_outputs_may_be_nested():
    scaler, theirs = (k("cpu", init_scale=8.0) for k in (GradScaler, torch.amp.GradScaler))
    outputs = [torch.ones(2), (torch.ones(()), [torch.ones(1).half()])]
    ours = scaler.scale(outputs)
    assert type(ours) is list
    assert type(ours[1]) is tuple
    assert torch.equal(ours[0], theirs.scale(outputs)[0])
    assert ours[1][1][0].dtype == torch.float16
    for wrong in (3, "ab", {"a": torch.ones(1)}):
        with pytest.raises(ValueError, match=f"outputs is {type(wrong).__name__}"):
            scaler.scale(wrong)


def test_disabled_it_does_nothing():
    weight = nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    scaler = GradScaler("cpu", enabled=False)
    loss = weight.sum()
    assert scaler.scale(loss) is loss
    loss.backward()
    scaler.unscale_(optimizer)
    scaler.step(optimizer)
    scaler.update()
    assert (weight.item(), scaler.get_scale(), scaler.state_dict()) == (0.0, 1.0, {})
    assert not scaler.is_enabled()
    scaler.load_state_dict({"scale": 3.0})


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA is there")
def test_without_cuda_it_is_disabled_with_a_warning():
    for kind in (GradScaler, torch.amp.GradScaler):
        with pytest.warns(UserWarning, match=r"(?i)cuda is not available"):
            scaler = kind()
        assert not scaler.is_enabled()


def test_getters_and_setters():
    scaler, theirs = GradScaler("cpu"), torch.amp.GradScaler("cpu")
    assert scaler.state_dict() == theirs.state_dict()
    for each in (scaler, theirs):
        each.set_growth_factor(3.0)
        each.set_backoff_factor(0.25)
        each.set_growth_interval(7)
        each.scale(torch.ones(1))  # torch makes its scale only now
        each.update(32.0)
        assert (each.get_growth_factor(), each.get_backoff_factor()) == (3.0, 0.25)
        assert each.get_growth_interval() == 7
        assert each.get_scale() == 32.0
    scaler.update(torch.tensor(16.0))
    assert scaler.get_scale() == 16.0
    assert scaler.is_enabled()


def test_sparse_gradients_are_unscaled():
    found = []
    for kind in (GradScaler, torch.amp.GradScaler):
        layer = nn.Embedding(4, 2, sparse=True)
        nn.init.ones_(layer.weight)
        optimizer = torch.optim.SGD(layer.parameters(), lr=0.5)
        scaler = kind("cpu", init_scale=16.0)
        scaler.scale(layer(torch.tensor([1, 1, 3])).sum()).backward()
        scaler.step(optimizer)
        found.append(layer.weight.detach())
    assert torch.equal(*found)


def test_parts_of_a_sparse_gradient_that_overflow_together_are_seen():
    layer = nn.Embedding(2, 1, sparse=True)
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
    before = layer.weight.detach().clone()
    scaler = GradScaler("cpu", init_scale=2.0)
    scaler.scale(1.5e38 * layer(torch.tensor([1, 1])).sum()).backward()
    scaler.step(optimizer)
    scaler.update()
    assert torch.equal(layer.weight, before)
    assert scaler.get_scale() == 1.0


def ready():
    weight = nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    scaler = GradScaler("cpu")
    scaler.scale(weight.sum()).backward()
    return scaler, optimizer


def test_methods_out_of_order_raise():
    scaler, optimizer = ready()
    with pytest.raises(RuntimeError, match="no gradients were seen"):
        scaler.update()
    scaler.unscale_(optimizer)
    with pytest.raises(RuntimeError, match="called twice"):
        scaler.unscale_(optimizer)
    scaler.step(optimizer)
    with pytest.raises(RuntimeError, match="after step"):
        scaler.unscale_(optimizer)
    with pytest.raises(RuntimeError, match=r"step\(\) is called twice"):
        scaler.step(optimizer)
    scaler.update()
    optimizer.zero_grad()
    with pytest.raises(RuntimeError, match="call backward"):
        scaler.step(optimizer)
    with pytest.raises(RuntimeError, match="state dict is empty"):
        scaler.load_state_dict({})


def test_complex_gradients_are_refused_before_any_is_divided():
    params = [nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2, dtype=torch.complex64))]
    for p in params:
        p.grad = torch.full_like(p, 8.0)
    with pytest.raises(TypeError, match=r"a gradient has dtype .*complex64"):
        GradScaler("cpu").unscale_(torch.optim.SGD(params))
    assert params[0].grad.tolist() == [8.0, 8.0]


def test_float16_gradients_are_refused():
    weight = nn.Parameter(torch.ones(1, dtype=torch.float16))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    weight.grad = torch.ones_like(weight)
    for kind in (GradScaler, torch.amp.GradScaler):
        scaler = kind("cpu")
        scaler.scale(torch.ones(1))
        with pytest.raises(ValueError, match=r"(?i)float16|fp16"):
            scaler.unscale_(optimizer)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: GradScaler("cpu", init_scale=0.0), "init_scale is 0.0"),
        (lambda: GradScaler("cpu", growth_factor=1.0), "growth_factor is 1.0"),
        (lambda: GradScaler("cpu", backoff_factor=1.0), "backoff_factor is 1.0"),
        (lambda: GradScaler("cpu", growth_interval=0), "growth_interval is 0"),
        (lambda: GradScaler("cpu").set_growth_factor(0.5), "new_factor is 0.5"),
        (lambda: GradScaler("cpu").set_backoff_factor(2.0), "new_factor is 2.0"),
        (lambda: GradScaler("cpu").set_growth_interval(0), "new_interval is 0"),
        (lambda: GradScaler("cpu").update(-1.0), "new_scale is -1.0"),
        (lambda: GradScaler("cpu").update(1e39), r"new_scale is 1e\+39"),  # ∞ in float32
        (lambda: GradScaler("cpu", init_scale=1e39), r"init_scale is 1e\+39"),
        (lambda: GradScaler("cpu", init_scale=1e-46), "init_scale is 1e-46"),  # 0 in float32
        (lambda: GradScaler("cpu", init_scale=np.float32(-1)), "init_scale is -1.0"),
        (lambda: GradScaler("cpu", growth_factor=np.float32(1)), "growth_factor is 1.0"),
        (lambda: GradScaler("cpu", backoff_factor=torch.tensor(2)), "backoff_factor is 2.0"),
    ],
)
def test_errors_name_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("interval", [2.5, 2000.0, "2", None, True])
def test_an_interval_is_an_integer(interval):
    with pytest.raises(TypeError, match=f"growth_interval is {interval!r}: an integer is needed"):
        GradScaler("cpu", growth_interval=interval)
    scaler = GradScaler("cpu", growth_interval=np.int64(3))
    with pytest.raises(TypeError, match="new_interval is"):
        scaler.set_growth_interval(interval)
    assert type(scaler.get_growth_interval()) is int


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"scale": 0.0}, ValueError, r"^scale is 0.0"),
        ({"scale": math.inf}, ValueError, "scale is inf"),
        ({"scale": math.nan}, ValueError, "scale is nan"),
        ({"growth_factor": 1.0}, ValueError, "growth_factor is 1.0"),
        ({"growth_factor": math.inf}, ValueError, "growth_factor is inf"),
        ({"backoff_factor": 2.0}, ValueError, "backoff_factor is 2.0"),
        ({"backoff_factor": 0.0}, ValueError, "backoff_factor is 0.0"),
        ({"growth_interval": 0}, ValueError, "growth_interval is 0"),
        ({"growth_interval": 2.5}, TypeError, "growth_interval is 2.5"),
        ({"_growth_tracker": -1}, ValueError, "_growth_tracker is -1"),
        ({"_growth_tracker": 0.5}, TypeError, "_growth_tracker is 0.5"),
    ],
    ids=str,
)
def test_what_the_constructor_refuses_is_not_loaded(change, error, message):
    scaler = GradScaler("cpu", 8.0, 3.0, 0.25, 7)
    before = scaler.state_dict()
    with pytest.raises(error, match=message):
        scaler.load_state_dict(GradScaler("cpu").state_dict() | change)
    assert scaler.state_dict() == before
    with pytest.raises(ValueError, match=r"lacks \['growth_factor', '_growth_tracker'\]"):
        scaler.load_state_dict({"scale": 2.0, "backoff_factor": 0.5, "growth_interval": 2})
    assert scaler.state_dict() == before


def test_numbers_of_numpy_become_pythons():
    numbers = (np.float32(8.0), np.float64(3.0), np.float32(0.25), np.int32(7))
    scaler = GradScaler("cpu", *numbers)
    scaler.set_growth_factor(np.float64(4.0))
    assert [type(v) for v in scaler.state_dict().values()] == [float, float, float, int, int]
    assert [*scaler.state_dict().values()] == [8.0, 4.0, 0.25, 7, 0]


def sharded(folder, device):
    """An overflow in one process keeps both from stepping."""
    model = network()
    fully_shard(model, mesh=init_device_mesh(device, (2,)))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = GradScaler(device, init_scale=2.0)
    before = [p.full_tensor().clone() for p in model.parameters()]
    for bad, scale in ((True, 1.0), (False, 1.0)):
        optimizer.zero_grad()
        scaler.scale(model(torch.ones(3, 4)).square().mean()).backward()
        if bad and torch.distributed.get_rank() == 0:
            next(model.parameters()).grad.to_local().fill_(math.inf)
        scaler.step(optimizer)
        scaler.update()
        assert scaler.get_scale() == scale
        after = [p.full_tensor() for p in model.parameters()]
        same = all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
        assert same == bad


def test_processes_agree_on_an_overflow(tmp_path):
    in_processes(sharded, tmp_path)
