"""All lies of a page, and of the bibliography, with what notices each."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from dlkb.book.draw.drawing import SCRIPTS
from dlkb.book.hold import peers
from dlkb.book.hold.citations import bibliography_problems
from dlkb.book.read.book import read_book
from dlkb.book.read.pages import read_page
from dlkb.book.read.parts import Page, PageError
from dlkb.book.read.references import BIBLIOGRAPHY
from dlkb.book.run.processes import run_apart
from dlkb.book.run.session import Outcome
from scripts.lies.equations import equation_lies, held_labels, ties_notice
from scripts.lies.lie import Lie, Verdict, plant, verdict
from scripts.lies.links import Site, link_lies
from scripts.lies.notice import noticed, rules, tables
from scripts.lies.running import run_lies
from scripts.lies.texts import text_lies
from scripts.lies.words import other_numbers

LIMIT = 900.0
"""Seconds for what has to run of one page."""

_FIELD = re.compile(r"^  (author|title|year|eprint|doi|url) = \{([^\n]*)\},?$", re.MULTILINE)


def page_verdicts(root: Path, stem: str) -> list[Verdict]:
    """Plant the lies of one page of a tree that may be changed; it is whole again afterwards.

    Raises:
        PageError: If the page, its figures' tests or its tables are wrong before any lie.
    """
    os.chdir(root)
    docs = root / "docs"
    path = docs / f"{stem}.md"
    text, page = path.read_text(encoding="utf-8"), read_page(path, docs)
    return [
        *noticed(path, docs, stem, text_lies(root, page, text), rules(root), "rules"),
        *noticed(path, docs, stem, link_lies(text), Site(root).warnings, "build of the site"),
        *_equations(page, text, docs),
        *_runs(root, page),
        *_rows(root, page, text),
        *_drawn(root, stem),
    ]


def _equations(page: Page, text: str, docs: Path) -> Iterator[Verdict]:
    """Yield what the ties say; a fence that uses an equation says it where the page runs."""
    labels = held_labels(page)
    for label, lie in equation_lies(page, text):
        if labels[label] == "used":
            continue
        by = ""
        if labels[label] == "tied":
            try:
                page.path.write_text(plant(text, [lie]), encoding="utf-8")
                by = "ties" if ties_notice(read_page(page.path, docs), label) else ""
            finally:
                page.path.write_text(text, encoding="utf-8")
        yield verdict(page.stem, text, lie, by)


def _runs(root: Path, page: Page) -> Iterator[Verdict]:
    for _, item in run_apart(run_lies, root, [page], limit=LIMIT):
        if isinstance(item, Outcome):
            raise PageError(f"{page.path}:{item.line}: {item.error}")
        if isinstance(item, Verdict):
            yield item


def _rows(root: Path, page: Page, text: str) -> Iterator[Verdict]:
    """Exchange each cell of an executed table for another of its column."""
    if not any(table.name for table in peers.tables(page)):
        return
    rows = peers.run(root, page.stem)
    starts = [0, *(found.end() for found in re.finditer("\n", text))]
    lies = []
    for table in peers.tables(page):
        for line, cells in table.rows if table.name else ():
            name = " ".join(cells[0].split())
            kind = "executed row" if name in rows.get(str(table.name), {}) else "row that was read"
            begin, end = starts[line - 1], starts[line] - 1
            for column, cell in enumerate(cells):
                others = [row[column] for _, row in table.rows if row[column] != cell]
                at = text.find(f"| {cell} |", begin, end) + 2
                if others and cell and at >= begin + 2:
                    told = line if column else 0  # a name that is gone is missed elsewhere
                    lies.append(Lie(kind, at, at + len(cell), others[0], told))
    check = tables(rows)
    yield from noticed(page.path, root / "docs", page.stem, lies, check, "libraries")


def _drawn(root: Path, stem: str) -> Iterator[Verdict]:
    family, _, topic = stem.partition("/")
    if not (root / SCRIPTS / f"{stem}.py").is_file():
        return
    if not (root / f"tests/figures/{family}/test_{topic}.py").is_file():
        raise PageError(f"tests/figures/{family}/test_{topic}.py is missing")
    command = [sys.executable, "-m", "scripts.lies.drawn", stem]
    env = {**os.environ, "PYTHONPATH": str(root), "MPLBACKEND": "agg", "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise PageError(f"{ran.stdout[-2000:]}{ran.stderr[-2000:]}")
    for artist, by in json.loads(ran.stdout.rstrip().rsplit("\n", 1)[-1]):
        yield Verdict("drawn data", stem, 0, artist, "", "tests of figures" if by else "")


def bibliography_verdicts(root: Path) -> list[Verdict]:
    """Falsify year, author, title and address of each source, one field of all of them at once."""
    path = root / BIBLIOGRAPHY
    text, pages = path.read_text(encoding="utf-8"), read_book(root)
    lies: dict[str, list[Lie]] = {}
    for found in _FIELD.finditer(text):
        at = found.start(2)
        if found[1] == "author":
            at += len(found[2]) - len(found[2].lstrip("{"))  # {DeepSeek-AI} is one name
            lie = Lie("reference's author", at, at + 1, "Z" if text[at] != "Z" else "Y")
        elif found[1] == "title":
            lie = Lie("reference's title", at, at, "Another ")
        else:
            kind = "reference's year" if found[1] == "year" else "reference's address"
            says = (other_numbers(found[2]) or [f"{found[2]}-x"])[0]
            lie = Lie(kind, at, found.end(2), says)
        lies.setdefault(lie.kind, []).append(lie)
    verdicts = []
    try:
        known = set(bibliography_problems(root, pages))
        entries = [entry.start() for entry in re.finditer(r"^@", text, re.MULTILINE)]
        for group in lies.values():
            path.write_text(plant(text, group), encoding="utf-8")
            wrong = {line for line, message in bibliography_problems(root, pages)
                     if (line, message) not in known}  # fmt: skip
            for lie in group:
                entry = max(start for start in entries if start < lie.start)
                by = "rules" if text.count("\n", 0, entry) + 1 in wrong else ""
                verdicts.append(verdict(BIBLIOGRAPHY.as_posix(), text, lie, by))
    finally:
        path.write_text(text, encoding="utf-8")
    return verdicts
