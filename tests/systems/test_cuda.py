import math

import numpy as np
import pytest

from dlkb.systems.cuda import (
    H100,
    conflict_degree,
    matmul_intensity,
    resident_blocks,
    roofline,
    segments,
    stride_conflict,
    tile_efficiency,
    wave_efficiency,
    waves,
)
from tests.cases import Case
from tests.close import assert_close

COUNTS = ("blocks", "m", "n", "k")


def counts(rng, size=4):
    return rng.integers(1, 250, size=size).astype(np.float64)


CASES = [
    Case(segments, lambda rng: ((4 * rng.integers(0, 900, (3, 32)),), {})),
    Case(segments, lambda rng: ((4 * rng.integers(0, 900, (3, 32)),), {"size": 128}), "lines"),
    Case(conflict_degree, lambda rng: ((rng.integers(0, 900, (3, 32)),), {})),
    Case(conflict_degree, lambda rng: ((rng.integers(0, 90, (3, 8)),), {"banks": 8}), "banks"),
    Case(stride_conflict, lambda rng: ((48,), {"banks": 12})),
    Case(resident_blocks, lambda rng: ((96,), {"registers": 90}), "registers"),
    Case(resident_blocks, lambda rng: ((96,), {"shared": 40_000}), "shared"),
    Case(resident_blocks, lambda rng: ((96,), {"of": H100._replace(blocks=16)}), "multiprocessor"),
    Case(waves, lambda rng: ((counts(rng),), {"slots": 32}), fixed=COUNTS),
    Case(wave_efficiency, lambda rng: ((counts(rng),), {"slots": 32}), fixed=COUNTS),
    Case(
        tile_efficiency,
        lambda rng: ((counts(rng), counts(rng)), {"tile": (32, 16)}),
        fixed=COUNTS,
        broadcasts=COUNTS,
    ),
    Case(
        roofline,
        lambda rng: ((rng.uniform(0.1, 9, 5),), {"peak": 16.0, "bandwidth": 4.0}),
    ),
    Case(
        matmul_intensity,
        lambda rng: ((counts(rng), counts(rng), counts(rng)), {"itemsize": 4}),
        fixed=COUNTS,
        broadcasts=COUNTS,
    ),
]

LANES = np.arange(32)


