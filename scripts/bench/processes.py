"""Commands and servers in a copy of the repository, timed from outside."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from scripts.bench.timing import ROOT

PATIENCE = 600.0
"""Seconds after which a server that does not answer counts as broken."""
CALM = 60.0
"""Seconds after which a server that is still busy is taken as it is."""
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""What `dlkb run` sets for itself. Small matrices gain nothing from threads."""


def copy_repository(to: Path) -> Path:
    """Copy what git tracks, or would track, as it is in the working tree."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.decode()
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, to / name)
    return to


def environment(book: Path, **changes: str) -> dict[str, str]:
    """Return the environment in which `import dlkb` finds the copy `book`."""
    return {**os.environ, "PYTHONPATH": str(book), "NO_MKDOCS_2_WARNING": "1", **changes}


def seconds(folder: Path, env: dict[str, str], *arguments: str) -> float:
    """Return how long `python …` takes in a folder, as a whole process.

    Raises:
        RuntimeError: If it fails; the message ends as its output ends.
    """
    start = time.perf_counter()
    ran = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    elapsed = time.perf_counter() - start
    if ran.returncode:
        raise RuntimeError(f"python {' '.join(arguments)[:200]} failed:\n{ran.stdout[-3000:]}")
    return elapsed


def fetch(address: str) -> str | None:
    """Return the page at an address; None if nothing answers, or not with this page."""
    try:
        with urllib.request.urlopen(address, timeout=PATIENCE) as answer:
            return str(answer.read().decode())
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return None


class Server(psutil.Popen):
    """A server in a process group of its own."""

    def wait_for(self, found: Callable[[], bool]) -> float:
        """Poll until something is found, and return the seconds.

        Raises:
            RuntimeError: If the server has ended, or patience has.
        """
        start = time.perf_counter()
        while not found():
            if self.poll() is not None:
                raise RuntimeError(f"the server has ended with status {self.returncode}")
            if time.perf_counter() - start > PATIENCE:
                raise RuntimeError(f"not served after {PATIENCE:g} s")
            time.sleep(0.02)
        return time.perf_counter() - start

    def wait_until_calm(self) -> None:
        """Return when the server and its children have had nothing to do for a second.

        One that looks at its files again and again has never nothing to do: a minute is enough.
        """
        before, now = -1.0, self._work()
        deadline = time.monotonic() + CALM
        while now - before > 0.1 and time.monotonic() < deadline:
            time.sleep(1.0)
            before, now = now, self._work()

    def _work(self) -> float:
        total = 0.0
        for process in [self, *self.children(recursive=True)]:
            try:
                times = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            total += times.user + times.system + times.children_user + times.children_system
        return total


def free_port() -> int:
    """Return a port of this machine that nobody uses."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def serving(folder: Path, env: dict[str, str], *arguments: str) -> Iterator[Server]:
    """Start `python …` in a folder; end it, and whatever it has started, in any case."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that `finally` is reached
    with tempfile.TemporaryFile() as log:
        server = Server(
            [sys.executable, *arguments],
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield server
        except RuntimeError as error:
            log.seek(0)
            raise RuntimeError(f"{error}:\n{log.read().decode()[-3000:]}") from None
        finally:
            started = [server]
            with suppress(psutil.NoSuchProcess, ProcessLookupError):  # it has ended by itself
                started += server.children(recursive=True)
                os.killpg(server.pid, signal.SIGTERM)
            _, left = psutil.wait_procs(started, timeout=20)
            for process in left:
                process.kill()
