import math

import numpy as np
import pytest
import torch

from dlkb.gradients.clipping import (
    adam_recovery_steps,
    clip_by_global_norm,
    clip_by_value,
    clip_by_value_vjp,
    clip_each_by_norm,
    clip_factor,
    cosine,
    global_norm,
    shrink_when_large,
)
from dlkb.optimizers.adam import adam, adam_init
from tests.cases import Case
from tests.close import assert_close

SHAPES = [(3,), (2, 4), (), (1, 5)]


def gradients(rng, scale=1.0):
    return tuple(scale * rng.normal(size=shape) for shape in SHAPES)


APART = {"batch": (), "broadcasts": ("grads",)}  # one vector, in arrays of any shapes
AS_TORCH = {"huge grads": "the norm is infinite, as in torch: the page shows it"}
TINY = {"tiny grads": "the norm is 0, as in torch"}
CASES = [
    Case(
        global_norm,
        lambda rng: ((gradients(rng),), {}),
        unless=AS_TORCH | TINY,
        **APART,
    ),
    Case(global_norm, lambda rng: ((gradients(rng),), {"norm_type": math.inf}), "largest", **APART),
    Case(
        clip_factor, lambda rng: ((rng.uniform(0, 3, size=(2, 3)),), {"max_norm": 1.0, "eps": 0.3})
    ),
    Case(
        clip_by_global_norm,
        lambda rng: ((gradients(rng),), {"max_norm": 1.0, "eps": 0.3}),
        unless=AS_TORCH | TINY,
        **APART,
    ),
    Case(
        clip_by_global_norm,
        lambda rng: ((gradients(rng),), {"max_norm": 1.0, "norm_type": 1.0}),
        "sum of moduli",
        **APART,
    ),
    Case(
        clip_each_by_norm,
        lambda rng: ((gradients(rng),), {"max_norm": 1.0, "eps": 0.3}),
        unless=AS_TORCH,
        **APART,
    ),
    Case(
        clip_each_by_norm,
        lambda rng: ((gradients(rng),), {"max_norm": 1.0, "norm_type": 1.0}),
        "sum of moduli",
        **APART,
    ),
    Case(clip_by_value, lambda rng: ((rng.normal(size=(3, 4)),), {"clip_value": 0.5})),
    Case(
        clip_by_value_vjp,
        lambda rng: ((rng.normal(size=(3, 4)), rng.normal(size=(3, 4))), {"clip_value": 0.5}),
    ),
    Case(
        shrink_when_large,
        lambda rng: ((rng.normal(size=(3, 4)),), {"threshold": 1.0, "factor": 0.1}),
    ),
    Case(cosine, lambda rng: ((gradients(rng), gradients(rng)), {}), batch=(), law=lambda c, by: c),
    Case(
        adam_recovery_steps,
        lambda rng: ((rng.uniform(20, 90, size=4),), {"beta2": 0.9, "fraction": 0.8}),
        unless=dict.fromkeys(("small spike", "tiny spike"), "a spike is larger than 1"),
    ),
]


@pytest.fixture
def rng():
    return np.random.default_rng(11)


def clipped_by_torch(grads, **keywords):
    """Clip with torch.nn.utils; return the gradients and the norm."""
    parameters = [torch.nn.Parameter(torch.zeros(g.shape, dtype=torch.float64)) for g in grads]
    for p, g in zip(parameters, grads, strict=True):
        p.grad = torch.tensor(g)
    norm = torch.nn.utils.clip_grad_norm_(parameters, **keywords)
    return [p.grad for p in parameters], norm


# --- by norm ---


@pytest.mark.parametrize("norm_type", [0.5, 1.0, 2.0, 3.0, math.inf])
@pytest.mark.parametrize("max_norm", [0.0, 0.3, 5.0, 1e9, math.inf])
def test_global_clipping_against_torch(norm_type, max_norm, rng):
    grads = gradients(rng)
    found = clip_by_global_norm(grads, max_norm=max_norm, norm_type=norm_type)
    expected, norm = clipped_by_torch(grads, max_norm=max_norm, norm_type=norm_type)
    assert_close(found.norm, norm, scale=10)
    for g, e in zip(found.grads, expected, strict=True):
        assert_close(g, e, scale=10)


