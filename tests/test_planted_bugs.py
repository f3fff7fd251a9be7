"""The planted bugs can be planted. `scripts/planted_bugs.py` shows that the tests kill them."""

import subprocess
import sys
from pathlib import Path

import pytest

from scripts.planted_bugs import BadBug, Bug, planted_source, read_bugs, stages

ROOT = Path(__file__).parents[1]
BUGS = read_bugs(ROOT)


@pytest.mark.parametrize("source", sorted({bug.source for bug in BUGS}))
def test_can_be_planted(source):
    for bug in BUGS:
        if bug.source == source:
            assert planted_source(ROOT, bug) != (ROOT / bug.file).read_text(), bug
            for files in stages(ROOT, bug):
                assert all((ROOT / file.partition("::")[0]).is_file() for file in files), bug


def test_there_are_many_and_no_two_are_the_same():
    assert len(BUGS) >= 40
    assert len({(bug.file, bug.old, bug.new) for bug in BUGS}) == len(BUGS)
    assert len({str(bug) for bug in BUGS}) == len(BUGS)


def test_every_formula_and_shell_has_planted_bugs():
    modules = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "dlkb").glob("*/*.py")
        if not path.name.startswith("_") and path.parent.name != "book"
    }
    assert modules - {bug.file for bug in BUGS} == set()


# The script itself, on a small project ---------------------------------------------------------

DOUBLE = "def double(x):\n    'Return 2 x.'\n    return 2 * x\n\n\nLIMIT = max(1, 2)\n"
TESTS = "from kb.double import double\n\ndef test_double():\n    assert double(2) == 4\n"


def project(root: Path, tests: str = TESTS, **bugs: tuple[str, str]) -> Path:
    (root / "kb").mkdir()
    (root / "tests/math").mkdir(parents=True)
    (root / "kb/double.py").write_text(DOUBLE)
    (root / "pyproject.toml").write_text('[tool.pytest]\npythonpath = ["."]\n')
    (root / "tests/math/test_double.py").write_text(tests)
    (root / "tests/math/bugs_double.toml").write_text(
        "".join(
            f"[[bug]]\nname = '{name}'\nfile = 'kb/double.py'\nold = '{old}'\nnew = '{new}'\n"
            for name, (old, new) in bugs.items()
        )
    )
    return root


def run(root: Path) -> tuple[int, str]:
    command = [sys.executable, ROOT / "scripts/planted_bugs.py", "--root", root, "--jobs", "2"]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def test_tells_the_killed_from_the_survivors(tmp_path):
    killed = {"three": ("2 * x", "3 * x"), "at import": ("max(1, 2)", "max()")}
    project(tmp_path, **killed, same=("2 * x", "x + x"))
    status, shown = run(tmp_path)
    assert status == 1
    assert "2 of 3 planted bugs killed" in shown
    assert "survived: tests/math/bugs_double.toml: same" in shown
    assert "import" in next(line for line in shown.splitlines() if "at import" in line)
    assert (tmp_path / "kb/double.py").read_text() == DOUBLE


def test_passes_when_all_are_killed(tmp_path):
    status, shown = run(project(tmp_path, three=("2 * x", "3 * x")))
    assert status == 0, shown
    assert "1 of 1 planted bugs killed" in shown


@pytest.mark.parametrize(
    ("tests", "message"),
    [
        (
            TESTS + "    assert 1 > 2\n",
            "fails without any bug: tests/math/test_double.py::test_double",
        ),
        ("import nowhere\n", "error: tests/math/bugs_double.toml: three"),
        (
            "def test_nothing(): pass\n",
            "survived: tests/math/bugs_double.toml: three the tests never",
        ),
    ],
)
def test_tests_that_show_nothing_fail(tmp_path, tests, message):
    status, shown = run(project(tmp_path, tests, three=("2 * x", "3 * x")))
    assert status == 1
    assert message in shown


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("x", "y", "occurs 4 times in kb/double.py, not once"),
        ("3 * x", "x", "occurs 0 times"),
        ("2 * x", "2 * (x", "does not compile"),
        ("2 * x", "(2 * x)", "changes no code"),
        ("Return 2 x.", "Return 3 x.", "changes no code"),
    ],
)
def test_refuses_what_is_no_bug(tmp_path, old, new, message):
    project(tmp_path, bug=(old, new))
    (bug,) = read_bugs(tmp_path)
    with pytest.raises(BadBug, match=message):
        planted_source(tmp_path, bug)


@pytest.mark.parametrize(
    ("text", "message"),
    [("[[bug]]\nname = 1\nnam = 2", "unexpected keyword"), ("x = 1", "bug"), ("[[", "Invalid")],
)
def test_refuses_what_it_cannot_read(tmp_path, text, message):
    project(tmp_path)
    (tmp_path / "tests/math/bugs_double.toml").write_text(text)
    with pytest.raises(BadBug, match=message):
        read_bugs(tmp_path)


def test_which_tests_must_kill():
    def of(source, file, **more):
        return stages(ROOT, Bug(source, "", file, "", "", **more))

    toml, table = "tests/regularization/bugs_dropout.toml", ("tests/test_formulas.py",)
    topic, shell = "tests/regularization/test_dropout.py", "tests/nn/test_dropout.py"
    assert of(toml, "dlkb/regularization/dropout.py") == [(topic, shell), table]
    assert of(toml, "dlkb/nn/dropout.py") == [(shell, topic)]
    assert of(toml, "dlkb/nn/dropout.py", tests=(topic,)) == [(topic,)]
    engine = "tests/book/hold/bugs_numbers.toml", "dlkb/book/hold/numbers.py"
    assert of(*engine) == [("tests/book/hold/test_numbers.py",)]
    assert of("tests/bugs_verdict.toml", "dlkb/verdict.py") == [("tests/test_verdict.py",)]
    with pytest.raises(BadBug, match=r"there is no tests/nowhere/test_x\.py"):
        of("tests/nowhere/bugs_x.toml", "dlkb/x.py")
