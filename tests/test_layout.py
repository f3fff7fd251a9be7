"""One topic, one stem: page, formula, tests, bugs, figures and navigation, in both directions."""

import ast
import importlib
import inspect
import re
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from dlkb.book.hold.check import assignments, book_problems, figure_names
from dlkb.book.publish.notebook import PACKAGES
from dlkb.book.read.book import GENERATED, read_book
from dlkb.book.read.freshness import imports_of
from tests.test_formulas import CASES

ROOT = Path(__file__).parent.parent
FAMILIES = [
    path.parent.name
    for path in sorted((ROOT / "dlkb").glob("*/__init__.py"))
    if path.parent.name not in ("nn", "optim", "book", "experiments")
]
PAGES = read_book(ROOT)
TOPICS = [page for page in PAGES if page.is_topic]


def stems(folder: str, pattern: str = "*.py", prefix: str = "") -> list[str]:
    """List `family/topic` for the files of a folder that follow the families."""
    return sorted(
        f"{family}/{path.stem.removeprefix(prefix)}"
        for family in FAMILIES
        for path in (ROOT / folder / family).glob(prefix + pattern)
        if path.stem != "__init__"
    )


FORMULAS = stems("dlkb")
FIGURES = stems("scripts/figures")
EXPERIMENTS = [
    path for path in sorted((ROOT / "dlkb" / "experiments").glob("*.py")) if path.stem != "__init__"
]


def public(stem: str) -> dict[str, object]:
    """Return the public functions and classes that a formula module defines."""
    name = f"dlkb.{stem.replace('/', '.')}"
    module = importlib.import_module(name)
    return {
        key: value
        for key, value in vars(module).items()
        if not key.startswith("_") and getattr(value, "__module__", None) == name
    }


def imports(path: Path) -> set[str]:
    """Return the full names that a file imports, at any depth."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} uses a relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def within(name: str, allowed: tuple[str, ...]) -> bool:
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in allowed)


STANDARD = (
    "math",
    "numbers",
    "types",
    "typing",
    "collections",
    "functools",
    "inspect",
    "itertools",
    "enum",
    "dataclasses",
)


def test_there_is_something_to_look_at():
    assert len(FORMULAS) >= 5
    assert len(TOPICS) >= 4
    assert len(FIGURES) >= 4
    assert len(EXPERIMENTS) >= 5


@pytest.mark.parametrize("stem", FORMULAS)
def test_formula_has_tests_bugs_and_cases(stem):
    family, topic = stem.split("/")
    assert (ROOT / "tests" / family / f"test_{topic}.py").is_file()
    assert (ROOT / "tests" / family / f"bugs_{topic}.toml").is_file()
    tested = {case.function for case in CASES}
    functions = {key: f for key, f in public(stem).items() if inspect.isfunction(f)}
    assert functions, f"dlkb/{stem}.py defines no public function"
    missing = [key for key, function in functions.items() if function not in tested]
    assert not missing, f"no case in tests/{family}/test_{topic}.py for {missing}"


@pytest.mark.parametrize("stem", FORMULAS)
def test_formula_is_documented(stem):
    for key, value in public(stem).items():
        doc = inspect.getdoc(value) or ""
        assert doc, f"{key} has no docstring"
        if inspect.isfunction(value):
            assert ">>>" in doc, f"{key} has no doctest example"
            assert "Returns:" in doc, f"{key} does not say what it returns"
            if inspect.signature(value).parameters:
                assert "Args:" in doc, f"{key} does not describe its arguments"


@pytest.mark.parametrize("stem", stems("tests", prefix="test_"))
def test_test_has_a_formula(stem):
    assert stem in FORMULAS


@pytest.mark.parametrize("page", TOPICS, ids=lambda page: page.stem)
def test_page_has_formula_figures_and_api(page):
    assert page.stem in FORMULAS
    shown = {image.name.removeprefix(f"{page.stem}/") for image in page.images}
    drawn = set(figure_names(ROOT, page.stem))
    assert len(drawn) >= 2, "a topic's page shows at least two figures"
    assert drawn == {name for name in shown if "/" not in name}
    assert f"::: dlkb.{page.stem.replace('/', '.')}" in page.text


@pytest.mark.parametrize("stem", FIGURES)
def test_figure_script_has_a_page_and_tests(stem):
    family, topic = stem.split("/")
    assert stem in [page.stem for page in TOPICS]
    assert (ROOT / "tests" / "figures" / family / f"test_{topic}.py").is_file()


def calls(function: ast.FunctionDef) -> set[str]:
    """Return the names of what a function calls, without the modules before them."""
    called = (node.func for node in ast.walk(function) if isinstance(node, ast.Call))
    return {ast.unparse(name).rpartition(".")[2] for name in called}


def undrawn(tests: str, figures: list[str]) -> list[str]:
    """Return the figures that no test holds against their data with `assert_draws`."""
    functions = [node for node in ast.parse(tests).body if isinstance(node, ast.FunctionDef)]
    asserted = [calls(function) for function in functions if function.name.startswith("test_")]
    return [f for f in figures if not any({"assert_draws", f} <= called for called in asserted)]


@pytest.mark.parametrize("page", TOPICS, ids=lambda page: page.stem)
def test_each_figure_is_held_against_its_data(page):
    family, topic = page.stem.split("/")
    path = ROOT / "tests" / "figures" / family / f"test_{topic}.py"
    missing = undrawn(path.read_text(), figure_names(ROOT, page.stem))
    assert not missing, f"{path} holds no assert_draws(script.<figure>(), …) for {missing}"


def test_a_figure_that_is_only_drawn_is_noticed():
    tests = """
