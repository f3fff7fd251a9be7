"""A page is rendered when something changed that it may show, and read from what is kept else.

That what is kept is what a whole build would write, `tests/book/serve/test_serving.py` compares.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mkdocs.structure.pages import Page
from mkdocstrings_handlers.python import PythonHandler

from dlkb.book.publish.rendered import CACHE, _packages
from dlkb.book.publish.site import build_pages
from tests.book.conftest import HELD, Book

ROOT = Path(__file__).parents[3]
NAV = "nav:\n  - index.md\n  - glossary.md\n  - optimizers/index.md\n  - optimizers/toy.md\n\n"
FIGURE = "![A line that rises from left to right.](../assets/figures/optimizers/toy/line.svg)"
CARDS = '<div data-generated="cards" markdown="1"></div>'


@pytest.fixture
def book(tmp_path) -> Book:
    found = Book(tmp_path)
    config = (ROOT / "mkdocs.yml").read_text()
    (tmp_path / "mkdocs.yml").write_text(re.sub(r"nav:\n.*?\n\n", NAV, config, count=1, flags=re.S))
    shutil.copytree(ROOT / "overrides", tmp_path / "overrides")
    shutil.copytree(ROOT / "scripts/inventories", tmp_path / "scripts/inventories")
    shutil.copytree(ROOT / "docs/assets/fonts", tmp_path / "docs/assets/fonts")
    for path in (ROOT / "docs/assets").glob("*.*"):
        shutil.copy(path, tmp_path / "docs/assets" / path.name)
    for variant in ("light", "dark", "narrow-light", "narrow-dark"):
        svg = tmp_path / f"docs/assets/figures/optimizers/toy/line-{variant}.svg"
        svg.parent.mkdir(parents=True, exist_ok=True)
        svg.write_text('<svg viewBox="0 0 80 60" width="80pt"></svg>')
    text = re.sub(r"^!\[.*\)$", FIGURE, HELD, flags=re.M)
    found.page.write_text(text.replace("## In code\n", "## In code\n\n::: dlkb.toy\n\n"))
    for ending in ("ipynb", "py", "md.txt"):
        download = tmp_path / f"docs/downloads/optimizers/toy.{ending}"
        download.parent.mkdir(parents=True, exist_ok=True)
        download.write_text("")
    (tmp_path / "docs/index.md").write_text("# Home\n\nSee [toy](optimizers/toy.md#the-idea).\n")
    (tmp_path / "docs/glossary.md").write_text("# Glossary\n")
    (tmp_path / "docs/optimizers/index.md").write_text(f"# Optimizers\n\n{CARDS}\n")
    (tmp_path / "dlkb").mkdir()
    (tmp_path / "dlkb/__init__.py").write_text("")
    (tmp_path / "dlkb/toy.py").write_text('"""Squares."""\n\nfrom dlkb import far\n')
    (tmp_path / "dlkb/far.py").write_text("A = 1\n")
    (tmp_path / "dlkb/other.py").write_text("A = 1\n")
    return found


@pytest.fixture
def rendered(book, monkeypatch):
    """Build the pages; return the exit status, and which of them were rendered."""
    real = Page.render
    seen = []

    def render(page, config, files):
        seen.append(page.file.src_uri.removesuffix(".md"))
        real(page, config, files)

    monkeypatch.setattr(Page, "render", render)

    def build():
        seen.clear()
        status = build_pages(book.root, book.root / "site")
        return status, sorted(seen)

    return build


ALL = ["glossary", "index", "optimizers/index", "optimizers/toy"]
LEADS = "optimizers/index"
"""Rendered after any change: it shows counts of its topics."""


def test_a_page_is_rendered_again_where_something_changed(book, rendered):
    assert rendered() == (0, ALL)
    assert rendered() == (0, [])
    for path, text, again in [
        ("docs/optimizers/toy.md", book.page.read_text() + "\nMore.\n", [LEADS, "optimizers/toy"]),
        ("docs/index.md", "# Home\n\nOther.\n", ["index", LEADS]),
        ("dlkb/toy.py", '"""Cubes."""\n\nfrom dlkb import far\n', ["optimizers/toy"]),
        ("dlkb/far.py", "A = 2\n", ["optimizers/toy"]),
        ("dlkb/other.py", "A = 2\n", []),
        ("docs/references.bib", "@misc{x2020,\n  title = {X},\n}\n", ALL),
        ("docs/glossary.md", "# Glossary\n\nWords.\n", ALL),
        ("mkdocs.yml", (book.root / "mkdocs.yml").read_text() + "\n# more\n", None),
        (
            "docs/assets/figures/optimizers/toy/line-dark.svg",
            '<svg viewBox="0 0 80 60" width="160pt"></svg>',
            ["optimizers/toy"],
        ),
    ]:
        (book.root / path).write_text(text)
        status, seen = rendered()
        assert again is None or seen == again, path
        assert again is not None or set(seen) >= set(ALL), path
        assert rendered()[1] == [] or status, path


def test_a_template_shows_as_it_is_now(book, rendered):
    rendered()
    template = book.root / "overrides/main.html"
    header = "{% block header %}\n"
    template.write_text(template.read_text().replace(header, f"{header}<i>quetzal</i>"))
    rendered()
    assert "<i>quetzal</i>" in (book.root / "site/index.html").read_text()


def test_what_a_process_has_on_its_path_is_none_of_the_pages(tmp_path, monkeypatch):
    found = tmp_path / "apart/apart-1.0.dist-info/METADATA"
    found.parent.mkdir(parents=True)
    found.write_text("Metadata-Version: 2.1\nName: apart\nVersion: 1.0\n")
    before = _packages.__wrapped__()
    monkeypatch.syspath_prepend(tmp_path / "apart")
    assert _packages.__wrapped__() == before
    assert any(re.fullmatch(r"mkdocs [\d.]+", package) for package in before)


def test_a_title_shows_elsewhere(book, rendered):
    rendered()
    book.page.write_text(book.page.read_text().replace("title: Toy\n", "title: A quetzal\n", 1))
    assert rendered() == (0, ALL)


def test_the_value_of_a_bound_number_shows(book, rendered):
    from dlkb.book.publish.held_markup import write_values
    from dlkb.book.read.pages import read_page

    book.page.write_text(book.page.read_text().replace("See $", "Nine, 9.0<!--= square(3) -->. $"))
    rendered()
    page = read_page(book.page, book.root / "docs")
    write_values(book.root, page, {"square(3)": "9.00"})
    assert rendered() == (0, ["optimizers/toy"])
    assert "square(3) = 9.00" in (book.root / "site/optimizers/toy/index.html").read_text()


def test_a_warning_ends_each_build(book, rendered, capfd):
    (book.root / "docs/index.md").write_text("# Home\n\nSee [toy](optimizers/none.md).\n")
    for _ in range(2):
        status, seen = rendered()
        assert status == 1
        assert "index" in seen, "what was warned of is not kept"
        assert "Aborted with 1 warnings in strict mode" in capfd.readouterr().err
    assert not (book.root / CACHE / "index.md.json").exists()


def test_an_anchor_that_is_gone_is_missed_by_a_page_that_is_kept(book, rendered):
    assert rendered() == (0, ALL)
    book.page.write_text(book.page.read_text().replace("## The idea", "## The ideas"))
    status, seen = rendered()
    assert (status, "index" in seen) == (1, False)


def test_what_is_kept_and_broken_is_rendered_again(book, rendered):
    rendered()
    (book.root / CACHE / "index.md.json").write_text("{")
    assert rendered() == (0, ["index"])


def test_docstrings_are_kept_while_the_text_is_edited(book, rendered, monkeypatch):
    collected = []
    real = PythonHandler.collect

    def collect(handler, name, options):
        collected.append(name)
        return real(handler, name, options)

    monkeypatch.setattr(PythonHandler, "collect", collect)
    square = '"""Squares."""\n\n\ndef square(x):\n    """Return x squared."""\n    return x * x\n'
    (book.root / "dlkb/toy.py").write_text(square)
    exported = 'from dlkb.toy import square\n\n__all__ = ["square"]\n'
    (book.root / "dlkb/other.py").write_text(exported)
    (book.root / "docs/index.md").write_text("# Home\n\nSee [toy][dlkb.other.square], an alias.\n")
    built = [book.root / "site" / name for name in ("optimizers/toy/index.html", "index.html")]
    assert rendered() == (0, ALL)
    assert collected == ["dlkb.toy"]
    assert "optimizers/toy/#dlkb.toy.square" in built[1].read_text()

    book.page.write_text(book.page.read_text() + "\nMore.\n")
    (book.root / "docs/index.md").write_text("# Home\n\nSee [toy][dlkb.other.square].\n")
    assert rendered() == (0, ["index", LEADS, "optimizers/toy"])
    assert collected == ["dlkb.toy"]
    kept = [path.read_text() for path in built]
    inventory = (book.root / "site/objects.inv").read_bytes()
    shutil.rmtree(book.root / CACHE)
    assert rendered() == (0, ALL)
    assert kept == [path.read_text() for path in built]
    assert inventory == (book.root / "site/objects.inv").read_bytes()

    collected.clear()
    (book.root / "dlkb/toy.py").write_text(square.replace("Return x squared", "Multiply x by x"))
    assert rendered() == (0, ["optimizers/toy"])
    assert collected == ["dlkb.toy"]
    assert "Multiply x by x" in built[0].read_text()


_READS = """
import os
import sys
from pathlib import Path

