"""After an edit the served folder holds what a whole build would write, and no more is written."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dlkb.book.publish.ledger import write_ledger
from dlkb.book.publish.search_index import TEXTS, TITLES
from dlkb.book.read.book import read_book
from dlkb.book.serve.incremental import Site
from dlkb.book.serve.serving import _Bell
from tests.book.conftest import HELD, Book
from tests.book.hold.test_peers import MODULE, TABLE
from tests.book.read.test_references import BIB

ROOT = Path(__file__).parents[3]
URL = "http://127.0.0.1:8000/dlkb/"
NAV = """\
nav:
  - Home: index.md
  - optimizers/toy.md
  - Claims: claims.md
  - Errata: errata.md

"""
FORMULA = '''\
"""Squares."""


def double(x: float) -> float:
    """Double a number."""
    return 2 * x
'''
VARIANTS = ("light", "dark", "narrow-light", "narrow-dark")
SVG = '<svg viewBox="0 0 {width} 60" width="{width}pt"></svg>'


def test_the_files_are_looked_at_when_one_changed_and_not_all_the_time(tmp_path):
    page = tmp_path / "docs" / "optimizers" / "toy.md"
    page.parent.mkdir(parents=True)
    page.write_text("Text.\n")
    (tmp_path / "dlkb").mkdir()
    bell = _Bell(tmp_path)
    assert bell.wait(0), "the first look"
    assert not bell.wait(0.3)
    for change in (
        lambda: page.write_text("Other.\n"),
        lambda: page.with_name("new.md").write_text("New.\n"),
        lambda: page.rename(page.with_name("renamed.md")),
        lambda: (tmp_path / "mkdocs.yml").write_text("site_name: x\n"),
        page.with_name("renamed.md").unlink,
    ):
        change()
        assert bell.wait(10)
        while bell.wait(0.3):  # one change is reported in parts
            pass
    page.with_name("new.md").read_text()
    assert not bell.wait(0.3), "who reads changes nothing"


@pytest.fixture
def book(tmp_path, monkeypatch) -> Book:
    """A small book with the real configuration, a formula and a figure."""
    shutil.copytree(ROOT / "overrides", tmp_path / "overrides")
    shutil.copytree(ROOT / "scripts" / "inventories", tmp_path / "scripts" / "inventories")
    found = Book(tmp_path)
    config = (ROOT / "mkdocs.yml").read_text()
    (tmp_path / "mkdocs.yml").write_text(re.sub(r"nav:\n.*?\n\n", NAV, config, count=1, flags=re.S))
    figure = "![A line that rises from left to right.](../assets/figures/optimizers/toy/line.svg)"
    api = "## In code\n\n::: dlkb.optimizers.toy\n\n"
    other = re.compile(r"^!\[.*\)$", re.M)
    found.page.write_text(other.sub(figure, HELD).replace("## In code\n", api))
    (tmp_path / "docs" / "index.md").write_text("# Home\n\nSee [toy](optimizers/toy.md).\n")
    (tmp_path / "docs" / "errata.md").write_text("# Errata\n")
    for ending in ("ipynb", "py", "md.txt"):  # a page that mkdocs warns of is not kept
        download = tmp_path / "docs" / "downloads" / "optimizers" / f"toy.{ending}"
        download.parent.mkdir(parents=True, exist_ok=True)
        download.write_text("")
    shutil.copytree(ROOT / "docs" / "assets" / "fonts", tmp_path / "docs" / "assets" / "fonts")
    for name in ("logo.svg", "favicon.svg", "site.css", "print.css", "copy.js", "explore.js"):
        shutil.copy(ROOT / "docs" / "assets" / name, tmp_path / "docs" / "assets" / name)
    script = tmp_path / "scripts" / "figures" / "optimizers" / "toy.py"
    script.parent.mkdir(parents=True)
    script.write_text(
        "import matplotlib.pyplot as plt\nfrom matplotlib.figure import Figure\n\n\n"
        "def line() -> Figure:\n    figure, ax = plt.subplots()\n    ax.plot([0, 1])\n"
        "    return figure\n\n\ndef line_says() -> dict[str, bool]:\n    x = [0, 1]\n"
        "    return {'rises from left to right': x[1] > x[0]}\n"
    )
    draw(tmp_path, width=80)
    formula = tmp_path / "dlkb" / "optimizers" / "toy.py"
    formula.parent.mkdir(parents=True)
    formula.write_text(FORMULA)
    for folder in (tmp_path / "dlkb", formula.parent):
        (folder / "__init__.py").write_text("")
    write_ledger(tmp_path, read_book(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_MKDOCS_2_WARNING", "1")
    return found


def draw(root: Path, width: int) -> None:
    for variant in VARIANTS:
        path = root / f"docs/assets/figures/optimizers/toy/line-{variant}.svg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(SVG.format(width=width))


@pytest.fixture
def site(book) -> Iterator[Site]:
    found = Site(book.root, URL)
    try:
        assert found.update() == SHOWN
        assert found.update() == NOTHING
        yield found
    finally:
        found.close()


def files(folder: Path) -> dict[str, bytes]:
    """Return all that is served, by path."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def assert_as_if_built_now(site: Site) -> None:
    """Compare with a whole build from what is kept of pages, and with one from nothing."""
    for nothing_kept in (False, True):
        if nothing_kept:
            shutil.rmtree(site.root / ".cache")
        with contextlib.closing(Site(site.root, URL)) as whole:
            assert whole.update() == SHOWN
            assert files(site.folder) == files(whole.folder)


