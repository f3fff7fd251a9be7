"""What a fence leaves changed is named, with the line that did it."""

import math
import os
import sys
from pathlib import Path

import pytest

from dlkb.book.read.book import read_book
from dlkb.book.run.session import Session


@pytest.fixture(autouse=True)
def _restored(monkeypatch):
    """Sessions of these tests run in the process of the tests."""
    import numpy as np
    import torch

    monkeypatch.setattr(math, "sin", math.sin)
    monkeypatch.setenv("DLKB_TEST", "before")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setitem(sys.modules, "colorsys", sys.modules.get("colorsys", math))
    folder, errors, limit = Path.cwd(), np.geterr(), sys.getrecursionlimit()
    yield
    os.chdir(folder)
    np.seterr(**errors)
    sys.setrecursionlimit(limit)
    torch.set_default_dtype(torch.float32)
    torch.set_default_device("cpu")
    torch.set_grad_enabled(True)
    os.environ.pop("DLKB_NEW", None)


def first_error(book, code):
    prompts = "".join(f">>> {line}\n" for line in code)
    book.edit(">>> square(3)\n9\n", prompts)
    page = read_book(book.root)[0]
    session = Session(page)
    return next((o for o in map(session.outcomes_through, page.runnable) if o.error), None)


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("math.sin = math.cos", "math.sin"),
        ("del math.sin", "math.sin"),
        ("os.environ['DLKB_TEST'] = 'after'", "os.environ['DLKB_TEST']"),
        ("del os.environ['DLKB_TEST']", "os.environ['DLKB_TEST']"),
        ("os.environ['DLKB_NEW'] = 'new'", "os.environ['DLKB_NEW']"),
        ("os.chdir('/')", "the current folder"),
        ("sys.path.append('x')", "sys.path"),
        ("sys.setrecursionlimit(1234)", "the recursion limit"),
        ("del sys.modules['colorsys']", "sys.modules['colorsys']"),
        ("sys.modules['colorsys'] = os", "sys.modules['colorsys']"),
        ("_ = np.seterr(over='ignore')", "np.seterr"),
        ("torch.set_default_dtype(torch.float64)", "torch's default dtype"),
        ("torch.set_default_device('meta')", "torch's default device"),
        ("_ = torch.set_grad_enabled(False)", "torch.set_grad_enabled"),
    ],
)
def test_what_is_left_changed_is_named_with_its_line(book, code, name):
    failed = first_error(book, ["import math, os, sys, torch, numpy as np", code, "x = 1"])
    assert failed.error.startswith(f"leaves changed: {name}: undo it in the same fence")
    assert failed.line == book.line(code)


@pytest.mark.parametrize(
    "code",
    [
        ["import os", "os.environ['DLKB_TEST'] = 'x'", "os.environ['DLKB_TEST'] = 'before'"],
        ["import torch", "_ = torch.set_grad_enabled(False)", "_ = torch.set_grad_enabled(True)"],
        ["import torch, random, numpy as np", "_ = torch.manual_seed(0)", "np.random.seed(0)"],
    ],
)
def test_what_is_undone_or_a_seed_is_let_pass(book, code):
    assert first_error(book, code) is None


def test_the_display_hook_is_the_sessions(book):
    before = sys.displayhook
    failed = first_error(book, ["import sys", "sys.displayhook = print"])
    assert "sets sys.displayhook" in failed.error
    assert failed.line == book.line("sys.displayhook = print")
    assert sys.displayhook is before


def test_a_function_of_this_package_stays(book, monkeypatch):
    import dlkb.arrays

    monkeypatch.setattr(dlkb.arrays, "erf", dlkb.arrays.erf)
    found = first_error(book, ["import dlkb.arrays", "dlkb.arrays.erf = abs"])
    assert found is not None
    assert "leaves changed: dlkb.arrays.erf: " in found.error


def test_what_is_displayed_may_be_callable(book):
    another = "```\n\n```pycon\n>>> square(3)\n9\n"
    book.edit(">>> square(3)\n9\n", f">>> int\n<class 'int'>\n{another}")
    session = Session(read_book(book.root)[0])
    outcomes = map(session.outcomes_through, session.page.runnable)
    assert not [o for o in outcomes if "leaves changed" in (o.error or "")]
