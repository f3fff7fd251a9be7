"""The rules that a page and the book as a whole must keep, checked without running code."""

import json
import re
import tomllib
from collections import Counter
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path

from dlkb.book.draw.drawing import SCRIPTS
from dlkb.book.draw.figures import figures_of, said
from dlkb.book.hold.budget import budget_problems
from dlkb.book.hold.citations import bibliography_problems, citation_problems
from dlkb.book.hold.code import code_problems
from dlkb.book.hold.contract import front_matter_problems, part_problems, table_problems
from dlkb.book.hold.equations import equation_problems
from dlkb.book.hold.evidence import evidence_problems
from dlkb.book.hold.names import is_readable
from dlkb.book.hold.numbers import number_problems
from dlkb.book.hold.peers import FOLDER, peers_problems
from dlkb.book.hold.reviewed import review_problems
from dlkb.book.hold.sayings import saying_problems
from dlkb.book.publish import math
from dlkb.book.read.book import read_book
from dlkb.book.read.freshness import depends_on, digest, page_key, write
from dlkb.book.read.parts import Claim, Page
from dlkb.book.read.references import BIBLIOGRAPHY
from dlkb.book.read.topics import family_of, files_of, gaps_of

RUNNING_EVIDENCE = ("proved", "checked", "measured")
EVIDENCE = (*RUNNING_EVIDENCE, "cited")

KEPT = Path(".cache/rules")
"""A file for each page that kept the rules: the hash of what they read."""

_READ = ("docs/claims.toml", "docs/reviewed.toml", "constraints.txt", "mkdocs.yml")
_SOURCE = re.compile(r"00\d:\d+(?:[-,]\d+)*(?:[;,] *00\d:\d+(?:[-,]\d+)*)*")


@dataclass(frozen=True)
class Problem:
    """A broken rule, where it is broken."""

    path: Path
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}"


def assignments(root: Path) -> dict[str, list[str]]:
    """Return which page answers which claims, as `docs/claims.toml` says."""
    return _assigned((root / "docs" / "claims.toml").read_text(encoding="utf-8"))


@lru_cache(maxsize=1)  # every page asks
def _assigned(text: str) -> dict[str, list[str]]:
    return {stem: row["claims"] for stem, row in tomllib.loads(text).items()}


def figure_names(root: Path, stem: str) -> list[str]:
    """Return the figures that a topic's script draws, none if there is no script."""
    if not (root / SCRIPTS / f"{stem}.py").is_file():
        return []
    return [figure.name for figure in figures_of(root, stem)]


def _claim_problems(page: Page, claim: Claim, assigned: list[str]) -> list[str]:
    found = []
    if claim.id not in assigned:
        found.append(f"claim {claim.id} is not assigned to this page in docs/claims.toml")
    if not claim.statement:
        found.append(f"claim {claim.id} has no statement: write it after the bar")
    if claim.evidence not in EVIDENCE:
        found.append(f"claim {claim.id}: evidence '{claim.evidence}' is none of {EVIDENCE}")
    if not _SOURCE.fullmatch(claim.source):
        found.append(f"claim {claim.id}: source '{claim.source}' is not like 001:16-18")
    runs = any(fence.runnable for fence in claim.fences)
    if claim.evidence in RUNNING_EVIDENCE and not runs:
        found.append(f"claim {claim.id} is {claim.evidence}, but no fence in its block runs")
    if claim.evidence == "cited" and not re.search(r"\b(?:1[5-9]|20)\d\d\b|\]\(|\[@", claim.body):
        found.append(f"claim {claim.id} is cited, but names no reference with a year or a link")
    return found


def _held(root: Path, page: Page) -> list[tuple[int, str]]:
    """Return what breaks the contract: front matter, numbers, verdicts, equations, budget."""
    if not all(map(is_readable, page.runnable)):
        return []  # nobody can tell what the page prints: another rule says why
    found = number_problems(page) + evidence_problems(page) + equation_problems(page)
    found += budget_problems(root, page) + table_problems(page)
    return found + front_matter_problems(root, page) if page.is_topic else found


