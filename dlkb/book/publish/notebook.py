"""A page as a notebook: prose, math, figures, code, and the outputs that the page shows."""

import doctest
import subprocess
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from dlkb.book.hold.verify import Ran
from dlkb.book.publish.export import Prose, is_expression, parts
from dlkb.book.publish.solutions import apart
from dlkb.book.read.code import examples
from dlkb.book.read.freshness import imports_of
from dlkb.book.read.parts import Fence, Page

_SETUP = """\
# Where something is not installed, as on Colab, this installs it.
import importlib.util

if any(importlib.util.find_spec(name) is None for name in {modules}):
    %pip install --quiet "dlkb[torch] @ git+{repository}{commit}"{packages}
"""
OWN_LOOP = """\
# Jupyter runs an event loop, beside which asyncio.run starts no other: cells do not see it.
import asyncio

_loop = asyncio.get_running_loop()
_events = get_ipython().events
_events.register("pre_run_cell", lambda _: asyncio._set_running_loop(None))
_events.register("post_run_cell", lambda _: asyncio._set_running_loop(_loop))"""
PACKAGES = {
    "sklearn": "scikit-learn",
    "sympy": "sympy",
    "scipy": "scipy",
    "matplotlib": "matplotlib",
    "lightgbm": "lightgbm",
    "xgboost": "xgboost",
}
"""What pages import and `dlkb[torch]` does not bring."""


def _setup(page: Page, root: Path, repository: str) -> str:
    """Return the code that installs what the page imports, as of the commit it was built from."""
    found = imports_of(page) & PACKAGES.keys()
    return _SETUP.format(
        modules=sorted({"dlkb", *found}),
        repository=repository,
        commit=commit_of(root),
        packages="".join(f" {PACKAGES[name]}" for name in sorted(found)),
    ).rstrip("\n")


def commit_of(root: Path) -> str:
    """Return `@` and the checked-out commit, nothing outside of a clone."""
    if not (root / ".git").exists():  # a folder around the book may be another clone
        return ""
    command = ["git", "-C", str(root), "rev-parse", "HEAD"]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return f"@{asked.stdout.strip()}" if asked.returncode == 0 else ""


# nbformat's own functions check each cell and output by itself, which takes most of the time: the
# whole notebook is checked.


def _stream(text: str) -> NotebookNode:
    return NotebookNode(output_type="stream", name="stdout", text=text)


def _code(source: str, outputs: list[NotebookNode]) -> NotebookNode:
    return NotebookNode(cell_type="code", metadata=NotebookNode(), source=source, outputs=outputs)


def _markdown(source: str) -> NotebookNode:
    return NotebookNode(cell_type="markdown", metadata=NotebookNode(), source=source)


def _shown(example: doctest.Example, is_value: bool) -> NotebookNode | None:
    """Return what the page shows for an example, as the notebook would have it."""
    if example.exc_msg is not None:
        kind, _, message = example.exc_msg.strip().partition(": ")
        trace = [example.exc_msg.strip()]
        return NotebookNode(output_type="error", ename=kind, evalue=message, traceback=trace)
    text = example.want.replace("<BLANKLINE>", "")
    if not text:
        return None
    if is_value:
        data = {"text/plain": text.rstrip("\n")}
        return NotebookNode(output_type="execute_result", metadata=NotebookNode(), data=data)
    return _stream(text)


def _cells(fence: Fence, whole: Ran) -> list[NotebookNode]:
    """Return a fence's code without prompts, in cells that hold their outputs.

    A notebook shows only the last value of a cell: every value that the page shows ends one.
    """
    if fence.language == "python":
        outputs = [_stream(fence.shown)] if fence.shown else []
        return [_code(fence.code.rstrip("\n"), outputs)]
    cells = []
    source, outputs = "", []
    prompts = examples(fence.code)
    for example in prompts:
        source += example.source
        if shown := _shown(example, fence.line + example.lineno in whole.displayed):
            outputs.append(shown)
        raises = example.exc_msg is not None
        ends = raises or (example.want and is_expression(example.source))
        if ends or example is prompts[-1]:
            cells.append(_code(source.rstrip("\n"), outputs))
            if raises:  # shown on purpose: execution goes on
                cells[-1].metadata["tags"] = ["raises-exception"]
            source, outputs = "", []
    return cells


def _section(page: Page, prose: Prose, whole: Ran) -> list[NotebookNode]:
    cells = []
    for part in parts(page):
        if isinstance(part, Fence):
            cells += _cells(part, whole)
        elif text := prose.text(part):
            cells.append(_markdown(text))
    return cells


def to_notebook(whole: Ran, root: Path) -> str:
    """Return a page that has run as a notebook: what prepares first, solutions last."""
    prose = Prose(whole.page, root)
    body, solutions = apart(whole.page)
    cells = [_code(_setup(whole.page, root, prose.addresses.repository), [])]
    if "asyncio" in imports_of(whole.page):
        cells.append(_code(OWN_LOOP, []))
    cells += _section(body, prose, whole)
    if solved := _section(solutions, prose, whole):
        cells += [_markdown("## Solutions"), *solved]
    count = 0
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
        if cell.cell_type == "code":
            count += 1
            cell["execution_count"] = count
            for output in cell["outputs"]:
                if output["output_type"] == "execute_result":
                    output["execution_count"] = count
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {
        "display_name": "Python 3",
        "language": "python",
        "name": "python3",
    }
    notebook.metadata["language_info"] = {"name": "python"}
    nbformat.validate(notebook)
    return str(nbformat.v4.writes(notebook)) + "\n"
