import math
from functools import partial

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.optim import ZeroRedundancyOptimizer
from torch.distributed.tensor import DTensor

from dlkb.training.float_formats import BFLOAT16, FLOAT16, round_to
from dlkb.training.mixed_precision import (
    LossScale,
    loss_scale_init,
    loss_scale_update,
    lost,
    skipped_share,
    unscale,
    zero_bytes,
)
from tests.cases import Case
from tests.close import assert_close
from tests.distributed import in_processes


def state(rng, good=3):
    return LossScale(np.asarray(2.0 ** rng.integers(1, 9)), np.asarray(good, dtype=np.int32))


CASES = [
    Case(loss_scale_init, lambda rng: ((np.ones(3),), {"init_scale": 2.0**10}), fixed=("like",),
         batch=(), half=False),
    Case(unscale, lambda rng: (([rng.normal(size=3), rng.normal(size=(2, 2))], np.asarray(8.0)),
                                {}),
         fixed=("scale",), batch=(), broadcasts=("grads",)),
    Case(
        loss_scale_update,
        lambda rng: ((state(rng), np.asarray(True)), {"growth_factor": 4.0, "growth_interval": 4}),
        batch=(),
    ),
    Case(
        loss_scale_update,
        lambda rng: ((state(rng), np.asarray(False)), {"backoff_factor": 0.25}),
        "overflow",
        batch=(),
    ),
    Case(skipped_share, lambda rng: ((), {"growth_interval": 100})),
    Case(
        lost,
        lambda rng: ((np.asarray([1.0, 1.0, -1.5, 0.0]), np.asarray([1e-4, 0.1, 0.0, 0.5])),
                     {"to": BFLOAT16}),
        fixed=("theta", "step"),
    ),
    Case(
        zero_bytes,
        lambda rng: ((1e6,), {"stage": 2, "processes": 4, "param_bytes": 4, "grad_bytes": 4,
                              "state_bytes": 8}),
    ),
]  # fmt: skip


@pytest.mark.parametrize("interval", [1, 2, 5])
@pytest.mark.parametrize(("growth", "backoff"), [(2.0, 0.5), (1.7, 0.3)])
def test_updates_are_those_of_torch(interval, growth, backoff):
    rng = np.random.default_rng(interval)
    like = torch.ones(1)
    ours = loss_scale_init(like, init_scale=2.0**15)
    scale, tracker = ours.scale.clone(), ours.good.clone()
    for overflow in rng.random(60) < 0.2:
        torch._amp_update_scale_(
            scale, tracker, torch.tensor(float(overflow)), growth, backoff, interval
        )
        ours = loss_scale_update(
            ours,
            torch.tensor(not overflow),
            growth_factor=growth,
            backoff_factor=backoff,
            growth_interval=interval,
        )
        assert_close(ours.scale, scale)
        assert growth != 2 or ours.scale == scale
        assert ours.good == tracker
        assert (ours.scale.dtype, ours.good.dtype) == (torch.float32, torch.int32)


def test_a_scale_does_not_become_infinite():
    start = LossScale(torch.tensor(3e38), torch.tensor(0, dtype=torch.int32))
    found = loss_scale_update(start, torch.tensor(True), growth_interval=1)
    assert found.scale == start.scale
    assert found.good == 0
    scale, tracker = start.scale.clone(), start.good.clone()
    torch._amp_update_scale_(scale, tracker, torch.tensor(0.0), 2.0, 0.5, 1)
    assert scale == found.scale


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_unscaling_is_that_of_torch(dtype):
    rng = np.random.default_rng(0)
    grads = [torch.tensor(rng.normal(size=shape)).to(dtype) for shape in ((3,), (2, 2), (0,), ())]
    grads[0][0] = 3e4  # its product with 1/S, rounded to half, would be another number
    for bad in (None, math.inf, -math.inf, math.nan):
        given = [g.clone() for g in grads]
        if bad is not None:
            given[1][0, 1] = bad
        theirs, found_inf = [g.clone() for g in given], torch.zeros(())
        torch._amp_foreach_non_finite_check_and_unscale_(theirs, found_inf, torch.tensor(2.0**-12))
        ours, finite = unscale(given, torch.tensor(2.0**12))
        assert bool(finite) == (not found_inf.item()) == (bad is None)
        for a, b in zip(ours, theirs, strict=True):
            assert a.dtype == dtype
            assert torch.equal(a.nan_to_num(7.0), b.nan_to_num(7.0))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_scaled_in_float32(dtype):
    like = torch.ones(2, dtype=dtype)
    start = loss_scale_init(like, init_scale=2.0**17)  # beyond float16
    assert start.scale.dtype == torch.float32
    (grad,), finite = unscale([like], start.scale)
    assert finite
    assert grad.tolist() == [2.0**-17, 2.0**-17]