root = Path.cwd()
opened = set()


def hook(event, given):
    if event == "open" and isinstance(given[0], str | Path):
        path = Path(given[0]).absolute()
        if path.is_relative_to(root) and ".venv" not in path.parts and path.suffix != ".pyc":
            opened.add(path.relative_to(root).as_posix())


{imports}
for stem in sys.argv[1:]:
    if os.fork():  # what one page has read, the next reads again
        assert os.wait()[1] == 0
        continue
    {setup}
    sys.addaudithook(hook)
    {key}
    known = set(opened)
    opened.clear()
    {work}
    print(*(f"{{stem}} {{name}}" for name in sorted(opened - known)), sep="\\n", flush=True)
    os._exit(0)
"""
_RULES = {
    "imports": """
from dlkb.book.hold.check import page_problems, rules_key
from dlkb.book.read.pages import read_page
""",
    "setup": 'page = read_page(root / "docs" / f"{stem}.md", root / "docs")',
    "key": "rules_key(root, page)",
    "work": "page_problems(root, page)",
}
_RENDERING = {
    "imports": """
from mkdocs.commands.build import _populate_page
from mkdocs.config import load_config
from mkdocs.structure.files import get_files
from mkdocs.structure.nav import get_navigation
from mkdocs.structure.pages import Page
from dlkb.book.publish import rendered

