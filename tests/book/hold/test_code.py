"""Code that looks as if it had run, and code that must not run."""

import pytest

from dlkb.book.hold.check import book_problems
from dlkb.book.hold.code import looks_like_python

BEFORE = "## In practice\n"


def problems(book):
    return [(problem.line, problem.message) for problem in book_problems(book.root)]


@pytest.mark.parametrize(
    ("block", "opening"),
    [
        ("```Python\nx = square(2)\n```", "```Python"),
        ("```py\nprose\n```", "```py\n"),
        ("~~~python3\nx = square(2)\n~~~", "~~~python3"),
        ("```console\n>>> square(2)\n4\n```", "```console"),
        ("```bash\nimport torch\n```", "```bash\nimport"),
        ("```ipython\nx\n```", "```ipython"),
        ("``` {.py .annotate}\nx\n```", "``` {.py ."),
        ("```markdown\ndef f(x):\n```", "```markdown"),
        ("Text.\n\n    x = square(2)\n    square(x)", "    x = square(2)"),
        ("Text.\n\n\tx = square(2)", "\tx = square(2)"),
        ("Text.\n\n    >>> square(2)", "    >>> square(2)"),
        (">>> square(2)\n4", ">>> square(2)\n4"),
        ("> >>> square(2)\n> 4", "> >>> square(2)"),
        ("> ```python\n> x = 1\n> ```", "> ```python"),
        ("> > ```\n> > x\n> > ```", "> > ```\n"),
        ('=== "Tab"\n\n    x = square(2)', "    x = square(2)"),
        ("- item\n\n        x = square(2)", "        x = square(2)"),
    ],
)
def test_what_looks_like_python_and_never_runs(book, block, opening):
    book.edit(BEFORE, f"{BEFORE}\nBefore.\n\n{block}\n\n")
    found = [line for line, message in problems(book) if "never runs" in message]
    assert found == [book.line(opening)]


@pytest.mark.parametrize(
    "block",
    [
        "```text\nx = square(2)\n```",
        "```text\n>>> square(2)\n```",
        "```text\ndef wrong(:\n    return\n```",
        "```toml\nx = 2\n```",
        "```bash\nmake serve\nX=2 python -m dlkb.book\n```",
        '=== "Tab"\n\n    ```python\n    x = square(2)\n    ```',
        "- item\n\n    continued, with words (and brackets)",
        "> A quotation: x = square(2)",
        "> ```text\n> x = square(2)\n> ```",
    ],
)
def test_what_is_let_pass(book, block):
    book.edit(BEFORE, f"{BEFORE}\nBefore.\n\n{block}\n\n")
    assert problems(book) == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("__import__('sys').exit", None),
        ("sys.exit(0)", "sys.exit() ends the page"),
        ("exit()", "exit() ends the page"),
        ("os._exit(1)", "os._exit() ends the page"),
        ("input()", "input() waits for somebody"),
        ("breakpoint()", "breakpoint() waits for somebody"),
    ],
)
def test_what_ends_or_waits(book, line, message):
    book.edit(">>> square(3)\n9\n", f">>> if False:\n...     {line}\n>>> square(3)\n9\n")
    found = problems(book)
    if message is None:
        assert found == []
    else:
        assert [row for row, _ in found] == [book.line(line)]
        assert message in found[0][1]


def test_a_fence_asks_for_what_there_is(book):
    book.edit("{.pycon .digits}", "{.pycon .digit}")
    ((line, message),) = problems(book)
    assert line == book.line("``` {.pycon")
    assert message == "a fence can ask for ellipsis or digits, not 'digit'"


def test_prompts_that_cannot_be_read(book):
    book.edit(">>> square(3)", ">>>square(3)")
    ((line, message),) = problems(book)
    assert line == book.line(">>>square(3)")
    assert "prompts that cannot be read" in message


@pytest.mark.parametrize(
    ("code", "language", "expected"),
    [
        ("f(x)", "", True),
        ("x: int = 1", "", True),
        ("x: int", "", False),
        ("x", "", False),
        ("attrs: {data-equation: 1}", "", False),
        ("for x in y:", "", True),
        ("@decorator\n", "bash", True),
        ("from here on", "bash", False),
        ("import taxes are due", "", False),
    ],
)
def test_looks_like_python(code, language, expected):
    assert looks_like_python(code, language) == expected
