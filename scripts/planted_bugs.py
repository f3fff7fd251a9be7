"""Plant the known bugs of `tests/**/bugs_*.toml`, one at a time; the tests must kill each.

The files on disk stay as they are: a child process imports the changed source in place of
the module, and runs the tests of the topic until one fails. The libraries are imported once,
by the parent, before it forks. At the end the tests that killed run without a bug: they must
pass, or they have shown nothing.

    python scripts/planted_bugs.py [--only WORDS] [--jobs N] [--list]
"""

import argparse
import ast
import gc
import importlib
import json
import multiprocessing
import os
import signal
import sys
import tempfile
import time
import tomllib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from multiprocessing.connection import wait
from pathlib import Path
from types import CodeType
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
FORMULA_TESTS = "tests/test_formulas.py"
SHELLS = ("nn", "optim", "experiments")
LIMIT = 300.0
"""Seconds for the tests of one bug. Slower is an error, unless the bug states a `timeout`."""

# Imported once instead of in every child, besides what the tests import by name.
BEHIND = {
    "torch": ("torch._dynamo", "torch._functorch.aot_autograd", "functorch.compile"),
    "jax": ("jax.numpy",),
}
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "JAX_PLATFORMS": "cpu",
    "DLKB_DATA_AFRESH": "1",  # data of figures that was kept was computed without the bug
    "PYTEST_ADDOPTS": "",
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
}


class BadBug(ValueError):  # noqa: N818
    """An entry that cannot be planted; the message names the file and the entry."""


@dataclass(frozen=True)
class Bug:
    """One change of one file. Without `tests`, those of the TOML file's topic must kill it."""

    source: str
    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...] = ()
    timeout: float | None = None

    def __str__(self) -> str:
        return f"{self.source}: {self.name}"

    @property
    def module(self) -> str:
        """The dotted name of the changed module."""
        return self.file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def read_bugs(root: Path) -> list[Bug]:
    """Return the planted bugs of all tests."""
    return [
        bug for path in sorted((root / "tests").rglob("bugs_*.toml")) for bug in _read(root, path)
    ]


def _read(root: Path, path: Path) -> Iterator[Bug]:
    source = path.relative_to(root).as_posix()
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        for row in table.pop("bug"):
            yield Bug(source, **row | {"tests": tuple(row.get("tests", ()))})
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise BadBug(f"{source}: {error}") from error
    if table:
        raise BadBug(f"{source}: unknown {', '.join(table)}; only [[bug]] is read")


def planted_source(root: Path, bug: Bug) -> str:
    """Return the source of the bug's module with the bug in it.

    Raises:
        BadBug: If the old text does not occur exactly once, or the new source does not
            compile or is the same code.
    """
    path = root / bug.file
    if not path.is_file():
        raise BadBug(f"{bug}: there is no {bug.file}")
    source = path.read_text(encoding="utf-8")
    if (times := source.count(bug.old)) != 1:
        raise BadBug(f"{bug}: the old text occurs {times} times in {bug.file}, not once")
    planted = source.replace(bug.old, bug.new)
    try:
        if _code(planted) == _code(source):
            raise BadBug(f"{bug}: changes no code")
    except SyntaxError as error:
        raise BadBug(f"{bug}: does not compile: {error}") from error
    return planted


@lru_cache(maxsize=8)  # a file's bugs come one after another
def _code(source: str) -> CodeType:
    """Return what runs of a module, wherever its lines stand, without docstrings and asserts."""
    return _anywhere(compile(source, "", "exec", dont_inherit=True, optimize=2))


def _anywhere(code: CodeType) -> CodeType:
    """Return code, and what is defined in it, without the lines that it came from."""
    constants = tuple(_anywhere(c) if isinstance(c, CodeType) else c for c in code.co_consts)
    return code.replace(co_consts=constants, co_firstlineno=0, co_linetable=b"")


