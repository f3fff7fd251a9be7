import pytest
import torch

from dlkb.nn import StochasticDepth
from scripts.peers.apart import torchvision
from tests.close import assert_close

Theirs = torchvision("ops").StochasticDepth


def out_and_grad(layer, x, seed=0):
    x = x.clone().requires_grad_()
    torch.manual_seed(seed)
    y = layer(x)
    y.sum().backward()
    return y.detach(), x.grad


@pytest.mark.parametrize("mode", ["row", "batch"])
@pytest.mark.parametrize("p", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("shape", [(5,), (5, 1), (4, 3, 2, 2), (0, 3), (3, 0)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_same_seed_same_values_and_gradients_as_torchvision(mode, p, shape, dtype, device):
    x = torch.randn(shape, dtype=dtype, device=device)
    for seed in range(5):
        ours = out_and_grad(StochasticDepth(p, mode), x, seed)
        theirs = out_and_grad(Theirs(p, mode), x, seed)
        for mine, other in zip(ours, theirs, strict=True):
            assert mine.dtype == dtype
            assert_close(mine, other)


@pytest.mark.parametrize("mode", ["row", "batch"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_rounds_once(mode, dtype, device):
    x = torch.randn(64, 3, device=device).to(dtype)
    y = StochasticDepth(0.1, mode)(x)
    kept = y.ne(0).any(1)
    assert y.dtype == dtype
    assert torch.equal(y[kept], (x[kept].double() / 0.9).to(dtype))


def test_off_in_eval_and_at_zero():
    x = torch.randn(3, 2)
    assert StochasticDepth(0.9, "row").eval()(x) is x
    before = torch.get_rng_state()
    assert StochasticDepth(0.0, "row")(x) is x
    assert torch.equal(torch.get_rng_state(), before)


def test_prints_and_saves_as_torchvision():
    ours, theirs = StochasticDepth(0.2, "batch"), Theirs(0.2, "batch")
    assert repr(ours) == repr(theirs)
    assert ours.state_dict() == theirs.state_dict() == {}


@pytest.mark.parametrize("mode", ["row", "batch"])
def test_compiles_without_a_graph_break(mode):
    torch.compiler.reset()
    layer = torch.compile(StochasticDepth(0.5, mode), fullgraph=True, backend="aot_eager")
    x = torch.ones(1000, 2, requires_grad=True)
    y = layer(x)
    y.sum().backward()
    assert set(y.unique().tolist()) <= {0.0, 2.0}
    assert_close(x.grad, y)


@pytest.mark.parametrize(("p", "mode"), [(1.1, "row"), (-0.1, "row"), (0.5, "rows")])
def test_errors(p, mode):
    with pytest.raises(ValueError, match=r"^(p|mode) is"):
        StochasticDepth(p, mode)
