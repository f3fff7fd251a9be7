import nbformat
import pytest
from nbclient import NotebookClient

from dlkb.book.export import to_notebook, to_script
from dlkb.book.pages import PageError, read_book

FIGURE = "![A wave that rises and falls.](../assets/figures/optimizers/toy/wave.svg)\n\n"


def page(book):
    return read_book(book.root)[0]


def notebook(book):
    return nbformat.reads(to_notebook(page(book), book.root), as_version=4)


def test_notebook_holds_prose_math_and_code(book):
    cells = notebook(book).cells
    prose = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    assert "# Toy" in prose
    assert r"$$ x^2 \tag{1} $$" in prose
    assert "See (1)." in prose
    assert "**Refuted**: The square of two is five." in prose
    assert "make serve" in prose
    for gone in ("///", "attrs:", "label", "description:", "```output"):
        assert gone not in prose
    code = [cell.source for cell in cells if cell.cell_type == "code"]
    assert code[1:3] == ["square(3)", "1 / 3"]
    assert all(">>>" not in source for source in code)


def test_notebook_runs(book):
    executed = NotebookClient(notebook(book), timeout=60, kernel_name="python3").execute()
    shown = [
        output["data"]["text/plain"]
        for cell in executed.cells
        for output in cell.get("outputs", [])
        if output["output_type"] == "execute_result"
    ]
    assert shown == ["9", "0.3333333333333333", "False"]


def test_figure_is_embedded(book):
    book.edit("## Derivation", FIGURE + "## Derivation")
    with pytest.raises(PageError, match="not drawn yet: run `dlkb figures`"):
        to_notebook(page(book), book.root)
    drawn = book.root / "docs" / "assets" / "figures" / "optimizers" / "toy" / "wave-light.svg"
    drawn.parent.mkdir(parents=True)
    drawn.write_text("<svg/>")
    prose = "\n".join(cell.source for cell in notebook(book).cells)
    assert "![A wave that rises and falls.](data:image/svg+xml;base64,PHN2Zy8+)" in prose


def test_script_names_its_figures(book):
    book.edit("## Derivation", FIGURE + "## Derivation")
    assert "# Figure: A wave that rises and falls." in to_script(page(book), book.root)


def test_notebook_is_the_same_every_time(book):
    assert to_notebook(page(book), book.root) == to_notebook(page(book), book.root)