def stages(root: Path, bug: Bug) -> list[tuple[str, ...]]:
    """Return the tests that may kill a bug: the topic's first, then the table of formulas."""
    if bug.tests:
        return [bug.tests]
    toml = Path(bug.source)
    test = f"{toml.stem.replace('bugs_', 'test_', 1)}.py"
    files = [f"{toml.parent.as_posix()}/{test}", *(f"tests/{shell}/{test}" for shell in SHELLS)]
    files = list(dict.fromkeys(file for file in files if (root / file).is_file()))
    files.sort(key=lambda file: Path(file).parent.name != Path(bug.file).parent.name)
    if not files:
        raise BadBug(f"{bug}: there is no {toml.parent.as_posix()}/{test}")
    apart = (*SHELLS, "book", "dlkb")  # no formulas, nor is what lies in folders below
    is_formula = len(Path(bug.file).parts) == 3 and Path(bug.file).parent.name not in apart
    is_formula &= (root / FORMULA_TESTS).is_file()
    return [tuple(files), *([(FORMULA_TESTS,)] if is_formula else [])]


# In the child --------------------------------------------------------------------------------


class _Planted(SourceFileLoader):
    """Finds and loads one module, from the source with the bug in it."""

    def __init__(self, name: str, path: Path, source: str) -> None:
        super().__init__(name, str(path))
        self.source, self.loaded = source, False

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        return spec_from_file_location(name, self.path, loader=self) if name == self.name else None

    def get_code(self, fullname: str) -> CodeType:
        self.loaded = True
        return compile(self.source, self.path, "exec", dont_inherit=True)


@dataclass(eq=False)  # pytest hashes its plugins
class _Watch:
    """A pytest plugin that notes what failed, and whether the planted code raised it."""

    module: str
    path: str
    failed: list[str] = field(default_factory=list)
    raised: bool = False

    def pytest_collection_modifyitems(self, config: Any, items: list[Any]) -> None:
        """Keep, of the table of formulas, the formulas of the planted module."""
        mine = f"[{self.module.partition('.')[2]}."
        apart = [i for i in items if i.nodeid.startswith(FORMULA_TESTS) and mine not in i.name]
        if self.module and apart:
            items[:] = [item for item in items if item not in apart]
            config.hook.pytest_deselected(items=apart)

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self.failed.append(report.nodeid)

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed and report.nodeid not in self.failed:
            self.failed.append(report.nodeid)

    def pytest_exception_interact(self, call: Any, report: Any) -> None:
        if report.when == "collect":
            self.raised |= self.path in _files(call.excinfo.value)


def _files(error: BaseException | None) -> set[str]:
    """Return the files that an error and its causes passed through."""
    files = set()
    while error:
        trace = error.__traceback__
        while trace:
            files.add(trace.tb_frame.f_code.co_filename)
            trace = trace.tb_next
        error = error.__cause__ or error.__context__
    return files


def _child(root: Path, bug: Bug | None, arguments: tuple[str, ...], answer: Path) -> None:
    """Run tests with a bug, or without, and write what failed to `answer`."""
    with answer.with_suffix(".log").open("wb") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    import pytest

    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.chdir(root)
    sys.path[0] = str(root)
    planted = None
    if bug:
        planted = _Planted(bug.module, root / bug.file, planted_source(root, bug))
        sys.meta_path.insert(0, planted)
    filtered = bug.module if bug and not bug.tests else ""
    watch = _Watch(filtered, str(root / bug.file) if bug else "")
    quiet = "-Wignore:Module already imported:pytest.PytestAssertRewriteWarning"
    options = ["-q", "--tb=native", "-p", "no:cacheprovider", f"--rootdir={root}", quiet]
    options += ["-x"] if bug else []
    status = pytest.main([*options, *arguments], plugins=[watch])
    result = {
        "status": int(status),
        "failed": watch.failed,
        "raised": watch.raised,
        "loaded": bool(planted and planted.loaded),
    }
    answer.write_text(json.dumps(result), encoding="utf-8")
    sys.stdout.flush()
    os._exit(0)  # threads that a library left running need not be waited for


