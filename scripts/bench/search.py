"""The site's search against lunr, with which MkDocs and its themes search.

Both get what the built site's index holds: title, other names and text of each entry. The browser
is slowed down to a phone. MkDocs' own lunr is used, in the browser, as its worker calls it.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import mkdocs.contrib.search
from playwright.sync_api import Page, sync_playwright

from dlkb.book.publish.search_index import TEXTS, TITLES
from scripts.bench.timing import once_in_turn
from scripts.browser import MISSING, installed_browser

ROUNDS = 7
SLOWER = 4
"""How many times slower than here a phone is taken to be."""
QUERIES = ["dropout", "vanising gradients", "loss is nan", "how is a learning rate chosen", "qwzxy"]
LUNR = Path(mkdocs.contrib.search.__file__).parent / "templates" / "search" / "lunr.js"

BUILD = {
    "ours": """() => {
      window.ours = dlkbRank.prepare(dlkbIndex.titles)
      dlkbRank.addTexts(ours, dlkbIndex.texts)
    }""",
    "lunr": """() => {
      window.theirs = lunr(function () {
        this.ref("at"); this.field("title"); this.field("also"); this.field("text")
        dlkbIndex.titles.entries.forEach(([, , , title, also], at) =>
          this.add({ at, title, also, text: dlkbIndex.texts[at] }))
      })
    }""",
}
ASK = {
    "ours": "(query) => dlkbRank.rank(ours, query).results.length",
    "lunr": "(query) => theirs.search(query).length",
}
_TIMED = """(argument) => {{
  const work = {}
  const start = performance.now()
  work(argument)
  return performance.now() - start
}}"""


def _seconds(page: Page, work: str, argument: str | None = None) -> float:
    """Return how long a function takes in the browser."""
    return float(page.evaluate(_TIMED.format(work), argument)) / 1e3


def _mean_of_queries(page: Page, work: str) -> float:
    return sum(_seconds(page, work, query) for query in QUERIES) / len(QUERIES)


def _page_with_index(page: Page, site: Path) -> None:
    page.evaluate("window.dlkbIndex = {}")
    for path in (LUNR, site / "assets" / "rank.js", site / TITLES, site / TEXTS):
        page.add_script_tag(content=path.read_text(encoding="utf-8"))


def search(site: Path, pages: int) -> Iterator[dict[str, Any]]:
    """Make the index ready and ask it, in a browser that is as slow as a phone."""
    found = installed_browser()
    if found is None:
        raise RuntimeError(MISSING)
    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=found, args=options)
        page = browser.new_page()
        _page_with_index(page, site)
        session = page.context.new_cdp_session(page)
        session.send("Emulation.setCPUThrottlingRate", {"rate": SLOWER})
        for name, works, measure in (
            ("search made ready, as on a phone", BUILD, _seconds),
            ("a search, as on a phone", ASK, _mean_of_queries),
        ):
            contestants = {who: partial(measure, page, work) for who, work in works.items()}
            rounds = once_in_turn(contestants, ROUNDS)
            yield {"name": name, "pages": pages, "rounds": rounds}
        browser.close()
