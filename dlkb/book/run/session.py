"""Run the fences of a page, in order, in one namespace, and hold the output to the page.

Code is compiled under the page's own file name and line numbers, so that a traceback shows the
line of the Markdown file.
"""

import ast
import contextlib
import io
import itertools
import sys
import time
import traceback
import types
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from dlkb.book.read.code import examples
from dlkb.book.read.parts import Fence, Page, PageError
from dlkb.book.run.bound import Evaluated, evaluate
from dlkb.book.run.compare import difference, number_pairs, on_boundary, same_output
from dlkb.book.run.rounding import WATCH, watch_rounding, watcher
from dlkb.book.run.state import changed, state

_UNDO = "undo it in the same fence, or use a `with` block that does"


@dataclass(frozen=True)
class Outcome:
    """What came of a fence: its output, its time, and what is wrong with it, if anything."""

    fence: Fence
    output: str
    seconds: float
    error: str | None = None
    line: int | None = None


@dataclass(frozen=True)
class Fragile:
    """A printed number that another processor might round the other way."""

    line: int
    value: float
    digits: int

    def __str__(self) -> str:
        return f"line {self.line}: {self.value!r} sits on a boundary at {self.digits} digits"


@dataclass(frozen=True)
class Step:
    """A piece of a fence that is run at once, and what the page shows for it."""

    source: str
    line: int
    shown: str | None
    exception: str | None = None
    interactive: bool = False


def _steps(fence: Fence) -> Iterator[Step]:
    if fence.language == "python":
        yield Step(fence.code, fence.line, fence.shown or "")
        return
    try:
        prompts = examples(fence.code)
    except ValueError as error:  # a prompt without a blank, say: shown as the code's own error
        yield Step(f"raise SyntaxError({str(error)!r})", fence.line, "")
        return
    for example in prompts:
        line = fence.line + example.lineno
        yield Step(example.source, line, example.want, example.exc_msg, interactive=True)


def on(device: str) -> contextlib.AbstractContextManager[Any]:
    """Return what makes a page's torch run on `device`, while it is entered.

    Raises:
        PageError: If torch sees no such device.
    """
    if device == "cpu":
        return contextlib.nullcontext()
    import torch

    from dlkb.book.run.on_device import OnDevice

    if device != "cuda":
        raise PageError(f"no device '{device}': choose cpu or cuda")
    if not torch.cuda.is_available():
        raise PageError(
            "device cuda is absent: torch sees no CUDA device here; "
            "run with --device cpu, or install a CUDA build of PyTorch on a machine with a GPU"
        )
    return OnDevice(device)


