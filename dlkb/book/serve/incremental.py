"""The site while it is being edited: built once, then rendered where it changed.

After an edit, only the pages whose source, figures or formulas changed are rendered again; what may
show on other pages (a title, a page more or less, mkdocs.yml, the theme) is followed by a whole
build, in a new folder. Either way the folder holds what a whole build would write. What cannot be
rendered or breaks a rule leaves the last good state in place.
"""

import contextlib
import os
import re
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from mkdocs.commands.build import _build_page, _populate_page, build
from mkdocs.config import load_config
from mkdocs.plugins import BasePlugin
from mkdocs.structure.files import File
from mkdocs.structure.pages import Page as Rendering

from dlkb.book.hold.check import book_problems, page_problems
from dlkb.book.publish.front_markup import generated
from dlkb.book.publish.ledger import write_ledger
from dlkb.book.publish.rendered import Rendered, documented
from dlkb.book.publish.search_index import write_search
from dlkb.book.publish.which import read_fresh
from dlkb.book.read.book import GENERATED, page_files, read_book
from dlkb.book.read.pages import read_page
from dlkb.book.read.parts import Page, PageError
from dlkb.book.read.references import BIBLIOGRAPHY

WATCHED = ("docs", "overrides", "dlkb", "scripts/figures", "scripts/peers")
PAUSE = 0.15  # seconds between two looks at the files

_GENERATED = tuple(f"docs/{name}." for name in GENERATED)
_WRITTEN = (
    *(f"docs/assets/{name}/" for name in ("figures", "previews", "thumbnails")),
    "docs/downloads/",
    "docs/llms.txt",
    *_GENERATED,
)
_SHARED = (str(BIBLIOGRAPHY), "docs/notation.md", "docs/glossary.md")  # what other pages show
_FIGURE = re.compile(r"(assets/figures/.+?)(?:-axes|-narrow)?(?:-light|-dark)?\.(?:svg|json)")
_OBJECT = re.compile(r'\bid="(dlkb[\w.]+)"')

Snapshot = dict[str, tuple[int, int]]


def snapshot(root: Path) -> Snapshot:
    """Return time and size of each file that the site is made from, by its path in `root`."""
    names = ["mkdocs.yml", "constraints.txt"]
    for watched in WATCHED:
        for folder, folders, files in os.walk(root / watched):
            folders[:] = [name for name in folders if name != "__pycache__"]
            within = os.path.relpath(folder, root)
            # Not the drafts of editors, nor ours.
            names += [f"{within}/{n}" for n in files if n[0] != "." and n[-1] != "~"]
    found = {}
    for name in names:
        with contextlib.suppress(FileNotFoundError):  # gone meanwhile
            status = (root / name).stat()
            found[name] = (status.st_mtime_ns, status.st_size)
    return found


class _Memory(BasePlugin):
    """What mkdocs knows after a build. A plugin of this server, not of mkdocs.yml."""

    def on_env(self, env: Any, /, *, config: Any, files: Any) -> None:
        self.env, self.config, self.files = env, config, files

    def on_nav(self, nav: Any, /, *, config: Any, files: Any) -> None:
        self.nav = nav


