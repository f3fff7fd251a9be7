"""Time functions side by side: in one run and in turn, so that a slow second slows them all."""

import ctypes
import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch.utils.benchmark import Timer

ROOT = Path(__file__).parents[2]
ROUNDS = 11
BLOCK = 0.03
"""Seconds that one block of calls takes at least."""
SLOW = 2.0
"""Seconds of a call that is not repeated often: bfloat16 where a processor cannot multiply it."""

Rounds = dict[str, list[float]]
"""Contestant → seconds of one call, a value a round; rounds of one index belong together."""


TRIM, MMAP = -1, -3
"""What glibc calls M_TRIM_THRESHOLD and M_MMAP_THRESHOLD, and the largest that it takes of each."""
LARGEST = {TRIM: 2**31 - 1, MMAP: 32 * 2**20}


def keep_freed_memory() -> None:
    """Have glibc keep what is freed, in arrays of up to 32 MiB; elsewhere nothing changes.

    Whether it gives 16 MiB back to the system, and fetches other pages for the next array, hangs
    on the order in which arrays were freed before. It doubled the time of one contestant or of
    another, the same in all rounds of a process.
    """
    if platform.libc_ver()[0] == "glibc":
        for parameter, value in LARGEST.items():
            ctypes.CDLL(None).mallopt(parameter, value)


def in_turn(
    contestants: Mapping[str, Callable[[], object]],
    rounds: int = ROUNDS,
    agree: Callable[[float], float] = lambda seconds: seconds,
) -> Rounds:
    """Warm functions up, then time them in turn.

    Args:
        contestants: Name → function without arguments. The device is waited for.
        rounds: How many blocks of calls each of them gets; three where one call of one of them
            takes longer than `SLOW`.
        agree: Maps the seconds of this process to those of all that time side by side.

    Returns:
        The mean seconds of a call, for each contestant and round.
    """
    timers = {
        name: Timer("f()", globals={"f": f}, num_threads=torch.get_num_threads())
        for name, f in contestants.items()
    }
    calls = {}
    for name, timer in timers.items():
        timer.timeit(1)  # compiles
        once = agree(timer.timeit(1).mean)  # fills caches
        each = once if once > BLOCK else agree(timer.timeit(3).mean)
        calls[name] = max(1, round(BLOCK / each))
        if once > SLOW:
            rounds = min(rounds, 3)
    seconds: Rounds = {name: [] for name in timers}
    for _ in range(rounds):
        for name, timer in timers.items():
            seconds[name].append(_digits(agree(timer.timeit(calls[name]).mean)))
    return seconds


def once_in_turn(contestants: Mapping[str, Callable[[], float]], rounds: int) -> Rounds:
    """Call functions in turn that do their work once and return how long it took.

    Args:
        contestants: Name → function that returns seconds.
        rounds: How often each is called.

    Returns:
        What they returned, for each contestant and round.
    """
    seconds: Rounds = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, work in contestants.items():
            seconds[name].append(_digits(work()))
    return seconds


def _digits(seconds: float) -> float:
    return float(f"{seconds:.4g}")


def stamp(device: str) -> dict[str, Any]:
    """Return what a measurement depends on: hardware, versions, date, commit."""
    found = {
        "device": device,
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": _output("git", "rev-parse", "--short", "HEAD"),
        "changed": bool(_output("git", "status", "--porcelain", "--", "dlkb", "docs")),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "threads": torch.get_num_threads(),
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "compiler": (_output("c++", "--version").splitlines() or ["none"])[0],
    }
    if device == "cuda":
        gpu = torch.cuda.get_device_properties(0)
        found["gpu"] = f"{gpu.name}, {gpu.total_memory / 2**30:.0f} GiB"
        found["cuda"] = torch.version.cuda
    return found


def _output(*command: str) -> str:
    if not shutil.which(command[0]):
        return ""
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return ran.stdout.strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
