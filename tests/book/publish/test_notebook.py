"""The notebook of every page holds the code that ran; executed, it prints what it holds."""

import ast
import doctest
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from dlkb.book.publish.downloads import OUTPUT
from dlkb.book.publish.notebook import OWN_LOOP
from dlkb.book.publish.site import prepare
from dlkb.book.read.book import read_book
from dlkb.book.run.compare import difference, same_output

ROOT = Path(__file__).parents[3]
TOPICS = [page for page in read_book(ROOT) if page.is_topic]
# One with errors, values and print-outs; one that awaits.
EXECUTED = ("linear_algebra/symmetric_matrices", "systems/asyncio")


@pytest.fixture(scope="module", autouse=True)
def _written():
    prepare(ROOT)


def text_of(outputs):
    """Return printed and shown text, and errors without their traceback."""
    found = ""
    for output in outputs:
        if output["output_type"] == "error":
            found += f"{output['ename'].rsplit('.', 1)[-1]}: {output['evalue']}\n"
        elif output["output_type"] == "stream":
            assert output["name"] == "stdout", output["text"]
            found += output["text"]
        else:
            found += output["data"]["text/plain"] + "\n"
    return found


def squeezed(text):
    """Drop what pretty-printers differ in: space after an opening or before a closing bracket."""
    for bracket in "([{":
        text = " ".join(text.split()).replace(f"{bracket} ", bracket)
    return text


def statements(sources):
    """Return each statement of the sources, however it is laid out, in an order of its own."""
    return sorted(ast.dump(node) for source in sources for node in ast.parse(source).body)


@pytest.mark.parametrize("page", TOPICS, ids=lambda page: page.stem)
def test_notebook_holds_the_code_that_ran_on_the_page(page):
    cells = nbformat.read(ROOT / OUTPUT / f"{page.stem}.ipynb", as_version=4).cells
    code = [cell.source for cell in cells if cell.cell_type == "code" and cell.source != OWN_LOOP]
    install = [source for source in code if "%pip install" in source]
    assert install == code[:1]
    ran = []
    for fence in page.runnable:
        session = doctest.DocTestParser().get_examples(fence.code)
        ran += [example.source for example in session] if session else [fence.code]
    assert statements(code[1:]) == statements(ran)


# All notebooks are made in one way, and hold what ran on their page: a kernel runs some of them.
@pytest.mark.parametrize(
    "page",
    [page for page in TOPICS if page.stem in EXECUTED],
    ids=lambda page: page.stem,
)
def test_notebook_runs_and_prints_what_it_holds(page, tmp_path):
    path = ROOT / OUTPUT / f"{page.stem}.ipynb"
    held = nbformat.read(path, as_version=4)
    fresh = nbformat.read(path, as_version=4)
    for cell in fresh.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    client = NotebookClient(
        fresh, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    shown = 0
    for before, after in zip(held.cells, fresh.cells, strict=True):
        if before.cell_type == "code":
            want, got = squeezed(text_of(before.outputs)), squeezed(text_of(after.outputs))
            assert same_output(want, got), f"{before.source}\n{difference(want, got)}"
            shown += bool(want)
    assert shown >= sum(fence.shown is not None for fence in page.runnable)
    assert shown > 0


@pytest.mark.parametrize("page", TOPICS, ids=lambda page: page.stem)
def test_notebook_holds_prose_math_and_figures(page):
    cells = nbformat.read(ROOT / OUTPUT / f"{page.stem}.ipynb", as_version=4).cells
    prose = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    assert f"# {page.title}\n" in prose
    assert prose.count("data:image/svg+xml") == len(page.images)
    assert r"\label" not in prose
    assert r"\eqref" not in prose
    assert "](../" not in prose
    for claim in page.claims:
        assert claim.statement in prose
        assert claim.id.upper() in prose
    for heading in page.headings:
        assert heading.text in prose