def test_small_gradients_survive_by_the_scale():
    grad = np.asarray(3e-8) * np.asarray([0.9, 1.1, 30.0])
    plain = round_to(grad, to=FLOAT16)
    scaled, finite = unscale([round_to(1024.0 * grad, to=FLOAT16)], np.asarray(1024.0))
    assert plain[0] == 0
    assert finite
    np.testing.assert_allclose(scaled[0], grad, rtol=1e-3)


@pytest.mark.parametrize("interval", [1, 3, 20])
def test_share_of_skipped_steps_in_the_long_run(interval):
    found, skipped = loss_scale_init(np.ones(1)), []
    for _ in range(50 * (interval + 1)):
        finite = np.asarray(bool(found.scale <= 2.0**10))  # beyond, the largest gradient overflows
        skipped.append(not finite)
        found = loss_scale_update(found, finite, growth_interval=interval)
    assert skipped[:6] == [True] * 6  # 2¹⁶ comes down to 2¹⁰
    late = skipped[-20 * (interval + 1) :]
    assert np.mean(late) == pytest.approx(skipped_share(growth_interval=interval))


@pytest.mark.parametrize("to", [FLOAT16, BFLOAT16], ids=str)
def test_a_step_is_lost_below_half_of_the_spacing(to):
    half = 2.0 ** -(to.fraction + 1)
    theta = np.asarray([1.5, 1.5, 1.5, -1.5, 1.0, 1.0, 1.0, 1.0, 0.0])
    step = half * np.asarray([0.99, 1.01, 0, -0.99, 0.99, -0.51, -0.49, 1.0, 1e-3])
    expected = [True, False, False, True, True, False, True, True, False]
    assert lost(theta, step, to=to).tolist() == expected


def test_zero_is_the_table_of_the_paper():
    found = [zero_bytes(7.5e9, stage=s, processes=64) / 1e9 for s in range(4)]
    assert_close(np.asarray(found), np.asarray([120.0, 31.40625, 16.640625, 1.875]))
    assert zero_bytes(10, stage=3, processes=1) == zero_bytes(10) == 160
    assert zero_bytes(10, param_bytes=4, grad_bytes=4, state_bytes=8) == 160


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, 16))


def local(x):
    return x.to_local() if isinstance(x, DTensor) else x


def size_of(tensors):
    return sum(local(x).numel() * local(x).element_size() for x in tensors if x is not None)


def states(optimizer):
    """Return the moments of Adam; its counters of steps weigh four bytes a tensor."""
    return [x for s in optimizer.state.values() for x in s.values() if x.numel() > 1]


def weighed(model, optimizer):
    """Return the bytes of parameters, gradients and moments after a step."""
    x = torch.ones(4, 16)
    model(x).square().mean().backward()
    optimizer.step()
    parameters = list(model.parameters())
    grads = [p.grad for p in parameters]
    return [size_of(tensors) for tensors in (parameters, grads, states(optimizer))]


def shares_of_two(folder, device):
    """Plain Adam, ZeRO-1 and ZeRO-3 of PyTorch in float32: bytes in this process."""
    count = sum(p.numel() for p in network().parameters())
    plain = network()
    alone = weighed(plain, torch.optim.Adam(plain.parameters()))
    whole = [zero_bytes(count, **b) for b in PARTS]
    assert alone == whole

    one = network()
    optimizer = ZeroRedundancyOptimizer(one.parameters(), torch.optim.Adam, lr=1e-3)
    found = weighed(one, optimizer.optim)
    assert found[:2] == whole[:2]
    held = torch.tensor([float(size_of(states(optimizer.optim)))])
    dist.all_reduce(held)  # whole tensors are handed out: the halves need not be equal
    assert held == whole[2]
    assert size_of(states(optimizer.optim)) < whole[2]

    three = network()
    mesh = init_device_mesh(device, (2,))
    for layer in (three[0], three[2], three):
        fully_shard(layer, mesh=mesh)
    found = weighed(three, torch.optim.Adam(three.parameters()))
    assert found == [zero_bytes(count, stage=3, processes=2, **b) for b in PARTS]


