"""Build the site, and write what it needs besides the pages."""

import contextlib
import logging
import os
import sys
from pathlib import Path

from mkdocs.commands.build import build as mkdocs_build
from mkdocs.config import load_config
from mkdocs.exceptions import Abort
from rich.console import Console

from dlkb.book.draw.figures import draw
from dlkb.book.hold.verify import hold
from dlkb.book.publish.benchmarks import write_benchmarks
from dlkb.book.publish.built import unrun_code
from dlkb.book.publish.downloads import write_downloads
from dlkb.book.publish.ledger import write_ledger
from dlkb.book.publish.offline import write_zip
from dlkb.book.publish.previews import write_previews
from dlkb.book.publish.rendered import Rendered
from dlkb.book.publish.search_index import write_search
from dlkb.book.publish.thumbnails import write_thumbnails
from dlkb.book.read.book import read_book
from dlkb.book.read.parts import PageError


def environment() -> dict[str, str]:
    """Return the environment for mkdocs, without the theme's announcement."""
    return {**os.environ, "NO_MKDOCS_2_WARNING": "1"}


def prepare(root: Path) -> list[str]:
    """Write what the site needs besides the pages: figures, downloads, ledger, benchmarks.

    Returns:
        The stems of the pages that had to run again.

    Raises:
        PageError: If a figure cannot be drawn, or the gate (`hold.verify`) does not open.
    """
    report = draw(root, None)
    if report.failed:
        report.show(Console(stderr=True))
        raise PageError(f"{len(report.failed)} figures could not be drawn, see above")
    book = read_book(root)
    write_ledger(root, book)
    write_benchmarks(root)
    write_thumbnails(root, book)
    write_previews(root, book)
    due, problems = hold(root)
    if problems:
        raise PageError("\n".join(str(problem) for problem in problems))
    write_downloads(root, book)
    return due


def build_pages(root: Path, site: Path) -> int:
    """Let mkdocs build the pages, in strict mode; what it warns of is a failure.

    Returns:
        The exit status.
    """
    os.environ |= environment()
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    with contextlib.chdir(root):  # extensions read docs/ from here
        config = load_config(str(root / "mkdocs.yml"), strict=True, site_dir=str(site))
        config.plugins["dlkb-rendered"] = Rendered()
        config.plugins.on_startup(command="build", dirty=False)
        try:
            mkdocs_build(config)
        except Abort as error:
            print(f"dlkb: {error}", file=sys.stderr)
            return 1
        finally:
            config.plugins.on_shutdown()
    return 0


def build(root: Path, site: Path | None = None) -> int:
    """Build `site/`, or another folder, in strict mode, and the zip of it.

    Returns:
        The exit status of mkdocs.

    Raises:
        PageError: If a page is wrong, or shows code that did not run.
    """
    prepare(root)
    site = site or root / "site"
    if status := build_pages(root, site):
        return status
    book = read_book(root)
    if problems := unrun_code(root, site, book):
        raise PageError("\n".join(str(problem) for problem in problems))
    write_search(root, site, book)
    write_zip(root, site)
    return 0
