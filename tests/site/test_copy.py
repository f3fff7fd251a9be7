"""Copy means run: what the copy buttons give is the code that ran when the page was verified.

Typed line by line at an interactive prompt, a session (`pycon`) falls into the same statements. One
page runs as well, as do the examples of docstrings: in a clean process, without network.
"""

import ast
import code
import json
import re
import subprocess
import sys
from functools import cache
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from dlkb.book.read.code import examples
from dlkb.book.run.compare import difference, same_output
from tests.site.conftest import window
from tests.site.test_site import PAGES, SHOWN, address

CHILD = Path(__file__).with_name("prompt.py")
FENCE = ":is(.language-python.highlight, .language-pycon.highlight):not(.doc *)"
EXAMPLE = ".doc .language-pycon.highlight"
# That the HTML of every page shows the code that ran is held while building (publish/built.py);
# what the buttons make of it is the template's: seen on the front pages and on three topics.
FENCES = {
    address(page.stem): page.runnable
    for page in PAGES
    if page.runnable and (page.stem in SHOWN or not page.is_topic)
}
RUN = address("gradients/iterated_maps")


def installed_with(requirement: str) -> set[str]:
    """Return the distributions that `pip install requirement` brings."""
    waiting, found = [Requirement(requirement)], set()
    while waiting:
        wanted = waiting.pop()
        key = (canonicalize_name(wanted.name), frozenset(wanted.extras))
        if key in found:
            continue
        found.add(key)
        for text in distribution(wanted.name).requires or []:
            needed = Requirement(text)
            extras = {*wanted.extras, ""}
            if not needed.marker or any(needed.marker.evaluate({"extra": e}) for e in extras):
                waiting.append(needed)
    return {name for name, _ in found}


def absent() -> list[str]:
    """Return the modules that are here only because the tests need them."""
    present = installed_with("dlkb[docs]")
    return [
        module
        for module, names in packages_distributions().items()
        if not present & {canonicalize_name(name) for name in names}
    ]


# Presses every copy button in the page, which a mouse would take minutes for. What it writes is
# taken on the way to the clipboard; test_site.py looks at the clipboard itself.
COPIED = """(blocks) => {
  let text = ""
  navigator.clipboard.writeText = async (written) => { text = written }
  return [...document.querySelectorAll(blocks)].map((block) => {
    text = ""
    block.querySelector("button.copy").click()
    const code = [...block.querySelectorAll("code")].at(-1).textContent
    // What folds long code keeps its output in sight, behind it.
    const next = (block.closest("details.code") ?? block).nextElementSibling
    const output = next?.matches("[class*=output]") && next.querySelector("code").textContent
    return [block.matches(".language-pycon"), text, code, output || ""]
  })
}"""


def copied(here, blocks: str) -> list[dict[str, str]]:
    """Return what every copy button gives, and what the page shows for it."""
    found = []
    for session, text, seen, output in here.page.evaluate(COPIED, blocks):
        shown = shown_by(seen) if session else output
        found.append({"kind": "session" if session else "cell", "text": text, "shown": shown})
    return found


def shown_by(session: str) -> str:
    """Return what a session shows between its prompts."""
    return "".join(bare(e.exc_msg) if e.exc_msg else e.want for e in examples(session))


def bare(message: str) -> str:
    """Drop the module before an exception's name, which not every console shows."""
    return re.sub(r"^[\w.]*\.(?=\w+(:|$))", "", message)


@pytest.fixture(scope="module")
def take(browser, site):
    """Return a function that copies all fences of a page, and all examples, in one visit."""

    @cache
    def take(path: str) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
        with window(browser, site) as here:
            here.draw(path)
            here.page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
            return copied(here, FENCE), copied(here, EXAMPLE)

    return take


