import numpy as np
import pytest
import torch

from dlkb.experiments.covariate_shift import _forward, train_shifted
from dlkb.experiments.digits import digits
from dlkb.experiments.networks import draw, forward
from dlkb.experiments.rules import sgd_rule
from dlkb.experiments.training import train

DATA = digits(train=40, test=10)
SIZES = (64, 8, 8, 10)


@pytest.mark.parametrize("norm", ["", "batch"])
@pytest.mark.parametrize("bias", [True, False])
def test_without_shifts_it_is_gradient_descent(norm, bias):
    networks = draw(SIZES, norm=norm, bias=bias, seeds=3, activation=torch.tanh)
    calm = train_shifted(networks, DATA, noise=0, lr=0.2, steps=6)
    plain = train(networks, DATA, rule=sgd_rule(lr=0.2), steps=6)
    np.testing.assert_allclose(calm.loss, plain.loss, rtol=1e-10)


def test_the_shift_of_a_plain_network_is_that_of_its_means():
    networks = draw(SIZES, seeds=2)
    found = train_shifted(networks, DATA, noise=0, lr=0.3, steps=2).shift
    x = torch.tensor(DATA.x_train)
    after = train(networks, DATA, rule=sgd_rule(lr=0.3), steps=1).networks
    means = [torch.cat([z.mean(1) for z in forward(n, x)[:-1]], 1) for n in (networks, after)]
    np.testing.assert_allclose(found[:, 1], (means[1] - means[0]).abs().mean(1), rtol=1e-9)
    assert (found[:, 0] == 0).all()


@pytest.mark.parametrize("noise", [0.1, 1.0])
def test_shifts_behind_batch_norm_have_the_size_asked_for(noise):
    networks = draw((64, 200, 10), norm="batch", seeds=1)
    shift = train_shifted(networks, DATA, noise=noise, lr=0.0, steps=30).shift[:, 1:]
    assert abs(shift.mean() / noise - 2 / np.pi**0.5) < 0.05  # E|c − c'| for normal c, c'


def test_mean_and_scale_are_shifted():
    networks = draw((64, 8, 10), norm="batch", seeds=1, activation=lambda z: z)
    x, rng = torch.tensor(DATA.x_train), np.random.default_rng(0)
    calm, _ = _forward(networks, x, 0.0, rng)
    shifted, means = _forward(networks, x, 1.0, rng)
    assert 0.3 < means.std() < 3  # without activation a shift alone moves all examples alike
    assert ((shifted - calm).std(1) > 0.1).all()


def test_all_networks_get_the_same_shifts_and_the_seed_decides_them():
    networks = draw(SIZES, norm="batch", seeds=2)
    twice = networks._replace(theta=networks.theta[:1].repeat(2, 1))
    same = train_shifted(twice, DATA, noise=0.5, lr=0.1, steps=4)
    assert (same.loss[0] == same.loss[1]).all()
    other = train_shifted(twice, DATA, noise=0.5, lr=0.1, steps=4, seed=1)
    assert (same.loss != other.loss).all()


def test_one_step_has_no_shift_before_it_and_none_is_refused():
    networks = draw(SIZES, seeds=2)
    one = train_shifted(networks, DATA, noise=1.0, lr=0.1, steps=1)
    assert one.loss.shape == one.shift.shape == (2, 1)
    assert (one.shift == 0).all()
    with pytest.raises(ValueError, match="steps is 0"):
        train_shifted(networks, DATA, noise=1.0, lr=0.1, steps=0)
