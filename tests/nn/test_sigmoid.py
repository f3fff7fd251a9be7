import io
import math

import numpy as np
import pytest
import torch
from torch import nn

from dlkb.nn import LogSigmoid, Sigmoid, Softplus, Tanh
from tests.close import assert_close

PAIRS = {
    "sigmoid": (Sigmoid(), nn.Sigmoid()),
    "tanh": (Tanh(), nn.Tanh()),
    "log-sigmoid": (LogSigmoid(), nn.LogSigmoid()),
    "softplus": (Softplus(), nn.Softplus()),
    "softplus, other": (Softplus(2, 5), nn.Softplus(2, 5)),
}


def inputs(shape=(7, 5, 3), dtype=torch.float64, device="cpu"):
    x = 8 * np.random.default_rng(0).normal(size=shape)
    return torch.tensor(np.where(np.abs(x) < 2, 0.0, x), dtype=dtype, device=device)


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_values_and_gradients_are_those_of_torch(name, dtype, device):
    results = []
    for layer in PAIRS[name]:
        x = inputs(dtype=dtype, device=device).requires_grad_()
        output = layer(x)
        (output.sum() + output.square().sum()).backward()
        results.append((output, x.grad))
    for ours, theirs in zip(*results, strict=True):
        assert ours.dtype == dtype
        assert_close(ours, theirs, scale=3)


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("shape", [(), (0,), (1,), (2, 5, 0, 1), (2, 5, 1, 3)])
def test_shapes(name, shape):
    ours, theirs = PAIRS[name]
    x = inputs(shape, torch.float32)
    assert_close(ours(x), theirs(x))


@pytest.mark.parametrize("name", PAIRS)
def test_it_takes_the_place_of_torch(name):
    ours, theirs = PAIRS[name]
    assert repr(ours) == repr(theirs)
    assert not ours.state_dict()
    theirs.load_state_dict(ours.state_dict())
    buffer = io.BytesIO()
    torch.save(ours, buffer)
    buffer.seek(0)
    assert repr(torch.load(buffer, weights_only=False)) == repr(theirs)
    x = inputs((2, 5, 4, 3)).contiguous(memory_format=torch.channels_last)
    assert ours(x).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("name", PAIRS)
def test_one_graph(name, device):
    layer, x = PAIRS[name][0], inputs((4, 5), device=device)
    torch.compiler.reset()
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    assert_close(compiled(x), layer(x))


def test_the_threshold_of_softplus_costs_digits():
    x = torch.tensor([20.5], dtype=torch.float64)
    assert Softplus()(x) == x
    assert Softplus(threshold=math.inf)(x) - x > 1e-9


def test_errors():
    with pytest.raises(ValueError, match="beta is -1"):
        Softplus(-1)(torch.ones(2))
    with pytest.raises(TypeError, match=r"x has dtype torch.int64"):
        Sigmoid()(torch.arange(3))
