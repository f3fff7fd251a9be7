"""What search finds: an entry for each page, section, symptom, claim and name of the package.

Read from the built pages, so that titles and anchors are those that the reader meets. Two files,
as scripts, since a browser fetches nothing from `file://`: `search/titles.js`, for the first
answers, and `search/texts.js`, which comes later. `assets/rank.js` ranks, `assets/search.js` shows.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from html.parser import HTMLParser
from pathlib import Path

from dlkb.book.publish.built import VOID
from dlkb.book.read.freshness import remembered, write
from dlkb.book.read.parts import VERDICTS, Page

CACHE = Path(".cache/entries")
TITLES, TEXTS = "search/titles.js", "search/texts.js"
SYMPTOMS = "symptoms/"

_ARTICLE = re.compile(r"<article\b.*</article>", re.DOTALL)
_HEAVY = re.compile(r"<(pre|svg|script)\b.*?</\1>|<math data-search-exclude.*?</math>", re.DOTALL)
_BLOCKS = (
    "p",
    "li",
    "div",
    "td",
    "th",
    "h1",
    "h2",
    "h3",
    "h4",
    "summary",
    "figcaption",
    "dd",
    "dt",
)


@dataclass
class Entry:
    """Something to find. `kind` is page, section, symptom, api or a verdict; `also` finds, too.

    In the index the pages that lead to others, of families and home, are of the kind overview.
    """

    kind: str
    anchor: str
    title: str = ""
    also: str = ""
    text: str = ""


@dataclass(frozen=True)
class _Tag:
    name: str
    field: str  # of the entry that its text goes to; "" for none
    ends_entry: bool


class _Reader(HTMLParser):
    """The entries of a page's article."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url
        self.found: list[Entry] = []
        self._open: list[_Tag] = []
        self._at: list[Entry] = []  # a claim ends, and the section that it stands in goes on

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Follow the tree down; headings and claims begin an entry."""
        if tag in VOID or not (self._open or tag == "article"):
            return
        given = {name: value or "" for name, value in attrs}
        classes = given.get("class", "").split()
        field = self._open[-1].field if self._open else "text"
        if "data-search-exclude" in given or "headerlink" in classes or "claim-line" in classes:
            field = ""
        entry = self._entry(tag, given.get("id", ""), classes) if field else None
        is_claim = entry is not None and tag == "div"
        if entry:
            self.found.append(entry)
            if not is_claim and self._at:
                self._at.pop()
            self._at.append(entry)
        self._space(tag)
        if field and self._at:
            begun = "title" if entry and not is_claim else self._field(tag, classes)
            field = begun or field if field == "text" else field
        self._open.append(_Tag(tag, field, is_claim))

    def _entry(self, tag: str, anchor: str, classes: list[str]) -> Entry | None:
        """Return the entry that an element begins."""
        if tag == "h1":
            return Entry("page", "")
        if "doc-heading" in classes:
            return Entry("api", anchor, also=anchor)
        if tag in ("h2", "h3") and anchor:
            return Entry("symptom" if self.url == SYMPTOMS and tag == "h2" else "section", anchor)
        verdict = next((name for name in classes if name in VERDICTS), None)
        if tag == "div" and anchor and verdict and "claim" in classes:
            return Entry(verdict, anchor, also=anchor.upper())
        return None

    def _field(self, tag: str, classes: list[str]) -> str:
        """Return what a tag begins besides text: a claim's title, a symptom's other words."""
        entry = self._at[-1]
        if "admonition-title" in classes and entry.kind in VERDICTS and not entry.title:
            return "title"
        return "also" if tag == "em" and entry.kind == "symptom" and not entry.also else ""

    def _space(self, tag: str) -> None:
        if self._at and tag in _BLOCKS:
            self._at[-1].text += " "

    def handle_endtag(self, tag: str) -> None:
        """Follow the tree up; what is left open closes with what it is in."""
        if tag not in [opened.name for opened in self._open]:
            return
        self._space(tag)
        while True:
            closed = self._open.pop()
            if closed.ends_entry:
                self._at.pop()
            if closed.name == tag:
                return

    def handle_data(self, data: str) -> None:
        """Give the text to the entry that it belongs to."""
        if self._at and self._open and (field := self._open[-1].field):
            setattr(self._at[-1], field, getattr(self._at[-1], field) + data)


def entries(html: str, url: str) -> list[Entry]:
    """Return what there is to find on a built page, in its order; the page itself comes first."""
    reader = _Reader(url)
    article = _ARTICLE.search(html)
    reader.feed(_HEAVY.sub(" ", article[0]) if article else "")
    for entry in reader.found:
        entry.title, entry.also, entry.text = (
            " ".join(text.split()) for text in (entry.title, entry.also, entry.text)
        )
        if entry.kind == "symptom":
            entry.also = entry.also.removeprefix("Also: ").rstrip(".")
        if entry.kind == "api":  # the name alone: its module stands in `also`
            entry.title = re.split(r"[ (¶]", entry.title)[0]
    return reader.found


@lru_cache(maxsize=4096)
def _read(path: Path, url: str, note: Path, changed: int) -> tuple[Entry, ...]:
    def rows(html: str) -> list[dict[str, str]]:
        return [asdict(entry) for entry in entries(html, url)]

    html = path.read_text(encoding="utf-8")
    return tuple(Entry(**row) for row in remembered(note, html, rows))


def _pages(root: Path, site: Path) -> Iterator[tuple[str, tuple[Entry, ...]]]:
    for path in sorted(site.rglob("index.html")):
        folder = path.parent.relative_to(site).as_posix()
        url = "" if folder == "." else f"{folder}/"
        note = root / CACHE / f"{url}index.json"
        if found := _read(path, url, note, path.stat().st_mtime_ns):
            yield url, found


def _script(name: str, value: object) -> bytes:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return f"dlkbIndex.{name}={text}\n".encode()


def _url(page: Page) -> str:
    return f"{page.stem}/".removesuffix("index/")


def write_search(root: Path, site: Path, book: list[Page]) -> None:
    """Write the two files of the index into a built site.

    Under `root` is kept what there is to find on a built page, until its HTML is another.
    """
    known = {_url(page): page for page in book}
    pages, titles, texts = [], [], []
    for number, (url, found) in enumerate(_pages(root, site)):
        pages.append([url, found[0].title])
        for entry in found:
            kind, also = entry.kind, entry.also
            if kind == "page" and (page := known.get(url)):
                kind = "overview" if page.stem.endswith("index") else "page"
                also = ", ".join(str(tag) for tag in page.meta.get("tags") or [])
            titles.append([number, kind, entry.anchor, entry.title, also])
            texts.append(entry.text)
    write(site / TITLES, _script("titles", {"pages": pages, "entries": titles}))
    write(site / TEXTS, _script("texts", texts))
