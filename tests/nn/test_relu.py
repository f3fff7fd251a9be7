import copy
import io

import numpy as np
import pytest
import torch
from torch import nn

from dlkb.nn import ELU, LeakyReLU, PReLU, ReLU, unit_activity
from tests.close import assert_close

PAIRS = {
    "relu": (ReLU(), nn.ReLU()),
    "relu in place": (ReLU(True), nn.ReLU(True)),
    "leaky": (LeakyReLU(), nn.LeakyReLU()),
    "leaky in place": (LeakyReLU(0.2, True), nn.LeakyReLU(0.2, True)),
    "prelu": (PReLU(), nn.PReLU()),
    "prelu, channels": (PReLU(5, 0.1), nn.PReLU(5, 0.1)),
    "elu": (ELU(), nn.ELU()),
    "elu in place": (ELU(0.5, True), nn.ELU(0.5, True)),
}


def inputs(shape=(7, 5, 3), dtype=torch.float64, device="cpu"):
    x = 3 * np.random.default_rng(0).normal(size=shape)
    return torch.tensor(np.where(np.abs(x) < 0.5, 0.0, x), dtype=dtype, device=device)


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_values_and_gradients_are_those_of_torch(name, dtype, device):
    results = []
    for layer in PAIRS[name]:
        layer = copy.deepcopy(layer).to(device, dtype)
        x = inputs(dtype=dtype, device=device).requires_grad_()
        hidden = x * 1
        output = layer(hidden)
        assert (output is hidden) == getattr(layer, "inplace", False)
        output.square().sum().backward()
        results.append([output, x.grad, *(p.grad for p in layer.parameters())])
    for ours, theirs in zip(*results, strict=True):
        assert ours.dtype == dtype
        assert_close(ours, theirs, scale=10)


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("shape", [(), (0,), (1,), (0, 5), (2, 5, 0, 1), (2, 5, 1, 3)])
def test_shapes(name, shape):
    if "channels" in name and len(shape) < 2:
        shape = (4, 5)
    ours, theirs = PAIRS[name]
    x = inputs(shape, torch.float32)
    assert_close(ours(x.clone()), theirs(x.clone()))


@pytest.mark.parametrize("name", PAIRS)
def test_it_takes_the_place_of_torch(name):
    ours, theirs = map(copy.deepcopy, PAIRS[name])
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for parameter in theirs.parameters():
        parameter.data.fill_(0.7)
    ours.load_state_dict(theirs.state_dict())
    x = inputs(dtype=torch.float32)
    assert_close(ours(x.clone()), theirs(x.clone()))
    theirs.load_state_dict(ours.state_dict())
    buffer = io.BytesIO()
    torch.save(ours, buffer)
    buffer.seek(0)
    assert repr(torch.load(buffer, weights_only=False)) == repr(theirs)


@pytest.mark.parametrize("name", PAIRS)
def test_second_derivatives_and_one_graph(name, device):
    layer = copy.deepcopy(PAIRS[name][0]).to(device, torch.float64)
    x = inputs((4, 5), device=device)
    x = torch.where(x == 0, 0.3, x).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: layer(x * 1), (x,))
    assert torch.autograd.gradgradcheck(lambda x: layer(x * 1), (x,))
    torch.compiler.reset()
    compiled = torch.compile(lambda x: layer(x * 1), fullgraph=True, backend="aot_eager")
    assert_close(compiled(x), layer(x * 1))


def test_memory_format_stays():
    x = inputs((2, 5, 4, 3)).contiguous(memory_format=torch.channels_last)
    for ours, _ in PAIRS.values():
        layer = copy.deepcopy(ours).double()
        assert layer(x.clone()).is_contiguous(memory_format=torch.channels_last)


