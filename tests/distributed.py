"""Tests with several processes: gloo on the CPU, NCCL where tests run on GPUs."""

import os
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing


def _start(rank: int, function: Callable[..., None], size: int, folder: str, device: str, args):
    torch.set_num_threads(1)
    if device == "cuda":
        torch.cuda.set_device(rank)
    try:
        if device == "cpu":  # libraries take a GPU where they see one, both processes the same
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
        # gloo otherwise asks for the host's name, which need not resolve where tests run.
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
        dist.init_process_group(
            "nccl" if device == "cuda" else "gloo",
            init_method=f"file://{folder}/rendezvous-{size}",
            rank=rank,
            world_size=size,
        )
        function(Path(folder), device, *args)
    except BaseException:
        Path(folder, f"error-{rank}").write_text(traceback.format_exc())
        sys.stdout.flush()
        os._exit(1)  # the others may wait in a collective: spawn ends them
    dist.destroy_process_group()


def in_processes(
    function: Callable[..., None], folder: Path, *args: Any, size: int = 2, device: str = "cpu"
) -> None:
    """Call `function(folder, device, *args)` in `size` processes that form one group.

    Whatever the processes print or return is lost; they assert, or write into the folder.

    Args:
        function: Of the top level of a test module.
        folder: The test's `tmp_path`; it also holds the rendezvous, one a call and size.
        args: Passed on, pickled.
        size: How many processes.
        device: "cpu" or "cuda"; where there are fewer GPUs than processes, gloo on the CPU.

    Raises:
        AssertionError: With the traceback of the first process that failed.
    """
    __tracebackhide__ = True
    if device == "cuda" and torch.cuda.device_count() < size:
        device = "cpu"
    for left_over in (folder / f"rendezvous-{size}", *folder.glob("error-*")):
        left_over.unlink(missing_ok=True)
    # A fork starts at once, and sees what is planted into modules. Not after CUDA's threads.
    method = "fork" if sys.platform == "linux" and not torch.cuda.is_available() else "spawn"
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*fork.*")  # JAX has threads: no one calls it there
            torch.multiprocessing.start_processes(
                _start,
                (function, size, str(folder), device, args),
                nprocs=size,
                start_method=method,
            )
    except Exception as error:
        failures = sorted(folder.glob("error-*"), key=lambda path: path.stat().st_mtime)
        reports = [f"{path.name}:\n{path.read_text()}" for path in failures]
        raise AssertionError("\n".join(reports) or str(error)) from None
