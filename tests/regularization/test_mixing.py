import numpy as np
import pytest
import torch

from dlkb.regularization.mixing import (
    Box,
    cut_box,
    cut_mix,
    cut_mix_vjp,
    kept_area,
    mix,
    mix_vjp,
    mixed_variance,
)
from tests.cases import Case
from tests.close import assert_close


def two(rng, *shape):
    return rng.normal(size=shape), rng.normal(size=shape)


def box(*edges):
    return Box(*(np.asarray(float(edge)) for edge in edges))


CASES = [
    Case(mix, lambda rng: ((*two(rng, 3, 2, 4), rng.random(3)), {}), fixed=("weight",), batch=()),
    Case(
        mix,
        lambda rng: ((*two(rng, 3, 2), rng.random(())), {}),
        "one weight",
        fixed=("weight",),
        batch=("x", "partner"),
    ),
    Case(
        mix_vjp,
        lambda rng: ((rng.normal(size=(3, 2)), rng.random(3), rng.normal(size=(3, 2))), {}),
        fixed=("x", "weight"),
        batch=(),
    ),
    Case(mixed_variance, lambda rng: ((rng.random(5) + 0.1,), {}), fixed=("alpha",)),
    Case(
        cut_box,
        lambda rng: (
            (np.asarray([1.0, 4.0]), np.asarray([0.0, 5.0]), np.asarray([0.3, 0.6])),
            {"height": 5, "width": 6},
        ),
        fixed=("row", "column", "weight"),
    ),
    Case(kept_area, lambda rng: ((box(0, 2, 1, 3),), {"height": 5, "width": 4}), fixed=("box",)),
    Case(cut_mix, lambda rng: ((*two(rng, 5, 4), box(0, 2, 1, 3)), {}), fixed=("box",)),
    Case(
        cut_mix_vjp,
        lambda rng: ((box(0, 2, 1, 3), rng.normal(size=(5, 4))), {}),
        fixed=("box",),
    ),
]


@pytest.mark.parametrize("shape", [(3,), (3, 4), (3, 1, 2), (0, 2)])
def test_mix_and_its_gradient(shape):
    rng = np.random.default_rng(0)
    x, partner = (torch.tensor(a, requires_grad=True) for a in two(rng, *shape))
    weight = torch.tensor(rng.random(shape[0]))
    mixed = mix(x, partner, weight)
    for i, (a, b, lam) in enumerate(zip(x, partner, weight, strict=True)):
        assert_close(mixed[i], lam * a + (1 - lam) * b)
    g = torch.randn(shape, dtype=torch.float64)
    expected = torch.autograd.grad(mixed, (x, partner), g)
    found = mix_vjp(x.detach(), weight, g)
    assert_close(found.x, expected[0])
    assert_close(found.partner, expected[1])


@pytest.mark.parametrize("shape", [(), (3,)])
def test_mixtures_stay_in_the_dtype_of_the_images(shape):
    """A drawn λ has float64: it made NumPy's images, and torch's by a batch of λ, float64."""
    weight = np.full(shape, 0.3)
    x = np.ones((3, 2), dtype=np.float32)
    assert mix(x, x, weight).dtype == x.dtype
    assert {part.dtype for part in mix_vjp(x, weight, x)} == {x.dtype}
    images = torch.ones(3, 2, dtype=torch.bfloat16)
    assert mix(images, images, torch.tensor(weight)).dtype == images.dtype


def test_cross_entropy_of_a_mixed_target_is_the_mixed_cross_entropy():
    rng = np.random.default_rng(0)
    logits = torch.tensor(rng.normal(size=(4, 3)))
    a, b, weight = torch.tensor([0, 1, 2, 0]), torch.tensor([2, 1, 0, 0]), torch.rand(4).double()
    eye = torch.eye(3, dtype=torch.float64)
    one = torch.nn.functional.cross_entropy(logits, mix(eye[a], eye[b], weight), reduction="none")
    each = [torch.nn.functional.cross_entropy(logits, y, reduction="none") for y in (a, b)]
    assert_close(one, mix(*each, weight))


@pytest.mark.parametrize("alpha", [0.05, 0.2, 1.0, 8.0])
def test_mixed_variance_is_that_of_draws(alpha):
    rng = np.random.default_rng(0)
    weight = rng.beta(alpha, alpha, size=400_000)
    mixed = mix(*two(rng, 400_000), weight)
    assert abs(mixed.var() - mixed_variance(np.asarray(alpha))) < 0.01


def test_mixed_variance_where_twice_alpha_does_not_fit():
    assert mixed_variance(np.asarray([1e308, np.inf])).tolist() == [0.5, 0.5]
    assert mixed_variance(np.asarray(4e4, dtype=np.float16)) == 0.5


