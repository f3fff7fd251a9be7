"""What an H100 did: times of products, copies and blocks, and what overflows led to.

Measured once, kept so that pages compute with it.

`scripts/gpu/measure.py` measures it again, on another GPU too.
"""

import numpy as np
from numpy.typing import NDArray

STAMP = "NVIDIA H100 80GB HBM3, PyTorch 2.11.0, CUDA 13.0, median of 9 rounds, November 2026"

# fmt: off
_MICROSECONDS = {
    "bfloat16": {
        960: 11.23, 1016: 11.32, 1023: 32.4, 1024: 11.86, 1025: 34.44, 1026: 31.72, 1028: 31.78,
        1032: 11.6, 1040: 11.05, 1056: 11.03, 1088: 11.22, 1152: 11.82, 1280: 11.45, 1984: 24.2,
        2040: 26.65, 2047: 108.1, 2048: 24.81, 2049: 171.5, 2050: 110.9, 2052: 110.6, 2056: 30.69,
        2064: 26.67, 2080: 28.01, 2112: 32.84, 2176: 31.87, 2304: 40.11, 3072: 92.19, 3584: 140.4,
        4032: 176.4, 4088: 197, 4095: 937.7, 4096: 179.3, 4097: 1053, 4098: 641.5, 4100: 644.5,
        4104: 204.9, 4112: 215.5, 4128: 239.8, 4160: 233.7, 4224: 234.5, 4352: 246.5, 4608: 289.2,
        5120: 419.7, 5376: 472.4, 6144: 720.7, 6336: 835.8, 7168: 1068, 8128: 1638, 8184: 1690,
        8191: 7672, 8192: 1466, 8193: 7549, 8194: 4313, 8196: 4373, 8200: 1543, 8208: 1486,
        8224: 1492, 8256: 1700, 8320: 1719, 8448: 1769,
    },
    "float32": {
    960: 51.19, 1016: 52.61, 1023: 56.29, 1024: 57.58, 1025: 70.43, 1026: 70.51, 1028: 69.01,
    1032: 68.13, 1040: 70.1, 1056: 71.4, 1088: 73, 1152: 80.97, 1280: 120.7, 1984: 347.2,
    2040: 344.5, 2047: 343, 2048: 340.1, 2049: 472, 2050: 499.7, 2052: 489, 2056: 474.1,
    2064: 461.1, 2080: 480.2, 2112: 497, 2176: 495.9, 2304: 605.5, 4032: 2623, 4088: 2836,
    4095: 2824, 4096: 2686, 4097: 3144, 4098: 3163, 4100: 3234, 4104: 3040, 4112: 3091,
    4128: 3165, 4160: 3134, 4224: 3235, 4352: 3459, 8128: 22220, 8184: 21300, 8191: 22790,
    8192: 21800, 8193: 23100, 8194: 23610, 8196: 24040, 8200: 22290, 8208: 22610, 8224: 23280,
    8256: 23500, 8320: 23160, 8448: 24110,
    },
}

_LAYER = {
    128: 18.4, 256: 19.18, 384: 22.47, 512: 27.99, 640: 31.82, 768: 37.01, 896: 45.83,
    1024: 50.25, 1152: 58.52, 1280: 69.91, 1408: 85.7, 1536: 85.83, 1664: 111.7, 1792: 93.06,
    1920: 92.76, 2048: 92.61, 2176: 124.6, 2304: 126.1, 2432: 138.3, 2560: 123, 2688: 148.2,
    2816: 145.5, 2944: 145.1, 3072: 158.9, 3200: 178.3, 3328: 179.6, 3456: 180, 3584: 192,
    3712: 187.2, 3840: 195.9, 3968: 212.2, 4096: 210.3, 4224: 206.9, 4352: 246.5, 4480: 253.9,
    4608: 253.5, 4736: 273.2, 4864: 254.3, 4992: 255.1, 5120: 257.9, 5248: 258.3, 5376: 296.1,
    5504: 307.6, 5632: 311.6, 5760: 306.8, 5888: 318.2, 6016: 311.5, 6144: 309.2, 6272: 307.7,
    6400: 336.4, 6528: 361.7, 6656: 355.9, 6784: 354.6, 6912: 349, 7040: 359.8, 7168: 366.2,
    7296: 368.6, 7424: 404.8, 7552: 397.2, 7680: 393, 7808: 406.1, 7936: 423.4, 8064: 424.3,
    8192: 427.2, 8320: 418, 8448: 420.8,
}
# fmt: on

