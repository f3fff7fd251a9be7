import math

import ml_dtypes
import numpy as np
import pytest
import torch

from dlkb.training.float_formats import (
    BFLOAT16,
    FLOAT8_E4M3,
    FLOAT8_E5M2,
    FLOAT16,
    FLOAT32,
    FloatFormat,
    limits,
    round_to,
    spacing,
    stochastic_round,
)
from tests.cases import Case
from tests.close import assert_close

DTYPES = {
    FLOAT16: (np.float16, torch.float16),
    BFLOAT16: (ml_dtypes.bfloat16, torch.bfloat16),
    FLOAT8_E4M3: (ml_dtypes.float8_e4m3fn, torch.float8_e4m3fn),
    FLOAT8_E5M2: (ml_dtypes.float8_e5m2, torch.float8_e5m2),
    FLOAT32: (np.float32, torch.float32),
}


def numbers(rng, shape=(3, 4)):
    """Return numbers that are far from ties and from powers of two: all dtypes round them alike."""
    return rng.choice([1.1, 1.3, -1.7, 2.6, 0.41], size=shape)


CASES = [
    Case(limits, lambda rng: ((FLOAT16,), {})),
    Case(spacing, lambda rng: ((numbers(rng),), {"to": BFLOAT16})),
    Case(round_to, lambda rng: ((numbers(rng),), {"to": BFLOAT16})),
    Case(
        stochastic_round,
        lambda rng: ((numbers(rng), np.full((3, 4), 0.5)), {"to": BFLOAT16}),
        fixed=("u",),
    ),
]


def values():
    """Return numbers of all sizes with the ties, edges and specials of every format."""
    rng = np.random.default_rng(0)
    drawn = rng.normal(size=20_000) * 2.0 ** rng.integers(-45, 18, 20_000)
    edges = [0.0, math.inf, -math.inf, math.nan, 1e38, -3.4e38]
    for to in DTYPES:
        found = limits(to)
        for x in (found.largest, found.normal, found.smallest, 1.0, 2.0):
            ties = [x, x * (1 + found.epsilon / 2), x * (1 + found.epsilon / 4), x / 2, 1.5 * x]
            edges += [s * t for t in ties for s in (1, -1)]
    with np.errstate(over="ignore"):
        x = np.concatenate([drawn, edges]).astype(np.float32)
        return np.concatenate([x, np.nextafter(x, 0), np.nextafter(x, np.float32(math.inf))])


@pytest.mark.parametrize("to", DTYPES, ids=str)
def test_rounding_is_that_of_the_casts(to):
    x = values()
    of_numpy, of_torch = DTYPES[to]
    with np.errstate(over="ignore", invalid="ignore"):
        expected = x.astype(of_numpy).astype(np.float32)
    found = round_to(x, to=to)
    np.testing.assert_array_equal(found, expected)
    assert (np.signbit(found) == np.signbit(expected))[~np.isnan(expected)].all()
    cast = torch.tensor(x).to(of_torch).float().numpy()
    fits = np.abs(x) <= limits(to).largest if to.finite else np.full(x.shape, True)
    np.testing.assert_array_equal(found[fits], cast[fits])
    if to.finite:  # PyTorch saturates
        over = ~fits & ~np.isnan(x)
        assert set(np.abs(cast[over])) == {448.0}
        assert np.isnan(found[np.abs(x) > 464]).all()
        assert (found[(x > 448) & (x <= 464)] == 448).all()


@pytest.mark.parametrize("to", DTYPES, ids=str)
def test_limits_are_those_that_libraries_report(to):
    of_numpy, of_torch = DTYPES[to]
    found, theirs = limits(to), torch.finfo(of_torch)
    assert found.largest == theirs.max
    assert found.normal == theirs.smallest_normal
    assert found.epsilon == theirs.eps
    assert found.smallest == float(ml_dtypes.finfo(of_numpy).smallest_subnormal)


@pytest.mark.parametrize("to", [FLOAT16, FLOAT32], ids=str)
def test_spacing_is_that_of_numpy(to):
    dtype = DTYPES[to][0]
    x = round_to(values(), to=to).astype(dtype)
    x = x[np.isfinite(x) & (np.abs(x) < limits(to).largest)]
    with np.errstate(over="ignore"):
        next_up = np.nextafter(np.abs(x), dtype(math.inf)) - np.abs(x)
    np.testing.assert_array_equal(spacing(x.astype(np.float32), to=to), next_up.astype(np.float32))


