import numpy as np
import pytest
import torch
from torch.func import grad, vmap

from dlkb.training.batch_size import (
    best_lr,
    contaminated_mean,
    noise_from_examples,
    noise_from_two_batches,
    scaled_lr,
    steps_needed,
)
from tests.cases import Case
from tests.close import assert_close

SQUARES = dict.fromkeys(
    ("float64 huge all", "float64 large all", "float16 large all"), "signal and noise are squares"
)


def grads(rng):
    # A clear signal: Q is a difference, and half precision has few digits.
    return (2.0 + rng.normal(size=(8, 5)),)


def norms(rng):
    return 10 + rng.uniform(size=(3, 4)), 2 + rng.uniform(size=(3, 4))


CASES = [
    Case(noise_from_examples, lambda rng: (grads(rng), {}), scale=8),
    Case(
        noise_from_two_batches,
        lambda rng: (norms(rng), {"small": 4, "big": 64}),
        scale=8,
        fixed=("small", "big"),
    ),
    Case(best_lr, lambda rng: ((rng.uniform(1, 99, (3, 4)),), {"limit": 0.5, "scale": 20.0})),
    Case(
        steps_needed, lambda rng: ((rng.uniform(1, 99, (3, 4)),), {"least": 9.0, "critical": 20.0})
    ),
    *(
        Case(
            scaled_lr,
            lambda rng, r=rule: ((rng.uniform(size=(3, 4)),), {"old": 32, "new": 256, "rule": r}),
            rule,
        )
        for rule in ("linear", "root")
    ),
    Case(contaminated_mean, lambda rng: ((rng.normal(size=5),), {"share": 0.1, "batch": 32})),
]


def model(theta, x, y):
    """Return the loss of one example of a small network."""
    hidden = torch.tanh(theta[:12].view(4, 3) @ x)
    return torch.nn.functional.cross_entropy(theta[12:].view(2, 4) @ hidden, y)


def example_grads(count, seed=0):
    rng = np.random.default_rng(seed)
    theta = torch.tensor(rng.normal(size=20))
    x, y = torch.tensor(rng.normal(size=(count, 3))), torch.tensor(rng.integers(0, 2, count))
    return vmap(grad(model), (None, 0, 0))(theta, x, y)


def test_noise_is_the_trace_of_the_covariance():
    g = example_grads(50)
    found = noise_from_examples(g)
    assert_close(found.noise, torch.cov(g.T).trace())
    assert_close(found.signal, g.mean(0).square().sum() - torch.cov(g.T).trace() / 50)
    assert_close(found.scale, found.noise / found.signal)
    both = noise_from_examples(torch.stack([g, 3 * g]))
    assert_close(both.noise, torch.stack([found.noise, 9 * found.noise]))
    assert_close(both.scale, torch.stack([found.scale, found.scale]))


def test_the_estimates_are_not_biased():
    """Over all pairs of examples, the mean of both estimates is that of all of them."""
    g = example_grads(9).numpy()
    pairs = np.asarray([[i, j] for i in range(9) for j in range(9) if i != j])
    found = noise_from_examples(g[pairs])
    whole = noise_from_examples(g)
    assert_close(found.noise.mean(), whole.noise)
    assert_close(found.signal.mean(), whole.signal)


def test_two_batches_agree_with_the_examples():
    """Expected norms, computed from all pairs drawn with replacement, give both numbers back."""
    g = example_grads(12).numpy()
    mean = g.mean(0)
    noise = ((g - mean) ** 2).sum(1).mean()
    one = (g**2).sum(1).mean()
    two = np.mean([((a + b) ** 2).sum() / 4 for a in g for b in g])
    found = noise_from_two_batches(np.asarray(one), np.asarray(two), small=1, big=2)
    assert_close(found.noise, noise)
    assert_close(found.signal, (mean**2).sum())
    expected = [(mean**2).sum() + noise / b for b in (3, 1000)]
    found = noise_from_two_batches(*map(np.asarray, expected), small=3, big=1000)
    assert_close(found.scale, noise / (mean**2).sum())


def test_an_infinite_batch_has_the_signal_itself():
    found = noise_from_two_batches(np.asarray(7.0), np.asarray(3.0), small=2, big=1e300)
    assert_close(found.signal, 3.0)
    assert_close(found.noise, 8.0)


def test_the_quotient_where_squares_overflow():
    g = example_grads(20)
    for factor in (1e-200, 1e200):
        assert_close(noise_from_examples(factor * g).scale, noise_from_examples(g).scale)
    ones = np.ones((3, 4))
    assert noise_from_examples(ones).noise == 0
    assert noise_from_examples(ones).signal == 4


def test_half_precision_adds_up_in_float32():
    grads = np.random.default_rng(0).normal(size=(4, 100_000)).astype(np.float16)
    with np.errstate(over="ignore"):  # signal and noise do not fit into float16
        found = noise_from_examples(grads)
    assert found.scale.dtype == np.float16
    assert_close(found.scale, noise_from_examples(grads.astype(float)).scale, dtype="float16")


