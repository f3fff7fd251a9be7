"""Run each page in a clean process of its own, without network, and for a limited time.

A server process imports the libraries that pages use once, and forks for each page, which takes
milliseconds. The limit is enforced from outside, so that neither an endless loop nor `os._exit`
takes more down with it than its page.
"""

import contextlib
import multiprocessing
import os
import pickle
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType
from typing import Any

from dlkb.book.read.parts import Page, PageError
from dlkb.book.run.session import Outcome, Session

LIMIT = 60.0
"""Seconds that a page may take; it should take under 5."""

PRELOAD = [
    "numpy",
    "torch",
    "torch._dynamo",  # a second of CPU on the first use of an optimizer
    "sympy",
    "scipy.special",
    "sklearn.datasets",
    "dlkb.book.hold.verify",
]
"""What the server imports, if it is installed: what most pages import, and the engine."""

ENVIRONMENT = {
    "MPLBACKEND": "agg",
    # Matrices on pages are small: threads would cost more than they bring.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}

_NETWORK = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto")

Work = Callable[[Session], Iterator[Any]]

STARTED, DONE = "started", "done"
"""What `run_apart` yields when the process of a page starts, and when it has ended."""


def _without_network(event: str, arguments: tuple[Any, ...]) -> None:
    """Refuse to reach another process by network; an audit hook."""
    if event in _NETWORK and not (len(arguments) == 2 and isinstance(arguments[1], str | bytes)):
        raise PermissionError("a page may not use the network: take data that a package ships")


def _run_here(
    work: Work, page: Page, root: str, device: str, limit: float, sender: Connection
) -> None:
    """Send what `work` yields, and the line that is running, to the process that waits for it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started us will end us
    if hasattr(signal, "alarm"):  # if it was killed, and cannot
        signal.alarm(int(limit) + 10)
    sys.path.insert(0, root)
    sys.addaudithook(_without_network)
    session = Session(page, device, on_step=lambda line: sender.send(("line", line)))
    try:
        for item in work(session):
            sender.send(("item", item))
        sender.send(("end", None))
    except PageError as error:
        sender.send(("error", error))


@dataclass
class _Running:
    page: Page
    process: BaseProcess
    receiver: Connection
    started: float
    line: int

    def stop(self) -> None:
        self.process.kill()
        self.process.join()
        self.process.close()
        self.receiver.close()

    def ended(self, why: str) -> Outcome:
        """Return the outcome of the fence that was running."""
        fences = self.page.runnable
        fence = [fence for fence in fences if fence.line <= self.line][-1]
        return Outcome(fence, "", time.monotonic() - self.started, why, self.line)

    def how_it_ended(self) -> str:
        self.process.join()
        status = self.process.exitcode or 0
        how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
        return f"the page's process {how} while this ran: a page runs to its end"


def _start(work: Work, page: Page, root: Path, device: str, limit: float) -> _Running:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    receiver, sender = context.Pipe(duplex=False)
    arguments = (work, page, str(root), device, limit, sender)
    process = context.Process(target=_run_here, args=arguments, daemon=True)
    with _clean_start():
        process.start()
    sender.close()
    return _Running(page, process, receiver, time.monotonic(), page.runnable[0].line)


@contextlib.contextmanager
def _clean_start() -> Iterator[None]:
    """Let the server start in `ENVIRONMENT`, and no process import the program that runs here."""
    environment, program = dict(os.environ), sys.modules["__main__"]
    path = os.pathsep.join(str(Path(entry).resolve()) for entry in sys.path)  # else not ours
    os.environ.update(ENVIRONMENT | {"PYTHONPATH": path, "PYTHONSAFEPATH": "1"})
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = program
        os.environ.clear()
        os.environ.update(environment)


def run_apart(
    work: Work, root: Path, book: list[Page], device: str = "cpu", limit: float = LIMIT
) -> Iterator[tuple[Page, Any]]:
    """Call `work` with a session of each page that has code, each in a process of its own.

    Args:
        work: A function of a module, so that another process finds it; yields what is wanted.
        root: The checkout, whose modules pages may import.
        book: The pages.
        device: Where torch runs; a GPU takes one page at a time.
        limit: Seconds for a page.

    Yields:
        Each page with what `work` yielded for it, as it comes: pages run side by side, so they are
        mixed. A page whose process ends or is overdue comes with an `Outcome` that says so.
        STARTED and DONE come first and last.

    Raises:
        PageError: If `work` raises it.
    """
    workers = 1 if device != "cpu" else os.cpu_count() or 1
    waiting = [page for page in book if page.runnable]
    running: dict[Any, _Running] = {}
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                page = waiting.pop(0)
                yield page, STARTED
                new = _start(work, page, root, device, limit)
                running[new.receiver] = new
            soonest = min(one.started for one in running.values()) + limit
            ready = wait(list(running), max(0.0, soonest - time.monotonic()))
            for receiver in ready:
                one = running[receiver]
                kind, value = _received(one.receiver)
                if kind == "line":
                    one.line = value
                    continue
                if kind == "error":
                    raise value
                if kind == "item":
                    yield one.page, value
                    continue
                if kind == "gone":
                    yield one.page, one.ended(one.how_it_ended())
                running.pop(receiver).stop()
                yield one.page, DONE
            for receiver, one in list(running.items()):
                if receiver not in ready and time.monotonic() - one.started > limit:
                    yield one.page, one.ended(f"not done after {limit:g} s, the limit of a page")
                    running.pop(receiver).stop()
                    yield one.page, DONE
    finally:
        for one in running.values():
            one.stop()


def _received(receiver: Connection) -> tuple[str, Any]:
    try:
        return receiver.recv()
    except (EOFError, OSError, pickle.UnpicklingError):
        return "gone", None
