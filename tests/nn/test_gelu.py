import copy
import io

import numpy as np
import pytest
import torch
from torch import nn
from transformers.activations import ACT2FN

from dlkb.nn import GELU, Mish, QuickGELU, SiLU
from tests.close import assert_close

PAIRS = {
    "gelu": (GELU, nn.GELU),
    "tanh": (lambda: GELU("tanh"), lambda: nn.GELU("tanh")),
    "silu": (SiLU, nn.SiLU),
    "mish": (Mish, nn.Mish),
    "quick": (QuickGELU, lambda: ACT2FN["quick_gelu"]),
}


def inputs(shape=(6, 7), dtype=torch.float32, device="cpu"):
    values = 3 * np.random.default_rng(0).normal(size=shape)
    return torch.tensor(values, dtype=dtype, device=device)


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("shape", [(6, 7), (), (0,), (3, 0), (1,), (2, 1, 3, 1)])
def test_values_and_gradients_are_those_of_torch(name, dtype, shape, device):
    found = []
    for make in PAIRS[name]:
        x = inputs(shape, dtype, device).requires_grad_()
        y = make()(x)
        y.sum().backward()
        assert y.dtype == x.grad.dtype == dtype
        assert y.device == x.device
        found.append((y, x.grad))
    assert_close(found[0][0], found[1][0])
    assert_close(found[0][1], found[1][1])


@pytest.mark.parametrize("name", ["gelu", "tanh", "silu", "mish"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_rounded_once(name, dtype, device):
    # A value that rounds the exact one is off by half a unit in the last place.
    x = torch.linspace(-6, 6, 4001, device=device).to(dtype)
    exact = PAIRS[name][1]()(x.double())
    ours = PAIRS[name][0]()(x).double()
    unit = torch.finfo(dtype).eps
    smallest = torch.finfo(dtype).smallest_normal * unit
    assert bool(((ours - exact).abs() <= 0.51 * unit * exact.abs() + 2e-6 + smallest).all())


@pytest.mark.parametrize("name", PAIRS)
def test_memory_format_and_strides(name):
    ours, theirs = (make() for make in PAIRS[name])
    x = inputs((2, 3, 4, 5)).contiguous(memory_format=torch.channels_last)
    assert ours(x).is_contiguous(memory_format=torch.channels_last)
    x = inputs((6, 8)).T[::2]
    assert_close(ours(x), theirs(x))


@pytest.mark.parametrize("name", PAIRS)
def test_gradients_twice_and_under_vmap(name):
    layer = PAIRS[name][0]()
    x = inputs((5, 3), torch.float64)
    assert torch.autograd.gradcheck(layer, (x.requires_grad_(),))
    assert torch.autograd.gradgradcheck(layer, (x,))
    assert_close(torch.vmap(layer)(x), layer(x))


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_compiles_in_one_graph(name, dtype, device):
    torch.compiler.reset()
    layer = PAIRS[name][0]()
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    found = []
    for f in (compiled, layer):
        x = inputs((40,), dtype, device).requires_grad_()
        y = f(x)
        y.sum().backward()
        found.append((y, x.grad))
    assert_close(found[0][0], found[1][0])
    assert_close(found[0][1], found[1][1])


@pytest.mark.parametrize("kind", ["SiLU", "Mish"])
def test_in_place(kind):
    ours, theirs = globals()[kind](inplace=True), getattr(nn, kind)(inplace=True)
    results = []
    for layer in (ours, theirs):
        x = inputs().requires_grad_()
        hidden = 2 * x
        output = layer(hidden)
        assert output is hidden
        output.square().sum().backward()
        results.append((output, x.grad))
    assert_close(results[0][0], results[1][0])
    assert_close(results[0][1], results[1][1])
    x = inputs()
    assert globals()[kind]()(x) is not x


def test_they_take_the_place_of_torch():
    for ours, theirs in (
        (GELU(), nn.GELU()),
        (GELU("tanh"), nn.GELU(approximate="tanh")),
        (SiLU(), nn.SiLU()),
        (SiLU(inplace=True), nn.SiLU(inplace=True)),
        (Mish(), nn.Mish()),
        (Mish(True), nn.Mish(True)),
    ):
        assert repr(ours) == repr(theirs)
    net = nn.Sequential(nn.Linear(3, 3), GELU("tanh"), SiLU(), Mish(), QuickGELU())
    other = nn.Sequential(nn.Linear(3, 3), nn.GELU(), nn.SiLU(), nn.Mish())
    other.load_state_dict(net.state_dict())
    net.load_state_dict(other.state_dict())
    buffer = io.BytesIO()
    torch.save(copy.deepcopy(net), buffer)
    buffer.seek(0)
    assert torch.load(buffer, weights_only=False)[1].approximate == "tanh"


@pytest.mark.parametrize("approximate", ["erf", None])
def test_an_unknown_form_is_refused_at_once(approximate):
    with pytest.raises(ValueError, match=rf"approximate is {approximate!r}: it must be 'none'"):
        GELU(approximate)


@pytest.mark.parametrize("name", PAIRS)
def test_integers_are_refused(name):
    with pytest.raises(TypeError, match=r"x has dtype torch.int64"):
        PAIRS[name][0]()(torch.arange(3))
