import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from dlkb.initialization.xavier import (
    calculate_gain,
    fans,
    kaiming_std,
    leaky_relu_gain,
    orthogonalize,
    scaled_normal,
    scaled_uniform,
    signal_factors,
    uniform_bound,
    xavier_std,
)
from tests.cases import Case
from tests.close import assert_close

CASES = [
    Case(fans, lambda rng: (((6, 4, 3, 2),), {"groups": 2})),
    Case(leaky_relu_gain, lambda rng: ((0.2,), {})),
    Case(calculate_gain, lambda rng: (("leaky_relu", 0.2), {})),
    Case(xavier_std, lambda rng: ((100, 300), {"gain": 1.5})),
    Case(kaiming_std, lambda rng: ((100,), {"gain": 1.5})),
    Case(uniform_bound, lambda rng: ((0.3,), {})),
    Case(signal_factors, lambda rng: ((100, 300), {"std": 0.1})),
    Case(scaled_normal, lambda rng: ((np.zeros((3, 4)),), {"std": 0.5, "generator": rng})),
    Case(scaled_uniform, lambda rng: ((np.zeros((3, 4)),), {"std": 0.5, "generator": rng})),
    *(
        Case(
            orthogonalize,
            lambda rng, shape=shape, options=options: ((rng.normal(size=shape),), options),
            label,
            scale=20,
            batch=(),
            law=lambda W, by: W,
        )
        for label, shape, options in (
            ("", (4, 4), {"gain": 2.0}),
            ("wide", (3, 2, 4), {}),
            ("tall", (7, 3), {}),
        )
    ),
]

SHAPES = [(3, 5), (1, 1), (300, 100), (4, 3, 7), (8, 2, 3, 5), (2, 3, 4, 5, 6), (0, 4)]
NONLINEARITIES = [
    "linear",
    *(f"conv{kind}{n}d" for kind in ("", "_transpose") for n in (1, 2, 3)),
    "sigmoid",
    "tanh",
    "relu",
    "leaky_relu",
    "selu",
]


@pytest.mark.parametrize("shape", SHAPES)
def test_fans_are_those_of_torch(shape):
    assert tuple(fans(shape)) == nn.init._calculate_fan_in_and_fan_out(torch.empty(shape))


def test_groups_may_be_an_integer_of_numpy():
    assert fans((6, 1), groups=np.int64(2)) == (1, 3)


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("kernel", [(1,), (3,), (3, 2)])
def test_fans_count_the_connections_of_a_convolution(groups, kernel):
    # By gradients: how many inputs reach one output, and how many outputs one input reaches.
    module = {1: nn.Conv1d, 2: nn.Conv2d}[len(kernel)]
    conv = module(8, 4, kernel, groups=groups, bias=False)
    nn.init.ones_(conv.weight)
    x = torch.zeros(1, 8, *(9,) * len(kernel), requires_grad=True)
    middle = (0, 0, *(3,) * len(kernel))
    (reached,) = torch.autograd.grad(conv(x)[middle], x)
    ones = torch.zeros_like(x)
    ones[(0, 0, *(4,) * len(kernel))] = 1
    reaches = conv(ones).count_nonzero()
    assert fans(tuple(conv.weight.shape), groups=groups) == (reached.count_nonzero(), reaches)


@pytest.mark.parametrize("name", NONLINEARITIES)
@pytest.mark.parametrize("param", [None, 0, 0.2, -3, 5**0.5])
def test_gains_are_those_of_torch(name, param):
    assert calculate_gain(name, param) == nn.init.calculate_gain(name, param)


@pytest.mark.parametrize("slope", [0.0, 0.01, 1.0, 5**0.5])
def test_the_gain_of_rectifiers(slope):
    assert leaky_relu_gain(slope) == nn.init.calculate_gain("leaky_relu", slope)


