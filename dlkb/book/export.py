"""Turn a page into a notebook or a script that runs without the site."""

import base64
import doctest
import re
import textwrap
from pathlib import Path

import nbformat

from dlkb.book import math
from dlkb.book.pages import VERDICTS, Fence, Page, PageError
from dlkb.book.run import Session

_FENCE_OPEN = re.compile(r"^( *)(`{3,}|~{3,}) *\{? *\.?([\w+-]*)")
_IMAGE = re.compile(r"!\[([^\]]*)\]\((?:\.\./)*(assets/figures/[\w/]+)\.svg\)")
_BLOCK = re.compile(r"^ */{3,} *([a-z][\w-]*) *(?:\| *(.*?))? *$")
_BLOCK_END = re.compile(r"^ */{3,} *$")
_API = re.compile(r"^::: +([\w.]+)$")


def cells_of(fence: Fence) -> list[tuple[str, bool]]:
    """Return a fence's code without prompts and outputs, in cells, and whether each raises.

    A notebook shows only the last value of a cell: every value that the page shows ends one.
    """
    if fence.language == "python":
        return [(fence.code.rstrip("\n"), False)]
    cells = []
    source = ""
    for example in doctest.DocTestParser().get_examples(fence.code):
        source += example.source
        raises = example.exc_msg is not None
        if raises or (example.want and _is_expression(example.source)):
            cells.append((source.rstrip("\n"), raises))
            source = ""
    return [*cells, (source.rstrip("\n"), False)] if source else cells


def require_running(page: Page) -> None:
    """Run the page.

    Raises:
        PageError: Naming the first fence that fails: what does not run is not exported.
    """
    session = Session(page)
    for fence in page.runnable:
        outcome = session.outcomes_through(fence)
        if outcome.error:
            raise PageError(
                f"{page.path}:{outcome.line}: not exported, the fence under "
                f"'{fence.heading}' fails\n{outcome.error}"
            )


def _prose(lines: list[str], root: Path, labels: dict[str, int]) -> str:
    """Translate what only the site understands: blocks, labels, API directives, figures."""
    rows = []
    in_options = False
    for line in lines:
        if _BLOCK_END.match(line):
            continue
        if started := _BLOCK.match(line):
            name, title = started.groups()
            word = f"**{name.capitalize()}**" if name in VERDICTS else "**Note**"
            if name in ("details", "note", "tip") or name in VERDICTS:
                rows.append(f"{word}: {title}" if name in VERDICTS else f"**{title}**")
            in_options = True
            continue
        if in_options and line.startswith("    "):
            continue
        in_options = False
        if directive := _API.match(line):
            line = f"`{directive[1]}`"
        line = re.sub(r"\\label\{(eq:[\w-]+)\}", lambda m: rf"\tag{{{labels[m[1]]}}}", line)
        line = re.sub(r"\$\\eqref\{(eq:[\w-]+)\}\$", lambda m: f"({labels[m[1]]})", line)
        rows.append(_IMAGE.sub(lambda m: _embed(m, root), line))
    return "\n".join(rows).strip("\n")


def _embed(image: re.Match[str], root: Path) -> str:
    path = root / "docs" / f"{image[2]}-light.svg"
    if not path.is_file():
        raise PageError(f"{path} is not drawn yet: run `dlkb figures` first")
    data = base64.b64encode(path.read_bytes()).decode()
    return f"![{image[1]}](data:image/svg+xml;base64,{data})"


def _labels(page: Page) -> dict[str, int]:
    labels = [found.label for found in math.equations(page.text) if found.label]
    return {label: number for number, label in enumerate(labels, start=1)}


def _parts(page: Page) -> list[str | Fence]:
    """Split the page into runs of prose lines and runnable fences."""
    at = {fence.line: fence for fence in page.runnable}
    lines = page.text.split("\n")
    parts: list[str | Fence] = []
    prose: list[str] = []
    index = 0
    while index < len(lines):
        number = page.first_line + index
        opened = _FENCE_OPEN.match(lines[index])
        if not opened:
            prose.append(lines[index])
            index += 1
            continue
        end = index + 1
        while not re.match(rf"^ *{opened[2]} *$", lines[end]):
            end += 1
        if fence := at.get(number + 1):
            parts += ["\n".join(prose), fence]
            prose = []
        elif opened[3] != "output":
            prose += lines[index : end + 1]
        index = end + 1
    return [*parts, "\n".join(prose)]


def to_notebook(page: Page, root: Path) -> str:
    """Return the page as a notebook: prose, math, figures embedded, code ready to run.

    Raises:
        PageError: If a fence of the page fails.
    """
    require_running(page)
    labels = _labels(page)
    cells = []
    for part in _parts(page):
        if isinstance(part, Fence):
            for source, raises in cells_of(part):
                cells.append(nbformat.v4.new_code_cell(source))
                if raises:  # shown on purpose: execution goes on
                    cells[-1].metadata["tags"] = ["raises-exception"]
        elif text := _prose(part.split("\n"), root, labels):
            cells.append(nbformat.v4.new_markdown_cell(text))
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {
        "display_name": "Python 3",
        "language": "python",
        "name": "python3",
    }
    notebook.metadata["language_info"] = {"name": "python"}
    nbformat.validate(notebook)
    return str(nbformat.writes(notebook)) + "\n"


def _script_lines(fence: Fence) -> str:
    """Return a fence as a script prints it: a shown value becomes a print."""
    if fence.language == "python":
        return fence.code.rstrip("\n")
    rows = []
    for example in doctest.DocTestParser().get_examples(fence.code):
        source = example.source.rstrip("\n")
        if example.exc_msg is not None:
            body = textwrap.indent(source, "    ")
            kind = example.exc_msg.partition(":")[0].strip()
            rows.append(
                f"try:\n{body}\nexcept Exception as error:  # {kind}\n    print(repr(error))"
            )
        elif example.want and _is_expression(source):
            rows.append(f"if (value := (\n{source}\n)) is not None:\n    print(repr(value))")
        else:
            rows.append(source)
    return "\n".join(rows)


def _is_expression(source: str) -> bool:
    try:
        compile(source, "<example>", "eval")
    except SyntaxError:
        return False
    return True


def to_script(page: Page, root: Path) -> str:
    """Return the page as a Python script: prose as comments, shown values printed.

    Raises:
        PageError: If a fence of the page fails.
    """
    require_running(page)
    labels = _labels(page)
    rows = []
    for part in _parts(page):
        if isinstance(part, Fence):
            rows.append(_script_lines(part))
        else:
            lines = [_IMAGE.sub(r"Figure: \1", line) for line in part.split("\n")]
            text = _prose(lines, root, labels)
            if text:
                rows.append("\n".join(f"# {line}".rstrip() for line in text.split("\n")))
    return "\n\n".join(rows) + "\n"
