import copy
import io
import math

import numpy as np
import pytest
import torch
from torch import nn

import dlkb.nn
from tests.close import assert_close

NAMES = ("MSELoss", "L1Loss", "HuberLoss", "SmoothL1Loss")
SHARP = {"HuberLoss": {"delta": 0.7}, "SmoothL1Loss": {"beta": 0.7}}
OPTIONS = [
    (name, {**sharp, "reduction": reduction})
    for name in NAMES
    for reduction in ("mean", "sum", "none")
    for sharp in ({}, SHARP.get(name))
    if sharp is not None
]


def pair(name, options=None):
    return (getattr(module, name)(**(options or {})) for module in (dlkb.nn, nn))


def draw(shape, dtype=torch.float32, device="cpu", seed=0):
    values = np.random.default_rng(seed).normal(size=shape)
    return torch.tensor(values, dtype=dtype, device=device)


def both(ours, theirs, input, target):
    """Compare the losses of two modules, and their gradients by both arguments."""
    results = []
    for module in (ours, theirs):
        x, y = input.clone().requires_grad_(), target.clone().requires_grad_()
        loss = module(x, y)
        results.append((loss, *torch.autograd.grad((loss * loss.detach().cos()).sum(), (x, y))))
    for a, e in zip(*results, strict=True):
        assert a.dtype == e.dtype
        assert_close(a, e, scale=3)


@pytest.mark.parametrize(("name", "options"), OPTIONS, ids=str)
@pytest.mark.parametrize("shape", [(), (1,), (7,), (6, 4), (2, 1, 3), (0, 4)])
def test_loss_and_gradients_are_those_of_torch(name, options, shape, device):
    both(*pair(name, options), draw(shape, device=device), draw(shape, device=device, seed=1))


@pytest.mark.parametrize("name", NAMES)
def test_memory_that_is_not_contiguous(name, device):
    x, y = draw((8, 6), torch.float64, device), draw((6, 8), torch.float64, device, seed=1)
    both(*pair(name), x[::2].T, y[:, ::2])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_the_rounded_loss(name, dtype, device):
    ours, theirs = pair(name)
    x, y = draw((50, 4), dtype, device), draw((50, 4), dtype, device, seed=1)
    loss = ours(x, y)
    assert loss.dtype == dtype
    assert loss == theirs(x.double(), y.double()).to(dtype)


def test_a_mean_that_fits_is_finite(device):
    x = torch.tensor([300.0, 0.0, 0.0], dtype=torch.float16, device=device, requires_grad=True)
    loss = dlkb.nn.MSELoss()(x, torch.zeros_like(x))
    loss.backward()
    assert loss.item() == 30000  # 300² is beyond float16
    assert_close(x.grad, np.asarray([200.0, 0, 0]), dtype="float16")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.int64, torch.bool])
def test_targets_of_another_dtype(name, dtype, device):
    ours, theirs = pair(name)
    x, y = draw((5,), device=device).requires_grad_(), draw((5,), device=device, seed=1).to(dtype)
    loss = ours(x, y)
    (grad,) = torch.autograd.grad(loss, x)
    wide = theirs(x.double(), y.double())
    assert loss.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert_close(loss, wide, dtype="float32")
    assert_close(grad, torch.autograd.grad(wide, x)[0])
    if name != "HuberLoss":  # torch's raises in the backward pass
        assert theirs(x, y * 1 if dtype == torch.bool else y).dtype == loss.dtype


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_under_autocast_the_loss_is_that_of_float32(name, dtype, device):
    ours, theirs = pair(name)
    x, y = 1000 * draw((50, 4), dtype, device), draw((50, 4), dtype, device, seed=1)
    with torch.autocast(device, dtype):
        both(ours, theirs, x, y)
        assert ours(x, y).dtype == torch.float32
        assert ours(x, y.double()).dtype == torch.float64


