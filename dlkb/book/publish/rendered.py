"""Keep what Markdown became, so that a build renders the pages that changed and no others.

A plugin of `dlkb build` and `dlkb serve`, not of mkdocs.yml: other generators know no such thing.
To render takes nine tenths of a build. A page is rendered again when something changed that its
text may show: itself, the bibliography, what words and letters mean, its figures, the values of its
bound numbers, the modules that it documents, the titles of other pages, the engine, installed
packages. Home, map and families count what all pages hold, so that any change renders them again.

Rendering also tells others of what it found: mkdocs of anchors, mkdocstrings and autorefs of what
can be linked to. That is kept, and told again. Most of the time of a page goes into its docstrings:
what became of them is kept by itself, for edits of the text.
"""

import json
import logging
import re
import site
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from importlib.metadata import distributions
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import fromstring, tostring

from jinja2 import Environment
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import BasePlugin, event_priority
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page
from mkdocs.structure.toc import AnchorLink, TableOfContents
from mkdocstrings import AutoDocProcessor

from dlkb.book.hold.peers import FOLDER
from dlkb.book.publish.compiled import Compiled
from dlkb.book.publish.front_markup import generated
from dlkb.book.publish.held_markup import values_file
from dlkb.book.publish.which import read_fresh
from dlkb.book.read.freshness import depends_on, digest, digest_of, engine, read_note, write
from dlkb.book.read.references import BIBLIOGRAPHY

CACHE = Path(".cache/rendered")
_SHARED = ("mkdocs.yml", "constraints.txt", "docs/notation.md", "docs/glossary.md")
_FIGURE = re.compile(r"assets/figures/([\w/-]+)\.svg")
_DOCUMENTED = re.compile(r"^::: ([\w.]+)", re.MULTILINE)


class Rendered(BasePlugin):
    """Lets a page take what is kept instead of rendering, where that is the same."""

    def on_files(self, files: Files, /, *, config: MkDocsConfig) -> Files:
        """Hash what any page may show, once for a build; have docstrings' templates kept."""
        root, docs = Path(config.config_file_path).parent, Path(config.docs_dir)
        known = (read_fresh(path, docs) for path in sorted(docs.rglob("*.md")))
        heads = [(page.stem, page.name, page.meta) for page in known if page]
        shared = [digest_of(root / name) for name in (*_SHARED, BIBLIOGRAPHY)]
        listed = sorted(file.src_uri for file in files)
        self.house = _hash(engine(), _packages(), shared, listed, heads)
        for handler in config.plugins["mkdocstrings"].handlers.seen_handlers:
            handler.env.bytecode_cache = Compiled(root)
        return files

    def on_env(self, env: Environment, /, *, config: MkDocsConfig, files: Files) -> None:
        """Have the theme's templates kept."""
        env.bytecode_cache = Compiled(Path(config.config_file_path).parent)

    @event_priority(-100)  # after all that change the text
    def on_page_markdown(
        self, markdown: str, /, *, page: Page, config: MkDocsConfig, files: Files
    ) -> str:
        """Put another way to render in the place of the page's own."""
        page.render = partial(_render, page, self.house)
        return markdown


def _render(page: Page, house: str, config: MkDocsConfig, files: Files) -> None:
    root = Path(config.config_file_path).parent
    note = root / CACHE / f"{page.file.src_uri}.json"
    key = _key(root, page, house)
    tellers = (config.plugins["autorefs"], config.plugins["mkdocstrings"].handlers.inventory)
    kept = read_note(note)
    if kept.get("key") == key:
        _take(page, files, kept, *tellers)
        return
    modules = _hash(house, _contents(root, documented(root, page.markdown or "")))
    docstrings = kept["docstrings"] if kept.get("modules") == modules else {}
    with _listening(*tellers) as told, _warnings() as warned, _remembering(docstrings) as shown:
        Page.render(page, config, files)
    if not warned:  # else the next build must warn too
        new = _kept(page, key, told) | {"modules": modules, "docstrings": shown}
        write(note, json.dumps(new).encode())


def _key(root: Path, page: Page, house: str) -> str:
    """Hash all that a page's HTML hangs on."""
    text, docs = page.markdown or "", root / "docs"
    names = sorted(set(_FIGURE.findall(text)))
    files = {path for name in names for path in (docs / "assets/figures").glob(f"{name}*")}
    files |= {values_file(root, text), root / FOLDER / page.file.src_uri.replace(".md", ".py")}
    files |= documented(root, text)
    if generated(text):  # counts of all pages
        files |= {*docs.rglob("*.md"), *docs.glob("*.json")}
    return _hash(house, page.file.src_uri, text, page.meta, _contents(root, files))


def _contents(root: Path, files: set[Path]) -> list[tuple[str, str | None]]:
    return [(path.relative_to(root).as_posix(), digest_of(path)) for path in sorted(files)]


