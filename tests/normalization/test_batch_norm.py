import numpy as np
import pytest
import torch
from torch.nn import functional as F

from dlkb.normalization.batch_moments import Running, batch_moments
from dlkb.normalization.batch_norm import (
    batch_norm,
    batch_norm_eval,
    batch_norm_eval_vjp,
    batch_norm_vjp,
    fold_into,
    stored_affine,
)
from dlkb.normalization.layer_norm import fold_affine
from tests.cases import Case
from tests.close import assert_close


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def parameters(rng):
    return rng.normal(size=4), rng.normal(size=4)


def stored(rng):
    return Running(rng.normal(size=4), rng.random(4) + 0.5)


OVERFLOWS = {"float64 huge all": "gain times gradient overflows"}
CASES = [
    Case(
        batch_norm,
        lambda rng: ((rng.normal(size=(3, 4, 2)), *parameters(rng)), {}),
        scale=3,
        batch=(),
    ),
    Case(batch_norm, lambda rng: ((rng.normal(size=(3, 4)),), {"eps": 0.1}), "bare", batch=()),
    Case(batch_norm, lambda rng: ((np.zeros((0, 4)), *parameters(rng)), {}), "empty", batch=()),
    Case(
        batch_norm_vjp,
        lambda rng: (
            (rng.normal(size=(5, 4, 2)), rng.normal(size=(5, 4, 2)), *parameters(rng)),
            {"eps": 0.1},
        ),
        scale=3,
        batch=(),
        unless=OVERFLOWS,
    ),
    Case(
        batch_norm_vjp,
        lambda rng: ((rng.normal(size=(5, 4)), rng.normal(size=(5, 4))), {}),
        "bare",
        scale=3,
        batch=(),
    ),
    Case(
        batch_norm_eval,
        lambda rng: ((rng.normal(size=(3, 4, 2)), stored(rng), *parameters(rng)), {}),
        scale=3,
        batch=(),
    ),
    Case(
        batch_norm_eval,
        lambda rng: ((rng.normal(size=(3, 4)), stored(rng)), {"eps": 0.1}),
        "bare",
        batch=(),
    ),
    Case(
        batch_norm_eval_vjp,
        lambda rng: (
            (rng.normal(size=(3, 4, 2)), rng.normal(size=(3, 4, 2)), stored(rng), *parameters(rng)),
            {"eps": 0.1},
        ),
        scale=3,
        batch=(),
    ),
    Case(
        batch_norm_eval_vjp,
        lambda rng: ((rng.normal(size=(3, 4)), rng.normal(size=(3, 4)), stored(rng)), {}),
        "bare",
        batch=(),
    ),
    Case(stored_affine, lambda rng: ((stored(rng), *parameters(rng)), {}), batch=()),
    Case(stored_affine, lambda rng: ((stored(rng),), {"eps": 0.1}), "bare", batch=()),
    Case(
        fold_into,
        lambda rng: ((*parameters(rng), rng.normal(size=(4, 2, 3)), rng.normal(size=4)), {}),
        batch=(),
    ),
    Case(
        fold_into,
        lambda rng: ((*parameters(rng), rng.normal(size=(4, 2))), {}),
        "no-bias",
        batch=(),
    ),
]

