import numpy as np
import pytest
import torch
from scipy import ndimage

from dlkb.regularization.augmentation import (
    Grid,
    noise_penalty,
    rotation_grid,
    shift_grid,
    warp,
    warp_vjp,
)
from scripts.peers.apart import torchvision
from tests.cases import Case
from tests.close import assert_close


def image(rng, *shape):
    return rng.normal(size=shape or (5, 4))


def grid(rng, *shape):
    return Grid(*(rng.uniform(-1, 5, size=shape or (3, 2)) for _ in "rc"))


CASES = [
    Case(
        shift_grid,
        lambda rng: (
            (image(rng),),
            {"down": rng.normal(size=3), "right": rng.normal(size=3)},
        ),
        fixed=("image", "down", "right"),
        broadcasts=("image",),
        batch=(),
    ),
    Case(
        rotation_grid,
        lambda rng: ((image(rng),), {"angle": rng.normal(size=3)}),
        fixed=("image", "angle"),
        broadcasts=("image", "angle"),
        batch=(),
    ),
    Case(
        warp,
        lambda rng: ((image(rng), grid(rng)), {}),
        fixed=("grid",),
        broadcasts=("image",),
        scale=4,
    ),
    Case(
        warp,
        lambda rng: ((image(rng, 2, 5, 4), grid(rng)), {}),
        "one grid",
        fixed=("grid",),
        broadcasts=("image",),
        batch=(),
        scale=4,
    ),
    Case(
        warp_vjp,
        lambda rng: ((image(rng), grid(rng), rng.normal(size=(3, 2))), {}),
        fixed=("image", "grid"),
        broadcasts=("image",),
        scale=8,
    ),
    Case(
        noise_penalty,
        lambda rng: ((rng.normal(size=(3, 4)),), {"std": 0.1}),
        batch=("jacobian",),
        unless={"float16": "the result is a sum of squares, which does not fit"},
    ),
]

SHAPES = [(5, 4), (1, 1), (1, 6), (8, 8), (2, 3, 8, 7)]


def angles(images, degrees):
    return np.full(images.shape[:-2], np.radians(degrees))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_tells_the_pixels_of_large_images_apart(dtype):
    x = torch.rand(1, 3000, generator=torch.Generator().manual_seed(0)).to(dtype)
    grid = shift_grid(x, down=torch.tensor(0.0), right=torch.tensor(1.0))
    assert grid.columns.dtype == torch.float32
    moved = warp(x, grid)
    assert moved.dtype == dtype
    assert torch.equal(moved[:, 1:], x[:, :-1])
    back = warp_vjp(x, grid, moved)
    assert back.dtype == dtype
    assert torch.equal(back[:, :-1], x[:, :-1])


@pytest.mark.parametrize("quarters", [-1, 0, 1, 2, 5])
@pytest.mark.parametrize("shape", [(6, 6), (5, 5), (1, 1), (2, 3, 8, 8)])
def test_quarter_turns_are_those_of_numpy(shape, quarters):
    x = np.random.default_rng(0).normal(size=shape)
    turned = warp(x, rotation_grid(x, angle=angles(x, 90 * quarters)))
    np.testing.assert_allclose(turned, np.rot90(x, quarters, (-2, -1)), atol=1e-9)


@pytest.mark.parametrize("degrees", [-170, -31, 4, 45, 100])
@pytest.mark.parametrize("shape", SHAPES)
def test_rotation_is_that_of_torchvision(shape, degrees):
    functional = torchvision("transforms.v2.functional")
    modes = torchvision("transforms").InterpolationMode
    x = np.random.default_rng(0).normal(size=shape)
    theirs = functional.rotate(
        torch.tensor(x).reshape(-1, *shape[-2:]), degrees, interpolation=modes.BILINEAR
    )
    turned = warp(x, rotation_grid(x, angle=angles(x, degrees)))
    # Theirs fades to the fill at the rim only half a pixel beyond the border, ours a whole one.
    far = np.asarray(warp(np.ones(shape), rotation_grid(x, angle=angles(x, degrees)))) > 1 - 1e-6
    np.testing.assert_allclose(turned[far], theirs.reshape(shape).numpy()[far], atol=1e-4)
    assert far.any() or min(shape[-2:]) == 1


@pytest.mark.parametrize("shape", SHAPES)
def test_warp_is_that_of_torch_and_scipy(shape, device):
    rng = np.random.default_rng(0)
    x = rng.normal(size=shape)
    at = Grid(*(rng.uniform(-2, n + 1, size=(*shape[:-2], 3, 5)) for n in shape[-2:]))
    found = warp(x, at)
    flat = x.reshape(-1, *shape[-2:])
    rows, columns = (a.reshape(-1, 3, 5) for a in at)
    for one, r, c, ours in zip(flat, rows, columns, found.reshape(-1, 3, 5), strict=True):
        expected = ndimage.map_coordinates(np.pad(one, 2), np.stack([r + 2, c + 2]), order=1)
        np.testing.assert_allclose(ours, expected, atol=1e-9)
    if min(shape[-2:]) > 1:  # torch measures in units of the distance between the outer pixels
        unit = [2 * a / (n - 1) - 1 for a, n in zip((rows, columns), shape[-2:], strict=True)]
        theirs = torch.nn.functional.grid_sample(
            torch.tensor(flat[:, None], device=device),
            torch.tensor(np.stack(unit[::-1], axis=-1), device=device),
            align_corners=True,
        )
        assert_close(found.reshape(-1, 3, 5), theirs[:, 0])


