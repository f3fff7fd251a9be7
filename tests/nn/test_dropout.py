import copy
import io
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import stats
from torch import nn

from dlkb.nn import Dropout, mc_dropout
from tests.close import assert_close


def inputs(shape=(6, 7), dtype=torch.float32, device="cpu"):
    values = np.random.default_rng(0).normal(size=shape)
    return torch.tensor(values, dtype=dtype, device=device)


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("inplace", [False, True])
def test_the_same_seed_gives_the_output_and_gradient_of_torch(p, dtype, inplace):
    results = []
    for layer in (Dropout(p, inplace), nn.Dropout(p, inplace)):
        torch.manual_seed(3)
        x = inputs((40, 33), dtype).requires_grad_()
        hidden = x * 2
        output = layer(hidden)
        assert (output is hidden) == (inplace or p == 0)
        (output**2).sum().backward()
        results.append((output, x.grad))
    assert_close(results[0][0], results[1][0])
    assert_close(results[0][1], results[1][1])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_the_scale_is_exact_to_the_rounding_of_the_output(dtype, device):
    x = inputs((1000,), dtype, device)
    output = Dropout(0.1)(x)
    assert output.dtype == dtype
    assert output.device == x.device
    kept = output != 0
    expected = (x.double() / 0.9).to(dtype)
    torch.testing.assert_close(output[kept], expected[kept], rtol=1e-6, atol=0)


@pytest.mark.parametrize("p", [0.001, 0.1, 0.9])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_the_frequency_of_zeros_is_p(p, dtype, device):
    # A correct draw fails an exact binomial test at this level once in 10⁶ seeds.
    torch.manual_seed(0)
    zeros = int((Dropout(p)(torch.ones(400_000, dtype=dtype, device=device)) == 0).sum())
    assert stats.binomtest(zeros, 400_000, p).pvalue > 1e-6


def test_eval_is_the_identity_and_train_is_not(device):
    layer, x = Dropout(0.5), inputs(device=device)
    assert not torch.equal(layer(x), x)
    assert layer.eval()(x) is x
    assert layer.train() is layer
    assert not torch.equal(layer(x), layer(x))


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (1,), (2, 1, 3, 1)])
def test_shapes(shape):
    x = inputs(shape)
    torch.manual_seed(0)
    expected = F.dropout(x, 0.5)
    torch.manual_seed(0)
    assert_close(Dropout(0.5)(x), expected)


def test_memory_format_and_strides():
    x = inputs((2, 3, 4, 5)).contiguous(memory_format=torch.channels_last)
    assert Dropout(0.5)(x).is_contiguous(memory_format=torch.channels_last)
    x = inputs((6, 8)).T[::2]
    output = Dropout(0.5)(x)
    assert_close(output, torch.where(output != 0, 2 * x, 0.0))


def test_the_backward_pass_keeps_one_byte_an_entry():
    saved = []
    x = inputs((100,)).requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        Dropout(0.5)(x)
    assert sum(t.numel() * t.element_size() for t in saved if t.ndim) == 100


def test_gradient_is_that_of_the_drawn_mask():
    x = inputs((5, 4), torch.float64).requires_grad_()

    def seeded(x):
        torch.manual_seed(0)
        return Dropout(0.3)(x)

    assert torch.autograd.gradcheck(seeded, (x,))


def test_compiles_in_one_graph(device):
    torch.compiler.reset()
    layer = torch.compile(Dropout(0.25), fullgraph=True, backend="aot_eager")
    x = inputs((2000,), device=device).requires_grad_()
    output = layer(x)
    kept = output != 0
    assert 300 < int((~kept).sum()) < 700  # ten standard deviations about 500
    assert_close(output[kept], x[kept] / 0.75)
    output.sum().backward()
    assert_close(x.grad, torch.where(kept, torch.tensor(1 / 0.75, device=device), 0.0))
    layer.eval()
    assert_close(layer(x), x)


def test_vmap_draws_a_mask_for_each(device):
    batched = torch.vmap(Dropout(0.5), randomness="different")(torch.ones(4, 50, device=device))
    assert len({tuple(row.tolist()) for row in batched}) == 4


def test_it_takes_the_place_of_torch_dropout():
    assert repr(Dropout(0.3, True)) == repr(nn.Dropout(0.3, True))
    assert repr(Dropout()) == repr(nn.Dropout())
    ours = nn.Sequential(nn.Linear(3, 3), Dropout(0.2))
    theirs = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.2))
    theirs.load_state_dict(ours.state_dict())
    assert list(ours.state_dict()) == list(theirs.state_dict())
    buffer = io.BytesIO()
    torch.save(copy.deepcopy(ours), buffer)
    buffer.seek(0)
    assert torch.load(buffer, weights_only=False)[1].p == 0.2
    x = torch.arange(3)
    assert ours[1].eval()(x) is nn.Dropout(0.2).eval()(x) is x


@pytest.mark.parametrize("p", [-0.1, 1.1, math.nan])
def test_p_out_of_range(p):
    with pytest.raises(ValueError, match=rf"p is {p}: it must lie in \[0, 1\]"):
        Dropout(p)


def test_integers_are_refused():
    with pytest.raises(TypeError, match=r"x has dtype torch.int64"):
        Dropout(0.5)(torch.arange(3))


