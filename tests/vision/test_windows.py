from functools import partial

import numpy as np
import pytest

from dlkb.vision.windows import from_windows, to_windows, window_grid, window_mask
from tests.cases import Case

SHIFTED = {"window": (2, 3), "shift": (1, 2)}
SIZE = {"height": 5, "width": 7}


def image(rng, *, channels=4):
    return rng.normal(size=(5, 7, channels))


CASES = [
    Case(window_grid, lambda rng: ((5, 7), SHIFTED)),
    Case(to_windows, lambda rng: ((image(rng),), SHIFTED)),
    Case(from_windows, lambda rng: ((rng.normal(size=(9, 6, 2)),), SIZE | SHIFTED)),
    Case(window_mask, lambda rng: ((np.zeros(1),), SIZE | SHIFTED), batch=()),
]


@pytest.mark.parametrize("size", [(4, 4), (8, 4), (5, 7), (1, 1), (3, 9)])
@pytest.mark.parametrize(("window", "shift"), [(4, 0), (4, 2), (4, 3), ((2, 3), (0, 1)), (1, 0)])
def test_windows_and_back(size, window, shift):
    x = np.random.default_rng(0).normal(size=(2, *size, 3))
    w = to_windows(x, window=window, shift=shift)
    back = from_windows(w, height=size[0], width=size[1], window=window, shift=shift)
    np.testing.assert_array_equal(back, x)


def neighbours(height, width, window, shift):
    """Return for each window which of its places were in one window of the shifted grid."""
    m, n = window
    rows, columns = -(-height // m) * m, -(-width // n) * n
    s, t = (0 if m >= rows else shift[0]), (0 if n >= columns else shift[1])
    masks = []
    for top in range(0, rows, m):
        for left in range(0, columns, n):
            cells = []
            for i in range(m):
                for j in range(n):
                    row, column = (top + i + s) % rows, (left + j + t) % columns
                    # the window of a grid that starts at −(m − s): what stands left of s is cut
                    cells.append(((row - s) // m if s else row // m, (column - t) // n))
            masks.append([[a == b for b in cells] for a in cells])
    return np.asarray(masks)


@pytest.mark.parametrize("size", [(8, 12), (4, 12), (7, 5), (2, 3)])
@pytest.mark.parametrize("shift", [(0, 0), (1, 0), (0, 2), (1, 1), (3, 2)])
def test_the_mask_parts_what_the_roll_brought_together(size, shift):
    window = (4, 3)
    mask = window_mask(np.zeros(1), height=size[0], width=size[1], window=window, shift=shift)
    np.testing.assert_array_equal(mask, neighbours(*size, window, shift))


@pytest.mark.parametrize(
    ("size", "expected"),
    [((4, 9), ((4, 9), (0, 2))), ((5, 1), ((8, 3), (1, 0))), ((9, 10), ((12, 12), (1, 2)))],
)
def test_the_grid_is_padded_and_does_not_roll_a_single_window(size, expected):
    found = window_grid(*size, window=(4, 3), shift=(1, 2))
    assert (found.sides, found.shift) == expected
    assert found.window == (4, 3)


X = np.zeros((4, 4, 2))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: to_windows(np.zeros((4, 4)), window=2), ValueError, r"x has shape \(4, 4\)"),
        (lambda: to_windows(np.zeros((0, 4, 2)), window=2), ValueError, r"x has shape \(0, 4, 2\)"),
        (lambda: to_windows(X.astype(int), window=2), TypeError, "x has dtype int64"),
        (lambda: to_windows(X, window=0), ValueError, "window is 0"),
        (lambda: to_windows(X, window=2.0), ValueError, r"window is 2.0: .* as integers"),
        (lambda: to_windows(X, window=2, shift=2), ValueError, r"shift is 2: .* \[0, 2\)"),
        (lambda: to_windows(X, window=2, shift=-1), ValueError, "shift is -1"),
        (lambda: to_windows(X, window=(2, 2, 2)), ValueError, r"window is \(2, 2, 2\): one number"),
        (
            partial(from_windows, np.zeros((3, 4, 2)), height=4, width=4, window=2),
            ValueError,
            r"windows has shape \(3, 4, 2\): \(..., 4, 4, C\) is needed for 4 by 4",
        ),
    ],
)
def test_errors_name_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_window_may_be_an_integer_of_numpy():
    x = np.random.default_rng(0).normal(size=(4, 6, 2))
    found = to_windows(x, window=np.int64(2), shift=np.int32(1))
    assert np.array_equal(found, to_windows(x, window=2, shift=1))
