import numpy as np
import pytest
import torch

from dlkb.experiments.h100 import (
    COPIES,
    OVERFLOWS,
    SHARED_READS,
    STAMP,
    WAVES,
    layer,
    rate,
    sizes,
)
from dlkb.systems.cuda import resident_blocks, segments, stride_conflict


def test_rates_lie_below_the_peak_and_fit_the_times():
    for dtype, peak in (("bfloat16", 989), ("float32", 67)):  # the data sheet's, dense
        found = [rate(int(n), dtype) for n in sizes(dtype)]
        assert 0 < min(found) < max(found) < peak
    assert rate(4096) == pytest.approx(2 * 4096**3 / 179.3e-6 / 1e12)
    assert rate(4096, "float32") == pytest.approx(2 * 4096**3 / 2686e-6 / 1e12)
    assert (np.diff(sizes()) > 0).all()
    assert "H100" in STAMP


def test_a_layer_is_timed_for_each_multiple_of_128_rows():
    rows, time = layer()
    assert rows.tolist() == list(range(128, 8449, 128))
    assert time[0] == 18.4
    assert (2 * rows * 4096**2 / time / 1e6).max() < 989


def test_two_measurements_of_one_product_agree():
    rows, time = layer()
    same = 2 * 4096**3 / time[rows == 4096][0] / 1e6
    assert same == pytest.approx(rate(4096), rel=0.2)  # the GPU's clock is not fixed


def test_errors_say_what_was_measured():
    with pytest.raises(ValueError, match=r"n is 5: it must be one of sizes\('bfloat16'\)"):
        rate(5)
    with pytest.raises(ValueError, match=r"dtype is 'int8': .* \['bfloat16', 'float32'\]"):
        sizes("int8")


def test_a_gpu_at_hand_is_slow_where_rows_are_not_aligned(device):
    if device != "cuda":
        return

    def seconds(n):
        a = torch.randn(n, n, device="cuda", dtype=torch.bfloat16)
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        for _ in range(3):
            a @ a
        begin.record()
        for _ in range(10):
            a @ a
        end.record()
        torch.cuda.synchronize()
        return begin.elapsed_time(end)

    assert seconds(4097) > 1.5 * seconds(4096)


def test_shared_memory_is_slower_the_worse_the_conflict():
    one = SHARED_READS[1]
    for stride, time in SHARED_READS.items():
        degree = stride_conflict(stride)
        # A conflict of degree 4 and less hides behind the waiting of other warps.
        assert time / one == pytest.approx(max(1, degree / 5), rel=0.12)


def test_an_overflow_inside_the_block_is_silent_under_the_sanitizer_too():
    silent = [what for what, happened in OVERFLOWS.items() if happened == "silent"]
    assert len(silent) == 3
    assert all("array behind" in what for what in silent)


def test_copies_wait_longer_but_not_in_proportion_to_sectors():
    lanes = np.arange(32)
    sectors = {stride: int(segments(4 * stride * lanes)) for stride in COPIES}
    assert (np.diff(list(COPIES.values())) > 0).all()
    assert sectors[8] == sectors[16] == 8 * sectors[1]
    assert COPIES[8] / COPIES[1] < 4
    assert COPIES[16] / COPIES[8] > 1.8


def test_one_block_more_than_a_wave_costs_less_than_a_wave():
    slots = 132 * resident_blocks(64, shared=32 * 1024)
    assert slots == 792
    for full in (slots, 2 * slots):
        assert 1.05 < WAVES[full + 1] / WAVES[full] < 1.3  # 2 and 1.5 in the model
    assert WAVES[529] / WAVES[528] > 1.3  # one wave in the model