config = load_config("mkdocs.yml")
plugin = config.plugins["dlkb-rendered"] = rendered.Rendered()
config = config.plugins.on_config(config)
files = get_files(config)
files.add_files_from_theme(config.theme.get_env(), config)
get_navigation(files, config)
""",
    "setup": """
    page = files.get_file_from_path(f"{stem}.md").page
    page.read_source(config)
    config.plugins["autorefs"].current_page = page
""",
    "key": "plugin.on_files(files, config=config); rendered._key(root, page, plugin.house)",
    "work": "Page.render(page, config, files)",
}


@pytest.mark.parametrize("parts", [_RULES, _RENDERING], ids=["rules", "rendering"])
def test_all_that_is_read_is_in_the_key(parts):
    """Of pages of this book: what opens a file that the key did not open shows in its output."""
    stems = ["optimizers/adam", "optimizers/index", "symptoms", "index"]
    ran = subprocess.run(
        [sys.executable, "-c", _READS.format(**parts), *stems],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        env={"NO_MKDOCS_2_WARNING": "1", "PATH": "", "PYTHONPATH": str(ROOT)},
    )
    read = [line.split(" ") for line in ran.stdout.split("\n") if line]
    # griffe reads the whole package, and shows the modules that the page names and what they
    # import; Jinja2 compares what was compiled with its template
    held = ("dlkb/", ".cache/templates/")
    files = [(stem, name) for stem, name in read if (ROOT / name).is_file()]
    assert [(stem, name) for stem, name in files if not name.startswith(held)] == []
    if parts is _RENDERING:
        assert {stem for stem, _ in files} >= {"optimizers/adam"}, "it tells what is read"
