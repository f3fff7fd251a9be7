import inspect
import warnings

import pytest
import torch
from scipy import stats
from torch import nn

from dlkb.nn import init

NAMES = ["xavier_uniform_", "xavier_normal_", "kaiming_uniform_", "kaiming_normal_", "orthogonal_"]
SHAPES = [(3, 5), (1, 1), (64, 32), (8, 64), (4, 3, 7), (8, 2, 3, 5), (2, 3, 4, 5, 6)]
KEYWORDS = {
    "xavier_uniform_": [{}, {"gain": 2.5}],
    "xavier_normal_": [{}, {"gain": 2.5}],
    "kaiming_uniform_": [
        {},
        {"a": 5**0.5},
        {"mode": "fan_out", "nonlinearity": "relu"},
        {"mode": "FAN_OUT", "nonlinearity": "tanh"},
        {"a": 0.5, "nonlinearity": "linear"},
    ],
    "orthogonal_": [{}, {"gain": 2.5}],
}
KEYWORDS["kaiming_normal_"] = KEYWORDS["kaiming_uniform_"]
CALLS = [(name, keywords) for name in NAMES for keywords in KEYWORDS[name]]


@pytest.mark.parametrize("name", [*NAMES, "calculate_gain"])
def test_signatures_are_those_of_torch(name):
    ours, theirs = (inspect.signature(getattr(m, name)).parameters for m in (init, nn.init))
    assert list(ours) == list(theirs)
    assert [p.default for p in ours.values()] == [p.default for p in theirs.values()]


def test_all_names_of_torch_are_here():
    assert set(init.__all__) == set(nn.init.__all__)
    assert set(init.__all__) <= set(vars(init))
    for name in set(init.__all__) - {*NAMES, "calculate_gain"}:
        assert getattr(init, name) is getattr(nn.init, name)


@pytest.mark.parametrize(("name", "keywords"), CALLS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_seed_gives_the_draws_of_torch(name, keywords, shape, dtype, device):
    drawn = []
    for module in (init, nn.init):
        tensor = torch.empty(shape, dtype=dtype, device=device)
        generator = torch.Generator(device).manual_seed(3)
        assert getattr(module, name)(tensor, **keywords, generator=generator) is tensor
        drawn.append(tensor)
    assert torch.equal(*drawn)


@pytest.mark.parametrize(("name", "keywords"), CALLS)
def test_the_global_generator_without_an_argument(name, keywords, device):
    drawn = []
    for module in (init, nn.init):
        torch.manual_seed(7)
        drawn.append(getattr(module, name)(torch.empty(6, 4, device=device), **keywords))
    assert torch.equal(*drawn)


@pytest.mark.parametrize("name", NAMES)
def test_positional_arguments_and_parameters(name):
    layer = nn.Linear(4, 6)
    before, version = layer.weight, layer.weight._version
    result = getattr(init, name)(layer.weight, 0.5)
    assert result is before
    assert result.requires_grad
    assert result.grad_fn is None
    assert result._version > version


@pytest.mark.parametrize("name", NAMES)
def test_memory_that_is_not_contiguous(name):
    base = torch.zeros(6, 8)
    getattr(init, name)(base[::2, 1::2])
    assert torch.count_nonzero(base) == 12
    assert torch.count_nonzero(base[::2, 1::2]) == 12


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", NAMES[:4])
def test_moments(name, dtype, device):
    # n = 160 000: the mean within 5 standard errors, the mean square by the variance of a square
    # (2 for a normal, 0.8 for a uniform of unit variance), both false once in 10⁶ seeds.
    tensor = torch.empty(200, 800, dtype=dtype, device=device)
    getattr(init, name)(tensor, generator=torch.Generator(device).manual_seed(0))
    std = (2 / 1000) ** 0.5 if "xavier" in name else (2 / 800) ** 0.5
    x = tensor.double() / std
    assert abs(x.mean()) < 5 / 400
    kurtosis = 2.0 if "normal" in name else 0.8
    rounding = 2 * torch.finfo(torch.bfloat16).eps / 8 if dtype == torch.bfloat16 else 0
    assert abs(x.square().mean() - 1) < 5 * kurtosis**0.5 / 400 + rounding
    if "uniform" in name:
        assert 1.7 < x.abs().max() <= 3**0.5 * (1 + torch.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_orthogonal_in_half_precision(dtype, device):
    tensor = torch.empty(16, 4, 3, 3, dtype=dtype, device=device)
    init.orthogonal_(tensor, 2.0, torch.Generator(device).manual_seed(0))
    rows = tensor.double().flatten(1)
    error = (rows @ rows.T / 4 - torch.eye(16, device=device)).abs().max()
    assert error < 4 * torch.finfo(dtype).eps


def test_orthogonal_is_not_biased():
    # A fair sign; a correct draw fails once in 10⁶ seeds.
    generator = torch.Generator().manual_seed(0)
    signs = [bool(init.orthogonal_(torch.empty(3, 3), 1, generator)[0, 0] < 0) for _ in range(500)]
    assert stats.binomtest(sum(signs), 500).pvalue > 1e-6


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0), (2, 0, 3)])
@pytest.mark.parametrize("name", NAMES)
def test_nothing_to_fill(name, shape):
    tensor = torch.empty(shape)
    if name.startswith("kaiming"):
        with pytest.warns(UserWarning, match="zero-element tensors is a no-op") as seen:
            assert getattr(init, name)(tensor) is tensor
        assert seen[0].filename == __file__
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert getattr(init, name)(tensor) is tensor


@pytest.mark.parametrize("name", NAMES)
def test_tensors_without_storage(name):
    tensor = torch.empty(3, 4, device="meta")
    assert getattr(init, name)(tensor) is tensor


def test_groups_are_not_seen():
    # The caveat of torch: for a depthwise convolution fan_out comes out `groups` times too large.
    conv = nn.Conv2d(64, 64, 3, groups=64, bias=False)
    init.kaiming_normal_(conv.weight, mode="fan_out", generator=torch.Generator().manual_seed(0))
    wanted = (2 / 9) ** 0.5
    assert 7 < wanted / float(conv.weight.detach().std()) < 9


@pytest.mark.parametrize("shape", [(), (3,)])
@pytest.mark.parametrize("name", NAMES)
def test_too_few_axes(name, shape):
    with pytest.raises(ValueError, match="at least 2 axes"):
        getattr(init, name)(torch.empty(shape))


@pytest.mark.parametrize("name", ["kaiming_uniform_", "kaiming_normal_"])
def test_unknown_names(name):
    with pytest.raises(ValueError, match="mode is 'fan_avg': fan_in or fan_out"):
        getattr(init, name)(torch.empty(2, 2), mode="fan_avg")
    with pytest.raises(ValueError, match="nonlinearity is 'gelu'"):
        getattr(init, name)(torch.empty(2, 2), nonlinearity="gelu")
