"""Data of figures is computed once, for later processes too."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dlkb.book.draw.kept import AFRESH, CACHE
from tests.book.draw.test_figures import write

SCRIPT = """
from dlkb.book.draw.kept import kept
from kb.shapes import scale

@kept
def data(x: float, name: str = "a") -> tuple[float, str]:
    print("computed", x, name)
    return x * scale, name

@kept
def applied(function) -> float:
    return function(1.0)
"""
ASKS = "from scripts.figures.a.data import applied, data\n"


def asked(root: Path, code: str, **environment: str) -> str:
    inherited = {name: value for name, value in os.environ.items() if name != AFRESH}
    done = subprocess.run(
        [sys.executable, "-c", ASKS + code],
        cwd=root,
        env=inherited | environment | {"PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
    )
    return done.stdout + done.stderr[-200:]


@pytest.fixture
def root(tmp_path) -> Path:
    return write(tmp_path, {"scripts/figures/a/data.py": SCRIPT, "kb/shapes.py": "scale = 2.0\n"})


def test_a_later_process_computes_nothing_again(root):
    assert asked(root, "print(data(3.0), data(3.0))") == ("computed 3.0 a\n(6.0, 'a') (6.0, 'a')\n")
    assert asked(root, "print(data(x=3.0, name='a'))") == "(6.0, 'a')\n"
    assert asked(root, "print(data(3.0, 'b'), data(4.0))") == (
        "computed 3.0 b\ncomputed 4.0 a\n(6.0, 'b') (8.0, 'a')\n"
    )
    assert len(list((root / CACHE).rglob("*.pickle"))) == 3


@pytest.mark.parametrize("changed", ["scripts/figures/a/data.py", "kb/shapes.py"])
def test_a_change_of_the_script_or_of_what_it_imports_computes_again(root, changed):
    asked(root, "data(3.0)")
    path = root / changed
    path.write_text(path.read_text().replace("2.0", "5.0") + "# changed\n")
    expected = 15.0 if changed.startswith("kb") else 6.0
    assert asked(root, "print(data(3.0))") == f"computed 3.0 a\n({expected}, 'a')\n"
    assert asked(root, "print(data(3.0))") == f"({expected}, 'a')\n"
    assert len(list((root / CACHE).rglob("*.pickle"))) == 1


def test_afresh_neither_reads_nor_changes_what_is_kept(root):
    asked(root, "data(3.0)")
    patched = "import scripts.figures.a.data as d\nd.scale = 7.0\nprint(data(3.0))"
    assert asked(root, patched, **{AFRESH: "1"}) == "computed 3.0 a\n(21.0, 'a')\n"
    assert asked(root, "print(data(3.0))") == "(6.0, 'a')\n"


def test_what_no_other_process_can_ask_for_is_refused(root):
    assert "no other process can ask for this" in asked(root, "applied(lambda x: x)")
    assert not (root / CACHE).exists()