def written_by(site: Site) -> set[str]:
    """Return the paths that an update writes."""
    before = {path: path.stat().st_mtime_ns for path in site.folder.rglob("*.*")}
    folder = site.folder
    assert site.update() == SHOWN
    assert site.folder == folder, "the whole site was built"
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*.*")
        if path.stat().st_mtime_ns != before.get(path)
    }


def text(site: Site, name: str) -> str:
    return (site.folder / name).read_text()


TOY = "optimizers/toy/index.html"
SHOWN = (True, [])
NOTHING = (False, [])
ALWAYS = {TITLES, TEXTS, "assets/_mkdocstrings.css", "objects.inv"}


def test_a_sentence_changes_its_page_and_its_part_of_the_index(site, book):
    before = text(site, TITLES)
    book.edit("\nSee $", "\nA quetzal. See $")
    assert written_by(site) - ALWAYS == {TOY}
    assert "quetzal" in text(site, TOY)
    assert text(site, TITLES) == before
    assert text(site, TEXTS).count("A quetzal.") == 1
    assert_as_if_built_now(site)


def test_a_second_edit_and_a_new_heading(site, book):
    book.edit("## In practice", "## A quetzal\n\nFlies.\n\n## In practice")
    assert written_by(site) - ALWAYS == {TOY}
    book.edit("Flies.", "Sings.")
    assert written_by(site) - ALWAYS == {TOY}
    assert "Sings" in text(site, TOY)
    assert "Flies" not in text(site, TEXTS)
    assert_as_if_built_now(site)


def test_a_formula_changes_the_reference(site, book):
    formula = book.root / "dlkb" / "optimizers" / "toy.py"
    formula.write_text(FORMULA.replace("Double a number", "Add a number to itself"))
    assert written_by(site) - ALWAYS == {TOY}
    assert "Add a number to itself" in text(site, TOY)
    assert site.unchecked
    formula.write_text(FORMULA.replace("double", "twice"))  # others may link to it
    assert site.update() == SHOWN
    assert "dlkb.optimizers.toy.twice" in text(site, TOY)
    assert_as_if_built_now(site)


def test_a_formula_that_is_imported_changes_the_reference(site, book):
    other = book.root / "dlkb" / "optimizers" / "other.py"
    other.write_text("A = 1\n")
    formula = book.root / "dlkb" / "optimizers" / "toy.py"
    formula.write_text(
        FORMULA.replace("\n\n\ndef", "\n\nfrom dlkb.optimizers import other\n\n\ndef")
    )
    assert written_by(site) - ALWAYS == {TOY}
    other.write_text("A = 2\n")
    assert written_by(site) - ALWAYS == {TOY}


def test_a_figure_is_copied_and_measured(site, book):
    assert 'width="107"' in text(site, TOY)
    draw(book.root, width=160)
    site.unchecked = False
    folder = "assets/figures/optimizers/toy"
    assert written_by(site) - ALWAYS == {f"{folder}/line-{name}.svg" for name in VARIANTS} | {TOY}
    assert 'width="213"' in text(site, TOY)
    assert not site.unchecked, "what we write ourselves needs no check"
    assert_as_if_built_now(site)