SHARED_READS = {
    1: 349.4,
    2: 340.9,
    4: 359.1,
    8: 614.5,
    16: 1139.0,
    31: 327.4,
    32: 2203.0,
    33: 346.0,
}
"""Microseconds of the kernel `chase` by the stride in words between the lanes of a warp."""

COPIES = {1: 74.12, 2: 88.17, 4: 127.6, 8: 207.7, 16: 396.3, 32: 429.9}
"""Microseconds of the kernel `strided_copy` for 2²⁴ words, by the stride in words."""

WAVES = {528: 291.5, 529: 382.5, 792: 418.2, 793: 519.3, 1584: 721.3, 1585: 772.0}
"""Microseconds of the kernel `spin` by the number of its blocks of 64 threads and 32 KiB."""

OVERFLOWS = {
    "declared with 64 KiB, compiled by Numba-CUDA": "nothing",
    "the last word of its own array": "nothing",
    "the first word of the array behind": "silent",
    "the last word of the array behind": "silent",
    "the first word behind the block's memory": "CUDA_ERROR_ILLEGAL_ADDRESS",
    "a word far behind, under compute-sanitizer": "reported",
    "the array behind, under compute-sanitizer": "silent",
    "launch with 32 KiB": "nothing",
    "launch with 64 KiB, not allowed before": "CUDA_ERROR_INVALID_VALUE",
    "launch with 300 KiB": "CUDA_ERROR_INVALID_VALUE",
}
"""What writes of the kernel `neighbours` and launches with much shared memory led to."""


def sizes(dtype: str = "bfloat16") -> NDArray[np.int64]:
    """Return the sizes n of which a product of n × n by n × n was timed.

    Args:
        dtype: "bfloat16" or "float32".

    Returns:
        Sizes about 1024, 2048, 4096 and 8192, and a few between, in order.

    Raises:
        ValueError: If nothing was measured in this format.

    Example:
        >>> sizes()[:4].tolist(), len(sizes("float32"))
        ([960, 1016, 1023, 1024], 52)
    """
    return np.asarray(sorted(_of(dtype)))


def rate(n: int, dtype: str = "bfloat16") -> float:
    """Return the operations a second of a product of n × n by n × n, in units of 10¹².

    Args:
        n: One of `sizes`.
        dtype: "bfloat16" or "float32".

    Returns:
        2n³ over the time.

    Raises:
        ValueError: If this was not measured.

    Example:
        >>> round(rate(4096)), round(rate(4097))
        (767, 131)
    """
    timed = _of(dtype)
    if n not in timed:
        raise ValueError(f"n is {n}: it must be one of sizes({dtype!r})")
    return 2 * n**3 / timed[n] / 1e6


def layer() -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the time of m rows times a weight of 4096 × 4096 in bfloat16, for growing m.

    Returns:
        m, and microseconds.

    Example:
        >>> rows, time = layer()
        >>> rows[:3].tolist(), time[:3].round(1).tolist()
        ([128, 256, 384], [18.4, 19.2, 22.5])
    """
    return np.asarray(list(_LAYER)), np.asarray(list(_LAYER.values()))


def _of(dtype: str) -> dict[int, float]:
    if dtype not in _MICROSECONDS:
        raise ValueError(f"dtype is {dtype!r}: it must be one of {list(_MICROSECONDS)}")
    return _MICROSECONDS[dtype]