@pytest.mark.parametrize("norm_type", [0.5, 1.0, 2.0, 3.0, math.inf])
def test_the_global_norm_is_that_of_one_long_vector(norm_type, rng):
    grads = gradients(rng)
    long = np.concatenate([g.ravel() for g in grads])
    expected = np.abs(long).max() if norm_type == math.inf else np.sum(np.abs(long) ** norm_type)
    expected = expected if norm_type == math.inf else expected ** (1 / norm_type)
    assert_close(global_norm(grads, norm_type=norm_type), expected, scale=100)


def test_a_spike_is_brought_to_the_threshold_and_no_small_gradient_is_enlarged(rng):
    grads = gradients(rng, 1e9)
    assert_close(global_norm(clip_by_global_norm(grads, max_norm=2.0).grads), 2.0)
    small = gradients(rng, 1e-3)
    for g, e in zip(clip_by_global_norm(small, max_norm=2.0).grads, small, strict=True):
        assert (g == e).all()


def test_the_norm_is_continuous_at_the_threshold():
    lengths = np.asarray([0.999, 1.0, 1.001, 1e9])
    factor = clip_factor(lengths, max_norm=1.0, eps=0.0)
    assert_close(lengths * factor, np.asarray([0.999, 1.0, 1.0, 1.0]))


def test_global_clipping_keeps_the_direction_and_per_parameter_clipping_does_not():
    grads = (np.asarray([100.0, 0.0]), np.asarray([1.0]))
    together = clip_by_global_norm(grads, max_norm=1.0).grads
    each = clip_each_by_norm(grads, max_norm=1.0)
    assert_close(cosine(grads, together), 1.0)
    assert_close(cosine(grads, each), 101 / np.sqrt(2 * 10001), scale=1e7)  # ε = 1e-6
    assert_close(global_norm(each), np.sqrt(2), scale=1e7)


def test_each_norm_against_torch_one_at_a_time(rng):
    grads = gradients(rng, 3.0)
    for found, g in zip(clip_each_by_norm(grads, max_norm=1.0), grads, strict=True):
        assert_close(found, clipped_by_torch([g], max_norm=1.0)[0][0])


def test_results_keep_their_dtypes():
    grads = (torch.ones(3, dtype=torch.bfloat16), torch.ones(2))
    found = clip_by_global_norm(grads, max_norm=1.0)
    assert [g.dtype for g in found.grads] == [torch.bfloat16, torch.float32]
    np.testing.assert_allclose(global_norm(found.grads), 1, rtol=1e-2)
    narrow = (np.ones(3, dtype=np.float16), np.ones((), dtype=np.float32), np.ones(2))
    found = clip_by_global_norm(narrow, max_norm=1.0)
    assert [g.dtype for g in found.grads] == [np.float16, np.float32, np.float64]


@pytest.mark.parametrize("array", [np.asarray, torch.asarray])
@pytest.mark.parametrize("norm_type", [1.0, 2.0, math.inf])
def test_empty_gradients_do_not_count(norm_type, array):
    grads = (array(np.ones((0, 3))), array(np.asarray([3.0])), array(np.ones((2, 0))))
    found = clip_by_global_norm(grads, max_norm=1.0, norm_type=norm_type)
    assert found.norm == 3
    assert [g.shape for g in found.grads] == [(0, 3), (1,), (2, 0)]
    assert global_norm(grads[:1], norm_type=norm_type) == 0


@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
def test_a_gradient_that_is_not_finite_poisons_as_in_torch(bad):
    grads = (np.asarray([1.0, bad]), np.asarray([2.0]))
    with np.errstate(invalid="ignore"):
        found = clip_by_global_norm(grads, max_norm=1.0)
    expected, norm = clipped_by_torch(grads, max_norm=1.0)
    assert_close(found.norm, norm)
    for g, e in zip(found.grads, expected, strict=True):
        assert_close(g, e)


def test_squares_that_overflow_make_the_norm_infinite_as_in_torch():
    large = torch.full((2,), 1e30)
    assert torch.isinf(global_norm([large]))
    assert clip_by_global_norm([large], max_norm=1.0).grads[0].tolist() == [0, 0]
    assert torch.isfinite(global_norm([large], norm_type=math.inf))


