import pytest
import torch
from torch import nn

from dlkb.nn import GroupNorm
from tests.close import assert_close
from tests.nn import norms


def inputs(shape=(3, 6, 5), *arguments, **options):
    return norms.inputs(shape, *arguments, **options)


def pair(*arguments, **options):
    return norms.pair(GroupNorm, nn.GroupNorm, *arguments, **options)


OPTIONS = [{}, {"eps": 0.1}, {"bias": False}, {"affine": False}]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("groups", [1, 2, 6])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_values_and_gradients_of_torch(options, groups, dtype, device):
    found = []
    for layer in pair(groups, 6, device=device, dtype=dtype, **options):
        x = inputs(dtype=dtype, device=device).requires_grad_()
        output = layer(x)
        (output * inputs(dtype=dtype, device=device, seed=1)).sum().backward()
        found.append([output, x.grad, *(p.grad for p in layer.parameters())])
    assert len(found[0]) == len(found[1])
    for mine, their in zip(*found, strict=True):
        assert_close(mine, their, scale=10)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_it_takes_the_place_of_torch_group_norm(options):
    ours, theirs = pair(2, 6, **options)
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    theirs.load_state_dict(ours.state_dict())
    assert torch.equal(ours.train()(inputs()), ours.eval()(inputs()))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype):
    ours, theirs = pair(2, 6, dtype=dtype)
    x = inputs((4, 6, 32), dtype)
    step = torch.finfo(dtype).eps
    torch.testing.assert_close(ours(x), theirs(x), rtol=3 * step, atol=3 * step)


@pytest.mark.parametrize("shape", [(2, 6), (0, 6, 4), (2, 6, 3, 4), (2, 6, 1, 1, 2)])
def test_shapes(shape):
    ours, theirs = pair(3, 6)
    assert_close(ours(inputs(shape)), theirs(inputs(shape)))


def test_compiles_in_one_graph_and_under_vmap():
    torch.compiler.reset()
    ours, theirs = pair(2, 6)
    compiled = torch.compile(ours, fullgraph=True, backend="aot_eager")
    assert_close(compiled(inputs()), theirs(inputs()))
    x = inputs((4, 3, 6, 5))
    assert_close(torch.vmap(ours)(x), torch.stack([theirs(one) for one in x]))


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="num_groups is 4: it must divide num_channels, 6"):
        GroupNorm(4, 6)
    with pytest.raises(ValueError, match=r"input has shape \(3, 5\): \(N, 6, …\) is needed"):
        GroupNorm(2, 6)(inputs((3, 5)))


def test_a_channels_last_input_without_gradient(device):
    x = norms.inputs((2, 6, 5, 4), device=device)
    gradients = []
    for layout in (torch.contiguous_format, torch.channels_last):
        layer = GroupNorm(3, 6, device=device)
        output = layer(x.contiguous(memory_format=layout))
        (output * x).sum().backward()  # torch's kills the process on the CPU
        gradients.append(layer.weight.grad)
    assert_close(*gradients)
    assert output.is_contiguous()
    assert not nn.GroupNorm(3, 6, device=device)(x.contiguous(memory_format=layout)).is_contiguous()