@pytest.mark.parametrize(("fan_in", "fan_out"), [(1, 1), (100, 300), (0, 7), (512, 10)])
@pytest.mark.parametrize("gain", [1.0, 5 / 3])
def test_xavier_meets_both_demands_on_average_only(fan_in, fan_out, gain):
    std = xavier_std(fan_in, fan_out, gain=gain)
    forward, backward = signal_factors(fan_in, fan_out, std=std)
    assert (forward + backward) / 2 == pytest.approx(gain**2, rel=1e-12)
    assert forward == pytest.approx(gain**2 * 2 * fan_in / (fan_in + fan_out), rel=1e-12)


def test_kaiming_keeps_either_the_signal_or_the_gradient():
    fan_in, fan_out = 100, 300
    forward, backward = signal_factors(fan_in, fan_out, std=kaiming_std(fan_in))
    assert forward / 2 == pytest.approx(1, rel=1e-12)
    assert backward / 2 == pytest.approx(3, rel=1e-12)
    forward, backward = signal_factors(fan_in, fan_out, std=kaiming_std(fan_out, gain=1.0))
    assert forward == pytest.approx(1 / 3, rel=1e-12)
    assert backward == pytest.approx(1, rel=1e-12)


def test_signal_factors_are_means_over_all_sign_matrices():
    # Weights ±s: all 2^6 matrices of shape (2, 3), forwards on x and backwards on a cotangent.
    s, x, g = 0.7, np.asarray([1.0, -2.0, 0.5]), np.asarray([0.3, 4.0])
    W = s * (2.0 * ((np.arange(64)[:, None] >> np.arange(6)) & 1).reshape(-1, 2, 3) - 1)
    forward = np.mean((W @ x) ** 2) / np.mean(x**2)
    backward = np.mean((g @ W) ** 2) / np.mean(g**2)
    assert signal_factors(3, 2, std=s) == (pytest.approx(forward), pytest.approx(backward))


@pytest.mark.parametrize("std", [0.01, 2.0])
def test_draws_have_the_distribution_that_they_say(std):
    # Kolmogorov-Smirnov: a correct draw fails once in 10⁶ seeds; the seed is fixed.
    like, generator = np.zeros((200, 500)), np.random.default_rng(0)
    x = scaled_normal(like, std=std, generator=generator)
    assert stats.kstest(x.ravel(), stats.norm(0, std).cdf).pvalue > 1e-6
    u = scaled_uniform(like, std=std, generator=generator)
    b = uniform_bound(std)
    assert np.abs(u).max() <= b
    assert stats.kstest(u.ravel(), stats.uniform(-b, 2 * b).cdf).pvalue > 1e-6
    assert stats.uniform(-b, 2 * b).std() == pytest.approx(std, rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    "shape", [(5, 5), (3, 8), (8, 3), (4, 2, 3, 3), (20, 2, 3), (1, 4), (4, 1)]
)
def test_orthonormal_rows_or_columns(shape, dtype, device):
    generator = torch.Generator(device).manual_seed(0)
    z = torch.empty(shape, dtype=dtype, device=device).normal_(generator=generator)
    W = orthogonalize(z, gain=3.0)
    assert W.dtype == dtype
    flat = W.flatten(1).double()
    gram = flat @ flat.T if flat.shape[0] <= flat.shape[1] else flat.T @ flat
    assert_close(gram / 9, torch.eye(len(gram), dtype=torch.float64), dtype=str(dtype)[6:])


def test_already_orthogonal_columns_are_kept_but_for_their_length():
    z = np.asarray([[0.0, -2.0], [3.0, 0.0], [0.0, 0.0]])
    assert_close(orthogonalize(z), np.asarray([[0.0, -1.0], [1.0, 0.0], [0.0, 0.0]]))
    assert_close(orthogonalize(z.T), np.asarray([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]]))