def test_segments_by_counting():
    rng = np.random.default_rng(1)
    for size in (32, 128):
        for address in rng.integers(0, 3000, (20, 32)):
            assert segments(address, size=size) == len({int(a) // size for a in address})
    assert segments(np.zeros((0, 32), dtype=int)).shape == (0,)
    assert segments(np.zeros((2, 0), dtype=int)).tolist() == [0, 0]


@pytest.mark.parametrize("stride", [1, 2, 3, 4, 8, 9, 40])
def test_segments_of_a_stride(stride):
    # 4-byte words, 8 of them in a sector: as long as lanes share sectors, 4 times the stride.
    assert segments(4 * stride * LANES) == min(32, 4 * stride)


def test_a_start_that_is_not_aligned_costs_one_sector():
    assert [int(segments(4 * (LANES + shift))) for shift in (0, 1, 7, 8)] == [4, 5, 5, 4]


def test_conflicts_by_counting():
    rng = np.random.default_rng(2)
    for banks in (16, 32):
        for word in rng.integers(0, 200, (30, 32)):
            wanted = {}
            for w in {int(w) for w in word}:
                wanted.setdefault(w % banks, set()).add(w)
            assert conflict_degree(word, banks=banks) == max(len(s) for s in wanted.values())


def test_stride_conflict_is_the_degree_of_such_lanes():
    for stride in range(1, 200):
        assert stride_conflict(stride) == conflict_degree(stride * LANES)
    assert conflict_degree(np.full(32, 77)) == 1  # one word for all is one read


# threads, registers, shared bytes and the blocks that cuda_occupancy.h of CUDA 13.0 counts for
# compute capability 9.0, with all of the memory carved out for sharing
OCCUPANCY = [
    (360, 182, 100467, 0), (82, 191, 492, 2), (810, 77, 10027, 0), (499, 155, 53926, 0),
    (125, 82, 15736, 5), (796, 24, 100237, 2), (887, 186, 25123, 0), (871, 34, 58167, 1),
    (294, 109, 103191, 1), (89, 233, 14324, 2), (668, 36, 21873, 2), (15, 66, 17281, 12),
    (290, 61, 36327, 3), (578, 33, 207719, 1), (491, 60, 208790, 1), (252, 26, 40378, 5),
    (6, 28, 20756, 10), (138, 105, 46619, 3), (171, 20, 49650, 4), (249, 20, 15763, 8),
    (197, 19, 47981, 4), (508, 34, 49412, 3), (21, 243, 6228, 8), (474, 24, 33397, 4),
    (35, 204, 48902, 4), (326, 25, 34232, 5), (120, 57, 36773, 6), (63, 155, 41839, 5),
    (270, 24, 16011, 7), (23, 34, 16836, 13), (211, 40, 32661, 6), (4, 192, 28194, 7),
    (31, 157, 30415, 7), (91, 33, 22587, 9), (23, 131, 14225, 12), (233, 21, 18283, 8),
    (136, 48, 6506, 8), (179, 56, 7583, 6), (50, 162, 4794, 6), (34, 50, 22906, 9),
]  # fmt: skip


@pytest.mark.parametrize(("threads", "registers", "shared", "blocks"), OCCUPANCY)
def test_resident_blocks_are_those_of_nvidia(threads, registers, shared, blocks):
    assert resident_blocks(threads, registers=registers, shared=shared) == blocks


def test_limits_of_an_h100():
    assert resident_blocks(32) == 32  # blocks
    assert resident_blocks(1024) == 2  # warps
    largest = 227 * 1024
    assert resident_blocks(32, shared=largest) == 1
    assert resident_blocks(32, shared=largest + 1) == 0


def test_waves_and_their_efficiency():
    assert [waves(b, slots=6) for b in (0, 1, 6, 7, 12, 13)] == [0, 1, 1, 2, 2, 3]
    blocks = np.arange(1.0, 60)
    found = wave_efficiency(blocks, slots=6)
    assert_close(found, blocks / (6 * np.ceil(blocks / 6)))
    assert (found[5::6] == 1).all()
    assert found.min() == 1 / 6


def test_tile_efficiency_by_covering():
    for m, n in ((1, 1), (7, 9), (8, 12), (9, 13), (100, 3)):
        covered = math.ceil(m / 8) * 8 * math.ceil(n / 4) * 4
        assert tile_efficiency(m, n, tile=(8, 4)) == pytest.approx(m * n / covered)


def test_roofline_and_intensity():
    found = roofline(np.asarray([0.0, 1.0, 4.0, 5.0, 1e9]), peak=8.0, bandwidth=2.0)
    assert found.tolist() == [0, 2, 8, 8, 8]
    for m, n, k in ((1, 1, 1), (3, 5, 7), (4096, 1, 4096)):
        expected = 2 * m * n * k / (4 * (m * k + k * n + m * n))
        assert matmul_intensity(m, n, k, itemsize=4) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: segments(np.zeros(3)), TypeError, "address has dtype float64: integers"),
        (lambda: segments(np.asarray(3)), ValueError, "address has no axis"),
        (lambda: segments(LANES, size=0), ValueError, "size is 0"),
        (lambda: conflict_degree(np.zeros(3)), TypeError, "word has dtype float64"),
        (lambda: conflict_degree(LANES, banks=0), ValueError, "banks is 0"),
        (lambda: stride_conflict(0), ValueError, "stride is 0"),
        (lambda: stride_conflict(1, banks=0), ValueError, "banks is 0"),
        (lambda: resident_blocks(0), ValueError, r"threads is 0: it must lie in \[1, 1024\]"),
        (lambda: resident_blocks(1025), ValueError, "threads is 1025"),
        (lambda: resident_blocks(32, registers=256), ValueError, "registers is 256"),
        (lambda: resident_blocks(32, shared=-1), ValueError, "shared is -1"),
        (lambda: waves(3, slots=0), ValueError, "slots is 0"),
        (lambda: wave_efficiency(3, slots=0), ValueError, "slots is 0"),
        (lambda: tile_efficiency(3, 3, tile=(8, 0)), ValueError, "tile is 0"),
        (lambda: roofline(LANES, peak=1.0, bandwidth=1.0), TypeError, "intensity has dtype"),
        (lambda: roofline(np.ones(2), peak=0.0, bandwidth=1.0), ValueError, "peak is 0"),
        (lambda: roofline(np.ones(2), peak=1.0, bandwidth=0.0), ValueError, "bandwidth is 0"),
        (lambda: matmul_intensity(1, 1, 1, itemsize=0), ValueError, "itemsize is 0"),
    ],
)
def test_errors_name_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call()
