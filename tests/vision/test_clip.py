import math
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dlkb.vision.clip import (
    clip_loss,
    clip_loss_vjp,
    cosines,
    cosines_vjp,
    loss_floor,
    siglip_loss,
    siglip_loss_vjp,
)
from tests.cases import Case
from tests.close import assert_close


def embeddings(rng, *, cotangent=False):
    arrays = rng.normal(size=(3, 6)), rng.normal(size=(4, 6))
    return ((*arrays, rng.normal(size=(3, 4))) if cotangent else arrays), {}


def logits(rng, *, cotangent=False):
    s = 3 * rng.normal(size=(4, 4))
    return ((s, rng.normal(size=())) if cotangent else (s,)), {}


def rows(rng):
    return (rng.normal(size=(3, 4, 4)), rng.normal(size=3)), {}


CASES = [
    Case(cosines, embeddings, broadcasts=("images", "texts")),
    Case(cosines_vjp, partial(embeddings, cotangent=True), scale=5, broadcasts=("images",)),
    Case(clip_loss, logits),
    Case(clip_loss_vjp, rows, scale=5, batch=()),
    Case(clip_loss_vjp, partial(logits, cotangent=True), "one", batch=()),
    Case(siglip_loss, logits),
    Case(siglip_loss_vjp, rows, batch=()),
    Case(loss_floor, lambda rng: ((), {"batch": 8, "temperature": 0.5})),
]


def clip_by_torch(s):
    labels = torch.arange(s.shape[-1], device=s.device)
    return (F.cross_entropy(s, labels) + F.cross_entropy(s.T, labels)) / 2


def siglip_by_torch(s):
    signs = 2 * torch.eye(len(s), dtype=s.dtype, device=s.device) - 1
    return -F.logsigmoid(signs * s).sum(-1).mean()


@pytest.mark.parametrize("n", [1, 2, 9])
@pytest.mark.parametrize("size", [0.1, 3.0, 100.0])
@pytest.mark.parametrize(
    ("ours", "vjp", "theirs"),
    [(clip_loss, clip_loss_vjp, clip_by_torch), (siglip_loss, siglip_loss_vjp, siglip_by_torch)],
)
def test_losses_and_gradients_are_those_of_torch(n, size, ours, vjp, theirs, device):
    s = torch.tensor(size * np.random.default_rng(n).normal(size=(n, n)), device=device)
    s.requires_grad_()
    expected = theirs(s)
    assert_close(ours(s.detach()), expected, scale=10)
    cotangent = torch.tensor(1.7, dtype=s.dtype, device=device)
    (grad,) = torch.autograd.grad(expected, s, cotangent)
    assert_close(vjp(s.detach(), cotangent), grad, scale=10)


@pytest.mark.parametrize("shape", [((3, 6), (4, 6)), ((2, 1, 5), (2, 3, 5)), ((0, 4), (3, 4))])
def test_cosines_and_their_gradient_are_those_of_torch(shape, device):
    rng = np.random.default_rng(0)
    x, y = (torch.tensor(7 * rng.normal(size=s), device=device).requires_grad_() for s in shape)
    c = F.normalize(x, dim=-1) @ F.normalize(y, dim=-1).transpose(-2, -1)
    assert_close(cosines(x.detach(), y.detach()), c)
    g = torch.tensor(rng.normal(size=c.shape), device=device)
    found = cosines_vjp(x.detach(), y.detach(), g)
    for mine, theirs in zip(found, torch.autograd.grad(c, (x, y), g), strict=True):
        assert_close(mine, theirs, scale=10)


def test_a_vector_of_zeros_has_no_direction():
    x, y = np.zeros((1, 3)), np.eye(3)[:2]
    assert_close(cosines(x, y), np.zeros((1, 2)))
    found = cosines_vjp(x, y, np.ones((1, 2)))
    assert_close(found.images, np.zeros((1, 3)))
    assert_close(found.texts, np.zeros((2, 3)))


def test_gradients_leave_the_lengths_alone():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(3, 5)), rng.normal(size=(4, 5))
    found = cosines_vjp(x, y, rng.normal(size=(3, 4)))
    assert_close((found.images * x).sum(-1), np.zeros(3))
    assert_close((found.texts * y).sum(-1), np.zeros(4))


