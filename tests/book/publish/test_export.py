import base64
import contextlib
import io

import nbformat
import pytest
from nbclient import NotebookClient

from dlkb.book.publish.export import to_markdown, to_script
from dlkb.book.publish.notebook import OWN_LOOP, to_notebook
from dlkb.book.read.book import read_book
from dlkb.book.read.parts import PageError
from tests.book.conftest import whole
from tests.book.read.test_references import BIB

FIGURE = "![A wave that rises and falls.](../assets/figures/optimizers/toy/wave.svg)\n\n"


def session(book):
    return whole(read_book(book.root)[0])


def notebook(book):
    return nbformat.reads(to_notebook(session(book), book.root), as_version=4)


def test_notebook_holds_prose_math_and_code(book):
    cells = notebook(book).cells
    prose = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    assert "# Toy" in prose
    assert r"$$ x^2 \tag{1} $$" in prose
    assert "See (1)." in prose
    claim = (
        "([C-001](https://example.org/toy/optimizers/toy/#c-001), notes 001, lines 16–18, checked)"
    )
    assert f"**Refuted**: *The square of two is five.* {claim}" in prose
    assert "make serve" in prose
    for gone in ("///", "attrs:", "label", "description:", "```output"):
        assert gone not in prose
    code = [cell.source for cell in cells if cell.cell_type == "code"]
    assert "dlkb[torch] @ git+https://example.org/toy-repository" in code[0]
    assert cells[0].source == code[0], "what installs comes first"
    assert code[2:4] == ["square(3)", "1 / 3"]
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


def test_notebook_holds_what_the_page_shows(book):
    outputs = [output for cell in notebook(book).cells for output in cell.get("outputs", [])]
    kinds = [output["output_type"] for output in outputs]
    assert kinds == ["execute_result", "execute_result", "stream", "execute_result", "error"]
    assert outputs[0]["data"] == {"text/plain": "9"}
    assert outputs[2]["text"] == "4\n"
    assert outputs[4]["ename"] == "TypeError"


def test_links_lead_to_the_site(book):
    book.edit(
        "See $",
        "[a](../x/y.md#z) [b](#derivation) [c](index.md) [d](https://e.org/f.md)\n\nSee $",
    )
    prose = "\n".join(cell.source for cell in notebook(book).cells)
    site = "https://example.org/toy"
    assert (
        f"[a]({site}/x/y/#z) [b]({site}/optimizers/toy/#derivation) [c]({site}/optimizers/) "
        "[d](https://e.org/f.md)"
    ) in prose


def test_solutions_stand_at_the_end(book):
    book.edit(
        "## Exercises\n",
        "## Exercises\n\n**1.** What?\n\n/// details | Solution\n    open: true\n\n"
        "All.\n\n```pycon\n>>> square(4)\n16\n```\n///\n",
    )
    last = notebook(book).cells[-4:]
    assert "**1.** What?" in last[0].source
    assert last[0].source.endswith("## References")
    assert [cell.source.split() for cell in last[1:]] == [
        ["##", "Solutions"],
        ["**Solution", "of", "exercise", "1**", "All."],
        ["square(4)"],
    ]
    script = to_script(session(book), book.root)
    assert script.index("# All.") < script.index("square(4)") < script.index("# ## References")


def test_without_solutions_there_is_no_such_heading(book):
    assert all("## Solutions" not in cell.source for cell in notebook(book).cells)


def test_figure_is_embedded(book):
    book.edit("## Derivation", FIGURE + "## Derivation")
    with pytest.raises(PageError, match="not drawn yet: run `dlkb figures`"):
        to_notebook(session(book), book.root)
    drawn = book.root / "docs" / "assets" / "figures" / "optimizers" / "toy" / "wave-light.svg"
    drawn.parent.mkdir(parents=True)
    drawn.write_text("<svg />")
    prose = "\n".join(cell.source for cell in notebook(book).cells)
    data = base64.b64encode(b'<svg style="background:#fff" />').decode()
    assert f"![A wave that rises and falls.](data:image/svg+xml;base64,{data})" in prose


def test_script_names_its_figures(book):
    book.edit("## Derivation", FIGURE + "## Derivation")
    assert "# Figure: A wave that rises and falls." in to_script(session(book), book.root)


def test_notebook_is_the_same_every_time(book):
    assert to_notebook(session(book), book.root) == to_notebook(session(book), book.root)


def test_the_first_cell_installs_what_the_page_imports_as_of_its_commit(book, monkeypatch):
    from dlkb.book.publish import notebook as module

    first = next(cell for cell in notebook(book).cells if cell.cell_type == "code").source
    assert "for name in ['dlkb'])" in first
    assert '"dlkb[torch] @ git+https://example.org/toy-repository"' in first, "no clone, no commit"
    monkeypatch.setattr(module, "commit_of", lambda root: "@0123abc")
    book.edit(">>> square(3)", ">>> import sympy, math, torch\n>>> square(3)")
    first = next(cell for cell in notebook(book).cells if cell.cell_type == "code").source
    assert "for name in ['dlkb', 'sympy'])" in first
    assert first.endswith('"dlkb[torch] @ git+https://example.org/toy-repository@0123abc" sympy')