def page_problems(root: Path, page: Page) -> list[Problem]:
    """Return what breaks a rule on one page."""
    found = [
        Problem(page.path, page.first_line + line - 1, message)
        for line, message in math.check(page.text)
    ]

    def add(line: int, *messages: str) -> None:
        found.extend(Problem(page.path, line, message) for message in messages)

    for line, message in [
        *code_problems(page),
        *citation_problems(root, page),
        *peers_problems(root, page),
        *review_problems(root, page),
    ]:
        add(line, message)
    for fence in page.fences:
        if fence.language == "output":
            add(fence.line - 1, "an `output` fence must follow a `python` fence")
        if fence.language == "":
            add(fence.line - 1, "a fence needs a language: python, pycon, text, bash, …")
    drawn = figure_names(root, page.stem)
    for image in page.images:
        name = image.name.removeprefix(f"{page.stem}/")
        if image.name.startswith(f"{page.stem}/") and name not in drawn:
            near = get_close_matches(name, drawn, n=1)
            hint = f", did you mean {near[0]}?" if near else ""
            add(image.line, f"scripts/figures/{page.stem}.py draws no figure '{name}'{hint}")
        if len(image.alt) < 20:
            add(image.line, "the alt text must say what is to be seen")
    for line, message in saying_problems(root, page, said(root, page.stem)):
        add(line, message)
    labels = {equation.label for equation in math.equations(page.text)}
    for tie in page.ties:
        for label in (tie.label, *tie.definitions):
            if label not in labels:
                add(tie.line, f"tied to '{label}', but no equation has this label")
    for line, message in _held(root, page):
        add(line, message)
    assigned = assignments(root).get(page.stem, [])
    for claim in page.claims:
        add(claim.line, *_claim_problems(page, claim, assigned))
    if page.is_topic:
        for path, line, what in gaps_of(root, page.stem):
            found.append(Problem(path, line, f"still to write: {what}"))
        if not page.runnable:
            add(1, "a topic's page must have a fence that runs")
        for line, message in part_problems(page):
            add(line, message)
        for key in ("title", "description"):
            if not page.meta.get(key):
                add(1, f"the front matter lacks '{key}'")
        absent = set(assigned) - {claim.id for claim in page.claims}
        add(1, *(f"claim {name} is assigned to this page but absent" for name in sorted(absent)))
    return found


def _changed_page_problems(root: Path, page: Page) -> list[Problem]:
    note, key = root / KEPT / f"{page.stem}.key", rules_key(root, page).encode()
    if note.is_file() and note.read_bytes() == key:
        return []
    found = page_problems(root, page)
    if not found:
        write(note, key)
    return found


def rules_key(root: Path, page: Page) -> str:
    """Hash all that the rules read to judge a page."""
    scripts = [root / SCRIPTS / f"{page.stem}.py", root / FOLDER / f"{page.stem}.py"]
    files = [root / name for name in (*_READ, BIBLIOGRAPHY)]
    if page.is_topic:
        files += [root / path for path in files_of(page.stem).values()]
        files.append(root / "docs" / family_of(page.stem) / "index.md")
    key = page_key(root, page, [*files, *depends_on(root, *filter(Path.is_file, scripts))])
    before = [stem for stem in page.requires if (root / "docs" / f"{stem}.md").is_file()]
    return digest(json.dumps([key, before, said(root, page.stem)]).encode())


def book_problems(root: Path, stems: list[str] | None = None) -> list[Problem]:
    """Return what breaks a rule on the pages named, or on any, and between them.

    A page that kept the rules is not looked at again until something changes that they read.
    """
    root = root.resolve()
    pages = read_book(root, stems)
    found = [problem for page in pages for problem in _changed_page_problems(root, page)]
    if stems is None:
        listed = bibliography_problems(root, pages)
        found += [Problem(root / BIBLIOGRAPHY, line, message) for line, message in listed]
    counts = Counter(claim.id for page in pages for claim in page.claims)
    for page in pages:
        for claim in page.claims:
            if counts[claim.id] > 1:
                message = f"claim {claim.id} has {counts[claim.id]} blocks: keep one"
                found.append(Problem(page.path, claim.line, message))
    return found