def test_shapes():
    assert noise_from_examples(np.ones((0, 2, 3))).scale.shape == (0,)
    assert noise_from_examples(np.ones((2, 1))).signal == 1
    with np.errstate(invalid="ignore"):
        nothing = noise_from_examples(np.zeros((2, 3)))
        assert np.isnan(nothing.scale)
        assert nothing.noise == nothing.signal == 0
        assert noise_from_examples(np.zeros((4, 2, 0))).signal.tolist() == [0] * 4


def test_the_best_rate_has_the_largest_expected_gain():
    """On a quadratic of curvature λ in all directions, by search."""
    curvature, signal, noise = 2.0, 3.0, 60.0
    rates = np.linspace(0, 1, 100_001)
    for batch in (1, 10, 1000):
        gain = rates * signal - curvature / 2 * rates**2 * (signal + noise / batch)
        expected = best_lr(batch, limit=1 / curvature, scale=noise / signal)
        assert abs(rates[gain.argmax()] - expected) < 1e-5


def test_limits_of_the_curves():
    few, fewer = (best_lr(b, limit=1.0, scale=100.0) for b in (2e-9, 1e-9))
    assert abs(few / fewer - 2) < 1e-9
    assert best_lr(1e20, limit=1.0, scale=100.0) == 1
    assert steps_needed(50, least=7, critical=50) == 14
    assert steps_needed(1e20, least=7, critical=50) == 7
    batch = np.geomspace(1, 1000, 9)
    steps = steps_needed(batch, least=7.0, critical=50.0)
    assert_close((steps / 7 - 1) * (batch * steps / (7 * 50) - 1), np.ones(9))


def test_scaling_there_and_back():
    for rule, factor in (("linear", 8), ("root", 8**0.5)):
        there = scaled_lr(np.asarray(0.3), old=32, new=256, rule=rule)
        assert_close(there, 0.3 * factor)
        assert_close(scaled_lr(there, old=256, new=32, rule=rule), 0.3)


def test_contamination_is_that_of_a_binomial_count():
    q, batch, jump = 0.03, 20, -50.0
    count = np.random.default_rng(0).binomial(batch, q, size=400_000)
    means = jump * count / batch
    found = contaminated_mean(np.asarray(jump), share=q, batch=batch)
    assert abs(means.mean() - found.bias) < 0.03
    assert abs(means.std() - found.std) < 0.02
    assert contaminated_mean(np.asarray(2.0), share=1.0, batch=1).std == 0


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: noise_from_examples(np.ones((1, 3))), ValueError, r"grads has shape \(1, 3\)"),
        (lambda: noise_from_examples(np.ones(3)), ValueError, r"two examples or more is needed"),
        (lambda: noise_from_examples(np.ones((2, 2), int)), TypeError, "grads has dtype int64"),
        (
            lambda: noise_from_two_batches(np.ones(2), np.ones(3), small=1, big=2),
            ValueError,
            r"big_sq has shape \(3,\)",
        ),
        (
            lambda: noise_from_two_batches(np.ones(2), np.ones(2), small=2, big=2),
            ValueError,
            r"big is 2: it must lie in \(2, inf\)",
        ),
        (
            lambda: noise_from_two_batches(np.ones(2), np.ones(2), small=0.5, big=2),
            ValueError,
            "small is 0.5",
        ),
        (
            lambda: noise_from_two_batches(np.ones(2), np.ones(2, int), small=1, big=2),
            TypeError,
            "big_sq has dtype int64",
        ),
        (lambda: best_lr(0, limit=1.0, scale=1.0), ValueError, r"batch is 0: it must lie in \(0"),
        (lambda: best_lr(1, limit=-1.0, scale=1.0), ValueError, "limit is -1.0"),
        (lambda: best_lr(1, limit=1.0, scale=-1.0), ValueError, "scale is -1.0"),
        (lambda: steps_needed(1, least=-1.0, critical=1.0), ValueError, "least is -1.0"),
        (lambda: steps_needed(1, least=1.0, critical=-1.0), ValueError, "critical is -1.0"),
        (lambda: scaled_lr(1.0, old=0, new=1), ValueError, "old is 0"),
        (lambda: scaled_lr(1.0, old=1, new=0), ValueError, "new is 0"),
        (lambda: scaled_lr(1.0, old=1, new=1, rule="sqrt"), ValueError, "rule is 'sqrt'"),
        (lambda: contaminated_mean(np.ones(1), share=1.1, batch=1), ValueError, "share is 1.1"),
        (lambda: contaminated_mean(np.ones(1), share=0.1, batch=0), ValueError, "batch is 0"),
        (lambda: contaminated_mean(np.ones(1, int), share=0.1, batch=1), TypeError, "jump has"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