def printed(script):
    """Return what a script prints."""
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        exec(compile(script, "script", "exec"), {"__name__": "script"})
    return shown.getvalue().splitlines()


def test_script_prints_what_the_page_shows(book):
    book.edit(">>> square(3)\n9\n", ">>> square(3)\n9\n>>> y = square(1)\n>>> None\n")
    assert printed(to_script(session(book), book.root)) == [
        "9",
        "0.3333333333333333",
        "4",
        "False",
        """TypeError("can't multiply sequence by non-int of type 'str'")""",
    ]


def test_a_tuple_with_a_star_is_a_value(book):
    book.edit(">>> square(3)\n9\n", ">>> 9, *[square(3)]\n(9, 9)\n")
    assert printed(to_script(session(book), book.root))[0] == "(9, 9)"
    assert "9, *[square(3)]" in [cell.source for cell in notebook(book).cells]


def test_a_value_that_is_none_is_not_printed(book):
    book.edit(">>> square(3)\n9\n", ">>> print(square(3))\n9\n")
    assert printed(to_script(session(book), book.root))[0] == "9"
    assert "None" not in printed(to_script(session(book), book.root))


def test_script_has_sources_and_no_comments(book):
    (book.root / "docs/references.bib").write_text(BIB, encoding="utf-8")
    book.edit("No.\n", "No: 9<!--= square(3) -->, as [@kingma2015] says.\n")
    script = to_script(session(book), book.root)
    assert "# No: 9, as [Kingma and Ba (2015)](" in script
    assert "<!--" not in script
    assert "[@" not in script


def test_cells_and_their_outputs_are_numbered(book):
    book.edit(">>> square(3)\n9\n", ">>> square(3)\n9\n>>> print('a\\n\\nb')\na\n<BLANKLINE>\nb\n")
    cells = [cell for cell in notebook(book).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert "%pip install" in cells[0].source
    values = [(cell, output) for cell in cells for output in cell.outputs]
    for cell, output in values:
        if output["output_type"] == "execute_result":
            assert output["execution_count"] == cell.execution_count
    shown = [output["text"] for _, output in values if output["output_type"] == "stream"]
    assert shown == ["a\n\nb\n", "4\n"]


def test_a_value_that_is_shown_ends_its_cell_and_an_error_does_not_end_the_notebook(book):
    cells = [cell for cell in notebook(book).cells if cell.cell_type == "code"]
    assert [cell.source for cell in cells if "square(" in cell.source][1:] == [
        "square(3)",
        "print(square(2))",
        "square(2) == 5",
        'square("a")',
    ]
    assert cells[-1].metadata["tags"] == ["raises-exception"]


def test_a_page_that_starts_an_event_loop_hides_that_of_jupyter(book):
    assert OWN_LOOP not in [cell.source for cell in notebook(book).cells]
    book.edit(">>> square(3)", ">>> import asyncio\n>>> square(3)")
    assert notebook(book).cells[1].source == OWN_LOOP


TIE = """\
/// tied | `dlkb.toy.square(x)`
    attrs: {data-equation: "eq:square", data-where: "0 < x < 1"}
///

See $"""


def test_markdown_needs_no_site(book):
    (book.root / "docs/references.bib").write_text(BIB, encoding="utf-8")
    book.edit("No.\n", "No: 9<!--= square(3) -->, as [@kingma2015] says. [a](../x.md#y)\n")
    book.edit("See $", TIE)
    book.edit("## Derivation", f"{FIGURE}/// figure-caption\nUp.\n///\n\n## Derivation")
    book.edit("## In code\n", "## In code\n\n::: dlkb.toy\n    options:\n      x: 1\n")
    module = book.root / "dlkb" / "toy.py"
    module.parent.mkdir()
    module.write_text('def square(x):\n    """Square it."""\n')
    page = read_book(book.root)[0]
    text = to_markdown(page, book.root)
    assert text.startswith("---\ntitle: Toy\ndescription: A page for tests.\n---\n\n# Toy\n")
    for shown in (
        r"$$ x^2 \tag{1} $$",
        "Tested against `dlkb.toy.square(x)`.\n\nSee (1).",
        "```pycon\n>>> square(3)\n9\n>>> 1 / 3\n0.333\n```",
        "```output\n4\n```",
        "No: 9, as [Kingma and Ba (2015)](",
        "[a](https://example.org/toy/x/#y)",
        "(https://example.org/toy/assets/figures/optimizers/toy/wave-light.svg)\n\nUp.\n",
        "````text\nsquare(x)\n\nSquare it.\n````",
        "```bash\nmake serve\n```",
    ):
        assert shown in text, shown
    for gone in ("///", "attrs:", "options:", "<!--", "[@", ":::", r"\label", r"\eqref", "](../"):
        assert gone not in text, gone
