import math

import numpy as np
import pytest
import torch
from scipy import integrate, special, stats
from torch.nn import functional as F

from dlkb.arrays import namespace
from dlkb.initialization.signal_scale import (
    erf_second_moment,
    gaussian_mean,
    gradient_factor,
    length_map,
    length_trajectory,
    linear_second_moment,
    rectifier_second_moment,
    rectifier_spread,
    sample_mean_variance,
    second_moment,
)
from tests.cases import Case
from tests.close import assert_close


def tanh(x):
    return namespace(x).tanh(x)


def positive(rng):
    return rng.uniform(0.1, 4, size=(2, 3))


CASES = [
    Case(
        second_moment,
        lambda rng: ((rng.normal(size=(3, 5)),), {}),
        law=lambda q, by: q * by["x"] ** 2,
        unless={"float16": "the squares do not fit"},
    ),
    Case(
        linear_second_moment,
        lambda rng: ((positive(rng),), {"fan_in": 64, "weight_variance": 0.02, "depth": 3}),
    ),
    Case(rectifier_second_moment, lambda rng: ((positive(rng),), {"negative_slope": 0.1})),
    Case(erf_second_moment, lambda rng: ((positive(rng),), {})),
    Case(gaussian_mean, lambda rng: ((tanh, positive(rng) * 0), {})),
    Case(gaussian_mean, lambda rng: ((lambda z: tanh(z) ** 2, positive(rng)), {}), "square"),
    Case(length_map, lambda rng: ((positive(rng), tanh), {"sigma_w": 1.5, "sigma_b": 0.3})),
    Case(
        length_trajectory,
        lambda rng: ((positive(rng), tanh), {"sigma_w": 1.5, "sigma_b": 0.3, "depth": 4}),
    ),
    Case(
        gradient_factor,
        lambda rng: ((positive(rng), lambda z: 1 - tanh(z) ** 2), {"sigma_w": 1.5}),
    ),
    Case(rectifier_spread, lambda rng: ((), {"fan_in": 64, "depth": 7, "negative_slope": 0.2})),
    Case(sample_mean_variance, lambda rng: ((positive(rng),), {"n": 7})),
]


def quad(function, q):
    """Integrate against the Gaussian density by an adaptive routine that we did not write."""
    root = math.sqrt(q)
    edges = [s * min(w / root, 12.0) for s in (-1, 1) for w in (0.1, 1, 5, 30)]
    return integrate.quad(
        lambda z: function(root * z) * stats.norm.pdf(z),
        -12,
        12,
        points=sorted({0.0, *edges} - {-12.0, 12.0}),
        limit=500,
        epsabs=0,
        epsrel=1e-11,
    )[0]


def on_torch(function):
    return lambda z: function(torch.as_tensor(z, dtype=torch.float64)).numpy()


ACTIVATIONS = {
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "gelu": F.gelu,
    "silu": F.silu,
    "erf": torch.erf,
    "softplus": F.softplus,
}


@pytest.mark.parametrize("q", [1e-6, 0.3, 1.0, 30.0, 512.0, 1e4])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_quadrature_against_scipy(name, q):
    f = on_torch(ACTIVATIONS[name])
    ours = gaussian_mean(lambda z: f(z) ** 2, np.asarray(q))
    np.testing.assert_allclose(ours, quad(lambda z: f(z) ** 2, q), rtol=1e-9)


@pytest.mark.parametrize("power", [0, 1, 2, 3, 4, 8])
def test_moments_of_the_normal_distribution(power):
    q = np.asarray([0.0, 0.5, 2.0])
    expected = q ** (power / 2) * stats.norm.moment(power)
    assert_close(gaussian_mean(lambda z: z**power, q), expected, scale=100)


@pytest.mark.parametrize("slope", [0.0, 0.01, 0.5, 1.0])
def test_rectifiers_forwards_and_backwards(slope, device):
    q = torch.tensor([0.2, 1.0, 40.0], dtype=torch.float64, device=device)
    numeric = gaussian_mean(lambda z: F.leaky_relu(z, slope) ** 2, q)
    assert_close(rectifier_second_moment(q, negative_slope=slope), numeric)
    gain = math.sqrt(2 / (1 + slope**2))
    kept = gradient_factor(q, lambda z: torch.where(z > 0, torch.ones_like(z), slope), sigma_w=gain)
    assert_close(kept, torch.ones_like(q))


def test_erf_against_the_quadrature_and_in_the_limits():
    q = np.asarray([1e-3, 0.1, 1.0, 50.0])
    assert_close(erf_second_moment(q), gaussian_mean(lambda z: special.erf(z) ** 2, q))
    assert_close(erf_second_moment(q), 2 / np.pi * np.arcsin(2 * q / (1 + 2 * q)), scale=10)
    assert_close(erf_second_moment(np.asarray([0.0, 1e30])), np.asarray([0.0, 1.0]))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_erf_saturates_to_the_end_of_the_dtype(dtype):
    q = np.asarray([np.finfo(dtype).max / 2, np.finfo(dtype).max, np.inf, np.nan], dtype=dtype)
    assert erf_second_moment(q)[:3].tolist() == [1, 1, 1]
    assert np.isnan(erf_second_moment(q)[3])