def documented(root: Path, text: str) -> set[Path]:
    """Return the modules that a page documents, the packages around them, and what they import."""
    names = [name.split(".") for name in _DOCUMENTED.findall(text)]
    places = [root.joinpath(*parts[: end + 1]) for parts in names for end in range(len(parts))]
    files = [file for path in places for file in (path.with_suffix(".py"), path / "__init__.py")]
    return depends_on(root, *filter(Path.is_file, files))


def _hash(*parts: Any) -> str:
    return digest(json.dumps(parts, default=str).encode())


@cache
def _packages() -> list[str]:
    """Return what is installed: some forty packages have a part in a page.

    In the environment, that is: what else is on the path of this process has none.
    """
    places = [*site.getsitepackages(), site.getusersitepackages()]
    found = (distribution.metadata for distribution in distributions(path=places))
    return sorted(f"{metadata['Name']} {metadata['Version']}" for metadata in found)


def _kept(page: Page, key: str, told: list[Any]) -> dict[str, Any]:
    links = {file.src_uri: anchors for file, anchors in (page.links_to_anchors or {}).items()}
    return {
        "key": key,
        "content": page.content,
        "toc": [_row(item) for item in page.toc],
        "title": page._title_from_render,
        "anchors": sorted(page.present_anchor_ids or ()),
        "links": links,
        "told": told,
    }


def _take(page: Page, files: Files, kept: dict[str, Any], autorefs: Any, inventory: Any) -> None:
    """Give a page what is kept of it, and tell again what rendering it told."""
    page.content = kept["content"]
    page.toc = TableOfContents([_link(row) for row in kept["toc"]])
    page._title_from_render = kept["title"]
    page.present_anchor_ids = set(kept["anchors"])
    linked = ((files.get_file_from_path(uri), links) for uri, links in kept["links"].items())
    page.links_to_anchors = {file: links for file, links in linked if file}
    for who, given, named in kept["told"]:
        if who == "anchor":
            autorefs.register_anchor(page, *given, **named)
        else:
            inventory.register(*given, **named)


def _row(item: AnchorLink) -> list[Any]:
    return [item.title, item.id, item.level, [_row(child) for child in item.children]]


def _link(row: list[Any]) -> AnchorLink:
    title, name, level, children = row
    link = AnchorLink(title, name, level)
    link.children = [_link(child) for child in children]
    return link


@contextmanager
def _listening(autorefs: Any, inventory: Any) -> Iterator[list[Any]]:
    """Write down what is registered meanwhile, the page itself left out."""
    told: list[Any] = []
    to_autorefs, to_inventory = autorefs.register_anchor, inventory.register

    def register_anchor(page: Page, *given: Any, **named: Any) -> None:
        told.append(["anchor", given, named])
        to_autorefs(page, *given, **named)

    def register(*given: Any, **named: Any) -> None:
        told.append(["inventory", given, named])
        to_inventory(*given, **named)

    autorefs.register_anchor, inventory.register = register_anchor, register
    try:
        yield told
    finally:
        del autorefs.register_anchor, inventory.register


@contextmanager
def _remembering(kept: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Take the HTML of each `:::` block from `kept`, where it has it; collect what is shown.

    Beside its HTML, a block leaves headings, for the table of contents and for links, and the
    aliases by which other pages link to them. So nothing is read of the package.
    """
    shown: dict[str, Any] = {}
    aliases: dict[str, list[str]] = {}
    handlers: list[Any] = []
    owner: Any = AutoDocProcessor
    process = owner._process_block

    def remembered(self: Any, name: str, options: str, level: int = 0) -> Any:
        block = json.dumps([name, options, level])
        if block in kept:
            handler = self._handlers.get_handler(self._handlers.get_handler_name({}))
            handler._headings += map(fromstring, kept[block]["headings"])
            shown[block] = kept[block]
        else:
            html, handler, _ = process(self, name, options, level)
            ids = [heading.get("id") for heading in handler._headings]
            shown[block] = {
                "html": html,
                "headings": [tostring(heading, "unicode") for heading in handler._headings],
                "aliases": {i: list(type(handler).get_aliases(handler, i)) for i in ids},
            }
        handlers.append(handler)
        aliases.update(shown[block]["aliases"])
        handler.get_aliases = aliases.__getitem__
        return shown[block]["html"], handler, None

    owner._process_block = remembered
    try:
        yield shown
    finally:
        owner._process_block = process
        for handler in handlers:
            vars(handler).pop("get_aliases", None)


@contextmanager
def _warnings() -> Iterator[list[logging.LogRecord]]:
    """Collect what mkdocs and its plugins warn of meanwhile."""
    warned: list[logging.LogRecord] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = warned.append  # type: ignore[assignment,method-assign]
    logger = logging.getLogger("mkdocs")
    logger.addHandler(handler)
    try:
        yield warned
    finally:
        logger.removeHandler(handler)