# In the parent -------------------------------------------------------------------------------


@dataclass
class Run:
    """Tests to be run in one child after another, and what came of it."""

    bug: Bug | None
    stages: list[tuple[str, ...]]
    verdict: str = ""  # killed, survived, error; for a run without a bug: passed, failed
    by: str = ""
    failed: list[str] = field(default_factory=list)
    tests: tuple[str, ...] = ()
    seconds: float = 0.0
    loaded: bool = False
    log: str = ""

    def judge(self, answer: Path, late: bool) -> None:
        """Read a child's answer and set the verdict, if there is one yet."""
        log = answer.with_suffix(".log")
        self.log = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
        if late:
            stated = self.bug is not None and self.bug.timeout is not None
            self.verdict, self.by = ("killed" if stated else "error"), "timeout"
            return
        if not answer.is_file():
            self.verdict, self.by = "error", "the process died"
            return
        result = json.loads(answer.read_text(encoding="utf-8"))
        self.failed, self.loaded = result["failed"], self.loaded or result["loaded"]
        if self.bug is None:
            self.verdict = "failed" if self.failed or result["status"] != 0 else "passed"
        elif self.failed:
            in_test = "::" in self.failed[0]
            self.verdict = "killed" if in_test or result["raised"] else "error"
            self.by = self.failed[0] if in_test else "import"
        elif result["status"] not in (0, 5):  # 5: no test of this module in the table
            self.verdict, self.by = "error", f"pytest ended with status {result['status']}"
        elif not self.stages:
            self.verdict = "survived"
            self.by = "" if self.loaded else "the tests never import it"


def run_all(root: Path, runs: list[Run], jobs: int, console: Console) -> None:
    """Run everything, `jobs` children at a time."""
    context: Any = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    waiting, running = list(reversed(runs)), dict[int, tuple[Any, Run, float, Path]]()
    with tempfile.TemporaryDirectory() as folder, Progress(console=console, transient=True) as bar:
        task, number = bar.add_task("planted bugs", total=len(runs)), 0
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    run, number = waiting.pop(), number + 1
                    run.tests, answer = run.stages.pop(0), Path(folder, f"{number}.json")
                    child = context.Process(target=_child, args=(root, run.bug, run.tests, answer))
                    child.start()
                    running[child.sentinel] = (child, run, time.monotonic(), answer)
                wait(list(running), timeout=1.0)
                for sentinel, (child, run, start, answer) in list(running.items()):
                    limit = (run.bug and run.bug.timeout) or LIMIT
                    late = time.monotonic() - start > limit
                    if child.is_alive() and not late:
                        continue
                    child.kill()
                    child.join()
                    del running[sentinel]
                    run.seconds += time.monotonic() - start
                    run.judge(answer, late and not answer.is_file())
                    if run.verdict:
                        bar.advance(task)
                    else:
                        waiting.append(run)
        finally:
            for child, *_ in running.values():
                child.kill()