@pytest.mark.parametrize("shape", [*SHAPES, (0, 5, 4)])
def test_gradient_is_autograd_s_and_the_adjoint(shape):
    rng = np.random.default_rng(0)
    at = Grid(*(torch.tensor(rng.uniform(-2, 6, size=(3, 5))) for _ in "rc"))
    x = torch.tensor(rng.normal(size=shape), requires_grad=True)
    y = warp(x, at)
    g = torch.tensor(rng.normal(size=y.shape))
    (expected,) = torch.autograd.grad(y, x, g)
    found = warp_vjp(x.detach(), at, g)
    assert_close(found, expected)
    assert_close((found * x).sum(), (y * g).sum())


def test_gradient_of_a_shared_image_is_a_sum():
    rng = np.random.default_rng(0)
    x = torch.tensor(rng.normal(size=(5, 4)), requires_grad=True)
    at = rotation_grid(x.detach(), angle=torch.tensor([0.1, 0.7, 2.0]))
    g = torch.tensor(rng.normal(size=(3, 5, 4)))
    (expected,) = torch.autograd.grad(warp(x, Grid(*(a.double() for a in at))), x, g)
    assert_close(warp_vjp(x.detach(), Grid(*(a.double() for a in at)), g), expected)


@pytest.mark.parametrize(("down", "right"), [(0, 0), (1, 0), (0, -2), (-1, 3), (9, 0)])
def test_shifts_are_crops_of_a_padded_image(down, right):
    x = np.random.default_rng(0).normal(size=(2, 5, 4))
    padded = np.pad(x, [(0, 0), (9, 9), (9, 9)])
    expected = padded[:, 9 - down : 14 - down, 9 - right : 13 - right]
    shift = {"down": np.asarray([1.0 * down] * 2), "right": np.asarray([1.0 * right] * 2)}
    np.testing.assert_array_equal(warp(x, shift_grid(x, **shift)), expected)


def test_each_image_has_its_own_grid():
    x = np.random.default_rng(0).normal(size=(3, 6, 6))
    turned = warp(x, rotation_grid(x, angle=np.asarray([0.0, np.pi / 2, np.pi])))
    for quarters in range(3):
        np.testing.assert_allclose(turned[quarters], np.rot90(x[quarters], quarters), atol=1e-9)


@pytest.mark.parametrize("std", [0.0, 0.3])
@pytest.mark.parametrize("shape", [(2, 3), (1, 1), (4, 1)])
def test_noise_penalty_is_exact_for_linear_maps(shape, std):
    """The mean over noise of all signs is the mean over Gaussian noise of that variance."""
    rng = np.random.default_rng(0)
    W, x, y = rng.normal(size=shape), rng.normal(size=shape[1]), rng.normal(size=shape[0])
    signs = np.stack(np.meshgrid(*[[-1.0, 1.0]] * shape[1]), axis=-1).reshape(-1, shape[1])
    losses = [np.sum((W @ (x + std * e) - y) ** 2) for e in signs]
    assert_close(np.sum((W @ x - y) ** 2) + noise_penalty(W, std=std), np.mean(losses))


def test_noise_penalty_where_squares_overflow():
    assert_close(noise_penalty(np.full((1, 1), 1e200), std=1e-150), np.asarray(1e100))


X, R = np.ones((3, 3)), np.ones((2, 2))
MANY = Grid(*np.zeros((2, 4, 2, 2)))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: shift_grid(X[0], down=X[0, 0], right=X[0, 0]), ValueError, r"image has shape \(3"),
        (lambda: shift_grid(X, down=R[0], right=R[0, 0]), ValueError, "down has shape"),
        (lambda: shift_grid(X, down=R.astype(int), right=R), TypeError, "down has dtype"),
        (lambda: shift_grid(X, down=R, right=R.astype(int)), TypeError, "right has dtype"),
        (lambda: rotation_grid(X, angle=R.astype(int)), TypeError, "angle has dtype"),
        (lambda: rotation_grid(X.astype(int), angle=R), TypeError, "image has dtype"),
        (lambda: warp(X, Grid(R, R[0])), ValueError, "rows has shape"),
        (lambda: warp(X, Grid(R[0], R[0])), ValueError, r"grid has shape \(2,\)"),
        (lambda: warp(X, Grid(R, R.astype(int))), TypeError, "columns has dtype"),
        (lambda: warp_vjp(X, Grid(R, R), R.astype(int)), TypeError, "cotangent has dtype"),
        (lambda: warp_vjp(X, Grid(R, R), X), ValueError, r"cotangent has shape \(3, 3\)"),
        (lambda: warp_vjp(X, MANY, R), ValueError, r"cotangent has .* result, \(4, 2, 2\)"),
        (lambda: warp(np.ones((3, 3, 3)), MANY), ValueError, r"image has .* in front"),
        (lambda: noise_penalty(X[0], std=1.0), ValueError, r"jacobian has shape \(3,\)"),
        (lambda: noise_penalty(X, std=-1.0), ValueError, "std is -1.0"),
        (lambda: noise_penalty(X.astype(int), std=1.0), TypeError, "jacobian has dtype"),
    ],
)
def test_errors_name_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call()