def test_the_ledger_follows(site, book):
    book.edit("/// refuted | The square of two is five.", "/// refuted | Two squared is five.")
    assert written_by(site) - ALWAYS == {TOY}
    assert written_by(site) - ALWAYS == {"claims/index.html", "claims.json"}
    assert "Two squared is five." in text(site, "claims/index.html")
    assert_as_if_built_now(site)


@pytest.mark.parametrize(
    ("old", "new"),
    [("title: Toy\n", "title: A quetzal\n"), ("# Toy\n", "# Toy\n\nText.\n")],
)
def test_a_title_shows_on_all_pages(site, book, old, new):
    book.page.write_text(book.page.read_text().replace(old, new, 1))
    assert site.update() == SHOWN
    assert ("A quetzal" in text(site, "index.html")) == ("quetzal" in new)
    assert_as_if_built_now(site)


def test_a_source_shows_on_the_pages_that_cite_it(site, book):
    bibliography = book.root / "docs/references.bib"
    bibliography.write_text(BIB, encoding="utf-8")
    book.edit("No.\n", "No ([@may1976]; [@kingma2015]; [@reddi2018b]; [@team2020]).\n")
    assert site.update() == SHOWN
    bibliography.write_text(BIB.replace("{May, Robert M.}", "{Mai, R.}"), encoding="utf-8")
    shown, problems = site.update()
    assert (shown, len(problems)) == (False, 1)
    assert "references.bib:22: key 'may1976': write mai1976" in problems[0]
    bibliography.write_text(BIB.replace("title = {Maps}", "title = {Charts}"), encoding="utf-8")
    assert site.update() == SHOWN
    assert "<em>Charts.</em>" in text(site, TOY)
    assert_as_if_built_now(site)


def test_versions_of_libraries_follow(site, book):
    module = book.root / "scripts/peers/optimizers/toy.py"
    module.parent.mkdir(parents=True)
    module.write_text(MODULE)
    pins = book.root / "constraints.txt"
    pins.write_text("keras==1.0\ntorch==2.0\n")
    book.edit("```bash\nmake serve", f"{TABLE.replace('[@may1976]', '6')}\n```bash\nmake serve")
    assert site.update() == SHOWN
    assert "Run with torch 2.0, keras 1.0." in text(site, TOY)
    pins.write_text("keras==1.1\ntorch==2.0\n")
    assert site.update() == SHOWN
    assert "Run with torch 2.0, keras 1.1." in text(site, TOY)
    module.write_text(MODULE.replace('"torch", "keras"', '"keras", "torch"'))
    assert site.update() == SHOWN
    assert "Run with keras 1.1, torch 2.0." in text(site, TOY)
    assert_as_if_built_now(site)


def test_a_new_page_and_one_less(site, book):
    page = book.root / "docs" / "new.md"
    page.write_text("# New\n\nA quetzal.\n")
    config = book.root / "mkdocs.yml"
    before = config.read_text()
    config.write_text(before.replace("Home: index.md", "Home: index.md\n  - New: new.md"))
    assert site.update() == SHOWN
    assert "New" in text(site, TOY)
    assert "quetzal" in text(site, TEXTS)
    page.unlink()
    config.write_text(before)
    assert site.update() == SHOWN
    assert not (site.folder / "new").exists()
    assert_as_if_built_now(site)


def test_a_broken_rule_is_reported_and_the_last_good_state_stays(site, book):
    good = files(site.folder)
    book.edit("## Exercises", "## Tasks\n\nA quetzal.")
    shown, problems = site.update()
    assert not shown
    assert [problem.rpartition("/")[2] for problem in problems] == [
        "toy.md:1: the page lacks the part 'Exercises'"
    ]
    assert files(site.folder) == good
    assert site.update() == NOTHING, "reported once"
    (book.root / "docs" / "index.md").write_text("# Home\n\nA motmot.\n")
    assert site.update() == (True, problems)
    assert "motmot" in text(site, "index.html")
    assert "quetzal" not in text(site, TOY)
    book.edit("## Tasks", "## Exercises")
    assert site.update() == SHOWN
    assert "quetzal" in text(site, TOY)
    assert_as_if_built_now(site)