def test_leading_axes_are_one_loss_each():
    s = np.random.default_rng(0).normal(size=(2, 3, 4, 4))
    for loss, vjp in ((clip_loss, clip_loss_vjp), (siglip_loss, siglip_loss_vjp)):
        assert loss(s).shape == (2, 3)
        assert_close(loss(s)[1, 2], loss(s[1, 2]))
        g = np.random.default_rng(1).normal(size=(2, 3))
        assert_close(vjp(s, g)[1, 2], vjp(s[1, 2], g[1, 2]))


def test_swapping_images_and_texts_changes_nothing():
    s = np.random.default_rng(0).normal(size=(5, 5))
    assert_close(clip_loss(s), clip_loss(s.T))
    assert_close(siglip_loss(s), siglip_loss(s.T))


def simplex(n):
    """Return n unit vectors with the cosine −1/(n − 1)."""
    points = np.eye(n) - 1 / n
    return points / np.linalg.norm(points, axis=1, keepdims=True)


@pytest.mark.parametrize("batch", [2, 3, 8, 50])
@pytest.mark.parametrize("temperature", [0.01, 0.07, 1.0, 10.0])
def test_the_floor_is_that_of_a_simplex_and_nothing_is_below(batch, temperature):
    floor = loss_floor(batch=batch, temperature=temperature)
    best = simplex(batch)
    assert_close(clip_loss(cosines(best, best) / temperature), floor, scale=1000)
    rng = np.random.default_rng(batch)
    for width in (2, 8, 64):
        x = rng.normal(size=(batch, width))
        y = x + rng.choice([0.0, 0.1, 2.0]) * rng.normal(size=x.shape)
        assert clip_loss(cosines(x, y) / temperature) > floor - 1e-12


def descend(x, y, *, tau=0.5, steps=600):
    """Train embeddings themselves, on the sphere."""
    for _ in range(steps):
        s = cosines(x, y) / tau
        grads = cosines_vjp(x, y, clip_loss_vjp(s, np.asarray(1.0)) / tau)
        x, y = (a - 2 * g for a, g in zip((x, y), grads, strict=True))
        x, y = (a / np.linalg.norm(a, axis=1, keepdims=True) for a in (x, y))
    return float(clip_loss(cosines(x, y) / tau))


def test_descent_ends_at_the_floor():
    rng = np.random.default_rng(0)
    floor = loss_floor(batch=5, temperature=0.5)
    end = descend(rng.normal(size=(5, 4)), rng.normal(size=(5, 4)))
    assert floor - 1e-12 < end < floor + 1e-6


def test_too_few_dimensions_end_above_the_floor():
    rng = np.random.default_rng(0)
    floor = loss_floor(batch=5, temperature=0.5)
    assert descend(rng.normal(size=(5, 2)), rng.normal(size=(5, 2))) > floor + 0.05


def square(n, m):
    return np.zeros((n, m))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: clip_loss(square(2, 3)), ValueError, r"logits has shape \(2, 3\): \(..., N, N\)"),
        (lambda: siglip_loss(square(0, 0)), ValueError, r"logits has shape \(0, 0\)"),
        (lambda: clip_loss(np.zeros(3)), ValueError, r"logits has shape \(3,\)"),
        (lambda: clip_loss(np.zeros((2, 2), int)), TypeError, "logits has dtype int64"),
        (
            lambda: clip_loss_vjp(square(2, 2), np.ones(2)),
            ValueError,
            r"cotangent has shape \(2,\): it must be \(\)",
        ),
        (
            lambda: siglip_loss_vjp(square(2, 2), np.ones((), int)),
            TypeError,
            "cotangent has dtype int64",
        ),
        (lambda: cosines(square(2, 3), square(2, 4)), ValueError, r"images has shape \(2, 3\) and"),
        (lambda: cosines(np.zeros((1, 2, 3)), square(2, 3)), ValueError, r"images has shape \(1"),
        (lambda: cosines(np.zeros(3), np.zeros(3)), ValueError, r"images has shape \(3,\)"),
        (lambda: cosines(square(2, 3), np.zeros((2, 3), int)), TypeError, "texts has dtype"),
        (
            lambda: cosines_vjp(square(2, 3), square(4, 3), square(4, 2)),
            ValueError,
            r"cotangent has shape \(4, 2\): it must be \(2, 4\)",
        ),
        (lambda: loss_floor(batch=1, temperature=1.0), ValueError, "batch is 1"),
        (lambda: loss_floor(batch=2, temperature=0.0), ValueError, "temperature is 0.0"),
    ],
)
def test_errors_name_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_equal_logits_are_at_chance():
    for n in (1, 7):
        assert_close(clip_loss(np.full((n, n), 3.0)), math.log(n))