class Site:
    """The built site in `folder`, and what it was made from."""

    def __init__(self, root: Path, url: str) -> None:
        self.root = root.resolve()
        self.url = url
        self._folders = Path(tempfile.mkdtemp(prefix="dlkb-site-"))
        self.folder = self._folders / "none"
        self.unchecked = False  # whether a source changed: `dlkb prepare` is due
        self._seen: Snapshot = {}
        self._pending: set[str] = set()  # changed, but not to be seen yet
        self.behind = False  # whether pages that say something of an edited one are still as before
        self._intact = False  # whether memory and folder hold one whole state

    def update(self) -> tuple[bool, list[str]]:
        """Make the site follow the files.

        Returns:
            Whether there is something new to see, and what breaks a rule, and so is not seen.

        Raises:
            Exception: Whatever rendering raises; the last good state stays.
        """
        now = snapshot(self.root)
        if now == self._seen:
            return self._catch_up() if self.behind else (False, [])
        time.sleep(PAUSE)
        while now != (later := snapshot(self.root)):  # in the middle of a burst of edits
            now = later
            time.sleep(PAUSE)
        changed = {name for name in {*now, *self._seen} if now.get(name) != self._seen.get(name)}
        self._seen = now
        self._pending |= changed
        self.unchecked |= any(not name.startswith(_WRITTEN) for name in changed)
        if not self._intact or any(self._shakes_all(name) for name in self._pending):
            return self._build()
        return self._refresh()

    def _catch_up(self) -> tuple[bool, list[str]]:
        """Render the pages that count what others hold; the edited page has been shown by now."""
        self.behind = False
        every = self._memory.files.documentation_pages()
        stale = [
            file
            for file in every
            if generated(file.page.markdown) and f"docs/{file.src_uri}" not in self._pending
        ]
        if self._write(stale):
            return bool(stale), []
        return self._build()

    def _shakes_all(self, name: str) -> bool:
        if name in _SHARED:
            return True
        if name.startswith("docs/"):
            known = self._memory.files.get_file_from_path(name.removeprefix("docs/"))
            listed = ("docs/claims.toml", "docs/reviewed.toml")  # of claims: no part of the site
            return name not in listed and (known is None or name not in self._seen)
        return name.startswith(("mkdocs.yml", "constraints.txt", "overrides/", "scripts/peers/"))

    def _build(self) -> tuple[bool, list[str]]:
        """Build the whole site into a new folder, and let it take the place of the old one."""
        self._intact = False
        if problems := book_problems(self.root):
            return False, [str(problem) for problem in problems]
        for old in self._folders.iterdir():
            if old != self.folder:  # which is being served
                shutil.rmtree(old)
        folder = Path(tempfile.mkdtemp(dir=self._folders))
        config = load_config(str(self.root / "mkdocs.yml"), site_dir=str(folder))
        config.site_url = self.url
        memory = config.plugins["dlkb-memory"] = _Memory()
        config.plugins["dlkb-rendered"] = Rendered()
        config.plugins.on_startup(command="serve", dirty=False)
        build(config, serve_url=self.url)
        write_search(self.root, folder, read_book(self.root))
        self.folder, self._memory = folder, memory
        self._pending.clear()
        self._intact, self.behind = True, False
        return True, []

    def _refresh(self) -> tuple[bool, list[str]]:
        """Render only what the pending changes touch, and write it over what was."""
        memory = self._memory
        pages = {file.src_uri: file for file in memory.files.documentation_pages()}
        edited = {name.removeprefix("docs/") for name in self._pending} - {
            "claims.toml",
            "reviewed.toml",
        }
        written = {f"{name}.md" for name in GENERATED}
        found = {uri: self._problems(uri) for uri in sorted(edited & pages.keys() - written)}
        broken = {uri: problems for uri, problems in found.items() if problems}
        formulas = {name for name in self._pending if re.match(r"dlkb/.*\.py", name)}
        for uri in edited - pages.keys():
            if file := memory.files.get_file_from_path(uri):
                file.copy_file()
        figures = {match[1] for uri in edited if (match := _FIGURE.fullmatch(uri))}
        # Other pages say something of those that were edited: they follow at the next update.
        self.behind |= bool((edited & pages.keys()) - written - broken.keys())
        stale = [
            file
            for uri, file in pages.items()
            if uri not in broken
            and (uri in edited or self._shows(file.page.markdown, figures, formulas))
        ]
        if stale:
            if formulas:
                memory.config.plugins["mkdocstrings"].handlers.teardown()  # reads them again
            if not self._write(stale):
                return self._build()
        self._pending = {f"docs/{uri}" for uri in broken}
        if edited & pages.keys() and not broken:
            write_ledger(self.root, self._book())  # seen at the next update
        return bool(stale), [line for problems in broken.values() for line in problems]

    def _write(self, stale: list[File]) -> bool:
        """Render and write these pages; return False if that is not enough."""
        self._intact = False  # until all is written
        self._intact = self._render(stale)
        return self._intact

    def _book(self) -> list[Page]:
        """Return the book as `read_book` does; pages that did not change are not read again."""
        docs = self.root / "docs"
        files = page_files(self.root).values()
        return [read_fresh(path, docs) or read_page(path, docs) for path in files]  # or it raises

    def _problems(self, uri: str) -> list[str]:
        docs = self.root / "docs"
        try:
            return [str(found) for found in page_problems(self.root, read_page(docs / uri, docs))]
        except PageError as error:
            return [str(error)]

    def _shows(self, text: str, figures: set[str], formulas: set[str]) -> bool:
        """Whether a page shows one of the figures, or a module that one of the formulas is in."""
        if any(f"{figure}.svg" in text for figure in figures):
            return True
        changed = {self.root / name for name in formulas}
        return bool(changed and changed & documented(self.root, text))

    def _render(self, stale: list[File]) -> bool:
        memory = self._memory
        config, files, plugins = memory.config, memory.files, memory.config.plugins
        pages = [file.page for file in stale if file.page]
        before = [_outlook(page) for page in pages]
        for page in pages:
            _populate_page(page, config, files)
        if before != [_outlook(page) for page in pages]:
            return False
        plugins.on_env(memory.env, config=config, files=files)
        every = files.documentation_pages()
        for page in pages:
            _build_page(page, config, every, memory.nav, memory.env)
        write_search(self.root, self.folder, self._book())
        for file in every:
            file.page.validate_anchor_links(files=files, log_level=config.validation.links.anchors)
        return True

    def close(self) -> None:
        """Remove what was built."""
        shutil.rmtree(self._folders)


def _outlook(page: Rendering) -> tuple[Any, ...]:
    """Return what other pages may show of a page, or link to."""
    return page.title, page.meta, set(_OBJECT.findall(page.content or ""))