class Session:
    """A page being run: its namespace and how far it has come.

    What the page does to its process stays: `processes.run_apart` gives each page its own.
    """

    def __init__(
        self, page: Page, device: str = "cpu", on_step: Callable[[int], None] = lambda line: None
    ) -> None:
        self.page = page
        self.device = device
        self.on_step = on_step  # told each line before its code runs
        self.outcomes: list[Outcome] = []
        self.fragile: list[Fragile] = []
        self.displayed: set[int] = set()  # lines whose value was shown, not printed
        # A real module, so that dataclasses and pickling find what the page defines.
        self._module = types.ModuleType(f"page_{page.stem.replace('/', '_')}")
        self._module.__dict__[WATCH] = watcher(self._report)

    def _report(self, line: int, value: float, digits: int) -> None:
        self.fragile.append(Fragile(line, value, digits))

    def outcomes_through(self, fence: Fence) -> Outcome:
        """Run what has not run yet, up to and with `fence`, and return its outcome."""
        fences = self.page.runnable
        for following in fences[len(self.outcomes) : fences.index(fence) + 1]:
            self.outcomes.append(self.run(following))
        return self.outcomes[fences.index(fence)]

    def bound(self) -> list[Evaluated]:
        """Run what has not run yet, and evaluate the numbers that the page binds."""
        for fence in self.page.runnable[-1:]:
            self.outcomes_through(fence)
        with self._surroundings():
            return evaluate(self.page, self._module.__dict__)

    def bound_outcome(self) -> Outcome | None:
        """Return what comes of the bound numbers, as if a fence held them; None without any."""
        started = time.perf_counter()
        found = self.bound()
        if not found:
            return None
        wrong = [number for number in found if number.fault]
        fence = Fence("bound", "", found[0].line, "Numbers in the text", None)
        output = f"{len(found)} bound numbers\n"
        seconds = time.perf_counter() - started
        if not wrong:
            return Outcome(fence, output, seconds)
        return Outcome(fence, output, seconds, "\n".join(map(str, wrong)), wrong[0].line)

    def whole(self) -> Iterator[Outcome]:
        """Run the page: yield what comes of each fence, then of the bound numbers.

        It stops at the first that is wrong.
        """
        for fence in self.page.runnable:
            outcome = self.outcomes_through(fence)
            yield outcome
            if outcome.error:
                return
        if bound := self.bound_outcome():
            yield bound

    def run(self, fence: Fence) -> Outcome:
        """Run one fence in the page's namespace."""
        output = io.StringIO()
        started = time.perf_counter()
        error = line = None
        with self._surroundings():
            before = state()
            left: dict[str, int] = {}  # what differs, and since which line
            for step in _steps(fence):
                self.on_step(step.line)
                printed, error, line = self.run_step(step, fence.asks)
                output.write(printed)
                if error:
                    break
                differs = changed(before, state(), fence.code)
                left = {name: left.get(name, step.line) for name in sorted(differs)}
            if left and not error:
                error = f"leaves changed: {', '.join(left)}: {_UNDO}"
                line = min(left.values())
        return Outcome(fence, output.getvalue(), time.perf_counter() - started, error, line)

    @contextlib.contextmanager
    def _surroundings(self) -> Iterator[None]:
        sys.modules[self._module.__name__] = self._module
        displayhook = sys.displayhook
        try:
            with warnings.catch_warnings(), on(self.device):
                warnings.simplefilter("error")
                yield
        finally:
            sys.displayhook = displayhook
            sys.modules.pop(self._module.__name__, None)

    def _display(self, value: Any, line: int, *, inside: bool) -> None:
        """Show a value as the interpreter does; a tensor shows four decimals, so audit those."""
        if value is not None and inside:
            raise PageError("a notebook shows no value from inside a statement: print it")
        if type(value).__module__.startswith("torch"):
            self._module.__dict__[WATCH](value, 4, "f", line)
        if value is not None:
            self.displayed.add(line)
        sys.__displayhook__(value)

    def run_step(self, step: Step, asks: tuple[str, ...]) -> tuple[str, str | None, int | None]:
        """Return what was printed, what is wrong, and at which line."""
        printed = io.StringIO()
        path = str(self.page.path)
        raised: BaseException | None = None
        line = step.line
        try:
            # Parsed as it stands in the file: tracebacks and the audit name the page's line.
            source = "\n" * (step.line - 1) + step.source
            tree: Any = ast.parse(source, path, "single" if step.interactive else "exec")
            inside = step.interactive and [type(part) for part in tree.body] != [ast.Expr]
            code = compile(watch_rounding(tree), path, "single" if step.interactive else "exec")
            with contextlib.redirect_stdout(printed):
                hook = sys.displayhook = partial(self._display, line=step.line, inside=inside)
                exec(code, self._module.__dict__)
                if sys.displayhook is not hook:
                    raise PageError("sets sys.displayhook: later values would be shown otherwise")
        except (Exception, SystemExit) as error:  # whoever presses Ctrl-C means us
            raised = error
            line = _line_of(error, path) or step.line
        if raised is not None:
            message = "".join(traceback.format_exception_only(raised))
            if step.exception is None:
                return printed.getvalue(), _trace(raised, path), line
            if not _same_exception(step.exception, message, asks):
                return printed.getvalue(), difference(step.exception, message), line
            return printed.getvalue() + message, None, None
        got = printed.getvalue()
        if step.exception is not None:
            return got, f"no exception; the page shows {step.exception.strip()}", line
        shown = step.shown or ""
        if not step.interactive and not shown and got:
            return got, "prints, but no `output` fence follows that shows it:\n" + got, line
        if not same_output(shown, got, asks):
            return got, difference(shown, got), line
        for short, long in number_pairs(shown, got):
            if on_boundary(short, long):
                self.fragile.append(Fragile(line, float(long), len(short.partition(".")[2])))
        return got, None, None


def outcomes_of(page: Page, device: str = "cpu") -> Iterator[Outcome]:
    """Run a page; see `Session.whole`."""
    yield from Session(page, device).whole()


def _same_exception(shown: str, got: str, asks: tuple[str, ...]) -> bool:
    """Compare type and message; the module before the type is not shown by all consoles."""
    bare = got.partition(":")[0].rsplit(".", 1)[-1] + "".join(got.partition(":")[1:])
    return same_output(shown, got, asks) or same_output(shown, bare, asks)


def _line_of(error: BaseException, path: str) -> int | None:
    if isinstance(error, SyntaxError) and error.filename == path:
        return error.lineno
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == path]
    return frames[-1].lineno if frames else None


def _trace(error: BaseException, path: str) -> str:
    """Format the traceback from the page's own frame on."""
    frames = traceback.extract_tb(error.__traceback__)
    own = itertools.dropwhile(lambda frame: frame.filename != path, frames)
    rows = ["Traceback (most recent call last):\n", *traceback.format_list(list(own))]
    return "".join(rows + traceback.format_exception_only(error)).rstrip()
