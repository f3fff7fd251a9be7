import math

import numpy as np
import pytest
import torch
from scipy import stats

from dlkb.losses.cross_entropy import softmax
from dlkb.transformers.attention_scale import (
    entropy,
    gaussian_entropy,
    score_variance,
    softmax_sensitivity,
)
from tests.cases import Case
from tests.close import assert_close


def shares(rng):
    return (rng.dirichlet(np.ones(5), size=3),)


CASES = [
    Case(score_variance, lambda rng: ((), {"head_dim": 4, "mean": 0.5, "scale": 0.3})),
    Case(gaussian_entropy, lambda rng: ((), {"keys": 50, "std": 1.5})),
    Case(entropy, lambda rng: (shares(rng), {}), fixed=("p",)),
    Case(softmax_sensitivity, lambda rng: (shares(rng), {}), fixed=("p",)),
]


@pytest.mark.parametrize("mean", [0.0, 1.0, -0.5])
@pytest.mark.parametrize("head_dim", [1, 4, 64])
def test_variance_of_random_scores(head_dim, mean):
    rng = np.random.default_rng(0)
    q, k = rng.normal(mean, 1, size=(2, 40_000, head_dim))
    for scale in (None, 1.0):
        scores = np.sum(q * k, axis=-1) * (head_dim**-0.5 if scale is None else scale)
        expected = score_variance(head_dim=head_dim, mean=mean, scale=scale)
        assert 0.93 < scores.var() / expected < 1.07


def test_numbers_whose_squares_overflow():
    assert gaussian_entropy(keys=4, std=1e200) == gaussian_entropy(keys=4, std=math.inf) == 0
    assert score_variance(head_dim=4, mean=1e200) == math.inf
    assert score_variance(head_dim=4, scale=-1e200) == math.inf


def test_entropy_is_that_of_scipy():
    p = np.random.default_rng(1).dirichlet(np.ones(7) / 3, size=(2, 4))
    assert_close(entropy(p), stats.entropy(p, axis=-1))
    assert_close(entropy(np.asarray([[1.0, 0.0, 0.0], [1 / 3] * 3])), np.asarray([0, math.log(3)]))
    grad = torch.tensor([1.0, 0.0], requires_grad=True)
    entropy(grad).backward()
    assert grad.grad.isfinite().all()


def test_entropy_of_normal_scores():
    rng = np.random.default_rng(2)
    for keys in (256, 4096):
        for std in (0.0, 0.5, 1.0, 2.0):
            found = entropy(softmax(std * rng.normal(size=(300, keys)))).mean()
            assert -0.03 < found - gaussian_entropy(keys=keys, std=std) < 0.25
        assert entropy(softmax(30 * rng.normal(size=(300, keys)))).mean() < 0.5
    corner = math.sqrt(2 * math.log(100))
    assert gaussian_entropy(keys=100, std=corner + 0.01) == 0
    assert gaussian_entropy(keys=100, std=corner - 0.01) > 0
    for keys, gap in ((64, 1.9), (16384, 3.1)):
        corner = math.sqrt(2 * math.log(keys))
        found = entropy(softmax(corner * rng.normal(size=(2**23 // keys, keys)))).mean()
        assert abs(found - gaussian_entropy(keys=keys, std=corner) - gap) < 0.15


def test_sensitivity_is_the_norm_of_the_jacobian():
    for scale in (0.1, 1.0, 30.0):
        z = torch.tensor(scale * np.random.default_rng(3).normal(size=6))
        jacobian = torch.autograd.functional.jacobian(lambda z: z.softmax(-1), z)
        found = softmax_sensitivity(z.softmax(-1))
        assert_close(found, jacobian.norm())
    sharp = np.asarray([1 - 1e-9, 1e-9])
    assert softmax_sensitivity(sharp) == pytest.approx(2e-9, rel=1e-6)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: score_variance(head_dim=0), ValueError, "head_dim is 0"),
        (lambda: gaussian_entropy(keys=0, std=1.0), ValueError, "keys is 0"),
        (lambda: gaussian_entropy(keys=2, std=-1.0), ValueError, "std is -1.0"),
        (lambda: entropy(np.ones(2, int)), TypeError, "p has dtype int64"),
        (lambda: softmax_sensitivity(np.ones(2, int)), TypeError, "p has dtype int64"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
