"""Serve the site with live reload while pages, formulas and figure scripts are being edited.

The edited page is shown first; then `dlkb prepare`, in a process of its own, runs the pages and
draws the figures that are stale, and reports in the terminal.
"""

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

from mkdocs.config import load_config
from mkdocs.livereload import LiveReloadServer
from rich.console import Console
from rich.markup import escape

from dlkb.book.publish.site import environment, prepare
from dlkb.book.serve.incremental import PAUSE, Site


class _Server(LiveReloadServer):
    """mkdocs's server, told by a `Site` what is new."""

    def __init__(self, site: Site, host: str, port: int, path: str) -> None:
        super().__init__(lambda: None, host, port, str(site.folder), path)
        self._watched_paths = {str(site.root): 1}  # so that it lets browsers reload
        self.error_handler = self._error_page
        self.site = site
        self.check: subprocess.Popen[bytes] | None = None

    def _error_page(self, code: int) -> bytes | None:
        page = Path(self.root) / f"{code}.html"
        return page.read_bytes() if page.is_file() else None

    def _build_loop(self) -> None:
        console = Console(stderr=True, highlight=False, soft_wrap=True)
        console.print(f"serving {self.url}")
        while True:
            time.sleep(PAUSE)
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
            if not problems:
                self._run_pages()

    def _reload_browsers(self) -> None:
        with self._epoch_cond:
            self.root = str(self.site.folder)
            self._wanted_epoch = self._visible_epoch = round(time.monotonic() * 1000)
            self._epoch_cond.notify_all()

    def _run_pages(self) -> None:
        """Run pages and draw figures that are stale, one process at a time."""
        if self.site.unchecked and (self.check is None or self.check.poll() is not None):
            self.site.unchecked = False
            command = [sys.executable, "-m", "dlkb.book", "prepare"]
            self.check = subprocess.Popen(command, cwd=self.site.root, start_new_session=True)

    def shutdown(self, wait: bool = False) -> None:
        """Stop, with what was started."""
        if self.check and self.check.poll() is None:
            os.killpg(self.check.pid, signal.SIGTERM)
        super().shutdown(wait)


def serve(root: Path, address: str = "127.0.0.1:8000") -> int:
    """Serve the site, follow the edits, and let browsers reload.

    Raises:
        PageError: If the book is wrong at the start.
    """
    os.environ |= environment()
    os.chdir(root)  # extensions read docs/ from here
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    host, _, port = address.rpartition(":")
    config = load_config(str(root / "mkdocs.yml"))
    path = urlsplit(config.site_url or "/").path
    site = Site(root, f"http://{address}{path}")
    # Whoever ends us with SIGTERM must leave nothing behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        prepare(root)
        site.update()
        site.unchecked = False
        server = _Server(site, host, int(port), path)
        try:
            server.serve()
        finally:
            server.shutdown()
    except KeyboardInterrupt:
        pass
    finally:
        site.close()
    return 0