def test_spacing_at_the_edges():
    x = np.asarray([0.0, 2.0**-30, 1.0, 0.999, -4.0, 65504.0, 65536.0, math.inf, math.nan])
    expected = [2.0**-24, 2.0**-24, 2.0**-10, 2.0**-11, 2.0**-8, 32, math.inf, math.inf, math.nan]
    assert_close(spacing(x, to=FLOAT16), np.asarray(expected))


@pytest.mark.parametrize("to", [FLOAT16, BFLOAT16, FLOAT8_E4M3, FLOAT8_E5M2], ids=str)
def test_stochastic_rounding_is_unbiased_and_chooses_a_neighbour(to):
    rng = np.random.default_rng(1)
    x = np.concatenate([rng.uniform(-3, 3, 50), 2.0 ** rng.uniform(-30, 0, 50), [0.0, -1.0]])
    u = (np.arange(4096) + 0.5) / 4096
    grid = np.broadcast_to(x[:, None], (len(x), 4096))
    y = stochastic_round(grid, np.broadcast_to(u, grid.shape).copy(), to=to)
    ulp = spacing(x, to=to)
    assert (np.abs(y - x[:, None]) < ulp[:, None]).all()
    np.testing.assert_array_equal(round_to(y, to=to), y)
    assert (np.abs(y.mean(1) - x) <= ulp / 4096).all()
    numbers_of = round_to(x, to=to)[:, None] + 0 * grid
    assert (stochastic_round(numbers_of, 0 * grid, to=to) == numbers_of).all()
    assert (stochastic_round(numbers_of, 0 * grid + 0.999, to=to) == numbers_of).all()


@pytest.mark.parametrize("highest", [1 - 2.0**-24, 1.0])  # a draw may round up to 1
def test_no_draw_moves_a_number_of_the_format(highest):
    x = np.asarray([1.5, 1.0, -1.5, 65504.0, 0.0], dtype=np.float32)
    u = np.full(5, highest, dtype=np.float32)
    np.testing.assert_array_equal(stochastic_round(x, u, to=FLOAT16), x)


def test_a_finite_format_with_one_bit_of_fraction():
    to = FloatFormat(4, 1, finite=True)
    assert limits(to).largest == 256
    x = np.asarray([192.0, 200.0, 256.0, 300.0, 320.0, 400.0, math.inf])
    expected = [192.0, 192.0, 256.0, 256.0, 256.0, math.nan, math.nan]
    np.testing.assert_array_equal(round_to(x, to=to), expected)
    assert spacing(np.asarray(256.0), to=to) == 128


def test_stochastic_rounding_keeps_what_is_not_finite():
    x = np.asarray([math.inf, -math.inf, math.nan, 65519.0, 65519.0])
    y = stochastic_round(x, np.asarray([0.5, 0.5, 0.5, 0.1, 0.9]), to=FLOAT16)
    assert_close(y, np.asarray([math.inf, -math.inf, math.nan, 65504, math.inf]))
    assert math.isnan(stochastic_round(np.asarray(460.0), np.asarray(0.9), to=FLOAT8_E4M3))


@pytest.mark.parametrize("shape", [(), (0,), (1,), (2, 0, 3), (2, 1)])
def test_shapes(shape):
    x = np.full(shape, 1.1)
    assert round_to(x, to=BFLOAT16).shape == shape
    assert spacing(x, to=BFLOAT16).shape == shape
    assert stochastic_round(x, x, to=BFLOAT16).shape == shape


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: limits(FloatFormat(1, 3)), ValueError, "to.exponent is 1"),
        (lambda: limits(FloatFormat(9, 3)), ValueError, "to.exponent is 9"),
        (lambda: limits(FloatFormat(5, 0)), ValueError, "to.fraction is 0"),
        (lambda: limits(FloatFormat(5, 24)), ValueError, "to.fraction is 24"),
        (lambda: round_to(np.arange(2), to=FLOAT16), TypeError, "x has dtype"),
        (lambda: spacing(np.arange(2), to=FLOAT16), TypeError, "x has dtype"),
        (
            lambda: stochastic_round(np.ones(2), np.arange(2), to=FLOAT16),
            TypeError,
            "u has dtype",
        ),
        (
            lambda: stochastic_round(np.arange(2), np.ones(2), to=FLOAT16),
            TypeError,
            "x has dtype",
        ),
        (
            lambda: stochastic_round(np.ones(2), np.ones(1), to=FLOAT16),
            ValueError,
            r"u has shape \(1,\)",
        ),
    ],
)
def test_errors_name_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call()
