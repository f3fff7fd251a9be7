"""Links that lead nowhere, and whether the build of the site notices them."""

import logging
import re
from collections import Counter
from pathlib import Path
from typing import Any

from mkdocs.config import load_config
from mkdocs.structure.files import get_files
from mkdocs.structure.pages import Page as SitePage

from dlkb.book.read.parts import Page
from dlkb.book.read.tex import blanked
from scripts.lies.lie import Lie

_LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\((?P<target>[^)\s:]+)\)")


def link_lies(text: str) -> list[Lie]:
    """Return a lie for each link inside the site: another page, and another place of a page."""
    found = []
    for link in _LINK.finditer(blanked(text)):
        path, _, anchor = link["target"].partition("#")
        says = []
        if path:
            says.append(f"{path.removesuffix('.md')}-x.md" + (f"#{anchor}" if anchor else ""))
        if anchor:
            says.append(f"{path}#{anchor}-x")
        found += [Lie("link", *link.span("target"), other, sign=f"'{other}'") for other in says]
    return found


class _Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: Counter[tuple[int, str]] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a warning: the strict build ends with it."""
        self.messages[0, record.getMessage()] += 1


class Site:
    """The site's configuration, read once, and its pages, rendered when they are asked for."""

    def __init__(self, root: Path) -> None:
        config = load_config(str(root / "mkdocs.yml"))
        self._config: Any = config.plugins.on_startup(command="build", dirty=False) or config
        self._config = config.plugins.on_config(config)
        self._files = get_files(config)
        self._known: dict[str, SitePage] = {}

    def warnings(self, page: Page) -> Counter[tuple[int, str]]:
        """Return what a build of the site says of a page's links."""
        kept = _Kept()
        logger = logging.getLogger("mkdocs")
        logger.addHandler(kept)
        try:
            rendered = self._rendered(f"{page.stem}.md")
            for file in rendered.links_to_anchors or {}:
                if file.is_documentation_page() and file.src_uri != f"{page.stem}.md":
                    if file.src_uri not in self._known:
                        self._known[file.src_uri] = self._rendered(file.src_uri)
                    file.page = self._known[file.src_uri]
            rendered.validate_anchor_links(files=self._files, log_level=logging.WARNING)
        finally:
            logger.removeHandler(kept)
        return kept.messages

    def _rendered(self, name: str) -> SitePage:
        file = self._files.get_file_from_path(name)
        assert file is not None
        page = SitePage(None, file, self._config)
        page.read_source(self._config)
        page.render(self._config, self._files)
        return page
