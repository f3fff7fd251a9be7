"""Tables about libraries: what a page says of them is compared with what they do.

`<!--peers: which_convention-->` stands on the line before a table. Beside the page,
`scripts/peers/<stem>.py` has a function of that name, which runs the libraries and returns the
table's rows, and `LIBRARIES`, the packages whose versions the page shows. Only `run` imports them.
"""

import ast
import atexit
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from itertools import pairwise
from pathlib import Path

from dlkb.book.read.parts import Page, PageError

FOLDER = Path("scripts/peers")
ENVIRONMENT = {"KERAS_BACKEND": "torch", "OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}

MARKER = re.compile(r"^ *<!--peers: *(?P<name>\w+) *-->\s*$")
_ROW = re.compile(r"^ *\|.*\| *$")
_SEEN = re.compile(r"\]\([^)\s]+#L\d+[^)\s]*\)|\[@")  # a line of a source that was read, a paper
_ABOUT = re.compile(
    r"\b(?:torch|PyTorch|Keras|keras|optax|MLX|mlx|peft|flax|Flax|JAX|jax|TensorFlow|Transformers"
    r"|transformers|torchvision|sklearn|scikit-learn)\b"
)

Rows = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Table:
    """A table of a page: its marker's name, and line and cells of each row below the head."""

    name: str | None
    line: int
    rows: tuple[tuple[int, tuple[str, ...]], ...]


def _cells(row: str) -> tuple[str, ...]:
    """Split a row at the bars that are neither escaped nor in code or math."""
    marked = re.sub(r"\\.|`[^`]*`|\$[^$]*\$", lambda m: "x" * len(m[0]), row.strip())
    bars = [place for place, mark in enumerate(marked) if mark == "|"]
    row = row.strip()
    return tuple(" ".join(row[a + 1 : b].split()) for a, b in pairwise(bars))


def tables(page: Page) -> list[Table]:
    """Return the tables of a page; those in fences are none."""
    lines = page.text.split("\n")
    fenced = {
        number
        for fence in page.fences
        for number in range(fence.line, fence.line + fence.code.count("\n"))
    }
    found = []
    index = 0
    while index < len(lines):
        if not _ROW.match(lines[index]) or page.first_line + index in fenced:
            index += 1
            continue
        start = index
        while index < len(lines) and _ROW.match(lines[index]):
            index += 1
        marker = MARKER.match(lines[start - 1]) if start else None
        rows = tuple(
            (page.first_line + number, _cells(lines[number])) for number in range(start + 2, index)
        )
        found.append(Table(marker["name"] if marker else None, page.first_line + start, rows))
    return found


def functions(root: Path, stem: str) -> list[str]:
    """Return the names of the functions of a topic's module, none if there is no module."""
    return [
        node.name
        for node in _statements(root, stem)
        if isinstance(node, ast.FunctionDef)
        and not node.name.startswith("_")
        and node.returns is not None
        and ast.unparse(node.returns) == "dict[str, tuple[str, ...]]"
    ]


def _statements(root: Path, stem: str) -> list[ast.stmt]:
    path = root / FOLDER / f"{stem}.py"
    return ast.parse(path.read_bytes()).body if path.is_file() else []


def libraries(root: Path, stem: str) -> list[str]:
    """Return `LIBRARIES` of a topic's module, read without importing it.

    Raises:
        PageError: If the module does not name them as a tuple of strings.
    """
    for node in _statements(root, stem):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "LIBRARIES":
            return [str(name) for name in ast.literal_eval(node.value)]
    raise PageError(
        f'{root / FOLDER / stem}.py: write LIBRARIES = ("torch", …), whose versions show'
    )


def versions(root: Path, stem: str) -> str:
    """Say with which versions a topic's table was run, from constraints.txt.

    Raises:
        PageError: If one is not pinned there.
    """
    text = (root / "constraints.txt").read_text(encoding="utf-8")
    pinned = dict(re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE))
    wanted = libraries(root, stem)
    if missing := [name for name in wanted if name not in pinned]:
        raise PageError(f"{root / 'constraints.txt'}: pin {', '.join(missing)}, of {stem}'s table")
    return f"Run with {', '.join(f'{name} {pinned[name]}' for name in wanted)}."


