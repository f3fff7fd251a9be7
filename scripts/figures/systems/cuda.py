"""Figures of the page on CUDA: what a GPU of an H100's size counts."""

from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dlkb.book.draw.kept import kept
from dlkb.experiments import h100
from dlkb.systems.cuda import (
    matmul_intensity,
    roofline,
    segments,
    stride_conflict,
    tile_efficiency,
    wave_efficiency,
)
from scripts.figures.explorable import Explorable, Slider
from scripts.figures.labels import label_line

Array = NDArray[np.float64]

SIZES = np.arange(256.0, 8193.0, 64.0)
POWERS = np.asarray([256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0])
TILES = (64, 128, 256)
UNITS = (108, 132, 148)


def efficiency(n: Array, tile: int, units: int) -> Array:
    """Return the share of the work that counts, of a product of n × n, one block a unit."""
    blocks = np.ceil(n / tile) ** 2
    whole = tile_efficiency(n, n, tile=(tile, tile))
    return np.asarray(whole * wave_efficiency(blocks, slots=units))


def quantization() -> Explorable:
    """Draw the share of useful work against the size of a matrix, powers of two marked."""
    figure, ax = plt.subplots(figsize=(7.2, 3.1))
    (curve,) = ax.plot([], [], color="C0", linewidth=1.3, label="multiples of 64")
    (powers,) = ax.plot([], [], "o", color="C3", ms=7, label="powers of two")
    ax.set(xlim=(0, 8400), ylim=(0, 1.05), xlabel="rows = columns", ylabel="share of useful work")
    ax.legend(loc="lower right")

    def show(tile: float, units: float) -> str:
        curve.set_data(SIZES, efficiency(SIZES, int(tile), int(units)))
        at = efficiency(POWERS, int(tile), int(units))
        powers.set_data(POWERS, at)
        return (
            f"Tiles of {tile:g}, {units:g} multiprocessors: {at[2]:.2f} at 1024, "
            f"{at[4]:.2f} at 4096."
        )

    sliders = (Slider("tile", TILES, 1), Slider("multiprocessors", UNITS, 1))
    return Explorable(figure, sliders, (curve, powers), show)


def quantization_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    share = efficiency(SIZES, 128, 132)
    at = dict(zip(POWERS.tolist(), efficiency(POWERS, 128, 132).tolist(), strict=True))
    large = SIZES[(share > 0.99) & (SIZES < 8192)]
    return {
        f"With tiles of 128 and 132 multiprocessors {at[1024]:.2f} of the work is useful at "
        f"1024, {at[2048]:.2f} at 2048 and {at[4096]:.2f} at 4096": True,
        f"{len(large)} sizes that are no powers of two reach 0.99": bool(
            len(large) > 0 and not set(large) & set(POWERS)
        ),
        "square products, one block a multiprocessor": bool(
            np.isclose(efficiency(np.asarray([11.0 * 128]), 128, 132)[0], 121 / 132)
        ),
        "In this model whole tiles and full waves count, not powers of two": bool(
            at[4096] < 0.99 and share[SIZES % 128 == 64].max() < 1
        ),
    }


STRIDES = np.arange(1, 41)


class Traffic(NamedTuple):
    """What one instruction of a warp costs, by the stride between its lanes in words.

    Attributes:
        sectors: Of 32 bytes that move from global memory.
        reads: Of shared memory, one after another.
    """

    sectors: Array
    reads: Array


@kept
def traffic() -> Traffic:
    """Count sectors and conflicts for each stride."""
    lanes = np.arange(32)
    sectors = [float(segments(4 * int(s) * lanes)) for s in STRIDES]
    reads = [float(stride_conflict(int(s))) for s in STRIDES]
    return Traffic(np.asarray(sectors), np.asarray(reads))