PARTS = [
    {"param_bytes": 4, "grad_bytes": 0, "state_bytes": 0},
    {"param_bytes": 0, "grad_bytes": 4, "state_bytes": 0},
    {"param_bytes": 0, "grad_bytes": 0, "state_bytes": 8},
]


def test_two_processes_hold_what_the_formula_says(tmp_path):
    in_processes(shares_of_two, tmp_path)


def gathered(part):
    parts = [torch.empty_like(part) for _ in range(2)]
    dist.all_gather(parts, part)
    return torch.cat(parts)


def by_hand(folder, device):
    """Mixed precision under each stage, written out: bytes, and the parameters it ends with."""
    rank, size, n = dist.get_rank(), 2, 64
    mine = slice(rank * n // size, (rank + 1) * n // size)
    everything = slice(0, n)
    start = torch.linspace(-1, 1, n)
    slopes = torch.tensor(np.random.default_rng(0).normal(size=(3, size, n)), dtype=torch.float32)
    results = {}
    for stage in range(4):
        own = everything if stage == 0 else mine
        master = start[own].clone()
        moments = torch.zeros(2, len(master))
        held = start.bfloat16() if stage < 3 else start[mine].bfloat16()
        for t, step in enumerate(slopes, 1):
            params = held
            if stage == 3:  # gathered for the time of the pass
                params = gathered(held)
            grad = (params.float() * step[rank]).bfloat16()
            dist.all_reduce(grad)
            if stage >= 2:
                grad = grad[mine].clone()
            g = (grad if stage >= 2 else grad[own]).float() / size
            moments[0].lerp_(g, 0.1)
            moments[1].lerp_(g * g, 0.001)
            m_hat, v_hat = moments[0] / (1 - 0.9**t), moments[1] / (1 - 0.999**t)
            master -= 0.01 * m_hat / (v_hat.sqrt() + 1e-8)
            part = master.bfloat16()
            held = gathered(part) if stage in (1, 2) else part
        weight = sum(x.numel() * x.element_size() for x in (held, grad, master, moments))
        assert weight == zero_bytes(n, stage=stage, processes=size), stage
        results[stage] = gathered(held) if stage == 3 else held
    for stage in (1, 2, 3):
        assert torch.equal(results[stage], results[0])
    assert not torch.equal(results[0], start.bfloat16())


def test_stages_by_hand_weigh_what_the_formula_says_and_step_alike(tmp_path):
    in_processes(by_hand, tmp_path)


update, GOOD = partial(loss_scale_update, loss_scale_init(np.ones(1))), np.asarray(True)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: loss_scale_init(np.arange(2)), TypeError, "like has dtype"),
        (lambda: loss_scale_init(np.ones(2), init_scale=0.0), ValueError, "init_scale is 0.0"),
        (lambda: unscale([], np.asarray(1.0)), ValueError, "grads is empty"),
        (
            lambda: unscale([np.ones(2), np.arange(2)], np.asarray(1.0)),
            TypeError,
            r"grads\[1\] has dtype int64",
        ),
        (lambda: update(GOOD, growth_factor=1.0), ValueError, "growth_factor is 1.0"),
        (lambda: update(GOOD, backoff_factor=1.0), ValueError, "backoff_factor is 1.0"),
        (lambda: update(GOOD, backoff_factor=0.0), ValueError, "backoff_factor is 0.0"),
        (lambda: update(GOOD, growth_interval=0), ValueError, "growth_interval is 0"),
        (
            lambda: update(GOOD, growth_interval=2.5),
            ValueError,
            "growth_interval is 2.5: .* round it",
        ),
        (lambda: skipped_share(growth_interval=0), ValueError, "growth_interval is 0"),
        (lambda: lost(np.arange(2), np.ones(2), to=FLOAT16), TypeError, "theta has dtype"),
        (lambda: lost(np.ones(2), np.arange(2), to=FLOAT16), TypeError, "step has dtype"),
        (lambda: lost(np.ones(2), np.ones(1), to=FLOAT16), ValueError, r"step has shape \(1,\)"),
        (lambda: zero_bytes(-1), ValueError, "params is -1"),
        (lambda: zero_bytes(1, stage=4), ValueError, "stage is 4"),
        (lambda: zero_bytes(1, processes=0), ValueError, "processes is 0"),
    ],
)
def test_errors_name_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call()
