"""Build the site, or serve it while pages, formulas and figure scripts are being edited."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from dlkb.book.check import book_problems
from dlkb.book.claims import write_ledger
from dlkb.book.downloads import write_downloads
from dlkb.book.figures import draw
from dlkb.book.offline import write_zip
from dlkb.book.pages import PageError, read_book

_WATCHED = ("docs", "dlkb", "scripts/figures")
_WRITTEN = ("assets/figures/", "downloads/", "claims.", "llms.txt")


def environment() -> dict[str, str]:
    """Return the environment for mkdocs, without the theme's announcement."""
    return {**os.environ, "NO_MKDOCS_2_WARNING": "1"}


def prepare(root: Path) -> None:
    """Write what the site needs besides the pages: figures, downloads and the ledger.

    Raises:
        PageError: If a page breaks a rule or does not run, or a figure cannot be drawn.
    """
    problems = book_problems(root)
    if problems:
        raise PageError("\n".join(str(problem) for problem in problems))
    report = draw(root, None)
    if report.failed:
        report.show(Console(stderr=True))
        raise PageError(f"{len(report.failed)} figures could not be drawn, see above")
    book = read_book(root)
    write_downloads(root, book)
    write_ledger(root, book)


def build(root: Path, site: Path | None = None) -> int:
    """Build `site/`, or another folder, in strict mode, and the zip of it.

    Returns:
        The exit status of mkdocs.
    """
    prepare(root)
    site = site or root / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)]
    status = subprocess.run(command, cwd=root, env=environment(), check=False).returncode
    if status == 0:
        write_zip(site)
    return status


class _Changes(FileSystemEventHandler):
    """Call `react` once a burst of edits is over."""

    def __init__(self, react: Callable[[], None], pause: float = 0.3) -> None:
        self._react = react
        self._pause = pause
        self._changed = threading.Event()
        threading.Thread(target=self._work, daemon=True).start()

    def on_any_event(self, event: FileSystemEvent) -> None:
        path = str(event.src_path)
        written = event.event_type in ("modified", "created", "deleted", "moved")
        # What we write ourselves must not wake us again.
        ours = any(f"/docs/{name}" in path for name in _WRITTEN)
        if written and not event.is_directory and not ours and "__pycache__" not in path:
            self._changed.set()

    def _work(self) -> None:
        while True:
            self._changed.wait()
            time.sleep(self._pause)
            self._changed.clear()
            self._react()


def serve(root: Path, address: str = "127.0.0.1:8000") -> int:
    """Serve the site with live reload; figures and ledger follow the edits.

    An edit that breaks a rule is reported in the terminal; the last good state stays served.
    """
    console = Console(stderr=True)
    prepare(root)

    def react() -> None:
        try:
            prepare(root)
        except PageError as error:
            console.print(f"[red]{error}[/red]", highlight=False)

    observer = Observer()
    for folder in _WATCHED:
        if (root / folder).is_dir():
            observer.schedule(_Changes(react), str(root / folder), recursive=True)
    observer.start()
    command = [sys.executable, "-m", "mkdocs", "serve", "--livereload", "-a", address]
    server = subprocess.Popen(command, cwd=root, env=environment())
    # Whoever ends us with SIGTERM must not leave mkdocs behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        return server.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        observer.stop()
        server.terminate()
        server.wait()
