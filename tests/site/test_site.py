"""What a reader meets, in a real browser."""

import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from dlkb.book.draw.narrow import SMALLEST
from dlkb.book.read.book import GENERATED, read_book
from tests.site.conftest import ROOT, SEEN, tour

PAGES = read_book(ROOT)
TOPICS = [page.stem for page in PAGES if page.is_topic]


def address(stem: str) -> str:
    """Return where the site puts a page."""
    if stem == "index":
        return ""
    return f"{stem.removesuffix('index').rstrip('/')}/"


# What is true of the template is looked at in the browser on these: the heaviest page, one with an
# explorable figure on its first screen, one with many tied equations. What depends on a page's
# content is tested on its HTML (test_html.py), without a browser, or in a tour of all pages.
SHOWN = ["optimizers/adam", "regularization/l1_l2", "gradients/iterated_maps"]
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
ADDRESSES = [address(page.stem) for page in PAGES] + [f"{name}/" for name in GENERATED]


# Each page in the light theme, wide and narrow: test_pages.py.
def test_pages_of_each_kind_are_quiet_and_fit_a_phone_in_the_dark(visit):
    families = {page.stem.split("/")[0] for page in PAGES if page.is_topic}
    front = [path for path in ADDRESSES if path.count("/") < 2 and path[:-1] not in families]
    kinds = [*front, "optimizers/", *map(address, SHOWN)]
    for here, path in tour(visit("dark", 390), kinds):
        assert here.complaints == [], path
        assert here.strangers == [], path
        assert here.page.evaluate(OVERFLOW) <= 0, f"{path} is wider than a phone"


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("stem", SHOWN)
def test_math_has_its_font_and_figures_their_theme(visit, stem, theme):
    here = visit(theme)
    here.draw(address(stem))
    here.page.evaluate("document.fonts.ready")
    families = here.page.locator("article math").evaluate_all(
        "all => [...new Set(all.map(e => getComputedStyle(e).fontFamily.split(',')[0]))]"
    )
    loaded = here.page.evaluate(
        "[...document.fonts].filter(f => f.status == 'loaded').map(f => f.family)"
    )
    assert len(families) == 1
    assert families[0].strip("\"'") in [name.strip("\"'") for name in loaded]
    # Solutions are folded; what an explorable figure shows has tests of its own.
    here.page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
    other = "dark" if theme == "light" else "light"
    shown = here.page.locator(f"article img.broad[src*='-{theme}.svg']:not(.explorable img)")
    hidden = here.page.locator(f"article img.broad[src*='-{other}.svg']:not(.explorable img)")
    assert shown.count() == hidden.count() >= 1
    displayed = "image => getComputedStyle(image).display != 'none'"
    for index in range(shown.count()):
        # Not is_visible(): what is far from the screen is not laid out yet.
        assert shown.nth(index).evaluate(displayed)
        assert not hidden.nth(index).evaluate(displayed)
        assert len(shown.nth(index).get_attribute("alt")) >= 20


@pytest.mark.parametrize("stem", SHOWN)
def test_figures_can_be_read_on_a_phone(visit, stem):
    here = visit(width=390)
    here.draw(address(stem))
    here.page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
    assert here.page.locator("article img.broad:visible").count() == 0
    for figure in here.page.locator("article img.narrow[src*='-light.svg']").all():
        figure.scroll_into_view_if_needed()
        scale = figure.evaluate("e => e.clientWidth / Number(e.getAttribute('width'))")
        # No text is smaller: drawing such a figure fails.
        assert SMALLEST * 96 / 72 * scale >= 10, figure.get_attribute("src")


@pytest.mark.parametrize(("width", "kind"), [(1280, ""), (390, "narrow-")])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_only_the_figures_in_use_are_fetched_and_only_near_the_screen(visit, theme, width, kind):
    here, fetched = visit(theme, width), []
    stem = "regularization/l1_l2"  # an explorable figure, and others
    here.page.on("request", lambda r: fetched.append(r.url) if "/figures/" in r.url else None)
    here.go(address(stem))
    early = len(fetched)
    here.page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
    figures = here.page.locator("article figure").count()
    for figure in here.page.locator("article figure").all():
        figure.scroll_into_view_if_needed()
        figure.locator("img >> visible=true").evaluate(SEEN)
    names = [url.rpartition("/")[2] for url in fetched]
    assert early < len(names) == len(set(names)) == figures >= 4
    assert all(re.search(rf"-{kind}{theme}\.svg", name) for name in names), names
    assert all(("narrow" in name) is bool(kind) for name in names)


def test_theme_switch_switches_the_figures(visit):
    here = visit("light")
    here.go(address(TOPICS[0]))
    light = here.page.locator("article img.broad[src*='-light.svg']").first
    assert light.is_visible()
    here.page.locator("label[title='Switch to dark mode']").click()
    light.wait_for(state="hidden")
    assert here.page.locator("article img.broad[src*='-dark.svg']").first.is_visible()


def test_instant_navigation_keeps_math_and_copy_buttons(visit):
    here = visit()
    here.go("optimizers/adam/")
    here.page.evaluate("window.stayed = true")
    here.page.locator("nav a[href$='/adamw/']").first.click()
    here.page.wait_for_url("**/optimizers/adamw/")
    here.page.locator("button.copy:visible").first.wait_for()
    assert here.page.evaluate("window.stayed") is True
    assert here.page.locator("math").count() > 5
    assert len(here.copy(here.page.locator("button.copy:visible").first.click)) > 5
    here.page.locator("label[title='Switch to dark mode']").click()
    here.page.locator("article img.broad[src*='-dark.svg']").first.wait_for()
    assert here.complaints == []


def test_ledger_links_to_the_claim(visit):
    here = visit()
    claim = next(claim for page in PAGES for claim in page.claims)
    here.go(f"claims/#{claim.id}")
    here.page.locator(f"li#{claim.id} a[href*='#{claim.id}']").first.click()
    here.page.wait_for_url(f"**/#{claim.id}")
    assert here.page.locator(f"#{claim.id}").is_visible()


def test_serve_answers_on_every_page():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "dlkb.book", "serve", "--address", f"127.0.0.1:{port}"]
    server = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        base = f"http://127.0.0.1:{port}/dlkb/"
        deadline = time.monotonic() + 300  # builds the whole site first
        while True:
            try:
                urllib.request.urlopen(base, timeout=5).close()
                break
            except (urllib.error.URLError, ConnectionError):
                assert server.poll() is None, "dlkb serve ended"
                assert time.monotonic() < deadline, "dlkb serve does not answer"
                time.sleep(0.3)
        for path in ADDRESSES:
            with urllib.request.urlopen(base + path, timeout=10) as answer:
                assert answer.status == 200, path
    finally:
        server.terminate()
        server.wait(10)


def test_an_unknown_address_leads_to_the_nearest_topic_and_to_search(visit):
    here = visit()
    stem = TOPICS[0]
    with here.page.expect_response("**/nowhere/**") as answer:
        here.page.goto(f"{here.site}/nowhere/{stem.split('/')[1][:-1]}/")
    assert answer.value.status == 404
    assert here.page.locator("#nearest a").get_attribute("href").endswith(f"/{stem}/")
    assert here.page.locator("#topics a").count() > len(TOPICS)
    here.page.keyboard.press("/")
    here.page.keyboard.type(stem.split("/")[1].replace("_", " "))
    here.page.locator(f"dialog.search a[href$='/{stem}/']").wait_for()
    assert here.strangers == []
    here.page.goto(f"{here.site}/zzz/qqq/")
    assert here.page.locator("#nearest").is_hidden()
