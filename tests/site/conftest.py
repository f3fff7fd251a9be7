"""The built site on localhost, and a browser that reaches nothing else."""

import contextlib
import functools
import http.server
import os
import shutil
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from dlkb.book.addresses import addresses
from dlkb.book.site import build

ROOT = Path(__file__).parents[2]
BROWSERS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)


@pytest.fixture(scope="session")
def built(tmp_path_factory) -> Path:
    """Build the site in strict mode into a temporary folder, the zip included."""
    folder = tmp_path_factory.mktemp("site")
    assert build(ROOT, folder) == 0
    return folder


class _Pages(http.server.SimpleHTTPRequestHandler):
    """Serve as GitHub Pages does: below /dlkb/, with 404.html for what is not there."""

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


@pytest.fixture(scope="session")
def site(built) -> Iterator[str]:
    """Serve the built site; yield its address."""
    handler = functools.partial(_Pages, directory=str(built))
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/dlkb"
        server.shutdown()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Start an installed Chromium; none is a failure in CI and a skip elsewhere."""
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        message = f"no browser among {', '.join(BROWSERS)}: install Chromium"
        if os.environ.get("CI"):
            pytest.fail(message, pytrace=False)
        pytest.skip(message)
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
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
        page.route("**/*", self._route)

    def _console(self, message) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.text} {message.location.get('url', '')}")

    def _route(self, route) -> None:
        url = route.request.url
        if url.startswith((self.site, "data:", "blob:")):
            route.continue_()
        else:
            self.strangers.append(url)
            route.abort()

    def go(self, path: str) -> None:
        """Open a page of the site and wait until it is at rest."""
        self.page.goto(f"{self.site}/{path}", wait_until="networkidle")


@pytest.fixture
def visit(browser, site) -> Iterator:
    """Return a function that opens a visit: visit(theme, width, javascript)."""
    with contextlib.ExitStack() as stack:

        def start(theme: str = "light", width: int = 1280, javascript: bool = True) -> Visit:
            context = browser.new_context(
                color_scheme=theme,
                viewport={"width": width, "height": 900},
                java_script_enabled=javascript,
                permissions=["clipboard-read", "clipboard-write"],
            )
            stack.callback(context.close)
            return Visit(context.new_page(), site)

        yield start
