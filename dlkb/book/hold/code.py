"""Code that looks as if it had run: each block that a reader takes for Python runs, or says no.

Readers do not see whether a block is fenced, indented or quoted. What looks like Python and is not
collected breaks a rule, except in a `text` fence, which the site marks as not run.
"""

import ast
import re
import textwrap
from collections.abc import Iterator

from dlkb.book.hold.names import pieces
from dlkb.book.read.code import tree_of
from dlkb.book.read.parts import Fence, Page
from dlkb.book.run.compare import ASKS

_OTHERS = (
    "bash console css diff html ini js json latex make sh shell svg tex text toml xml yaml".split()
)
"""Languages in which `a = b` is no Python."""

_STRONG = re.compile(
    r"^\s*(?:>>> |from [\w.]+ import \w|import [\w.]+(?: as \w+)?\s*(?:#.*)?$|@\w[\w.]*\s*$"
    r"|(?:async )?def \w+\(|class \w+(?:\(.*\))?:|(?:for|while|with|if) .+:\s*(?:#.*)?$)",
    re.MULTILINE,
)
_QUOTATION = re.compile(r"^ *(?:>(?!>>) ?)+")
_OPENING = re.compile(r" *(`{3,}|~{3,}) *\{? *\.?([\w+-]*)")
_STATEMENTS = (
    *(ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef),
    *(ast.Assign, ast.AugAssign, ast.For, ast.While, ast.With, ast.Assert, ast.Raise),
)
_ENDS = ("exit", "quit", "sys.exit", "os._exit", "os.abort", "os.kill", "os.execv")
_ASKS_THE_READER = ("input", "breakpoint")

_RUN_IT = (
    "name its fence `python` or `pycon`, outside of quotations and other fences; "
    "if it is not to run, name it `text`"
)


def looks_like_python(code: str, language: str = "") -> bool:
    """Return whether a reader would take code for Python.

    Args:
        code: The block.
        language: The name of its fence, if any: `a = b` is no Python in a `toml` fence.

    Example:
        >>> looks_like_python("x = square(2)"), looks_like_python("x = 2", "toml")
        (True, False)
        >>> looks_like_python("import torch", "bash"), looks_like_python("The loss falls.")
        (True, False)
    """
    if _STRONG.search(code):
        return True
    if language in _OTHERS:
        return False
    try:
        tree = ast.parse(textwrap.dedent(code))
    except (SyntaxError, ValueError):
        return False
    return any(
        isinstance(node, _STATEMENTS)
        or (isinstance(node, ast.AnnAssign) and node.value is not None)
        or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call))
        for node in tree.body
    )


def code_problems(page: Page) -> Iterator[tuple[int, str]]:
    """Yield line and message of code that never runs, and of code that must not run."""
    for fence in page.fences:
        yield from _fence_problems(fence)
        if fence.runnable:
            yield from _endings(fence)
    for line, code in _loose_blocks(page):
        if looks_like_python(code):
            yield line, f"looks like Python, but never runs: {_RUN_IT}"
    yield from _quoted_fences(page)


def _fence_problems(fence: Fence) -> Iterator[tuple[int, str]]:
    if fence.runnable or fence.language == "output":
        for word in fence.asks:
            if word not in ASKS:
                yield fence.line - 1, f"a fence can ask for {' or '.join(ASKS)}, not '{word}'"
    elif fence.language != "text":
        named = re.fullmatch(r"(?i)i?py\w*|doctest", fence.language)
        if named or looks_like_python(fence.code, fence.language):
            what = f"this `{fence.language}` fence looks like Python, but never runs"
            yield fence.line - 1, f"{what}: {_RUN_IT}"


def _outside_fences(page: Page) -> Iterator[tuple[int, str]]:
    closing = ""
    for number, line in enumerate(page.text.split("\n"), start=page.first_line):
        if closing:
            closing = "" if re.fullmatch(closing, line.strip()) else closing
        elif opened := _OPENING.match(line):
            closing = rf"{opened[1][0]}{{{len(opened[1])},}}"
        else:
            yield number, line


def _loose_blocks(page: Page) -> Iterator[tuple[int, str]]:
    """Yield line and text of each run of indented or prompted lines outside of fences."""
    block: list[str] = []
    last = 0
    for number, line in [*_outside_fences(page), (0, "")]:
        bare = _QUOTATION.sub("", line)
        if block and number != last + 1:
            yield last + 1 - len(block), "\n".join(block)
            block = []
        if bare.startswith(("    ", "\t", ">>> ")):
            block.append(bare)
            last = number


def _quoted_fences(page: Page) -> Iterator[tuple[int, str]]:
    opened = False
    for number, line in _outside_fences(page):
        bare = _QUOTATION.sub("", line)
        if bare == line or not (fence := _OPENING.match(bare)):
            continue
        opened = not opened
        if opened and fence[2] not in _OTHERS:
            yield number, f"a fence in a quotation never runs: {_RUN_IT}"


def _endings(fence: Fence) -> Iterator[tuple[int, str]]:
    """Yield what ends the process, waits for somebody, or is no prompt."""
    try:
        sources = pieces(fence)
    except ValueError as error:
        yield fence.line, f"prompts that cannot be read: {error}"
        return
    for line, source in sources:
        try:
            tree = tree_of(source)
        except SyntaxError:  # running it will say so
            continue
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            if called in _ENDS:
                yield line + node.lineno - 1, f"{called}() ends the page: what follows never runs"
            elif called in _ASKS_THE_READER:
                yield line + node.lineno - 1, f"{called}() waits for somebody: a page runs alone"