# --- by value ---


def test_value_clipping_against_torch(rng):
    grad = np.concatenate([rng.normal(size=50), [math.inf, -math.inf, math.nan, 0.5, -0.5]])
    found = clip_by_value(grad, clip_value=0.5)
    assert_close(found, torch.clamp(torch.tensor(grad), -0.5, 0.5))
    assert (clip_by_value(np.asarray([-2.0, 2.0]), clip_value=0.0) == 0).all()


def test_gradient_of_value_clipping_against_torch(rng, device):
    edges = [math.inf, -math.inf, math.nan, 0.5, -0.5]
    for values in (rng.normal(size=(4, 5)), np.zeros((0, 3)), np.asarray(edges), np.asarray(0.7)):
        grad = torch.tensor(values, device=device, requires_grad=True)
        cotangent = torch.tensor(rng.normal(size=values.shape), device=device)
        found = clip_by_value_vjp(grad, cotangent, clip_value=0.5)
        for output in (torch.clamp(grad, -0.5, 0.5), clip_by_value(grad, clip_value=0.5)):
            (expected,) = torch.autograd.grad(output, grad, cotangent)
            smooth = ~grad.isnan()  # what clamp lets pass there, is its own affair
            assert_close(found[smooth], expected[smooth])
    assert clip_by_value_vjp(grad.float(), cotangent.float(), clip_value=0.5).dtype == torch.float32


def test_value_clipping_turns_the_gradient_by_up_to_the_root_of_the_dimension(rng):
    for n in (2, 10, 100):
        worst = np.ones(n)
        worst[0] = 1e9
        found = cosine([worst], [clip_by_value(worst, clip_value=1.0)])
        np.testing.assert_allclose(found, 1 / np.sqrt(n), rtol=1e-6)
        for _ in range(200):
            g = rng.standard_cauchy(size=n)
            found = cosine([g], [clip_by_value(g, clip_value=rng.uniform(0.01, 3))])
            assert 1 / np.sqrt(n) < found <= 1 + 1e-12


# --- the notes' rule ---


def test_a_constant_factor_jumps_and_is_unbounded():
    e = np.asarray([1.0, 0.0])
    lengths = [
        np.linalg.norm(shrink_when_large(t * e, threshold=1.0, factor=0.01))
        for t in (0.999, 1.0, 1.001, 1e9)
    ]
    np.testing.assert_allclose(lengths, [0.999, 1.0, 0.01001, 1e7])


# --- Adam ---


def adam_run(grads, **keywords):
    theta = np.zeros(grads.shape[1:])
    state, path = adam_init(theta), [theta]
    for grad in grads:
        theta, state = adam(theta, grad, state, **keywords)
        path.append(theta)
    return np.stack(path)


def test_adam_does_not_see_a_constant_factor_on_all_gradients(rng):
    grads = rng.normal(size=(60, 5))
    assert_close(adam_run(1e-3 * grads, eps=0.0), adam_run(grads, eps=0.0), scale=10)


def test_adam_does_not_see_the_threshold_if_every_gradient_is_clipped(rng):
    grads = rng.normal(size=(60, 5))
    paths = [
        adam_run(
            np.stack([clip_by_global_norm([g], max_norm=t, eps=0.0).grads[0] for g in grads]),
            eps=0.0,
        )
        for t in (1e-1, 1e-4)
    ]
    assert_close(paths[0], paths[1], scale=10)
    assert np.abs(paths[0] - adam_run(grads, eps=0.0)).max() > 1e-4  # but it sees the clipping


@pytest.mark.parametrize(("spike", "fraction"), [(100.0, 0.5), (1000.0, 0.5), (1000.0, 0.1)])
def test_recovery_from_a_spike_against_adam_itself(spike, fraction):
    n = int(adam_recovery_steps(np.asarray(spike), fraction=fraction))
    # After 30,000 equal gradients both averages are at rest.
    state = adam_init(np.zeros(1))._replace(step=30_000, m=np.ones(1), v=np.ones(1))
    theta = np.zeros(1)
    steps = []
    for t in range(n + 200):
        grad = np.asarray([spike if t == 0 else 1.0])
        new, state = adam(theta, grad, state, lr=1.0, eps=0.0)
        steps.append(float(theta[0] - new[0]))
        theta = new
    assert steps[n - 5] < fraction < steps[n + 5]
    assert all(step < fraction for step in steps[200 : n - 5])