@pytest.fixture(scope="module")
def reader():
    """Start the Python of a reader who has installed dlkb and its docs extra."""
    with subprocess.Popen(
        [sys.executable, "-I", str(CHILD)],
        env={"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MPLBACKEND": "agg"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        process.stdin.write(json.dumps(absent()) + "\n")
        yield process


def printed(reader, blocks: list[dict[str, str]], folder: Path) -> list[str]:
    """Run copied blocks in one clean process; return what each prints."""
    reader.stdin.write(json.dumps({"folder": str(folder), "blocks": blocks}) + "\n")
    reader.stdin.flush()
    got = json.loads(reader.stdout.readline())
    assert got is not None, "it died, see the captured stderr"
    return got


class Typed(code.InteractiveConsole):
    """A prompt that runs nothing, and notes what it would run."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[str] = []

    def runsource(self, source, filename="<input>", symbol="single") -> bool:
        """Note a whole statement, no comment; say of the beginning of one that more is wanted."""
        waits = super().runsource(source, filename, symbol)
        if not waits and ast.parse(source).body:
            self.taken.append(source.rstrip("\n") + "\n")
        return waits

    def runcode(self, code) -> None:
        """Run nothing."""


@pytest.mark.parametrize("path", FENCES)
def test_every_fence_copied_is_the_code_that_ran(take, path):
    blocks, _ = take(path)
    for block, fence in zip(blocks, FENCES[path], strict=True):
        if block["kind"] == "cell":
            assert block["text"] == fence.code.rstrip() + "\n"
            assert block["shown"].rstrip() == (fence.shown or "").rstrip()
            continue
        prompt = Typed()
        waits = [prompt.push(line) for line in [*block["text"].split("\n"), ""]][-1]
        assert not waits
        assert prompt.taken == [example.source for example in examples(fence.code)]
        assert block["shown"] == shown_by(fence.code)


def test_the_fences_of_a_page_copied_run_and_print_what_it_shows(take, reader, tmp_path):
    blocks, _ = take(RUN)
    assert any(block["shown"] for block in blocks)
    for block, got in zip(blocks, printed(reader, blocks, tmp_path), strict=True):
        assert same_output(block["shown"], got), (
            f"{block['text']}\n{difference(block['shown'], got)}"
        )


@pytest.mark.parametrize("path", [address(stem) for stem in SHOWN])
def test_every_example_of_a_docstring_copied_runs(take, reader, tmp_path, path):
    _, blocks = take(path)
    alone = [{**block, "kind": "example"} for block in blocks]
    for block, got in zip(alone, printed(reader, alone, tmp_path) if alone else [], strict=True):
        assert "import" in block["text"].split("\n")[0]
        assert same_output(block["shown"], got), (
            f"{block['text']}\n{difference(block['shown'], got)}"
        )


def test_the_network_is_blocked_and_only_dlkb_is_installed(reader, tmp_path):
    text = 'import socket\nsocket.create_connection(("127.0.0.1", 80))\nimport pytest\n'
    [got] = printed(reader, [{"kind": "session", "text": text}], tmp_path)
    assert got == (
        "RuntimeError: the network is blocked: socket.getaddrinfo\n"
        "ModuleNotFoundError: No module named 'pytest'\n"
    )


def test_a_block_that_fails_or_prints_something_else_is_seen(reader, tmp_path):
    session = {"kind": "session", "text": "1 + 1\ndef f():\n    return 3\n\nf()\nif True:\n"}
    cell = {"kind": "cell", "text": "print(f())\n2\n1 / 0\n"}
    got = printed(reader, [session, cell], tmp_path)
    assert got[0].startswith("2\n3\n")
    assert got[1] == "3\nZeroDivisionError: division by zero\n"


def test_each_run_starts_clean_and_one_that_dies_fails_alone(reader, tmp_path):
    before = {"kind": "session", "text": "import torch, os\ntorch.mark = left = 1\n"}
    after = {"kind": "session", "text": "left\nimport torch\ntorch.mark\n"}
    assert printed(reader, [before], tmp_path) == [""]
    with pytest.raises(AssertionError, match="it died"):
        printed(reader, [{"kind": "session", "text": "import os\nos.abort()\n"}], tmp_path)
    [got] = printed(reader, [after], tmp_path)
    assert "name 'left' is not defined" in got
    assert "module 'torch' has no attribute 'mark'" in got
