"""The same pages as others run them: notebooks, mkdocs-jupyter, markdown-exec.

Left out: Jupyter Book. Release 1 needs markdown-it-py below 3 and cannot be installed beside
the pinned versions; release 2 builds with Node and a site theme that it fetches from the network.
"""

import doctest
import json
import re
from pathlib import Path

import nbformat
import yaml

from dlkb.book.publish.export import Prose, parts, script_lines
from dlkb.book.read.book import read_book
from dlkb.book.read.parts import Fence, Page

NBCLIENT = "from nbclient.cli import main; main()"
"""What the command `jupyter execute` is: one notebook after the other, each in a fresh kernel."""

_CELL_OUTPUT = re.compile("jp-OutputArea-child")
_TEXT_OUTPUT = re.compile(r"<pre><span></span><code>\s*[^<\s][^<]*</code></pre>")
"""A block without a coloured word is printed text, not code."""


EVERY = 4
"""One topic in so many is executed by the peers, for whom all would take an hour."""


def topics(book: Path) -> list[Page]:
    """Return the pages of topics."""
    return [page for page in read_book(book) if page.is_topic]


def sample(book: Path) -> list[Page]:
    """Return one topic in four, from all over the book: what the peers execute."""
    return topics(book)[EVERY // 2 :: EVERY]


def write_site(folder: Path, plugin: dict[str, dict[str, bool]]) -> Path:
    """Write the configuration and the home page of a plain site with one plugin."""
    (folder / "docs").mkdir(parents=True)
    (folder / "docs" / "index.md").write_text("# Home\n")
    config = {
        "site_name": "Peer",
        "theme": {"name": "material", "font": False},
        "plugins": ["search", plugin],
        "markdown_extensions": ["tables", "pymdownx.highlight", "pymdownx.superfences"],
    }
    (folder / "mkdocs.yml").write_text(yaml.safe_dump(config))
    return folder


def write_notebooks(book: Path, pages: list[Page], folder: Path) -> None:
    """Write the exported notebook of each page, without outputs."""
    for page in pages:
        notebook = nbformat.read(exported(book, page.stem), as_version=4)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        path = folder / f"{page.stem}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, path)


def exported(book: Path, stem: str) -> Path:
    """Return the notebook that `dlkb prepare` has exported."""
    return book / "docs" / "downloads" / f"{stem}.ipynb"


def write_executable(book: Path, pages: list[Page], folder: Path) -> None:
    """Write each page in markdown-exec's terms: the fences in order, in one session a page."""
    for page in pages:
        prose = Prose(page, book)
        session = page.stem.replace("/", "_")
        options = f'exec="on" source="above" result="text" session="{session}"'
        pieces = [
            f"````python {options}\n{script_lines(part)}\n````"
            if isinstance(part, Fence)
            else prose.text(part)
            for part in parts(page)
        ]
        path = folder / f"{page.stem}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n\n".join(pieces))


def edit_notebook(path: Path, word: str) -> None:
    """Append a word to the notebook's last cell of prose."""
    notebook = json.loads(path.read_text())
    last = [cell for cell in notebook["cells"] if cell["cell_type"] == "markdown"][-1]
    last["source"] = "".join(last["source"]) + f"\n\n{word}\n"
    path.write_text(json.dumps(notebook, indent=1))


def edit_page(path: Path, word: str) -> None:
    """Write a word into a page, in place of the one before, where its budget leaves room for one.

    It stands before the last part, which is generated.
    """
    before, last = path.read_text().rsplit("\n## ", 1)
    before = re.sub(r"\n\w*\d\n\Z", "", before)
    path.write_text(f"{before}\n{word}\n\n## {last}")


def has_output(notebook: Path) -> list[bool]:
    """Return for each cell of code whether it has output."""
    cells = nbformat.read(notebook, as_version=4).cells
    return [bool(cell.outputs) for cell in cells if cell.cell_type == "code"]


def shows_output(fence: Fence) -> bool:
    """Return whether the page shows something that a fence prints."""
    if fence.language == "python":
        return bool(fence.shown)
    return any(e.want for e in doctest.DocTestParser().get_examples(fence.code))


def check_notebooks(book: Path, pages: list[Page], folder: Path) -> None:
    """Refuse executed notebooks that lack output where the page shows some."""
    for page in pages:
        wanted = has_output(exported(book, page.stem))
        got = has_output(folder / f"{page.stem}.ipynb")
        if any(want and not have for want, have in zip(wanted, got, strict=True)):
            raise RuntimeError(f"{folder / page.stem}.ipynb has not been run")


def check_site(folder: Path, page: Page, mark: re.Pattern[str], count: int) -> None:
    """Refuse a page of a built site that shows fewer outputs than ours."""
    html = (folder / "site" / page.stem / "index.html").read_text()
    found = len(mark.findall(html))
    if found < count:
        raise RuntimeError(f"{folder}: {page.stem} has {found} outputs, not {count}")


def check_jupyter_site(book: Path, pages: list[Page], folder: Path) -> None:
    """Refuse a site of mkdocs-jupyter that lacks outputs."""
    for page in pages:
        count = sum(has_output(exported(book, page.stem)))
        check_site(folder, page, _CELL_OUTPUT, count)


def check_executable_site(pages: list[Page], folder: Path) -> None:
    """Refuse a site of markdown-exec that lacks outputs."""
    for page in pages:
        check_site(folder, page, _TEXT_OUTPUT, sum(map(shows_output, page.runnable)))