def import_once(root: Path, runs: list[Run]) -> None:
    """Import, before any fork, the libraries that the tests and the package use."""
    folders = {
        Path(test.partition("::")[0]).parent for run in runs for s in run.stages for test in s
    }
    files = {path for folder in folders for path in (root / folder).glob("*.py")}
    files |= {*(root / "dlkb").glob("*/*.py"), *(root / "tests").glob("*.py"), root / "conftest.py"}
    names = {"pytest"}
    for path in files:
        if path.is_file() and path.parent.name != "book":
            for node in ast.walk(ast.parse(path.read_bytes())):
                if isinstance(node, ast.Import):
                    names |= {alias.name for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    names.add(node.module)
    for top, more in BEHIND.items():
        names |= set(more) if any(name.split(".")[0] == top for name in names) else set()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in sorted(names):
            top = name.split(".")[0]
            if (root / top).is_dir() or (root / f"{top}.py").is_file():
                continue  # ours; planting needs it not to be imported yet
            try:
                importlib.import_module(name)
            except ImportError:
                continue  # whoever needs it will say so
    gc.freeze()


def without_bugs(runs: list[Run]) -> list[Run]:
    """Return, by file, the runs without a bug of all tests that killed one."""
    killers: dict[str, set[str]] = {}
    for run in runs:
        if run.verdict == "killed" and "::" in run.by:
            killers.setdefault(run.by.partition("::")[0], set()).add(run.by)
        elif run.verdict == "killed":
            for test in run.tests:
                killers.setdefault(test.partition("::")[0], set()).add(test)
    return [Run(None, [tuple(sorted(tests))]) for _, tests in sorted(killers.items())]


def show(runs: list[Run], controls: list[Run], console: Console) -> int:
    """Print the table and what is wrong; return the exit status."""
    table = Table("bug", "file", "verdict", "by", "s")
    verdicts = {
        "killed": "[green]killed[/]",
        "survived": "[bold red]SURVIVED[/]",
        "error": "[bold red]ERROR[/]",
    }
    for run in runs:
        assert run.bug
        by = escape(run.by.partition("::")[2] or run.by)
        name = escape(run.bug.name)
        file = run.bug.file.removeprefix("dlkb/")
        table.add_row(name, file, verdicts[run.verdict], by, f"{run.seconds:.1f}")
    console.print(table)
    for run in runs:
        if run.verdict == "error":
            console.print(
                f"{run.bug}\n{run.log[-2000:]}", markup=False, highlight=False, soft_wrap=True
            )
    bad = [control for control in controls if control.verdict != "passed"]
    for control in bad:
        what = ", ".join(control.failed) or control.by
        console.print(
            f"fails without any bug: {what}", markup=False, style="bold red", soft_wrap=True
        )
        console.print(control.log[-2000:], markup=False, highlight=False, soft_wrap=True)
    alive = [run for run in runs if run.verdict != "killed"]
    for run in alive:
        console.print(
            f"{run.verdict}: {run.bug} {run.by}", markup=False, style="bold red", soft_wrap=True
        )
    console.print(f"{len(runs) - len(alive)} of {len(runs)} planted bugs killed", highlight=False)
    return 1 if alive or bad else 0


def main() -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--list", action="store_true", help="list the bugs and stop")
    parser.add_argument("--only", default="", help="bugs whose file or name holds these words")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="children at a time")
    parser.add_argument("--root", type=Path, default=ROOT, help=argparse.SUPPRESS)
    options = parser.parse_args()
    root = options.root.resolve()
    console = Console() if sys.stdout.isatty() else Console(width=160)
    os.environ.update(ENVIRONMENT)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and take the children along
    warnings.filterwarnings("ignore", message=r".*fork\(\)")
    runs, wrong = [], []
    try:
        bugs = [
            bug for bug in read_bugs(root) if options.only.lower() in f"{bug} {bug.file}".lower()
        ]
    except BadBug as error:
        bugs, wrong = [], [str(error)]
    for bug in bugs:
        try:
            planted_source(root, bug)
            runs.append(Run(bug, stages(root, bug)))
        except BadBug as error:
            wrong.append(str(error))
    for message in wrong:
        console.print(message, markup=False, style="bold red", soft_wrap=True)
    if options.list:
        for bug in bugs:
            console.print(f"{bug}  ({bug.file})", markup=False, highlight=False, soft_wrap=True)
        return 1 if wrong else 0
    if not runs:
        console.print("no bug to plant", style="bold red")
        return 1
    start = time.monotonic()
    import_once(root, runs)
    run_all(root, runs, options.jobs, console)
    run_all(root, controls := without_bugs(runs), options.jobs, console)
    status = show(runs, controls, console)
    console.print(f"{time.monotonic() - start:.0f} s", highlight=False)
    return 1 if wrong else status


if __name__ == "__main__":
    sys.exit(main())