def test_a():
    assert_draws(script.a(), lines={})
def test_b():
    script.b()
def test_c():
    figure = script.c()
    assert_draws(figure, lines={})
def helper():
    assert_draws(script.d())
"""
    assert undrawn(tests, ["a", "b", "c", "d"]) == ["b", "d"]


def nav_files() -> list[str]:
    class Loader(yaml.SafeLoader):
        """Reads mkdocs.yml, whose tags name Python functions."""

    Loader.add_multi_constructor("", lambda loader, suffix, node: None)
    nav = yaml.load((ROOT / "mkdocs.yml").read_text(), Loader)["nav"]

    def walk(entry) -> list[str]:
        if isinstance(entry, str):
            return [entry]
        rows = entry.values() if isinstance(entry, dict) else entry
        return [name for row in rows for name in walk(row)]

    return walk(nav)


def test_navigation_lists_every_page_once():
    listed = nav_files()
    assert len(listed) == len(set(listed))
    generated = {f"{name}.md" for name in GENERATED}
    assert set(listed) == {f"{page.stem}.md" for page in PAGES} | generated


def test_every_shell_is_documented_on_a_page():
    text = "\n".join(page.text for page in PAGES)
    for package in ("nn", "optim"):
        module = importlib.import_module(f"dlkb.{package}")
        assert module.__all__, f"dlkb.{package} exports nothing"
        for name in module.__all__:
            value = getattr(module, name)
            assert inspect.getdoc(value), f"dlkb.{package}.{name} has no docstring"
            home = value.__name__ if inspect.ismodule(value) else value.__module__
            assert re.search(rf"^::: {re.escape(home)}(\.{name})?$", text, re.M), (
                f"no page documents {home}.{name}"
            )


def test_every_erratum_leads_to_the_page_that_holds_it_down():
    rows = [
        row
        for row in (ROOT / "docs" / "errata.md").read_text().split("\n")
        if row.startswith("|") and not re.match(r"\|(-|[^|]*(said|page said) \|)", row)
    ]
    assert len(rows) >= 5
    for row in rows:
        linked = re.search(r"\]\(([\w/]+)\.md#[\w-]+\)", row)
        assert linked, row
        assert linked[1] in [page.stem for page in PAGES], row


def test_book_keeps_its_rules():
    assert [str(problem) for problem in book_problems(ROOT)] == []


def test_what_pages_import_comes_with_what_serves_them_and_with_their_notebooks():
    brought = {"dlkb", "numpy", "torch", "mpmath"}  # by dlkb[torch]; the last by SymPy
    known = sys.stdlib_module_names | brought | PACKAGES.keys()
    assert {page.stem: imports_of(page) - known for page in PAGES if imports_of(page) - known} == {}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    docs = " ".join(project["optional-dependencies"]["docs"])
    assert [name for name in PACKAGES.values() if f"{name}>=" not in docs] == []


def test_claims_are_assigned_once():
    ids = [claim for row in assignments(ROOT).values() for claim in row]
    assert len(ids) == len(set(ids))
    written = {page.stem for page in TOPICS}
    answered = {claim.id for page in PAGES for claim in page.claims}
    assigned = {c for stem, row in assignments(ROOT).items() if stem in written for c in row}
    front = {c for stem, row in assignments(ROOT).items() if "/" not in stem for c in row}
    assert answered == assigned | front


@pytest.mark.parametrize("stem", FORMULAS)
def test_formulas_import_arrays_formulas_and_the_standard_library(stem):
    allowed = (*STANDARD, "dlkb.arrays", *(f"dlkb.{family}" for family in FAMILIES))
    for name in imports(ROOT / "dlkb" / f"{stem}.py"):
        assert within(name, allowed), f"dlkb/{stem}.py imports {name}"


@pytest.mark.parametrize("package", ["nn", "optim"])
def test_shells_import_torch_and_formulas(package):
    allowed = (*STANDARD, "re", "sys", "warnings", "contextlib", "copy", "difflib", "torch", "dlkb")
    allowed += ("unittest.mock.patch",)
    allowed += ("json", "pathlib", "weakref", "importlib.util.find_spec")
    for path in (ROOT / "dlkb" / package).rglob("*.py"):
        for name in imports(path):
            assert within(name, allowed), f"{path} imports {name}"
            assert not within(name, ("dlkb.book", "torch.nn.functional", "peft")), name


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_experiment_is_tested_documented_and_free_of_figures_and_engine(path):
    assert (ROOT / "tests" / "experiments" / f"test_{path.stem}.py").is_file()
    assert (ROOT / "tests" / "experiments" / f"bugs_{path.stem}.toml").is_file()
    assert f"::: dlkb.experiments.{path.stem}\n" in (ROOT / "docs" / "api.md").read_text()
    for name in imports(path):
        text = ("codecs", "contextlib", "io", "this")  # the Zen of Python, in silence
        file = ("importlib.util.find_spec", "pathlib")  # the digits of scikit-learn
        assert within(name, (*STANDARD, *text, *file, "numpy", "torch", "dlkb")), name
        assert not within(name, ("dlkb.book",)), name
    functions = {
        k: f for k, f in public(f"experiments/{path.stem}").items() if inspect.isfunction(f)
    }
    for key, function in functions.items():
        doc = inspect.getdoc(function) or ""
        assert ">>>" in doc, f"{key} has no doctest example"
        assert "Returns:" in doc, f"{key} does not say what it returns"


def test_only_experiments_import_experiments():
    for path in (ROOT / "dlkb").rglob("*.py"):
        if "experiments" not in path.parts:
            assert not any(within(name, ("dlkb.experiments",)) for name in imports(path)), path


def test_nothing_but_the_engine_imports_the_engine():
    for path in (ROOT / "dlkb").rglob("*.py"):
        if "book" not in path.parts and path.name != "__main__.py":
            assert not any(within(name, ("dlkb.book",)) for name in imports(path)), path


@pytest.mark.parametrize("stem", FIGURES)
def test_figure_scripts_import_formulas_numpy_and_matplotlib(stem):
    allowed = (*STANDARD, "dlkb", "numpy", "matplotlib", "torch", "sklearn", "scripts.figures")
    for name in imports(ROOT / "scripts" / "figures" / f"{stem}.py"):
        assert within(name, allowed), name
        if not within(name, ("dlkb.book.draw.kept",)):
            assert not within(name, ("dlkb.book",)), name


@pytest.mark.parametrize("stem", stems("scripts/peers"))
def test_modules_of_peers_have_a_page_and_import_libraries_and_formulas(stem):
    assert stem in [page.stem for page in TOPICS]
    for name in imports(ROOT / "scripts" / "peers" / f"{stem}.py"):
        if not within(name, ("scripts.peers.apart",)):
            assert not within(name, ("dlkb.book", "scripts", "tests")), name


@pytest.mark.parametrize("family", FAMILIES)
def test_family_packages_are_empty(family):
    assert (ROOT / "dlkb" / family / "__init__.py").read_text() == ""
