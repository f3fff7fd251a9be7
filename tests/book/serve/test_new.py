import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dlkb.book.draw.figures import draw
from dlkb.book.hold.check import assignments, book_problems
from dlkb.book.read.parts import PageError
from dlkb.book.serve.new import lay_out, with_entry

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """Copy the checkout, as far as a topic concerns it."""
    root = tmp_path_factory.mktemp("copy")
    generated = shutil.ignore_patterns("__pycache__", "assets", "downloads", "benchmarks.md")
    for name in ("dlkb", "docs", "tests", "scripts"):
        shutil.copytree(ROOT / name, root / name, ignore=generated)
    for name in ("mkdocs.yml", "pyproject.toml", "conftest.py", "constraints.txt"):
        shutil.copy(ROOT / name, root / name)
    return root


STEMS = ["optimizers/sign_descent", "pruning/magnitude"]
"""A topic of a family that is there, and one of a new family."""


@pytest.fixture(scope="module")
def written(copy):
    """Lay out both; return their files."""
    return {stem: lay_out(copy, stem) for stem in STEMS}


@pytest.fixture(params=STEMS)
def laid_out(copy, written, request):
    return copy, request.param, written[request.param]


def test_check_lists_what_is_still_to_write_and_nothing_else(laid_out):
    root, stem, _ = laid_out
    assert draw(root, [stem]).failed == []
    problems = [str(problem).removeprefix(f"{root}/") for problem in book_problems(root, [stem])]
    family, topic = stem.split("/")
    empty = [problem for problem in problems if ": still to write: " in problem]
    assert set(problems) - set(empty) == {f"docs/{stem}.md:1: the front matter lacks 'description'"}
    files = {problem.split(":")[0] for problem in empty}
    named = {
        f"docs/{stem}.md",
        f"dlkb/{stem}.py",
        f"tests/{family}/test_{topic}.py",
        f"tests/{family}/bugs_{topic}.toml",
        f"scripts/figures/{stem}.py",
        f"tests/figures/{family}/test_{topic}.py",
    }
    assert files - {f"docs/{family}/index.md"} == named
    assert (f"docs/{family}/index.md" in files) == (family == "pruning")
    for what in ("the lead, what to do", "the idea in words", "the formula, like", "bugs that"):
        assert any(f"still to write: {what}" in problem for problem in empty), what
    line = (root / "docs" / f"{stem}.md").read_text().split("\n").index("## The idea") + 3
    assert any(problem.startswith(f"docs/{stem}.md:{line}: still to write") for problem in empty)


def test_a_topic_that_is_written_is_not_listed(copy):
    assert not [p for p in book_problems(copy, ["optimizers/adamw"]) if "to write" in p.message]


def test_the_files_run_and_are_formatted(copy, written):
    python = [path for paths in written.values() for path in paths if path.suffix == ".py"]
    assert len(python) >= 8
    tests = [
        name
        for family, topic in (stem.split("/") for stem in STEMS)
        for name in (
            f"tests/figures/{family}/test_{topic}.py",
            f"dlkb/{family}/{topic}.py",
            f"tests/{family}/test_{topic}.py",  # holds cases alone
            f"docs/{family}/{topic}.md",
        )
    ]
    for command in (
        ["ruff", "check", *python],
        ["ruff", "format", "--check", *python],
        ["pytest", "-q", "-p", "no:cacheprovider", "-k", "not rules", *tests],
    ):
        ran = subprocess.run(
            [sys.executable, "-m", *map(str, command)],
            cwd=copy,
            env={**os.environ, "PYTHONPATH": str(copy)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
    assert " passed" in ran.stdout


def test_claims_and_navigation_know_the_topic(laid_out):
    root, stem, written = laid_out
    assert assignments(root)[stem] == []
    assert {Path("mkdocs.yml"), Path("docs/claims.toml")} <= set(written)
    assert f": {stem}.md\n" in (root / "mkdocs.yml").read_text()


def test_a_topic_goes_behind_the_last_of_its_family():
    navigation = "nav:\n  - A:\n      - a/index.md\n      - B: a/b.md\n  - Claims: claims.md\n"
    deeper = "nav:\n  - T:\n      - A:\n          - a/index.md\n  - R:\n      - Claims: claims.md\n"
    assert with_entry(deeper, "z/c") == (
        "nav:\n  - T:\n      - A:\n          - a/index.md\n      - Z:\n          - z/index.md\n"
        "          - C: z/c.md\n  - R:\n      - Claims: claims.md\n"
    )
    assert with_entry(navigation, "a/c_d") == (
        "nav:\n  - A:\n      - a/index.md\n      - B: a/b.md\n      - C d: a/c_d.md\n"
        "  - Claims: claims.md\n"
    )
    assert with_entry(navigation, "z/c") == (
        "nav:\n  - A:\n      - a/index.md\n      - B: a/b.md\n"
        "  - Z:\n      - z/index.md\n      - C: z/c.md\n  - Claims: claims.md\n"
    )
    with pytest.raises(PageError, match="enter z/c by hand"):
        with_entry("nav:\n  - A: a.md\n", "z/c")


@pytest.mark.parametrize(
    "stem", ["adam", "a/b/c", "Optimizers/adam", "a/B", "1/a", "nn/x", "book/x", "a/index", "a/b-c"]
)
def test_what_is_no_name_for_a_topic(copy, stem):
    with pytest.raises(PageError, match="is no name for a topic: choose family/topic"):
        lay_out(copy, stem)


def test_nothing_is_overwritten(copy):
    before = (copy / "mkdocs.yml").read_text()
    (copy / "tests" / "optimizers" / "bugs_lamb.toml").write_text("mine")
    with pytest.raises(PageError, match=r"bugs_lamb\.toml is there already"):
        lay_out(copy, "optimizers/lamb")
    assert (copy / "mkdocs.yml").read_text() == before
    assert not (copy / "docs" / "optimizers" / "lamb.md").exists()