def test_rotating_the_draw_rotates_the_matrix():
    # This is why the result is Haar: Z and UZ are equally likely, and W follows.
    rng = np.random.default_rng(0)
    U = stats.ortho_group(6).rvs(random_state=rng)
    z = rng.normal(size=(6, 6))
    assert_close(orthogonalize(U @ z), U @ orthogonalize(z), scale=100)
    assert_close(orthogonalize(z @ np.diag([1, 2, 3, 4, 5, 6])), orthogonalize(z), scale=100)


def test_the_first_entry_has_the_haar_distribution():
    # Its square is Beta(1/2, (n-1)/2), its sign fair. A correct draw fails once in 10⁶ seeds.
    rng, n, count = np.random.default_rng(0), 4, 4000
    first = np.asarray([orthogonalize(rng.normal(size=(n, n)))[0, 0] for _ in range(count)])
    assert stats.kstest(first**2, stats.beta(0.5, (n - 1) / 2).cdf).pvalue > 1e-6
    assert stats.binomtest(int((first < 0).sum()), count).pvalue > 1e-6


def test_a_gaussian_and_an_orthogonal_chain():
    # 50 layers of width 32: all singular values of the product stay 1, or spread without end.
    rng = np.random.default_rng(0)
    orthogonal = gaussian = np.eye(32)
    for _ in range(50):
        z = rng.normal(size=(32, 32))
        orthogonal, gaussian = orthogonalize(z) @ orthogonal, z / 32**0.5 @ gaussian
    assert_close(np.linalg.svd(orthogonal)[1], np.ones(32), scale=100)
    assert np.linalg.cond(gaussian) > 1e12


LIKE, GENERATOR = np.zeros((2, 2)), np.random.default_rng(0)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: fans((3,)), ValueError, r"shape is \(3,\): fans need at least 2 axes"),
        (lambda: fans(()), ValueError, r"shape is \(\)"),
        (lambda: fans((6, 1), groups=4), ValueError, "groups is 4: it must divide .* 6"),
        (lambda: fans((6, 1), groups=0), ValueError, "groups is 0"),
        (lambda: fans((6, 1), groups=2.0), ValueError, "groups is 2.0"),
        (lambda: calculate_gain("gelu"), ValueError, "nonlinearity is 'gelu': linear"),
        (lambda: calculate_gain("leaky_relu", True), ValueError, "param is True"),
        (lambda: calculate_gain("leaky_relu", "0.1"), ValueError, "param is '0.1'"),
        (lambda: xavier_std(-1, 4), ValueError, "fan_in is -1"),
        (lambda: xavier_std(4, -1), ValueError, "fan_out is -1"),
        (lambda: xavier_std(0, 0), ValueError, r"fan_in \+ fan_out is 0"),
        (lambda: kaiming_std(0), ValueError, r"fan is 0: it must lie in \(0, inf\]"),
        (lambda: scaled_normal(LIKE, std=1.0, generator=None), TypeError, "generator is NoneType"),
        (
            lambda: scaled_uniform(np.zeros(2, int), std=1.0, generator=GENERATOR),
            TypeError,
            "like has dtype int64",
        ),
        (lambda: orthogonalize(np.ones(3)), ValueError, r"z has shape \(3,\): at least 2 axes"),
        (lambda: orthogonalize(np.ones((0, 3))), ValueError, r"z has shape \(0, 3\)"),
        (lambda: orthogonalize(np.ones((2, 2), int)), TypeError, "z has dtype int64"),
    ],
)
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_the_audited_example():
    assert xavier_std(100, 300) == pytest.approx(math.sqrt(2 / 400), rel=1e-15)
    assert uniform_bound(xavier_std(100, 300)) == pytest.approx(math.sqrt(6 / 400), rel=1e-15)


def test_a_column_that_is_zero_still_gets_a_direction():
    W = orthogonalize(np.asarray([[0.0, 1.0], [0.0, 2.0]]))
    assert_close(W.T @ W, np.eye(2))