def peers_problems(root: Path, page: Page) -> list[tuple[int, str]]:
    """Return line and message of what breaks a rule of tables, without running a library."""
    found = []
    module = FOLDER / f"{page.stem}.py"
    known = functions(root, page.stem)
    marked = [table for table in tables(page) if table.name]
    for table in marked:
        if table.name not in known:
            near = get_close_matches(str(table.name), known, n=1)
            hint = (
                f", did you mean {near[0]}?"
                if near
                else ": write it, -> dict[str, tuple[str, ...]]"
            )
            found.append((table.line, f"{module} has no function '{table.name}'{hint}"))
    if marked and known:
        try:
            versions(root, page.stem)
        except PageError as error:
            found.append((marked[0].line, str(error)))
    for number, line in enumerate(page.text.split("\n"), start=page.first_line):
        if MARKER.match(line) and number + 1 not in [table.line for table in marked]:
            found.append((number, "no table stands on the line after this marker"))
    if page.is_topic:
        for table in tables(page):
            about = [line for line, cells in table.rows if cells and _ABOUT.search(cells[0])]
            if about and not table.name:
                message = "a table about libraries is executed: write <!--peers: name--> before it"
                found.append((about[0], message))
    return found


@cache
def _server(pid: int) -> "subprocess.Popen[str]":
    """Start the process that imports libraries once; it ends when the process `pid`, ours, does."""
    command = [sys.executable, str(Path(__file__).with_name("peers_server.py"))]
    pipe = subprocess.PIPE
    env = {**os.environ, **ENVIRONMENT, "PYTHONSAFEPATH": "1"}
    server = subprocess.Popen(command, env=env, stdin=pipe, stdout=pipe, text=True)
    atexit.register(_stop, server)
    return server


def _stop(server: "subprocess.Popen[str]") -> None:
    server.communicate()


def third_party(root: Path, stem: str) -> list[str]:
    """Return the third-party modules that a topic's module imports at its top."""
    return [
        name
        for node in _statements(root, stem)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module]
        )
        if name and name.partition(".")[0] not in ("dlkb", FOLDER.parts[0])
    ]


def run(root: Path, stem: str) -> dict[str, Rows]:
    """Run a topic's module in a process of its own and return the rows of each function.

    Raises:
        PageError: If it fails.
    """
    module = ".".join([*FOLDER.parts, *stem.split("/")])
    request = [str(root.resolve()), module, functions(root, stem), third_party(root, stem)]
    server = _server(os.getpid())  # a fork of ours has its own
    assert server.stdin
    assert server.stdout
    print(json.dumps(request), file=server.stdin, flush=True)
    if not (line := server.stdout.readline()):
        _server.cache_clear()
        raise PageError(f"{root / FOLDER / stem}.py: an import ended the process")
    status, answer = json.loads(line)
    if status:
        raise PageError(f"{root / FOLDER / stem}.py fails:\n{answer}")
    return {
        name: {row: tuple(cells) for row, cells in table.items()}
        for name, table in json.loads(answer).items()
    }


def compare(table: Table, rows: Rows) -> list[tuple[int, str]]:
    """Return line and message where a table differs from what the libraries do."""
    found = []
    wanted = {" ".join(name.split()): list(cells) for name, cells in rows.items()}
    for line, (name, *cells) in table.rows:
        if name in wanted:
            returned = [" ".join(cell.split()) for cell in wanted.pop(name)]
            if cells != returned:
                found.append((line, f"the libraries say: | {' | '.join([name, *returned])} |"))
        elif not _SEEN.search(" ".join([name, *cells])):
            found.append(
                (line, f"'{name}' is not run: return it, or link to the line that was read (#L…)")
            )
    for name, cells in wanted.items():
        found.append((table.line, f"a row is missing: | {' | '.join([name, *cells])} |"))
    return found


def run_and_compare(root: Path, page: Page) -> tuple[dict[str, Rows], list[tuple[int, str]]]:
    """Run the libraries of a page's tables.

    Returns:
        The rows of each function, and line and message where the page differs from them: each
        function has its table.
    """
    returned = run(root, page.stem)
    marked = {str(table.name): table for table in tables(page) if table.name}
    found = [
        problem
        for name, table in marked.items()
        for problem in compare(table, returned.get(name, {}))
    ]
    found += [
        (page.first_line, f"no table for '{name}': write <!--peers: {name}--> before it")
        for name in returned
        if name not in marked
    ]
    return returned, found
