"""The built site on localhost, and a browser that reaches nothing else."""

import contextlib
import fcntl
import functools
import http.server
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from dlkb.book.publish.site import build
from dlkb.book.read.addresses import addresses
from scripts.browser import MISSING, installed_browser

ROOT = Path(__file__).parents[2]


# All that a page draws is there and its scripts have run: after the frame of copy.js and of
# explore.js. What is fetched later is not waited for.
DRAWN = """() => document.fonts.ready.then(() => new Promise((done) =>
  requestAnimationFrame(() => requestAnimationFrame(done))))"""
# What the clipboard holds once it holds something. A wait_for_function of Playwright would not
# do: it takes a promise itself for the truth.
SEEN = """image => new Promise((done) => {
  const look = () => {
    if (image.complete && image.naturalWidth) return done(image.naturalWidth)
    image.scrollIntoView({block: "center"})
    setTimeout(look, 50)
  }
  look()
})"""
"""Bring a lazy image near the screen until it has loaded; `decode()` alone may wait for ever."""

HELD = """async () => {
  const end = Date.now() + 20000;
  while (Date.now() < end) {
    const text = await navigator.clipboard.readText();
    if (text) return text;
    await new Promise((again) => setTimeout(again, 5));
  }
  throw new Error("nothing was copied");
}"""


def once(tmp_path_factory, name: str, make: Callable[[Path], None]) -> Path:
    """Return a folder that one worker fills and all share."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent  # that of the whole run
    done = base / f"{name}.done"
    with (base / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            folder = tmp_path_factory.mktemp(name)
            make(folder)
            done.write_text(str(folder))
    return Path(done.read_text())


@pytest.fixture(scope="session")
def built(tmp_path_factory) -> Path:
    """Build the site in strict mode into a temporary folder, the zip included."""

    def make(folder: Path) -> None:
        assert build(ROOT, folder) == 0

    return once(tmp_path_factory, "site", make)


class _Pages(http.server.SimpleHTTPRequestHandler):
    """Serve as GitHub Pages does: below /dlkb/, with 404.html for what is not there."""

    protocol_version = "HTTP/1.1"  # a connection serves more than one request …
    disable_nagle_algorithm = True  # … without a pause between head and body

    def log_message(self, *arguments) -> None:
        pass

    def translate_path(self, path: str) -> str:
        return super().translate_path(path.removeprefix("/dlkb"))

    def do_GET(self) -> None:
        """Serve a sitemap of this server's addresses: instant navigation asks it."""
        if not self.path.endswith("/sitemap.xml"):
            return super().do_GET()
        here = f"http://{self.headers['Host']}/dlkb"
        sitemap = (Path(self.directory) / "sitemap.xml").read_text()
        return self._answer(200, "text/xml", sitemap.replace(addresses(ROOT).site, here).encode())

    def send_error(self, code, message=None, explain=None) -> None:
        if code != 404:
            return super().send_error(code, message, explain)
        return self._answer(404, "text/html", (Path(self.directory) / "404.html").read_bytes())

    def _answer(self, status: int, kind: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


class _Server(http.server.ThreadingHTTPServer):
    request_queue_size = 64  # five by default, and a page asks for more at once


@pytest.fixture(scope="session")
def site(built) -> Iterator[str]:
    """Serve the built site; yield its address."""
    handler = functools.partial(_Pages, directory=str(built))
    with _Server(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/dlkb"
        server.shutdown()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Start an installed Chromium; none is a failure in CI and a skip elsewhere."""
    found = installed_browser()
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(MISSING, pytrace=False)
        pytest.skip(MISSING)
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    arguments.append("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=arguments)
        yield started
        started.close()


class Visit:
    """A page in the browser, with what it complained of and whom it asked."""

    def __init__(self, page: Page, site: str) -> None:
        self.page = page
        self.site = site
        self.complaints: list[str] = []
        self.strangers: list[str] = []
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", self._request)

    def _console(self, message) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.text} {message.location.get('url', '')}")

    def _request(self, request) -> None:
        if not request.url.startswith((self.site, "data:", "blob:")):
            self.strangers.append(request.url)

    def draw(self, path: str) -> None:
        """Open a page of the site and wait until it is drawn and its scripts have run."""
        self.page.goto(f"{self.site}/{path}")
        self.page.evaluate(DRAWN)

    def go(self, path: str) -> None:
        """Open a page of the site and wait until it is at rest: nothing is fetched any more."""
        self.page.goto(f"{self.site}/{path}", wait_until="networkidle")

    def copy(self, press: Callable[[], None]) -> str:
        """Return what the press of a copy button leaves on the clipboard."""
        self.page.evaluate("navigator.clipboard.writeText('')")
        press()
        return self.page.evaluate(HELD)


def tour(here: Visit, paths: list[str], abreast: int = 4) -> Iterator[tuple[Visit, str]]:
    """Open pages in tabs of one window; yield each at rest: while some wait, others load."""
    tabs = [Visit(here.page.context.new_page(), here.site) for _ in range(abreast)]
    for first in range(0, len(paths), abreast):
        opened = list(zip(tabs, paths[first : first + abreast], strict=False))
        for tab, path in opened:
            tab.page.goto(f"{tab.site}/{path}", wait_until="commit")
        for tab, path in opened:
            tab.page.wait_for_load_state("networkidle")
            yield tab, path


@contextlib.contextmanager
def window(
    browser: Browser, site: str, theme: str = "light", width: int = 1280, javascript: bool = True
) -> Iterator[Visit]:
    """Open a window of the browser that has visited nothing before."""
    context = browser.new_context(
        color_scheme=theme,
        viewport={"width": width, "height": 900},
        java_script_enabled=javascript,
        permissions=["clipboard-read", "clipboard-write"],
    )
    with contextlib.closing(context):
        yield Visit(context.new_page(), site)


@pytest.fixture
def visit(browser, site) -> Iterator:
    """Return a function that opens a visit: visit(theme, width, javascript)."""
    with contextlib.ExitStack() as stack:
        yield lambda *how, **more: stack.enter_context(window(browser, site, *how, **more))