def test_complex_numbers_are_refused_as_by_torch_but_for_l1(device):
    x = torch.ones(2, dtype=torch.complex64, device=device)
    for name in NAMES:
        ours, theirs = pair(name)
        for prediction in (x, x.real):
            with pytest.raises(TypeError, match="complex64"):
                ours(prediction, 0 * x)
        if name == "L1Loss":
            assert theirs(x, 0 * x) == 1
        else:
            with pytest.raises(NotImplementedError, match="not implemented"):
                theirs(x, 0 * x)


@pytest.mark.parametrize("name", NAMES)
def test_other_shapes_are_refused(name):
    ours, theirs = pair(name)
    x, y = draw((4, 1)), draw((4,))
    with pytest.raises(TypeError, match="target is list: pass a tensor"):
        ours(x, [0.0])
    with pytest.raises(ValueError, match=r"\(4,\) but input has shape \(4, 1\): .*squeeze\(-1\)"):
        ours(x, y)
    with pytest.warns(UserWarning, match="Using a target size"):
        assert theirs(x, y).isfinite()


@pytest.mark.parametrize("name", NAMES)
def test_compiles_in_one_graph(name, device):
    torch.compiler.reset()
    ours, theirs = pair(name, SHARP.get(name))
    x, y = draw((6, 4), device=device), draw((6, 4), device=device, seed=1)
    compiled = torch.compile(ours, fullgraph=True, backend="aot_eager")
    both(compiled, theirs, x, y)
    assert compiled(x.bfloat16(), y).dtype == compiled(x, y.bfloat16()).dtype == torch.float32


@pytest.mark.parametrize("name", NAMES)
def test_it_takes_the_place_of_torch_s(name):
    ours, theirs = pair(name, SHARP.get(name))
    assert repr(ours) == repr(theirs)
    assert not ours.state_dict()
    theirs.load_state_dict(ours.state_dict())
    assert {key: vars(ours)[key] for key in ("reduction", *SHARP.get(name, {}))} == {
        key: vars(theirs)[key] for key in ("reduction", *SHARP.get(name, {}))
    }
    assert isinstance(ours, nn.Module)
    buffer = io.BytesIO()
    torch.save(copy.deepcopy(ours), buffer)
    buffer.seek(0)
    assert torch.load(buffer, weights_only=False).reduction == "mean"


def test_arguments_stand_where_those_of_torch_stand():
    assert dlkb.nn.HuberLoss("sum", 2.0).delta == nn.HuberLoss("sum", 2.0).delta == 2
    for module in (dlkb.nn, nn):
        loss = module.SmoothL1Loss(None, None, "sum", 0.5)
        assert (loss.reduction, loss.beta) == ("sum", 0.5)
        assert module.MSELoss(None, None, "none").reduction == "none"


def test_smooth_l1_without_a_tip(device):
    x, y = draw((6,), device=device), draw((6,), device=device, seed=1)
    x[0] = y[0]
    both(*pair("SmoothL1Loss", {"beta": 0.0}), x, y)
    both(*pair("SmoothL1Loss", {"beta": math.inf}), x, y)
    both(dlkb.nn.SmoothL1Loss(beta=1e-50), nn.L1Loss(), x, y)
    both(*pair("HuberLoss", {"delta": math.inf}), x, y)


@pytest.mark.parametrize("name", ["MSELoss", "L1Loss", "SmoothL1Loss"])
def test_the_old_arguments_warn_and_mean_what_they_meant(name):
    for old, reduction in (({"reduce": False}, "none"), ({"size_average": False}, "sum")):
        with pytest.warns(UserWarning, match=f"pass reduction='{reduction}'"):
            ours = getattr(dlkb.nn, name)(**old)
        with pytest.warns(UserWarning, match="deprecated"):
            assert ours.reduction == getattr(nn, name)(**old).reduction == reduction


def test_options_out_of_range():
    for value in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match=rf"delta is {value}: .* \(0, inf\]"):
            dlkb.nn.HuberLoss(delta=value)
    with pytest.raises(ValueError, match=r"beta is -1.0: .* \[0, inf\]"):
        dlkb.nn.SmoothL1Loss(beta=-1.0)
    for name in NAMES:
        with pytest.raises(ValueError, match="reduction is 'batch'"):
            getattr(dlkb.nn, name)(reduction="batch")