def strides() -> Figure:
    """Draw what a stride costs in global and in shared memory."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 2.9))
    left.bar(STRIDES, traffic().sectors, color="C0", label="sectors")
    left.set(title="global memory: sectors", xlabel="stride in words", yticks=[4, 16, 32])
    right.bar(STRIDES, traffic().reads, color="C1", label="reads")
    right.set(title="shared memory: reads", xlabel="stride in words", yticks=[1, 8, 16, 32])
    for ax in (left, right):
        ax.set(xlim=(0, 41), ylim=(0, 34))
    return figure


def strides_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    data = traffic()
    odd = STRIDES % 2 == 1
    return {
        f"In global memory a warp moves {data.sectors[0]:.0f} sectors at stride 1 and "
        f"{data.sectors[7]:.0f} from stride 8 on": bool((data.sectors[7:] == 32).all()),
        "in shared memory each odd stride is read once": bool((data.reads[odd] == 1).all()),
        f"stride 32 takes {data.reads[31]:.0f} reads": True,
        "In shared memory no smaller stride is worse than a power of two": (
            all(data.reads[p - 1] >= data.reads[:p].max() for p in (1, 2, 4, 8, 16, 32))
        ),
        "one column of padding, 33 words instead of 32, removes the conflict": bool(
            data.reads[32] == 1
        ),
    }


PEAK, BANDWIDTH = 989e12, 3.35e12
"""Of an H100 SXM, from its data sheet: dense bfloat16 operations, and bytes, a second."""
INTENSITY = np.geomspace(0.05, 5000, 81)
ROWS = (1, 16, 128, 1024)


def dots() -> dict[str, tuple[float, float]]:
    """Return intensity and highest rate, in Tera-operations, of operations on bfloat16."""
    found = {"add": 1 / 4} | {
        f"{m} row{'s' if m > 1 else ''}": float(matmul_intensity(m, 4096, 4096)) for m in ROWS
    }
    return {name: (i, float(limit(np.asarray(i))) / 1e12) for name, i in found.items()}


def limit(intensity: Array) -> Array:
    """Return the roofline."""
    return np.asarray(roofline(intensity, peak=PEAK, bandwidth=BANDWIDTH))


def rooflines() -> Figure:
    """Draw the roofline, and on it products with a weight of 4096 × 4096."""
    figure, ax = plt.subplots(figsize=(6.2, 3.3))
    (line,) = ax.plot(INTENSITY, limit(INTENSITY) / 1e12, color="C0")
    line.set_gid("roofline")
    for name, (x, y) in dots().items():
        (dot,) = ax.plot([x], [y], "o", color="C3")
        label_line(ax, dot, name, 0, offset=(8, -12))
    ax.set(xscale="log", yscale="log", xlim=(0.05, 5000), ylim=(0.1, 3000))
    ax.set(xlabel="operations a byte", ylabel="10¹² operations a second")
    ax.set_xticks([0.1, 1, 10, 100, 1000], ["0.1", "1", "10", "100", "1000"])
    ax.set_yticks([1, 10, 100, 1000], ["1", "10", "100", "1000"])
    ax.minorticks_off()
    return figure


def rooflines_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    at = dots()
    ridge = PEAK / BANDWIDTH
    share = {name: 1e12 * y / PEAK for name, (_, y) in at.items()}
    return {
        f"The roof bends at {ridge:.0f} operations a byte": True,
        f"A product of one row with a matrix of 4096 × 4096 reaches at most "
        f"{100 * share['1 row']:.1f} % of the peak, one of 128 rows {100 * share['128 rows']:.0f} "
        "%": True,
        "one of 1024 rows lies right of the bend": at["1024 rows"][0] > ridge,
        f"The data sheet of an H100 says {PEAK / 1e12:.0f} Tera-operations and "
        f"{BANDWIDTH / 1e12:.2f} terabytes a second in bfloat16": True,
    }


SHOWN = (4032, 4088, 4095, 4096, 4097, 4100, 4104, 4160)


def rates() -> Array:
    """Return the measured rate of a product for each of the sizes shown."""
    return np.asarray([h100.rate(n) for n in SHOWN])


def measured() -> Figure:
    """Draw the rate for sizes about 4096, and the time of a layer against its rows."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 3.0))
    at = np.arange(len(SHOWN))
    left.bar(at, rates(), color="C0", label="rate")
    left.set_xticks(at, [str(n) for n in SHOWN], rotation=60)
    left.set(ylim=(0, 800), title="10¹² operations a second")
    rows, time = h100.layer()
    early = rows <= 3328
    right.plot(rows[early], time[early], "o-", color="C1", ms=4, label="time")
    right.set(xlim=(0, 3400), ylim=(0, 200), xlabel="rows", title="microseconds")
    return figure


def measured_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    at = dict(zip(SHOWN, rates().tolist(), strict=True))
    rows, time = h100.layer()
    before, after = time[rows == 2048][0], time[rows == 2176][0]
    odd = [n for n in SHOWN if n % 8]
    return {
        f"Square products in bfloat16 run at {at[4096]:.0f} Tera-operations a second for 4096, "
        f"{at[4097]:.0f} for 4097 and {at[4104]:.0f} for 4104": True,
        f"a layer of 4096 × 4096 takes {before:.0f} microseconds for 2048 rows, "
        f"{after:.0f} for 2176": True,
        "In bfloat16, sizes that are no multiple of 8 run at less than 0.4 of the rate of the "
        "others": bool(max(at[n] for n in odd) < min(at[n] for n in SHOWN if n not in odd) / 2.5),
        f"measured on an {h100.STAMP.split()[1]}": True,
    }
