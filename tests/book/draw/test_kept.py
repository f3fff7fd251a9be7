"""Data of figures is computed once, for later processes too."""

import importlib.util
import sys

import pytest

from dlkb.book.draw.kept import AFRESH, CACHE
from tests.book.draw.test_figures import write

FILE = "plots/figures/a/data.py"
SCRIPT = """
from dlkb.book.draw.kept import kept
from kb_of_data import scale

computed = []

@kept
def data(x: float, name: str = "a") -> tuple[float, str]:
    computed.append(x)
    return x * scale, name

@kept
def applied(function) -> float:
    return function(1.0)
"""


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.delenv(AFRESH, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    return write(tmp_path, {FILE: SCRIPT, "kb_of_data.py": "scale = 2.0\n"})


@pytest.fixture
def anew(root):
    """Return a function that imports the script as another process would."""

    def imported():
        for name in ("kb_of_data", "plots.figures.a.data"):
            sys.modules.pop(name, None)
        spec = importlib.util.spec_from_file_location("plots.figures.a.data", root / FILE)
        script = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(script)
        return script

    yield imported
    for name in ("kb_of_data", "plots.figures.a.data"):
        sys.modules.pop(name, None)


def files(root):
    return sorted((root / CACHE).rglob("*.pickle"))


def test_a_later_process_computes_nothing_again(root, anew):
    first = anew()
    assert first.data(3.0) == first.data(3.0) == (6.0, "a")
    assert first.computed == [3.0]
    later = anew()
    assert later.data(x=3.0, name="a") == (6.0, "a")
    assert later.computed == []
    assert (later.data(3.0, "b"), later.data(4.0)) == ((6.0, "b"), (8.0, "a"))
    assert later.computed == [3.0, 4.0]
    assert len(files(root)) == 3


@pytest.mark.parametrize("changed", [FILE, "kb_of_data.py"])
def test_a_change_of_the_script_or_of_what_it_imports_computes_again(root, anew, changed):
    anew().data(3.0)
    path = root / changed
    path.write_text(path.read_text().replace("2.0", "52.0") + "# changed\n")
    second, third = anew(), anew()
    assert second.data(3.0)[0] == (156.0 if changed != FILE else 6.0)
    assert second.computed == [3.0]
    assert third.data(3.0) == second.data(3.0)
    assert third.computed == []
    assert len(files(root)) == 1


def test_afresh_neither_reads_nor_changes_what_is_kept(anew, monkeypatch):
    anew().data(3.0)
    monkeypatch.setenv(AFRESH, "1")
    other = anew()
    other.scale = 7.0
    assert other.data(3.0) == (21.0, "a")
    monkeypatch.delenv(AFRESH)
    assert anew().data(3.0) == (6.0, "a")


def test_what_no_other_process_can_ask_for_is_refused(root, anew):
    with pytest.raises(TypeError, match="no other process can ask for this"):
        anew().applied(lambda x: x)
    assert not files(root)