def test_prelu_takes_device_and_dtype_and_starts_over():
    layer = PReLU(3, 0.1, device="meta", dtype=torch.float16)
    assert layer.weight.is_meta
    assert layer.weight.dtype == torch.float16
    layer = PReLU(2, 0.1)
    layer.weight.data.fill_(9)
    layer.reset_parameters()
    assert_close(layer.weight, torch.full((2,), 0.1))


def test_errors():
    with pytest.raises(ValueError, match=r"shape \(4, 5\) but num_parameters is 3"):
        PReLU(3)(torch.zeros(4, 5))
    with pytest.raises(ValueError, match="num_parameters is 3"):
        PReLU(3)(torch.zeros(3))
    with pytest.raises(TypeError, match=r"x has dtype torch.int64"):
        ReLU()(torch.arange(3))


def dying(kind=nn.ReLU):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 3, 3), kind(), nn.Flatten(), nn.Linear(12, 4), kind())
    model[0].bias.data = torch.tensor([0.0, -99.0, 99.0])
    return model


@pytest.mark.parametrize("kind", [nn.ReLU, ReLU, nn.ReLU6, lambda: nn.ReLU(inplace=True)])
def test_the_probe_counts_what_is_above_zero(kind):
    model, batches = dying(kind), [torch.randn(6, 1, 4, 4), torch.randn(2, 1, 4, 4)]
    found = unit_activity(model, batches)
    assert list(found) == ["1", "4"]
    x = torch.cat(batches)
    first = (model[0](x) > 0).double().mean((0, 2, 3))
    assert_close(found["1"], first)
    assert found["1"][1] == 0
    assert found["1"][2] == 1
    assert_close(found["4"], (model[:-1](x) > 0).double().mean(0))


def test_the_probe_finds_what_gets_no_gradient():
    model, x = dying(), torch.randn(50, 1, 4, 4)
    model(x).square().sum().backward()
    still = model[0].weight.grad.abs().sum((1, 2, 3)) == 0
    assert still.tolist() == (unit_activity(model, [x])["1"] == 0).tolist()


def test_the_probe_leaves_the_model_alone_and_takes_another_axis():
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(4, 6), nn.ReLU())
    x = torch.randn(5, 3, 4)
    found = unit_activity(model, [x], axis=-1)
    assert found["2"].shape == (6,)
    assert unit_activity(model, [x])["2"].shape == (3,)
    assert model[0].num_batches_tracked == 0
    assert model.training
    assert not model[2]._forward_hooks


@pytest.mark.parametrize("width", [3, 5])
def test_the_probe_tells_layers_apart_that_share_a_relu(width):
    torch.manual_seed(0)
    relu = nn.ReLU()
    model = nn.Sequential(nn.Linear(4, 3), relu, nn.Linear(3, width), relu)
    model[0].bias.data = torch.tensor([-99.0, 99.0, 99.0])
    model[2].weight.data.abs_()
    found = unit_activity(model, [torch.randn(6, 4), torch.randn(2, 4)])
    assert list(found) == ["1", "1#2"]
    assert (found["1"] == 0).tolist() == [True, False, False]
    assert found["1#2"].tolist() == [1] * width  # positive weights on what is active


def test_the_probe_takes_examples_without_a_batch():
    model = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
    rows = [torch.randn(3) for _ in range(4)]
    found = unit_activity(model, rows, axis=-1)
    assert torch.equal(found["1"], unit_activity(model, [torch.stack(rows)])["1"])
    with pytest.raises(IndexError, match=r"axis is 1 but '1' returned shape \(2,\): .* axis=-1"):
        unit_activity(model, rows)


def test_the_probe_needs_a_relu_and_inputs():
    with pytest.raises(ValueError, match="Linear called no ReLU module"):
        unit_activity(nn.Linear(2, 2), [torch.ones(1, 2)])
    for batches in ([], [torch.ones(0, 2)]):
        with pytest.raises(ValueError, match="pass at least one example"):
            unit_activity(nn.Sequential(nn.ReLU()), batches)