@pytest.mark.parametrize("name", ["dlkb/optimizers/toy.py", "mkdocs.yml"])
def test_what_cannot_be_read_leaves_the_last_good_state(site, book, name):
    good = files(site.folder)
    path = book.root / name
    before = path.read_text()
    path.write_text("nav: [def (")
    with pytest.raises((Exception, SystemExit)):
        site.update()
    assert files(site.folder) == good
    path.write_text(before)
    site.update()
    assert files(site.folder) == good


def test_a_page_that_cannot_be_read_is_reported(site, book):
    good = files(site.folder)
    book.edit("## References", "```python\n")
    shown, problems = site.update()
    assert not shown
    assert problems[0].endswith("this fence is not closed")
    assert files(site.folder) == good


def test_drafts_are_no_edits(site, book):
    (book.root / "dlkb" / "__pycache__").mkdir()
    for name in ("docs/.toy.md.swp", "docs/toy.md~", "dlkb/__pycache__/x.pyc"):
        (book.root / name).write_text("draft")
    assert site.update() == NOTHING


def test_a_card_follows_an_edit_of_its_topic(book):
    place = '<div data-generated="cards" markdown="1"></div>'
    (book.page.parent / "index.md").write_text(f"# Optimizers\n\n{place}\n")
    nav = (book.root / "mkdocs.yml").read_text()
    listed = nav.replace("  - optimizers/toy.md", "  - optimizers/index.md\n  - optimizers/toy.md")
    (book.root / "mkdocs.yml").write_text(listed)
    with contextlib.closing(Site(book.root, URL)) as site:
        assert site.update() == SHOWN
        assert "1 refuted" in text(site, "optimizers/index.html")
        before = book.page.read_text()
        book.edit("/// refuted |", "/// imprecise |")
        assert site.update()[0] is False, "the card says what the page shows"
        assert site.update() == NOTHING
        book.edit("as_stated=square(2) == 5)\n'refuted'", "mended=square(2) == 4)\n'imprecise'")
        assert written_by(site) - ALWAYS == {TOY}, "the edited page comes first"
        assert "1 refuted" in text(site, "optimizers/index.html")
        assert site.behind
        assert written_by(site) - ALWAYS == {"claims/index.html", "claims.json"}
        assert written_by(site) - ALWAYS == {"optimizers/index.html"}
        assert "1 imprecise" in text(site, "optimizers/index.html")
        assert site.update() == NOTHING
        assert_as_if_built_now(site)
        book.page.write_text(before)
        while site.update()[0]:
            pass
        assert "1 refuted" in text(site, "optimizers/index.html")


def wait_for(happens: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not happens():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def test_serve_shows_an_edit_reloads_browsers_and_runs_the_page(book):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    base = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "dlkb.book", "serve", "--address", f"127.0.0.1:{port}"]
    terminal = book.root / "terminal"
    # The toy package must not hide the engine.
    environment = {**os.environ, "PYTHONSAFEPATH": "1", "COLUMNS": "300"}

    def get(path: str) -> str:
        try:
            with urllib.request.urlopen(base + path, timeout=60) as answer:
                return answer.read().decode()
        except (urllib.error.URLError, ConnectionError):
            assert server.poll() is None, terminal.read_text()
            return ""

    with terminal.open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        try:
            wait_for(lambda: "See" in get("/dlkb/optimizers/toy/"), "no answer")
            epoch = int(re.search(r"livereload\((\d+),", get("/dlkb/optimizers/toy/"))[1])
            book.edit("return x * x\n", "return x * x * x  # quetzal\n")
            assert int(get(f"/livereload/{epoch}/1")) > epoch
            assert "quetzal" in get("/dlkb/optimizers/toy/")
            wait_for(lambda: "+8" in terminal.read_text(), "the page has not run")
            wait_for(lambda: 'role="alert"' in get("/dlkb/optimizers/toy/"), "it is not marked")
            assert 'role="alert"' not in get("/dlkb/"), "another page is"
            book.edit("return x * x * x  # quetzal\n", "return x * x\n")
            wait_for(lambda: "agree with what they print" in terminal.read_text(), "not mended")
        finally:
            server.send_signal(signal.SIGTERM)
            assert server.wait(10) == 0
