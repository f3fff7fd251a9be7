"""Assertions that compare arrays of any library, with the tolerance beside its dtype."""

import numpy as np
import torch

# What a handful of operations may lose: some tens of units in the last place.
TOLERANCE = {
    "float64": 1e-12,
    "float32": 1e-5,
    "float16": 5e-3,
    "bfloat16": 3e-2,
}


def to_numpy(x: object) -> np.ndarray:
    """Copy an array of any library to NumPy; bfloat16 becomes float32."""
    if isinstance(x, torch.Tensor):
        x = x.detach().cpu()
        return (x.float() if x.dtype == torch.bfloat16 else x).numpy()
    if isinstance(x, np.ndarray | np.generic | float | int | bool):
        return np.asarray(x)
    return np.from_dlpack(x)


def dtype_name(x: object) -> str:
    """Return "float32" for any library's float32 array."""
    return str(x.dtype).rsplit(".", 1)[-1]


def assert_close(actual: object, expected: object, *, dtype: str | None = None, scale=1.0) -> None:
    """Assert equal shapes, and values within the tolerance of `dtype`, times `scale`.

    The dtype is that of `actual` unless given. NaN equals NaN, and infinities must agree.
    The tolerance is relative, and absolute near 0: for values around 1. For extreme values
    see `assert_close_in_size`.
    """
    tolerance = scale * TOLERANCE.get(dtype or dtype_name(actual), 1e-12)
    actual, expected = to_numpy(actual), to_numpy(expected)
    assert actual.shape == expected.shape, f"shape {actual.shape}, expected {expected.shape}"
    np.testing.assert_allclose(
        actual.astype(np.float64), expected.astype(np.float64), rtol=tolerance, atol=tolerance
    )


def assert_close_in_size(actual: object, expected: object, *, dtype: str, scale=1.0) -> int:
    """Assert equal shapes, and values that agree to the tolerance times the size of the largest.

    `expected` comes from a wider format. Where it is beyond the range of `dtype`, or within a
    factor of 8 of its end, nothing is asserted. Returns how many entries were compared that are 0
    or not below the smallest normal number: what is below it has lost its digits.
    """
    actual, expected = (to_numpy(x).astype(np.longdouble, copy=False) for x in (actual, expected))
    assert actual.shape == expected.shape, f"shape {actual.shape}, expected {expected.shape}"
    assert not np.isnan(expected).any(), f"the wider format gives {expected}"
    limits = np.finfo(dtype)
    fits = np.abs(expected) < limits.max / 8
    actual, expected = actual[fits], expected[fits]
    tolerance = scale * TOLERANCE[dtype]
    size = np.abs(expected).max(initial=limits.tiny)
    error = np.abs(actual - expected)
    right = error <= tolerance * (np.abs(expected) + size)
    assert right.all(), f"{actual[~right][:4]}, expected {expected[~right][:4]}"
    return int(((expected == 0) | (np.abs(expected) >= limits.tiny)).sum())
