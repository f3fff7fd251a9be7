"""Serve the site with live reload while pages, formulas and figure scripts are being edited.

The edited page is shown first; then `dlkb prepare`, in a process of its own, runs the pages and
draws the figures that are stale, and reports in the terminal.
"""

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mkdocs.config import load_config
from mkdocs.livereload import LiveReloadServer
from rich.console import Console
from rich.markup import escape
from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from dlkb.book.publish.site import environment, prepare
from dlkb.book.read.parts import PageError
from dlkb.book.serve.incremental import PAUSE, WATCHED, Site
from dlkb.book.serve.marks import mark, marks

QUIET = 2.0
"""Seconds between two looks at the files while the system reports no change: some cannot."""


class _Bell(FileSystemEventHandler):
    """Rings when the system reports that a file changed; to look at all costs milliseconds."""

    def __init__(self, root: Path) -> None:
        self._rung = threading.Event()
        self._rung.set()  # the first look
        observer = Observer()
        observer.schedule(self, str(root))
        for folder in WATCHED:
            if (root / folder).is_dir():
                observer.schedule(self, str(root / folder), recursive=True)
        self._longest = QUIET
        try:
            observer.start()
        except OSError:  # more folders than the system watches
            self._longest = PAUSE

    def on_any_event(self, event: FileSystemEvent) -> None:
        if event.event_type in ("created", "modified", "deleted", "moved"):
            self._rung.set()

    def wait(self, seconds: float = QUIET) -> bool:
        """Return when a change is reported, and that it was; after some seconds at the latest."""
        rung = self._rung.wait(min(seconds, self._longest))
        self._rung.clear()
        return rung


class _Server(LiveReloadServer):
    """mkdocs's server, told by a `Site` what is new."""

    def __init__(self, site: Site, host: str, port: int, path: str) -> None:
        super().__init__(lambda: None, host, port, str(site.folder), path)
        self._watched_paths = {str(site.root): 1}  # so that it lets browsers reload
        self.error_handler = self._error_page
        self.site = site
        self.check: subprocess.Popen[bytes] | None = None
        self._said: dict[str, str] = {}  # of pages, by stem
        self._request = threading.local()

    def _error_page(self, code: int) -> bytes | None:
        page = Path(self.root) / f"{code}.html"
        return page.read_bytes() if page.is_file() else None

    def _serve_request(self, environ: Any, start_response: Any) -> Any:
        self._request.path = environ["PATH_INFO"]
        return super()._serve_request(environ, start_response)

    def _inject_js_into_html(self, content: bytes, epoch: int) -> bytes:
        path = self._request.path.removeprefix(self.mount_path)
        return super()._inject_js_into_html(mark(content, path, self._said), epoch)

    def _build_loop(self) -> None:
        console = Console(stderr=True, highlight=False, soft_wrap=True)
        console.print(f"serving {self.url}")
        bell = _Bell(self.site.root)
        while True:
            if not self.site.behind:
                bell.wait(PAUSE if self._is_checking() else QUIET)
            started = time.monotonic()
            try:
                shown, problems = self.site.update()
            except (Exception, SystemExit) as error:  # mkdocs aborts with SystemExit
                shown, problems = False, [f"{type(error).__name__}: {error}"]
            if shown:
                self._reload_browsers()
                console.print(f"up to date after {time.monotonic() - started:.1f} s")
            for problem in problems:
                console.print(f"not shown: {escape(problem)}", style="red")
            self._run_pages()
            said = marks(self.site.root, checking=self._is_checking())
            if said != self._said:
                self._said = said
                self._reload_browsers()

    def _reload_browsers(self) -> None:
        with self._epoch_cond:
            self.root = str(self.site.folder)
            self._wanted_epoch = self._visible_epoch = round(time.monotonic() * 1000)
            self._epoch_cond.notify_all()

    def _is_checking(self) -> bool:
        return self.check is not None and self.check.poll() is None

    def _run_pages(self) -> None:
        """Run pages and draw figures that are stale, one process at a time.

        A check that is under way is started again: what has passed is known, and a page that hangs
        keeps no other waiting.
        """
        if self.site.unchecked:
            self.site.unchecked = False
            self._end_check()
            command = [sys.executable, "-m", "dlkb.book", "prepare"]
            self.check = subprocess.Popen(command, cwd=self.site.root, start_new_session=True)

    def _end_check(self) -> None:
        if self.check and self._is_checking():
            os.killpg(self.check.pid, signal.SIGTERM)
            self.check.wait()

    def shutdown(self, wait: bool = False) -> None:
        """Stop, with what was started."""
        self._end_check()
        super().shutdown(wait)


def address_of(text: str) -> tuple[str, int]:
    """Return host and port, both free to serve on.

    Raises:
        PageError: If the text is no address, or something else listens there.
    """
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise PageError(f"--address is '{text}': write host:port, such as 127.0.0.1:8000")
    host = host.strip("[]")
    try:
        family = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0][0]
        socket.create_server((host, int(port)), family=family).close()
    except OSError as error:
        raise PageError(
            f"cannot serve on {text}: {error.strerror}: try another --address"
        ) from None
    return host, int(port)


def serve(root: Path, address: str = "127.0.0.1:8000") -> int:
    """Serve the site, follow the edits, and let browsers reload.

    Raises:
        PageError: If the address cannot be used, or pages break a rule at the start.
    """
    host, port = address_of(address)
    os.environ |= environment()
    os.chdir(root)  # extensions read docs/ from here
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    config = load_config(str(root / "mkdocs.yml"))
    path = urlsplit(config.site_url or "/").path
    site = Site(root, f"http://{address}{path}")
    # Whoever ends us with SIGTERM must leave nothing behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        try:
            prepare(root)
        except PageError as error:  # said in the browser too
            print(f"dlkb: {error}", file=sys.stderr)
        shown, problems = site.update()
        if not shown:
            raise PageError("\n".join(problems))
        site.unchecked = False
        server = _Server(site, host, port, path)
        try:
            server.serve()
        finally:
            server.shutdown()
    except KeyboardInterrupt:
        pass
    finally:
        site.close()
    return 0