def test_powers_that_overflow_are_infinite():
    assert linear_second_moment(ONE, fan_in=1000, weight_variance=1.0, depth=103) == np.inf
    assert rectifier_spread(fan_in=1, depth=1000) == np.inf


def test_a_depth_may_be_an_integer_of_numpy():
    assert rectifier_spread(fan_in=5, depth=np.int64(2)) == 4


def test_erf_stays_precise_close_to_one_in_float32():
    q = torch.tensor([1e5])
    exact = 1 - 2 / math.pi * math.acos(2e5 / (1 + 2e5))
    assert abs(float(erf_second_moment(q)) - exact) < 2e-7


def test_the_linear_law_is_the_mean_over_all_sign_matrices():
    # Weights ±s, each sign as likely: every one of the 2^(n²) matrices is counted. No Gaussian.
    x, s = np.asarray([0.3, -2.0, 1.1]), 0.7
    bits = (np.arange(2**9)[:, None] >> np.arange(9)) & 1
    W = s * (2.0 * bits.reshape(-1, 3, 3) - 1)
    once = second_moment(W @ x)
    assert_close(
        np.mean(once), linear_second_moment(second_moment(x), fan_in=3, weight_variance=s**2)
    )
    twice = np.mean(second_moment(np.einsum("aij,bj->abi", W, W @ x)))
    assert_close(
        twice, linear_second_moment(second_moment(x), fan_in=3, weight_variance=s**2, depth=2)
    )


def test_no_layer_changes_nothing():
    q = np.asarray([0.0, 3.0])
    assert_close(linear_second_moment(q, fan_in=9, weight_variance=5.0, depth=0), q)
    assert_close(length_trajectory(q, np.tanh, sigma_w=1.0, depth=0), q[:, None])
    assert rectifier_spread(fan_in=9, depth=0) == 1


def test_half_precision_where_squares_and_multiples_overflow():
    x = np.asarray([300.0, 0.0, 0.0, 0.0], dtype=np.float16)
    assert second_moment(x) == np.float16(300**2 / 4)
    assert second_moment(x).dtype == np.float16
    q = np.linspace(0, 6e4, 500).astype(np.float16)
    exact = erf_second_moment(q.astype(float)).astype(np.float16)
    assert np.mean(erf_second_moment(q) == exact) > 0.99


@pytest.mark.parametrize("scale", [1, 1e3])
def test_second_moment_against_numpy(scale):
    x = np.random.default_rng(0).normal(size=(2, 3, 7)) + scale
    assert_close(second_moment(x), np.var(x, axis=-1) + np.mean(x, axis=-1) ** 2, scale=1e7)
    assert second_moment(np.ones((0, 3))).shape == (0,)
    assert_close(second_moment(np.asarray([-3.0])), 9.0)


def test_the_length_map_is_a_wide_network(device):
    # Six standard errors of the mean over units: a correct map fails once in 10⁸ seeds.
    generator = torch.Generator(device).manual_seed(0)
    n, sigma_w, sigma_b = 4000, 1.7, 0.4
    z = 1.3 * torch.randn(n, generator=generator, device=device, dtype=torch.float64)
    W = torch.randn(n, n, generator=generator, device=device, dtype=torch.float64)
    b = torch.randn(n, generator=generator, device=device, dtype=torch.float64)
    h = W @ torch.tanh(z) * (sigma_w / n**0.5) + sigma_b * b
    expected = length_map(second_moment(z), torch.tanh, sigma_w=sigma_w, sigma_b=sigma_b)
    spread = 6 * math.sqrt(2 / n) * 2
    assert abs(float(second_moment(h) / expected) - 1) < spread


def test_the_trajectory_is_the_map_applied_again_and_again():
    q = np.asarray([0.2, 5.0])
    keywords = {"sigma_w": 1.4, "sigma_b": 0.5}
    rows = length_trajectory(q, np.tanh, depth=60, **keywords)
    assert rows.shape == (2, 61)
    assert_close(rows[:, 0], q)
    for layer in range(60):
        assert_close(rows[:, layer + 1], length_map(rows[:, layer], np.tanh, **keywords))
    assert_close(rows[0, -1], rows[1, -1], scale=100)  # one stable fixed point


def test_tanh_in_the_critical_case_decays_like_one_over_the_depth():
    # q' = q - 2 q² + O(q³) at sigma_w = 1, so that q is close to 1 / (2 depth).
    q = length_trajectory(np.asarray(1.0), np.tanh, sigma_w=1.0, depth=500)[-1]
    assert 0.9 < 2 * 500 * q < 1.1


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "gelu", "silu"])
def test_the_gradient_factor_against_autograd(name, device):
    z = torch.linspace(-6, 6, 201, dtype=torch.float64, device=device)

    def derivative(x):
        x = x.detach().requires_grad_()
        return torch.autograd.grad(ACTIVATIONS[name](x).sum(), x)[0]

    q = torch.tensor([0.4, 2.0], dtype=torch.float64, device=device)
    ours = gradient_factor(q, derivative, sigma_w=1.3)
    h = 1e-5
    slope = lambda x: (ACTIVATIONS[name](x + h) - ACTIVATIONS[name](x - h)) / (2 * h)  # noqa: E731
    assert derivative(z).shape == z.shape
    numeric = [1.69 * quad(lambda x: on_torch(slope)(x) ** 2, float(value)) for value in q]
    np.testing.assert_allclose(ours.cpu().numpy(), numeric, rtol=1e-6)