@pytest.mark.parametrize("size", [(8, 8), (5, 9), (1, 1)])
def test_box_is_that_of_torchvision(size):
    """`int(r - h)`, cut off, as in the source of its CutMix."""
    height, width = size
    rng = np.random.default_rng(0)
    for lam in (0.0, 0.3, 0.75, 1.0):
        for _ in range(20):
            row, column = (int(rng.integers(n)) for n in size)
            r = 0.5 * (1 - lam) ** 0.5
            y = (max(row - int(r * height), 0), min(row + int(r * height), height))
            x = (max(column - int(r * width), 0), min(column + int(r * width), width))
            arguments = (np.asarray(float(a)) for a in (row, column, lam))
            found = cut_box(*arguments, height=height, width=width)
            assert tuple(map(int, found)) == (*y, *x)
            area = 1 - (y[1] - y[0]) * (x[1] - x[0]) / (height * width)
            assert_close(kept_area(found, height=height, width=width), np.asarray(area))


@pytest.mark.parametrize("edges", [(0, 2, 1, 3), (0, 0, 0, 0), (0, 5, 0, 4), (4, 5, 3, 4)])
@pytest.mark.parametrize("shape", [(5, 4), (2, 3, 5, 4)])
def test_cut_mix_pastes_the_box(edges, shape):
    rng = np.random.default_rng(0)
    x, partner = (torch.tensor(a, requires_grad=True) for a in two(rng, *shape))
    found = cut_mix(x, partner, Box(*(torch.tensor(float(e)) for e in edges)))
    expected = x.detach().clone()
    top, bottom, left, right = edges
    expected[..., top:bottom, left:right] = partner.detach()[..., top:bottom, left:right]
    assert torch.equal(found, expected)
    g = torch.randn(shape, dtype=torch.float64)
    gradients = torch.autograd.grad(found, (x, partner), g)
    pulled = cut_mix_vjp(Box(*(torch.tensor(float(e)) for e in edges)), g)
    for ours, theirs in zip(pulled, gradients, strict=True):
        assert torch.equal(ours, theirs)


def test_half_precision_tells_the_pixels_of_large_images_apart():
    x = torch.ones(2, 600, dtype=torch.bfloat16)
    edges = (torch.tensor(float(e)) for e in (0, 1, 299, 301))
    found = cut_mix(x, torch.zeros_like(x), Box(*edges))
    assert (found == 0).nonzero().tolist() == [[0, 299], [0, 300]]


def test_each_image_has_its_own_box_and_what_is_covered_does_not_show():
    x, partner = np.zeros((2, 4, 4)), np.ones((2, 4, 4))
    x[0, 0, 0] = np.nan
    edges = Box(*(np.asarray(e) for e in ([0.0, 2.0], [1.0, 4.0], [0.0, 0.0], [1.0, 4.0])))
    found = cut_mix(x, partner, edges)
    assert found[0].sum() == 1
    assert found[1].sum() == 8


ONE, X = np.ones(()), np.ones((3, 3))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: mix(X, X[:1], ONE), ValueError, r"partner has shape \(1, 3\)"),
        (lambda: mix(X, X, ONE[None]), ValueError, r"weight has shape \(1,\)"),
        (lambda: mix(X, X, X), ValueError, r"weight has shape \(3, 3\)"),
        (lambda: mix(X.astype(int), X, ONE), TypeError, "x has dtype"),
        (lambda: mix(X, X, ONE.astype(int)), TypeError, "weight has dtype"),
        (lambda: mix_vjp(X, ONE, X[:1]), ValueError, r"cotangent has shape \(1, 3\)"),
        (lambda: mix_vjp(X, ONE, X.astype(int)), TypeError, "cotangent has dtype"),
        (lambda: mixed_variance(X.astype(int)), TypeError, "alpha has dtype"),
        (lambda: cut_box(ONE, X, ONE, height=1, width=1), ValueError, "column has shape"),
        (lambda: cut_box(ONE, ONE, X, height=1, width=1), ValueError, "weight has shape"),
        (lambda: cut_box(ONE, ONE, ONE, height=0, width=1), ValueError, "height is 0"),
        (lambda: cut_box(ONE, ONE, ONE, height=1, width=0), ValueError, "width is 0"),
        (lambda: kept_area(box(0, 1, 0, 1), height=0, width=1), ValueError, "height is 0"),
        (lambda: kept_area(box(0, 1, 0, 1), height=1, width=0), ValueError, "width is 0"),
        (lambda: kept_area(Box(1, 1, 1, 1), height=1, width=1), TypeError, "box.top is int"),
        (lambda: cut_mix(X, X[:1], box(0, 1, 0, 1)), ValueError, "partner has shape"),
        (lambda: cut_mix(X[0], X[0], box(0, 1, 0, 1)), ValueError, r"x has shape \(3,\)"),
        (lambda: cut_mix(X, X.astype(int), box(0, 1, 0, 1)), TypeError, "partner has dtype"),
        (lambda: cut_mix(X, X, Box(*np.ones((4, 1), int))), TypeError, "box.top has dtype int64"),
        (lambda: cut_mix(X, X, Box(*np.ones((4, 2)))), ValueError, r"box.top has shape \(2,\)"),
        (lambda: cut_mix_vjp(box(0, 1, 0, 1), X[0]), ValueError, r"cotangent has shape \(3,\)"),
        (lambda: cut_mix_vjp(box(0, 1, 0, 1), X.astype(int)), TypeError, "cotangent has dtype"),
    ],
)
def test_errors_name_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call()