def test_recovery_in_half_precision_where_the_square_overflows():
    found = adam_recovery_steps(torch.tensor([1000.0], dtype=torch.float16))
    np.testing.assert_allclose(found.double(), 5806, rtol=5e-3)


def test_a_small_spike_needs_no_recovery():
    assert adam_recovery_steps(np.asarray(10.0)) < 0


# --- errors ---


def test_torchs_norm_is_that_of_the_long_vector_but_for_order_zero():
    grads = [torch.tensor([3.0, 4.0]), torch.tensor([0.5])]
    for p in (-math.inf, -1.0, 0.0):
        whole = torch.linalg.vector_norm(torch.cat(grads), ord=p)
        found = torch.nn.utils.get_total_norm(grads, norm_type=p)
        assert torch.isclose(found, whole) == (p != 0)


def test_errors_name_the_argument():
    g = np.ones(2)
    for function in (clip_by_global_norm, clip_each_by_norm):  # its rows are no arrays of their own
        with pytest.raises(TypeError, match="grads is one array: a list of arrays is needed"):
            function(np.ones((2, 3)), max_norm=1.0)
    with pytest.raises(TypeError, match="a is one array: a list of arrays is needed"):
        cosine(np.ones((2, 3)), np.ones((2, 3)))
    with pytest.raises(ValueError, match="grads is empty"):
        clip_by_global_norm([], max_norm=1.0)
    with pytest.raises(TypeError, match=r"grads\[1\] has dtype int64"):
        global_norm([g, np.arange(2)])
    with pytest.raises(TypeError, match=r"grads\[1\] has dtype int64"):
        clip_each_by_norm([g, np.arange(2)], max_norm=1.0)
    with pytest.raises(TypeError, match=r"a\[1\] has dtype int64"):
        cosine([g, np.arange(2)], [g, g])
    with pytest.raises(TypeError, match=r"b\[0\] is list"):
        cosine([g], [[1.0, 1.0]])
    with pytest.raises(ValueError, match=r"norm_type is 0: it must lie in \(0, inf\]"):
        global_norm([g], norm_type=0)
    with pytest.raises(ValueError, match=r"max_norm is -1: it must lie in \[0, inf\]"):
        clip_by_global_norm([g], max_norm=-1)
    with pytest.raises(ValueError, match="max_norm is nan"):
        clip_each_by_norm([g], max_norm=math.nan)
    with pytest.raises(ValueError, match="eps is -1"):
        clip_factor(g, max_norm=1.0, eps=-1)
    with pytest.raises(ValueError, match="clip_value is -2"):
        clip_by_value(g, clip_value=-2)
    with pytest.raises(ValueError, match="clip_value is -2"):
        clip_by_value_vjp(g, g, clip_value=-2)
    with pytest.raises(ValueError, match=r"cotangent has shape \(3,\)"):
        clip_by_value_vjp(g, np.ones(3), clip_value=1.0)
    with pytest.raises(TypeError, match="cotangent has dtype int64"):
        clip_by_value_vjp(g, np.arange(2), clip_value=1.0)
    with pytest.raises(ValueError, match="factor is -2"):
        shrink_when_large(g, threshold=1.0, factor=-2)
    with pytest.raises(ValueError, match="threshold is -1"):
        shrink_when_large(g, threshold=-1, factor=0.1)
    with pytest.raises(ValueError, match="a has 1 arrays but b has 2"):
        cosine([g], [g, g])
    with pytest.raises(ValueError, match=r"a\[0\] has shape \(2,\) but b\[0\] has shape \(3,\)"):
        cosine([g], [np.ones(3)])
    with pytest.raises(ValueError, match=r"beta2 is 1\.0"):
        adam_recovery_steps(g, beta2=1.0)
    with pytest.raises(ValueError, match="fraction is 1"):
        adam_recovery_steps(g, fraction=1)