@pytest.mark.parametrize(("slope", "per_layer"), [(0.0, 5.0), (1.0, 2.0)])
def test_the_spread_of_rectifiers_and_of_linear_networks(slope, per_layer):
    ours = rectifier_spread(fan_in=10, depth=3, negative_slope=slope)
    assert ours == pytest.approx((1 + per_layer / 10) ** 3, rel=1e-13)


@pytest.mark.parametrize("slope", [0.0, 0.3, 1.0])
def test_the_spread_against_drawn_networks(slope):
    # 200 000 networks of width 6 and depth 3. The seed is fixed; six standard errors, estimated.
    rng = np.random.default_rng(0)
    count, n, depth = 200_000, 6, 3
    h = np.ones((count, n))
    for _ in range(depth):
        z = rng.normal(size=(count, n)) * np.sqrt(second_moment(h))[:, None]
        h = np.where(z > 0, z, slope * z) * math.sqrt(2 / (1 + slope**2))
    q = second_moment(h)
    assert abs(q.mean() - 1) < 6 * q.std() / math.sqrt(count)
    expected = rectifier_spread(fan_in=n, depth=depth, negative_slope=slope)
    assert abs((q**2).mean() - expected) < 6 * (q**2).std() / math.sqrt(count)


def test_the_mean_of_a_sample_over_all_samples():
    # A fair die, three throws: all 216 outcomes.
    faces = np.arange(1.0, 7.0)
    means = (faces[:, None, None] + faces[:, None] + faces) / 3
    assert_close(np.var(means), sample_mean_variance(np.var(faces), n=3))
    assert_close(sample_mean_variance(np.asarray([2.0]), n=1), np.asarray([2.0]))


def test_half_precision_is_integrated_in_float32():
    q = torch.tensor([0.3, 2.0], dtype=torch.bfloat16)
    seen = []

    def spy(z):
        seen.append(z.dtype)
        return torch.tanh(z)

    assert length_map(q, spy, sigma_w=1.0).dtype == torch.bfloat16
    assert seen == [torch.float32]


ONE = np.asarray(1.0)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: second_moment(np.ones((3, 0))), ValueError, r"x has shape \(3, 0\)"),
        (lambda: second_moment(ONE), ValueError, r"x has shape \(\)"),
        (lambda: second_moment(np.arange(3)), TypeError, "x has dtype int64"),
        (
            lambda: linear_second_moment(ONE, fan_in=0, weight_variance=1.0),
            ValueError,
            r"fan_in is 0: it must lie in \[1, inf\]",
        ),
        (
            lambda: linear_second_moment(ONE, fan_in=1, weight_variance=-1.0),
            ValueError,
            "weight_variance is -1.0",
        ),
        (
            lambda: linear_second_moment(ONE, fan_in=1, weight_variance=1.0, depth=-1),
            ValueError,
            "depth is -1: an integer of at least 0",
        ),
        (
            lambda: linear_second_moment(np.asarray(1), fan_in=1, weight_variance=1.0),
            TypeError,
            "q has dtype int64",
        ),
        (lambda: rectifier_second_moment(np.asarray(1)), TypeError, "q has dtype int64"),
        (lambda: erf_second_moment(2.0), TypeError, "q is float: an array is needed"),
        (lambda: gaussian_mean(np.tanh, np.asarray(1)), TypeError, "q has dtype int64"),
        (lambda: length_map(ONE, np.tanh, sigma_w=-1.0), ValueError, "sigma_w is -1.0"),
        (
            lambda: length_map(ONE, np.tanh, sigma_w=1.0, sigma_b=-2.0),
            ValueError,
            "sigma_b is -2.0",
        ),
        (
            lambda: length_trajectory(ONE, np.tanh, sigma_w=1.0, depth=1.5),
            ValueError,
            "depth is 1.5",
        ),
        (
            lambda: length_trajectory(ONE, np.tanh, sigma_w=-1.0, depth=0),
            ValueError,
            "sigma_w is -1.0",
        ),
        (
            lambda: length_trajectory(np.asarray(1), np.tanh, sigma_w=1.0, depth=1),
            TypeError,
            "q has dtype int64",
        ),
        (lambda: gradient_factor(ONE, np.tanh, sigma_w=-1.0), ValueError, "sigma_w is -1.0"),
        (lambda: rectifier_spread(fan_in=0), ValueError, "fan_in is 0"),
        (lambda: rectifier_spread(fan_in=3, depth=-2), ValueError, "depth is -2"),
        (lambda: sample_mean_variance(ONE, n=0), ValueError, "n is 0"),
        (lambda: sample_mean_variance(np.asarray(1), n=2), TypeError, "variance has dtype int64"),
    ],
)
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
