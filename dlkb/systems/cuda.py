r"""How a GPU runs a kernel, counted: warps, memory transactions, banks, blocks, waves, roofline."""

import math
from typing import NamedTuple

from dlkb.arrays import Array, check_between, check_count, check_float, namespace

WARP = 32
"""Threads that go together, on every GPU of NVIDIA so far."""


def _check_integers(name: str, x: Array) -> None:
    xp = namespace(x)
    if not xp.isdtype(x.dtype, "integral"):
        raise TypeError(f"{name} has dtype {x.dtype}: integers are needed")
    if len(x.shape) == 0:
        raise ValueError(f"{name} has no axis: one entry for each lane of a warp is needed")


def _is_new(ordered: Array) -> Array:
    # Along the last axis of sorted numbers: whether each differs from the one before.
    xp = namespace(ordered)
    first = xp.ones_like(ordered[..., :1], dtype=xp.bool)
    return xp.concat([first, ordered[..., 1:] != ordered[..., :-1]], axis=-1)


def segments(address: Array, *, size: int = 32) -> Array:
    r"""Return how many pieces of memory a warp touches with one instruction.

    $$s = \bigl|\{\lfloor a_i / b \rfloor\}\bigr|$$

    Args:
        address: Byte address of each lane, (…, lanes), integers.
        size: b, bytes of a piece: 32 for a sector, which is the least that moves, 128 for a line
            of the cache.

    Returns:
        How many, (…), integers: 4 sectors is the least for 32 lanes with 4 bytes of their own.

    Raises:
        TypeError: If `address` does not hold integers.
        ValueError: If it has no axis, or `size` is below 1.

    Example:
        >>> import numpy as np
        >>> lanes = np.arange(32)
        >>> [segments(4 * stride * lanes).item() for stride in (1, 2, 8, 32)]
        [4, 8, 32, 32]
    """
    _check_integers("address", address)
    check_count("size", size, 1)
    xp = namespace(address)
    piece = xp.sort(address // size, axis=-1)
    return xp.sum(xp.astype(_is_new(piece), xp.int64), axis=-1)


def conflict_degree(word: Array, *, banks: int = 32) -> Array:
    r"""Return how often shared memory is read for one instruction of a warp.

    $$c = \max_b \bigl|\{w_i : w_i \bmod B = b\}\bigr|$$

    Lanes that want one word share it; different words of one bank wait for each other.

    Args:
        word: Address of each lane in words of 4 bytes, (…, lanes), integers ≥ 0.
        banks: B, how many words can be read at once.

    Returns:
        How often, (…), integers: 1 is free of conflicts.

    Raises:
        TypeError: If `word` does not hold integers.
        ValueError: If it has no axis, or `banks` is below 1.

    Example:
        >>> import numpy as np
        >>> lanes = np.arange(32)
        >>> [conflict_degree(stride * lanes).item() for stride in (0, 1, 2, 32, 33)]
        [1, 1, 2, 32, 1]
    """
    _check_integers("word", word)
    check_count("banks", banks, 1)
    xp = namespace(word)
    ordered = xp.sort(word, axis=-1)
    new, bank = _is_new(ordered), ordered % banks
    each = xp.stack([new & (bank == b) for b in range(banks)], axis=-2)
    return xp.max(xp.sum(xp.astype(each, xp.int64), axis=-1), axis=-1)


def stride_conflict(stride: int, *, banks: int = 32) -> int:
    r"""Return the degree of the conflict of a warp whose lanes are `stride` words apart.

    $$c = \gcd(s, B)$$

    so that an odd stride has none among 32 banks, and a power of two the worst of its size.

    Args:
        stride: s ≥ 1, in words.
        banks: B, as many as the warp has lanes.

    Returns:
        How often shared memory is read.

    Raises:
        ValueError: If an argument is below 1.

    Example:
        >>> [stride_conflict(s) for s in (1, 2, 3, 32, 33, 48)]
        [1, 2, 1, 32, 1, 16]
    """
    check_count("stride", stride, 1)
    check_count("banks", banks, 1)
    return math.gcd(stride, banks)


class Multiprocessor(NamedTuple):
    """What one multiprocessor has, those of an H100 (compute capability 9.0) by default.

    Attributes:
        warps: That can be resident at once.
        blocks: Likewise.
        registers: Of 32 bits.
        shared: Bytes of shared memory.
        reserved: Bytes of it that each block loses to the system.
    """

    warps: int = 64
    blocks: int = 32
    registers: int = 65_536
    shared: int = 233_472
    reserved: int = 1024


H100 = Multiprocessor()


def resident_blocks(
    threads: int, *, registers: int = 32, shared: int = 0, of: Multiprocessor = H100
) -> int:
    r"""Return how many blocks of a kernel fit on a multiprocessor at once.

    $$r = \min\left(B,\ \left\lfloor\frac{W}{w}\right\rfloor,
      \left\lfloor\frac{4}{w} \left\lfloor\frac{R}{4\,\rho}\right\rfloor\right\rfloor,
      \left\lfloor\frac{S}{s}\right\rfloor\right)$$

    with w warps of ρ registers and s bytes a block. A multiprocessor has four parts, each with a
    quarter of the registers, given to a warp by 256; shared memory goes to a block by 128 bytes.

    Args:
        threads: Of a block, 1 … 1024.
        registers: Of a thread, 1 … 255.
        shared: Bytes of shared memory of a block.
        of: The multiprocessor.

    Returns:
        How many; 0 if not even one fits.

    Raises:
        ValueError: If an argument is out of its range.

    Reference:
        NVIDIA's cuda_occupancy.h of CUDA 13.0, which gives the same.

    Example:
        >>> [resident_blocks(256, shared=1024 * kib) for kib in (0, 48, 113, 114)]
        [8, 4, 2, 1]
    """
    check_count("threads", threads, 1, 1024)
    check_count("registers", registers, 1, 255)
    check_count("shared", shared, 0)
    warps = -(-threads // WARP)
    of_warp = -(-registers * WARP // 256) * 256
    of_block = -(-(shared + of.reserved) // 128) * 128
    by_registers = 4 * (of.registers // 4 // of_warp) // warps
    return min(of.blocks, of.warps // warps, by_registers, of.shared // of_block)


def waves(blocks: Array, *, slots: int) -> Array:
    r"""Return in how many waves blocks of equal work run.

    $$w = \left\lceil\frac{b}{S}\right\rceil$$

    Args:
        blocks: b ≥ 0, a number or an array.
        slots: S, how many are resident at once: multiprocessors times `resident_blocks`.

    Returns:
        Waves, like `blocks`: the time of the kernel in units of that of one block, if the blocks
        of a wave end together.

    Raises:
        ValueError: If `slots` is below 1.

    Example:
        >>> [waves(blocks, slots=132) for blocks in (1, 132, 133, 264)]
        [1, 1, 2, 2]
    """
    check_count("slots", slots, 1)
    return -(-blocks // slots)


def wave_efficiency(blocks: Array, *, slots: int) -> Array:
    r"""Return the share of the slots that work, over all waves.

    $$u = \frac{b}{S\,\lceil b/S\rceil}$$

    Args:
        blocks: b ≥ 1, a number or a floating-point array.
        slots: S, how many are resident at once.

    Returns:
        A share like `blocks`: 1 where the last wave is full.

    Raises:
        ValueError: If `slots` is below 1.

    Example:
        >>> [round(wave_efficiency(b, slots=132), 2) for b in (132, 133, 264)]
        [1.0, 0.5, 1.0]
    """
    return blocks / (slots * waves(blocks, slots=slots))


def tile_efficiency(m: Array, n: Array, *, tile: tuple[int, int] = (128, 128)) -> Array:
    r"""Return the share of the computed entries that a product of m × n needs.

    $$e = \frac{m}{T_m\,\lceil m/T_m\rceil} \cdot \frac{n}{T_n\,\lceil n/T_n\rceil}$$

    Args:
        m: Rows ≥ 1 of the result, a number or a floating-point array.
        n: Columns ≥ 1 of it, likewise.
        tile: Rows and columns that one block computes, whole also where they stick out.

    Returns:
        A share: 1 where whole tiles cover the result.

    Raises:
        ValueError: If a side of the tile is below 1.

    Example:
        >>> [round(tile_efficiency(4096, n), 3) for n in (1, 4095, 4096, 4097)]
        [0.008, 1.0, 1.0, 0.97]
    """
    for side in tile:
        check_between("tile", side, 1, math.inf, closed="left")
    rows, columns = tile
    return m / (rows * -(-m // rows)) * (n / (columns * -(-n // columns)))


def roofline(intensity: Array, *, peak: float, bandwidth: float) -> Array:
    r"""Return the highest rate at which a kernel can compute.

    $$P = \min(P_{\max},\ \beta\,I)$$

    Args:
        intensity: I ≥ 0, operations for each byte that moves, a floating-point array.
        peak: P_max > 0, operations a second of the arithmetic units.
        bandwidth: β > 0, bytes a second of the memory.

    Returns:
        Operations a second, like `intensity`: bandwidth decides below P_max/β, peak above.

    Raises:
        TypeError: If `intensity` is not floating-point.
        ValueError: If a rate is not positive.

    Reference:
        Williams, Waterman and Patterson (2009).

    Example:
        >>> import numpy as np
        >>> roofline(np.asarray([0.25, 100.0, 4000.0]), peak=800.0, bandwidth=3.0)
        array([7.5e-01, 3.0e+02, 8.0e+02])
    """
    check_float("intensity", intensity)
    check_between("peak", peak, 0, math.inf, closed="neither")
    check_between("bandwidth", bandwidth, 0, math.inf, closed="neither")
    xp = namespace(intensity)
    return xp.minimum(bandwidth * intensity, xp.full_like(intensity, peak))


def matmul_intensity(m: Array, n: Array, k: Array, *, itemsize: float = 2) -> Array:
    r"""Return the operations for each byte of a matrix product that moves each matrix once.

    $$I = \frac{2\,m\,n\,k}{b\,(m k + k n + m n)}$$

    Args:
        m: Rows of the result, a number or an array.
        n: Columns of it.
        k: Length of the sums.
        itemsize: b, bytes of an entry.

    Returns:
        Operations a byte: a product and a sum are two.

    Raises:
        ValueError: If `itemsize` is not positive.

    Example:
        >>> [round(matmul_intensity(m, 4096, 4096), 1) for m in (1, 64, 4096)]
        [1.0, 62.1, 1365.3]
    """
    check_between("itemsize", itemsize, 0, math.inf, closed="neither")
    return 2 / (itemsize * (1 / n + 1 / m + 1 / k))
