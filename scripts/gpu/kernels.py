"""CUDA kernels of the page on CUDA, in Numba: on a GPU, or in Numba's simulator on a CPU.

The simulator takes over when `NUMBA_ENABLE_CUDASIM=1` stands in the environment before this
module is imported. It runs the threads one by one: what a kernel computes shows, its time does not.
"""

from typing import Any

import numpy as np
from numba import cuda

Array = Any


@cuda.jit
def add(x: Array, y: Array, out: Array) -> None:
    """Add two vectors, one entry a thread; threads beyond the end do nothing."""
    i = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
    if i < out.size:
        out[i] = x[i] + y[i]


@cuda.jit
def add_by_strides(x: Array, y: Array, out: Array) -> None:
    """Add two vectors with any grid: each thread goes on by the number of threads."""
    first = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
    for i in range(first, out.size, cuda.gridDim.x * cuda.blockDim.x):
        out[i] = x[i] + y[i]


@cuda.jit
def count_visits(visits: Array) -> None:
    """Count in each entry how many threads came by, the grid as `add` reads it."""
    i = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
    if i < visits.size:
        cuda.atomic.add(visits, i, 1)


@cuda.jit
def transpose(x: Array, out: Array) -> None:
    """Transpose 32 × 32 tiles through shared memory, a column of padding against conflicts."""
    tile = cuda.shared.array((32, 33), np.float32)
    column = cuda.blockIdx.x * 32 + cuda.threadIdx.x
    row = cuda.blockIdx.y * 32 + cuda.threadIdx.y
    if row < x.shape[0] and column < x.shape[1]:
        tile[cuda.threadIdx.y, cuda.threadIdx.x] = x[row, column]
    cuda.syncthreads()
    column = cuda.blockIdx.y * 32 + cuda.threadIdx.x
    row = cuda.blockIdx.x * 32 + cuda.threadIdx.y
    if row < out.shape[0] and column < out.shape[1]:
        out[row, column] = tile[cuda.threadIdx.x, cuda.threadIdx.y]


@cuda.jit
def neighbours(step: int, seen: Array) -> None:
    """Write one word `step` words behind the first of two arrays of 32 words in shared memory.

    The second array lies behind the first. No index is checked, on a GPU.
    """
    memory = cuda.shared.array(64, np.float32)
    i = cuda.threadIdx.x
    memory[i] = 1.0
    memory[32 + i] = 2.0
    cuda.syncthreads()
    if i == 0:
        memory[31 + step] = 7.0
    cuda.syncthreads()
    seen[i] = memory[32 + i]


@cuda.jit
def strided_copy(x: Array, stride: int, out: Array) -> None:
    """Copy every `stride`-th word to its thread's place: a warp reads 32 words that far apart."""
    i = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
    if i < out.size:
        out[i] = x[i * stride]


@cuda.jit
def shifted_copy(x: Array, shift: int, out: Array) -> None:
    """Copy with a start that is `shift` words from an address that is a multiple of 128 bytes."""
    i = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
    if i < out.size:
        out[i] = x[i + shift]


@cuda.jit
def chase(stride: int, rounds: int, out: Array) -> None:
    """Read shared memory `rounds` times a lane, the lanes of a warp `stride` words apart.

    Each word holds its own index, and the next read goes where the last one says: no compiler
    can leave a read out.
    """
    memory = cuda.shared.array(8192, np.int32)
    i = cuda.threadIdx.x
    for at in range(i, 8192, cuda.blockDim.x):
        memory[at] = at
    cuda.syncthreads()
    at = (i % 32) * stride
    for _ in range(rounds):
        at = memory[at]
    out[cuda.blockIdx.x * cuda.blockDim.x + i] = at


@cuda.jit
def spin(rounds: int, out: Array) -> None:
    """Multiply and add `rounds` times, each on the last result, with 32 KiB held by the block."""
    memory = cuda.shared.array(8192, np.float32)
    i = cuda.threadIdx.x
    memory[i] = 1.0
    cuda.syncthreads()
    value = memory[i ^ 1]
    for _ in range(rounds):
        value = value * np.float32(0.999) + np.float32(0.001)
    if i == 0:
        out[cuda.blockIdx.x] = value


@cuda.jit
def diverge(ways: int, rounds: int, out: Array) -> None:
    """Let the lanes of a warp take `ways` different branches, `rounds` steps each."""
    i = cuda.threadIdx.x
    value = np.float32(i)
    way = i % ways
    for branch in range(ways):
        if way == branch:
            for _ in range(rounds):
                value = value * np.float32(0.999) + np.float32(branch)
    out[cuda.blockIdx.x * cuda.blockDim.x + i] = value
