"""Measure on a GPU what the page on CUDA says: `python -m scripts.gpu.measure OUT.json [PART …]`.

Needs PyTorch, Numba with CUDA and a GPU; about two minutes. A part that fails says so in the JSON,
and the others are kept.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
import traceback
import warnings
from collections.abc import Callable
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("NUMBA_CUDA_LOW_OCCUPANCY_WARNINGS", "0")

import numpy as np
import torch

Row = dict[str, Any]
ROUNDS = 9


def seconds(run: Callable[[], Any], *, repeats: int = 1) -> float:
    """Return the median over rounds of the time of one call, by events on the GPU."""
    for _ in range(2):
        run()
    torch.cuda.synchronize()
    times = []
    for _ in range(ROUNDS):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        for _ in range(repeats):
            run()
        end.record()
        torch.cuda.synchronize()
        times.append(begin.elapsed_time(end) / 1e3 / repeats)
    return median(times)


def product(m: int, n: int, k: int, dtype: torch.dtype) -> float:
    """Return the time of one matrix product of random matrices."""
    a = torch.randn(m, k, device="cuda").to(dtype)
    b = torch.randn(k, n, device="cuda").to(dtype)
    out = torch.empty(m, n, device="cuda", dtype=dtype)
    size = 2 * m * n * k
    return seconds(lambda: torch.mm(a, b, out=out), repeats=max(1, min(50, int(2e12 / size))))


def widths() -> list[Row]:
    """Square products about powers of two: the power, odd neighbours, multiples of 8 and 64."""
    rows = []
    for name, dtype in (("bfloat16", torch.bfloat16), ("float32", torch.float32)):
        for base in (1024, 2048, 4096, 8192):
            for more in (-64, -8, -1, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256):
                n = base + more
                rows.append({"dtype": name, "n": n, "seconds": product(n, n, n, dtype)})
    torch.backends.cuda.matmul.allow_tf32 = True
    for n in (4095, 4096, 4097, 4098, 4100, 4104):
        rows.append({"dtype": "tf32", "n": n, "seconds": product(n, n, n, torch.float32)})
    torch.backends.cuda.matmul.allow_tf32 = False
    for n in (3072, 3584, 4224, 4608, 5120, 5376, 6144, 6336, 7168, 8448):
        rows.append({"dtype": "bfloat16", "n": n, "seconds": product(n, n, n, torch.bfloat16)})
    return rows


def rows_of_a_layer() -> list[Row]:
    """Products with a weight of 4096 × 4096 for ever more rows: tiles and waves in a library."""
    return [
        {"m": m, "seconds": product(m, 4096, 4096, torch.bfloat16)} for m in range(128, 8449, 128)
    ]


def waves() -> list[Row]:
    """Blocks that all do the same work, more and more of them: a wave is what fits at once."""
    from numba import cuda

    from scripts.gpu.kernels import spin

    slots = 6 * torch.cuda.get_device_properties(0).multi_processor_count
    counts = sorted({1, *(round(slots * part / 24) + d for part in range(1, 97) for d in (0, 1))})
    out = cuda.device_array(max(counts), np.float32)
    return [
        {"blocks": count, "seconds": seconds(partial(spin[count, 64], 20_000, out))}
        for count in counts
    ]


def copies() -> list[Row]:
    """Copy 2²⁴ words, read with a stride or a shift."""
    from numba import cuda

    from scripts.gpu.kernels import shifted_copy, strided_copy

    words, rows = 2**24, []
    x = cuda.to_device(np.zeros(64 * words + 64, np.float32))
    out = cuda.device_array(words, np.float32)
    for stride in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64):
        time = seconds(partial(strided_copy[words // 256, 256], x, stride, out), repeats=5)
        rows.append({"stride": stride, "seconds": time})
    for shift in (0, 1, 4, 8, 16, 31):
        time = seconds(partial(shifted_copy[words // 256, 256], x, shift, out), repeats=5)
        rows.append({"shift": shift, "seconds": time})
    return rows


def banks() -> list[Row]:
    """Read shared memory with lanes a stride apart, in one block a multiprocessor."""
    from numba import cuda

    from scripts.gpu.kernels import chase

    blocks = torch.cuda.get_device_properties(0).multi_processor_count
    out = cuda.device_array(blocks * 1024, np.int32)
    return [
        {"stride": s, "seconds": seconds(partial(chase[blocks, 1024], s, 4000, out))}
        for s in (*range(34), 48, 64, 96, 128)
    ]


def branches() -> list[Row]:
    """Let the lanes of a warp go 1 to 32 ways."""
    from numba import cuda

    from scripts.gpu.kernels import diverge

    blocks = torch.cuda.get_device_properties(0).multi_processor_count
    out = cuda.device_array(blocks * 256, np.float32)
    return [
        {"ways": ways, "seconds": seconds(partial(diverge[blocks, 256], ways, 4000, out))}
        for ways in (1, 2, 4, 8, 16, 32)
    ]


def ceilings() -> list[Row]:
    """The two rates of the roofline, and kernels along it: bytes and operations a second."""
    x = torch.randn(2**28, device="cuda")
    out = torch.empty_like(x)
    rows = [{"what": "copy", "bytes": 8 * x.numel(), "flops": 0,
             "seconds": seconds(lambda: out.copy_(x))}]  # fmt: skip
    rows.append({"what": "add", "bytes": 8 * x.numel(), "flops": x.numel(),
                 "seconds": seconds(lambda: torch.add(x, 1.0, out=out))})  # fmt: skip
    for n in (64, 256, 1024, 4096, 8192):
        for m in (1, 16, 128, 1024, 8192):
            rows.append({"what": f"{m} × {n} × {n}", "bytes": 2 * (2 * m * n + n * n),
                         "flops": 2 * m * n * n,
                         "seconds": product(m, n, n, torch.bfloat16)})  # fmt: skip
    return rows


def overflows() -> list[Row]:
    """Each overflow of shared memory in a process of its own, two of them under memcheck."""
    ways = ["static", "dynamic-32768", "dynamic-65536", "dynamic-307200", "word-0", "word-1",
            "word-32", "word-33", "word-100", "word-1000", "word-20000", "word-60000",
            "word-1000000"]  # fmt: skip
    rows = [_overflow([], way) for way in ways]
    if shutil.which("compute-sanitizer"):
        rows += [_overflow(["compute-sanitizer"], way) for way in ("word-1", "word-20000")]
    return rows


def _overflow(before: list[str], way: str) -> Row:
    command = [*before, sys.executable, "-W", "ignore", "-m", "scripts.gpu.overflow", way]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        return {"how": way, "under": before, "happens": "no end after 60 s"}
    said = ran.stdout if before else ran.stdout.strip().splitlines()[-1:]
    tail = "" if not before and ran.returncode == 0 else ran.stderr[-1500:]
    return {"how": way, "under": before, "exit": ran.returncode, "said": said, "stderr": tail}


PARTS = (ceilings, widths, rows_of_a_layer, waves, copies, banks, branches, overflows)


def stamp() -> Row:
    """Return what was measured on."""
    properties = torch.cuda.get_device_properties(0)
    found: Row = {
        "device": properties.name,
        "multiprocessors": properties.multi_processor_count,
        "shared_per_block_optin": getattr(properties, "shared_memory_per_block_optin", None),
        "shared_per_multiprocessor": getattr(properties, "shared_memory_per_multiprocessor", None),
        "cuda": torch.version.cuda,
        "python": platform.python_version(),
    }
    for name in ("torch", "numba", "numba-cuda"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def main() -> None:
    """Measure the parts that were asked for, all by default."""
    warnings.simplefilter("ignore")
    path, chosen = Path(sys.argv[1]), sys.argv[2:]
    kept: Row = {"stamp": stamp()}
    for part in PARTS:
        if chosen and part.__name__ not in chosen:
            continue
        try:
            kept[part.__name__] = part()
        except Exception:  # the machine is lent for minutes: keep what works
            kept[part.__name__] = {"failed": traceback.format_exc()[-3000:]}
        print(part.__name__, str(kept[part.__name__])[:900], flush=True)
        path.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
