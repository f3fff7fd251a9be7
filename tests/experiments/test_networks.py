import numpy as np
import pytest
import torch

from dlkb.experiments.networks import draw, forward, layer_sizes, layers, normalize
from tests.experiments.modules import Module

X = np.random.default_rng(7).normal(size=(5, 6))


@pytest.mark.parametrize("norm", ["", "batch", "layer"])
@pytest.mark.parametrize("skip", [0.0, 0.3])
@pytest.mark.parametrize("bias", [True, False])
def test_is_torchs_network(norm, skip, bias):
    networks = draw(
        (6, 4, 4, 4, 3),
        activation=torch.tanh,
        norm=norm,
        skip=skip,
        bias=bias,
        init="torch",
        seeds=3,
    )
    x = torch.tensor(X)
    signals = forward(networks, x)
    assert [tuple(z.shape) for z in signals] == [(3, 5, 4)] * 3 + [(3, 5, 3)]
    for s in range(3):
        torch.testing.assert_close(signals[-1][s], Module(networks, s)(x), rtol=1e-10, atol=1e-12)


def test_each_network_may_have_its_own_examples():
    networks = draw((6, 4, 3), seeds=2)
    x = torch.tensor(np.stack([X, -X]))
    own = forward(networks, x)[-1]
    for s in range(2):
        torch.testing.assert_close(own[s], forward(networks, x[s])[-1][s])


def test_layers_are_views_that_make_up_the_row():
    networks = draw((6, 4, 3), init="torch", seeds=2)
    assert layer_sizes(networks) == [28, 15]
    parts = [p.flatten(1) for layer in layers(networks) for p in layer]
    torch.testing.assert_close(torch.cat(parts, dim=1), networks.theta)
    layers(networks)[0].weight[1, 2, 3] = 99.0
    assert (networks.theta == 99.0).sum() == 1
    assert layers(draw((6, 4, 3), bias=False))[0].bias is None
    assert layer_sizes(draw((6, 4, 3), bias=False)) == [24, 12]


@pytest.mark.parametrize(
    ("init", "gain", "std"),
    [
        ("fan_in", 2**0.5, (2 / 200) ** 0.5),
        ("fan_in", 1.0, (1 / 200) ** 0.5),
        ("xavier", 1.0, (2 / 300) ** 0.5),
        ("torch", 5.0, (1 / 600) ** 0.5),
        ("orthogonal", 3.0, 3 / 200**0.5),
    ],
)
def test_scales_of_the_draws(init, gain, std):
    networks = draw((200, 100, 10), init=init, gain=gain, last_gain=gain, seeds=4)
    first, last = layers(networks)
    assert float(first.weight.std()) == pytest.approx(std, rel=0.02)
    if init == "torch":
        bound = 1 / 200**0.5
        assert 0.99 * bound < float(first.bias.abs().max()) <= bound
        assert 0.99 * bound < float(first.weight.abs().max()) <= bound
    else:
        assert not first.bias.any()
        assert not last.bias.any()
    if init == "orthogonal":
        product = first.weight.mT @ first.weight
        torch.testing.assert_close(product, 9 * torch.eye(100).double().expand(4, -1, -1))


def test_last_layer_has_a_gain_of_its_own():
    twice, once = (draw((50, 40, 30), gain=g, last_gain=3.0) for g in (2.0, 1.0))
    torch.testing.assert_close(layers(twice)[0].weight, 2 * layers(once)[0].weight)
    torch.testing.assert_close(layers(twice)[1].weight, layers(once)[1].weight)
    assert float(layers(once)[1].weight.std()) == pytest.approx(3 / 40**0.5, rel=0.05)


def test_each_seed_is_its_own_network():
    many = draw((6, 4, 3), init="torch", seeds=3, seed=5)
    for s in range(3):
        alone = draw((6, 4, 3), init="torch", seeds=1, seed=5 + s)
        assert torch.equal(many.theta[s], alone.theta[0])
    assert not torch.equal(many.theta[0], many.theta[1])
    assert draw((6, 3), dtype="float32").theta.dtype == torch.float32


def test_normalize_is_its_definition():
    z = np.random.default_rng(0).normal(2, 3, size=(2, 7, 5))
    mean, var = z.mean(2, keepdims=True), z.var(2, keepdims=True)
    expected = {
        "batch": (z - z.mean(1, keepdims=True)) / np.sqrt(z.var(1, keepdims=True) + 1e-5),
        "layer": (z - mean) / np.sqrt(var + 1e-5),
        "rms": z / np.sqrt((z**2).mean(2, keepdims=True) + 1e-5),
        "center": z - mean,
    }
    for norm, values in expected.items():
        np.testing.assert_allclose(normalize(torch.tensor(z), norm), values, rtol=1e-12)


def test_dropout_drops_hidden_units_and_keeps_the_mean():
    networks = draw((6, 400, 3), seeds=2, bias=False)
    # An output that adds up the hidden units shows how many are left.
    layers(networks)[1].weight[:] = 1.0
    networks = networks._replace(activation=torch.ones_like)
    x = torch.tensor(X).expand(2, 5, 6)

    def outputs():
        generators = [np.random.default_rng(s) for s in range(2)]
        return forward(networks, x, dropout=0.75, generators=generators)[-1]

    kept = outputs() * 0.25
    torch.testing.assert_close(kept, kept.round())  # whole units, each counting 1 / (1 − p)
    assert (kept < 130).all()
    assert (kept > 70).all()
    assert len(kept[..., 0].unique()) > 3
    torch.testing.assert_close(outputs(), outputs())
    assert (forward(networks, x)[-1] == 400).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"widths": (6,)}, r"widths is \(6,\)"),
        ({"widths": (6, 0, 3)}, r"widths is \(6, 0, 3\)"),
        ({"init": "he"}, "init is 'he'"),
        ({"norm": "group"}, "norm is 'group'"),
        ({"widths": (6, 4, 5, 3), "skip": 1.0}, "one width"),
        ({"seeds": 0}, "seeds is 0"),
        ({"dtype": "half"}, "dtype is 'half'"),
    ],
)
def test_errors_name_the_argument(options, message):
    with pytest.raises(ValueError, match=message):
        draw(**{"widths": (6, 4, 3)} | options)


def test_examples_must_fit():
    networks = draw((6, 4, 3), seeds=2)
    for shape in ((5, 7), (3, 5, 6), (6,), (2, 5, 7), (1, 2, 5, 6)):
        with pytest.raises(ValueError, match="x has shape"):
            forward(networks, torch.zeros(shape).double())
    with pytest.raises(ValueError, match="generators is None"):
        forward(networks, torch.tensor(X), dropout=0.5)
    one = [np.random.default_rng(0)]
    with pytest.raises(ValueError, match="a list of 1: dropout needs one a network, 2"):
        forward(networks, torch.tensor(X), dropout=0.5, generators=one)
    for dropout in (-0.1, 1.0):
        with pytest.raises(ValueError, match=f"dropout is {dropout}"):
            forward(networks, torch.tensor(X), dropout=dropout, generators=2 * one)