SHAPES = [(6, 4), (2, 4), (5, 4, 3), (1, 4, 2, 3), (2, 4, 1, 1, 1), (3, 4, 2, 2)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("eps", [1e-5, 0.3])
@pytest.mark.parametrize("training", [True, False])
def test_values_and_gradients_of_torch(shape, eps, training):
    arrays = draw(*shape) + 2, draw(4, seed=2), draw(4, seed=3)
    x, w, b = inputs = [torch.tensor(a, requires_grad=True) for a in arrays]
    running = Running(draw(4, seed=4), np.random.default_rng(5).random(4))
    given = [None, None] if training else [torch.tensor(a) for a in running]
    theirs = F.batch_norm(x, *given, w, b, training, eps=eps)
    g = draw(*shape, seed=1)
    gradients = torch.autograd.grad(theirs, inputs, torch.tensor(g))
    if training:
        mine = batch_norm(*arrays, eps=eps)
        grads = batch_norm_vjp(arrays[0], g, *arrays[1:], eps=eps)
    else:
        mine = batch_norm_eval(arrays[0], running, *arrays[1:], eps=eps)
        grads = batch_norm_eval_vjp(arrays[0], g, running, *arrays[1:], eps=eps)
    assert_close(mine, theirs, scale=10)
    for ours, their in zip(grads, gradients, strict=True):
        assert_close(ours, their, scale=1e5 if shape[0] == 2 else 100)


def test_gradients_of_autograd_and_their_gradients():
    x, w, b = (torch.tensor(draw(*s), requires_grad=True) for s in ((3, 4, 2), (4,), (4,)))
    g = torch.tensor(draw(3, 4, 2, seed=1))
    running = Running(torch.tensor(draw(4)), torch.rand(4, dtype=torch.float64) + 1)
    pairs = (
        (lambda *a: batch_norm(*a, eps=0.1), batch_norm_vjp(x, g, w, b, eps=0.1)),
        (
            lambda x, *a: batch_norm_eval(x, running, *a, eps=0.1),
            batch_norm_eval_vjp(x, g, running, w, b, eps=0.1),
        ),
    )
    for function, by_hand in pairs:
        by_autograd = torch.autograd.grad(function(x, w, b), (x, w, b), g)
        for mine, their in zip(by_hand, by_autograd, strict=True):
            assert_close(mine, their)
        assert torch.autograd.gradgradcheck(function, (x, w, b))


def test_evaluation_with_the_batch_s_own_moments_is_training():
    x = draw(6, 4, 3)
    _, mean, var = batch_moments(x)
    assert_close(batch_norm_eval(x, Running(mean, var)), batch_norm(x))


@pytest.mark.parametrize("size", [1e-3, 1.0, 6e4])
def test_float16_is_computed_in_float32(size):
    x = (torch.tensor(draw(16, 4, 2)).clamp(-1, 1) * size).half()
    w, b = torch.tensor(draw(4, seed=1)).half(), torch.tensor(draw(4, seed=2)).half()
    expected = F.batch_norm(x.double(), None, None, w.double(), b.double(), True).half()
    assert (batch_norm(x, w, b) == expected).float().mean() > 0.97
    running = Running(x.float().mean((0, 2)), x.float().var((0, 2), correction=0))
    assert (batch_norm_eval(x, running, w, b) == expected).float().mean() > 0.97
    grads = batch_norm_vjp(x, x, w, b.float())
    assert [grad.dtype for grad in grads] == [torch.float16, torch.float16, torch.float32]
    grads = batch_norm_eval_vjp(x, x, running, w, b.float())
    assert [grad.dtype for grad in grads] == [torch.float16, torch.float16, torch.float32]


def test_entries_whose_squares_overflow():
    x = draw(8, 4)
    large = (1e30 * x).astype(np.float32)
    assert_close(batch_norm(large), batch_norm(x, eps=0.0), scale=1e8)


def test_a_large_stored_mean_loses_no_digits():
    x = (1e4 + draw(50, 4)).astype(np.float32)
    running = Running(x.mean(0), x.var(0))
    exact = batch_norm_eval(x.astype(np.float64), Running(*(v.astype(float) for v in running)))
    assert np.abs(batch_norm_eval(x, running) - exact).max() < 1e-6


def test_strided_and_channels_last():
    x = torch.tensor(draw(2, 4, 3, 5)).contiguous(memory_format=torch.channels_last)
    assert_close(batch_norm(x), F.batch_norm(x, None, None, training=True))


@pytest.mark.parametrize("bias", [True, False])
def test_folding_into_the_layer_in_front(bias):
    running = Running(draw(4), np.random.default_rng(1).random(4) + 0.1)
    w, b = draw(4, seed=2), draw(4, seed=3)
    gain, shift = stored_affine(running, w, b, eps=0.1)
    matrix, c, x = draw(4, 3, seed=4), draw(4, seed=5) if bias else None, draw(6, 3, seed=6)
    expected = batch_norm_eval(x @ matrix.T + (0 if c is None else c), running, w, b, eps=0.1)
    folded, moved = fold_into(gain, shift, matrix, c)
    assert_close(x @ folded.T + moved, expected)
    kernel, image = (torch.tensor(draw(*s, seed=7)) for s in ((4, 1, 3, 3), (2, 2, 5, 5)))
    c = None if c is None else torch.tensor(c)
    after = F.conv2d(image, kernel, c, padding=1, stride=2, groups=2)
    expected = batch_norm_eval(after, Running(*map(torch.tensor, running)), eps=0.1)
    bare = map(torch.tensor, stored_affine(running, eps=0.1))
    folded, moved = fold_into(*bare, kernel, c)
    found = F.conv2d(image, folded, moved, padding=1, stride=2, groups=2)
    assert_close(found, expected)


def test_folding_into_the_layer_behind():
    running, x, matrix = Running(draw(4), draw(4) ** 2 + 0.1), draw(6, 4, seed=1), draw(3, 4)
    folded, moved = fold_affine(*stored_affine(running), matrix)
    assert_close(x @ folded.T + moved, batch_norm_eval(x, running) @ matrix.T, scale=10)


ONES, STORED = np.ones((2, 4)), Running(np.zeros(4), np.ones(4))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: batch_norm(np.ones(3)), ValueError, r"x has shape \(3,\): \(N, C, …\) is needed"),
        (lambda: batch_norm(ONES > 0), TypeError, "x has dtype bool"),
        (lambda: batch_norm(ONES, eps=-1.0), ValueError, "eps is -1.0"),
        (lambda: batch_norm(ONES, np.ones(2)), ValueError, r"weight has shape \(2,\): .*\(4,\)"),
        (lambda: batch_norm(ONES, None, np.ones(2)), ValueError, "bias has shape"),
        (lambda: batch_norm(ONES, ONES[0] > 0), TypeError, "weight has dtype bool"),
        (lambda: batch_norm_vjp(ONES, np.ones(2)), ValueError, "cotangent has shape"),
        (lambda: batch_norm_vjp(ONES, ONES > 0), TypeError, "cotangent has dtype bool"),
        (lambda: batch_norm_eval(ONES, STORED, eps=-1.0), ValueError, "eps is -1.0"),
        (
            lambda: batch_norm_eval_vjp(ONES, ONES, STORED, eps=-1e3),
            ValueError,
            "eps is -1000.0",
        ),
        (lambda: batch_norm_eval(ONES, Running(ONES, ONES[0])), ValueError, "mean has shape"),
        (lambda: batch_norm_eval(ONES, Running(ONES[0], ONES)), ValueError, "var has shape"),
        (lambda: batch_norm_eval_vjp(ONES, ONES[0], STORED), ValueError, "cotangent has shape"),
        (lambda: stored_affine(STORED, eps=-1.0), ValueError, "eps is -1.0"),
        (lambda: stored_affine(STORED, np.ones(2)), ValueError, "weight has shape"),
        (lambda: stored_affine(Running(ONES[0] > 0, ONES[0])), TypeError, "mean has dtype bool"),
        (lambda: stored_affine(STORED, None, ONES[0] > 0), TypeError, "bias has dtype bool"),
        (
            lambda: fold_into(np.ones(2), np.ones(2), np.ones((3, 4))),
            ValueError,
            r"gain has shape \(2,\) and weight \(3, 4\): \(out,\)",
        ),
        (lambda: fold_into(np.ones(2), np.ones(2), np.ones(2)), ValueError, "gain has shape"),
        (
            lambda: fold_into(np.ones(2), np.ones(2), np.ones((2, 4)), np.ones(4)),
            ValueError,
            "bias has shape",
        ),
        (
            lambda: fold_into(np.ones(2), np.ones(2), np.ones((2, 4)) > 0),
            TypeError,
            "weight has dtype bool",
        ),
    ],
)
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
