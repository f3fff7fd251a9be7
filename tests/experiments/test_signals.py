import numpy as np
import pytest
import torch

from dlkb.experiments.networks import draw, forward, layers
from dlkb.experiments.signals import jacobian, propagate
from dlkb.initialization.signal_scale import length_trajectory
from tests.experiments.modules import Module

X = np.random.default_rng(0).normal(size=(5, 6))


def test_signals_of_linear_layers_by_hand():
    networks = draw((6, 4, 3), activation=torch.clone, seeds=2, last_gain=2.0)
    found = propagate(networks, X, seed=3)
    first, last = (layer.weight.numpy() for layer in layers(networks))
    for s in range(2):
        back = np.random.default_rng([2, 3 + s]).normal(size=(5, 3))
        z = X @ first[s]
        expected = [(z**2).mean(), ((z @ last[s]) ** 2).mean()]
        np.testing.assert_allclose(found.signal[s], expected)
        expected = [((back @ last[s].T) ** 2).mean(), (back**2).mean()]
        np.testing.assert_allclose(found.gradient[s], expected)


def test_signals_follow_the_length_map():
    depth = 8
    networks = draw((400,) * (depth + 1), activation=torch.tanh, gain=1.5, last_gain=1.5, seeds=4)
    x = np.random.default_rng(1).normal(size=(50, 400)) / 1.5  # z of the first layer: near 1
    found = propagate(networks, x)
    expected = length_trajectory(np.asarray(1.0), np.tanh, sigma_w=1.5, depth=depth - 1)
    np.testing.assert_allclose(found.signal.mean(0), expected, rtol=0.1)


def test_gradient_comes_through_skips_and_examples_of_each_seed():
    networks = draw((6, 4, 4, 3), activation=torch.tanh, skip=1.0, seeds=2)
    own = propagate(networks, np.stack([X, 2 * X]))
    both = propagate(networks, X), propagate(networks, 2 * X)
    np.testing.assert_allclose(own.signal, [both[0].signal[0], both[1].signal[1]])
    np.testing.assert_allclose(own.gradient, [both[0].gradient[0], both[1].gradient[1]])


@pytest.mark.parametrize("norm", ["", "layer"])
def test_jacobian_is_torchs(norm):
    networks = draw((6, 4, 4, 3), activation=torch.tanh, norm=norm, seeds=2)
    found = jacobian(networks, X[0])
    own = jacobian(networks, X[:2])
    assert found.shape == (2, 3, 6)
    for s in range(2):
        model, x = Module(networks, s), torch.tensor(X[:2])
        for given, row in ((found, 0), (own, s)):
            expected = torch.autograd.functional.jacobian(model, x[row : row + 1])[0, :, 0]
            np.testing.assert_allclose(given[s], expected.numpy(), rtol=1e-10, atol=1e-14)


def test_signals_leave_the_networks_alone():
    networks = draw((6, 4, 3), seeds=2)
    propagate(networks, X)
    jacobian(networks, X[0])
    assert networks.theta.grad is None
    assert not networks.theta.requires_grad
    assert len(forward(networks, torch.tensor(X))) == 2


def test_errors_name_the_argument():
    networks = draw((6, 4, 3), seeds=2)
    with pytest.raises(ValueError, match="x has shape"):
        propagate(networks, X[:, :5])
    with pytest.raises(ValueError, match=r"x has shape \(1, 5, 6\)"):
        jacobian(networks, X[None])
    with pytest.raises(ValueError, match=r"x has shape \(3, 6\): it must be \(in,\) or \(2, in\)"):
        jacobian(networks, X[:3])
    with pytest.raises(ValueError, match="networks has batch normalization"):
        jacobian(networks._replace(norm="batch"), X[0])