def model():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(4, 8), nn.BatchNorm1d(8), Dropout(0.5), nn.Dropout(0.5), nn.Linear(8, 2)
    )


@pytest.mark.parametrize("mode", [True, False])
def test_mc_dropout_leaves_normalization_alone(mode):
    net, x = model().train(mode), inputs((5, 4))
    net[3].eval()
    before = [module.training for module in net.modules()]
    statistics = net[1].running_mean.clone()
    with mc_dropout(net) as same:
        assert same is net
        assert [module.training for module in net] == [False, False, True, True, False]
        assert not torch.equal(net(x), net(x))
    assert [module.training for module in net.modules()] == before
    assert torch.equal(net[1].running_mean, statistics)


def test_mc_dropout_restores_after_an_exception():
    net = model().eval()
    with pytest.raises(RuntimeError, match="stop"), mc_dropout(net):
        raise RuntimeError("stop")
    assert not any(module.training for module in net.modules())


def test_mc_dropout_needs_dropout():
    with (
        pytest.raises(ValueError, match="Linear has no dropout module"),
        mc_dropout(nn.Linear(2, 2)),
    ):
        pass


OTHERS = [nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout]


@pytest.mark.parametrize("kind", OTHERS)
def test_mc_dropout_reaches_other_dropout(kind):
    net = nn.Sequential(kind(0.5)).eval()
    x = inputs((2, 64, 3, 3, 3)[: {nn.Dropout1d: 3, nn.Dropout2d: 4}.get(kind, 5)])
    with mc_dropout(net):
        assert not torch.equal(net(x), net(x))


TRANSFORMERS = {
    "encoder layer": lambda: nn.TransformerEncoderLayer(8, 2, 16, 0.5, batch_first=True),
    "encoder": lambda: nn.TransformerEncoder(
        nn.TransformerEncoderLayer(8, 2, 16, 0.5, batch_first=True), 2
    ),
    "decoder layer": lambda: Twice(nn.TransformerDecoderLayer(8, 2, 16, 0.5, batch_first=True)),
    "attention": lambda: Thrice(nn.MultiheadAttention(8, 2, dropout=0.5, batch_first=True)),
    "lstm": lambda: First(nn.LSTM(8, 8, num_layers=2, dropout=0.5)),
}


class Wrap(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner


class First(Wrap):
    def forward(self, x):
        return self.inner(x)[0]


class Twice(Wrap):
    def forward(self, x):
        return self.inner(x, x)


class Thrice(Wrap):
    def forward(self, x):
        return self.inner(x, x, x)[0]


@pytest.mark.parametrize("name", TRANSFORMERS)
@pytest.mark.parametrize("grad", [True, False])
def test_mc_dropout_reaches_dropout_inside_torch_layers(name, grad):
    net, x = TRANSFORMERS[name]().eval(), inputs((3, 5, 8))
    with torch.set_grad_enabled(grad):
        assert torch.equal(net(x), net(x))
        with mc_dropout(net):
            assert not torch.equal(net(x), net(x))
        assert torch.equal(net(x), net(x))


def jagged(seed=0, **options):
    torch.manual_seed(seed)
    rows = [torch.randn(n, 4) for n in (3, 0, 5)]
    return torch.nested.nested_tensor(rows, layout=torch.jagged, **options)


def test_jagged_nested_tensors_against_torch():
    results = []
    for kind, inplace in ((nn.Dropout, False), (Dropout, False), (Dropout, True)):
        x = jagged()
        torch.manual_seed(1)
        y = kind(0.4, inplace=inplace)(x)
        assert (y is x) == inplace
        assert (x + y).shape == x.shape
        results.append(y.values())
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


def test_jagged_nested_tensors_with_holes_and_transposed():
    values, offsets = torch.ones(9, 2), torch.tensor([0, 4, 9])
    x = torch.nested.nested_tensor_from_jagged(values, offsets, torch.tensor([3, 5]))
    assert torch.equal(Dropout(0.5)(x).lengths(), torch.tensor([3, 5]))
    x = jagged(requires_grad=True)
    y = Dropout(0.5)(x.transpose(1, 2))
    assert y.shape == x.transpose(1, 2).shape
    y.values().sum().backward()
    assert set(x.grad.values().flatten().tolist()) == {0.0, 2.0}


def test_a_traced_module_drops():
    traced = torch.fx.symbolic_trace(nn.Sequential(nn.Linear(3, 64), Dropout(0.5)))
    y = traced(torch.ones(8, 3))
    assert 0.3 < float((y == 0).float().mean()) < 0.7
    assert torch.equal(torch.fx.symbolic_trace(Dropout(0.5).eval())(y), y)


def test_mc_dropout_does_not_reach_the_attention_of_transformers():
    from transformers import BertConfig, BertModel

    options = {"num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 9}
    for hidden, attention in ((0.0, 0.5), (0.5, 0.0)):
        rates = {"hidden_dropout_prob": hidden, "attention_probs_dropout_prob": attention}
        config = BertConfig(hidden_size=8, intermediate_size=8, **options, **rates)
        model, tokens = BertModel(config).eval(), torch.tensor([[1, 2, 3]])
        with torch.no_grad(), mc_dropout(model):
            same = torch.equal(model(tokens)[0], model(tokens)[0])
        assert same == (hidden == 0)
