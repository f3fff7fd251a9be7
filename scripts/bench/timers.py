"""Where the time of the book's commands goes. Runs as a process of its own, in a copy of the book.

Usage: python -m scripts.bench.timers verification|figures|site|refresh parts.json

Functions are replaced by ones that keep the time; what runs inside another part counts only for
the inner one. Nothing heavy may be imported here: imports are a part.
"""

import builtins
import importlib
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Parts = dict[str, tuple[str, ...]]
"""Part → what belongs to it, as `module:name`."""

_MKDOCS: Parts = {
    "Markdown": ("mkdocs.structure.pages:Page.render",),
    "math": tuple(
        f"dlkb.book.publish.math:{name}"
        for name in ("_Find.run", "_Find.typeset", "_Place.run", "_Flatten.run")
    ),
    "highlighting": ("pymdownx.highlight:Highlight.highlight",),
    "API reference": tuple(
        f"mkdocstrings_handlers.python:PythonHandler.{name}" for name in ("collect", "render")
    ),
    "checking anchors": ("mkdocs.structure.pages:Page.validate_anchor_links",),
}
PARTS: dict[str, Parts] = {
    "verification": {
        "reading pages": ("dlkb.book.read.pages:read_page",),
        "running fences": ("dlkb.book.run.session:exec",),
        "compiling, with the audit of rounding": (
            "dlkb.book.run.session:compile",
            "dlkb.book.run.session:watch_rounding",
        ),
        "comparing": tuple(
            f"dlkb.book.run.session:{name}"
            for name in ("same_output", "number_pairs", "on_boundary")
        ),
    },
    "figures": {
        "computing and plotting": ("dlkb.book.draw.drawing:render",),
        "writing SVG": ("dlkb.book.draw.drawing:_svg",),
        "frames of explorable figures": (
            "dlkb.book.draw.frames:collect",
            "dlkb.book.draw.frames:serialize",
        ),
        "comparing the themes": ("dlkb.book.draw.drawing:without_colours",),
    },
    "site": {
        **_MKDOCS,
        "templates": tuple(
            f"mkdocs.commands.build:{name}" for name in ("_build_page", "_build_theme_template")
        ),
        "copying files": ("mkdocs.structure.files:Files.copy_static_files",),
        "rules of pages": ("dlkb.book.hold.verify:book_problems",),
        "which figures are stale": ("dlkb.book.publish.site:draw",),
        "which pages are stale": (
            "dlkb.book.hold.verify:page_key",
            "dlkb.book.publish.downloads:page_key",
        ),
        "which pages are rendered as they will be": (
            "dlkb.book.publish.rendered:_key",
            "dlkb.book.publish.rendered:_take",
        ),
        "ledger": ("dlkb.book.publish.site:write_ledger",),
        "search index": ("dlkb.book.publish.site:write_search",),
        "code that did not run": ("dlkb.book.publish.site:unrun_code",),
        "zip": ("dlkb.book.publish.site:write_zip",),
    },
    "refresh": {
        **_MKDOCS,
        "templates": ("dlkb.book.serve.incremental:_build_page",),
        "rules of pages": ("dlkb.book.serve.incremental:page_problems",),
        "looking at files": ("dlkb.book.serve.incremental:snapshot",),
        "waiting for the end of a burst": ("time:sleep",),
        "ledger": (
            "dlkb.book.serve.incremental:write_ledger",
            "dlkb.book.serve.incremental:read_book",
        ),
    },
}


class Timers:
    """Seconds by part; a clock runs for the innermost part that was entered."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._inside = ["rest"]
        self._since = time.perf_counter()

    def _charge(self) -> None:
        now = time.perf_counter()
        self.seconds[self._inside[-1]] += now - self._since
        self._since = now

    @contextmanager
    def part(self, name: str) -> Any:
        """Charge a block to a part."""
        self._charge()
        self._inside.append(name)
        try:
            yield
        finally:
            self._charge()
            self._inside.pop()

    def read(self) -> dict[str, float]:
        """Return the seconds so far, and start from nothing."""
        self._charge()
        found = dict(self.seconds)
        self.seconds.clear()
        return found

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, its calls charged to a part."""

        def call(*args: Any, **kwargs: Any) -> Any:
            with self.part(name):
                return function(*args, **kwargs)

        return call

    def time_imports(self) -> None:
        """Charge what is imported for the first time."""
        import_ = builtins.__import__

        def timed_import(name: str, *args: Any, **kwargs: Any) -> Any:
            if name in sys.modules:
                return import_(name, *args, **kwargs)
            with self.part("imports"):
                return import_(name, *args, **kwargs)

        builtins.__import__ = timed_import
        importlib.import_module = self.timed("imports", importlib.import_module)

    def time_parts(self, parts: Parts) -> None:
        """Replace functions by timed ones.

        Raises:
            AttributeError: If there is no such function any more.
        """
        for part, targets in parts.items():
            for target in targets:
                module, _, path = target.partition(":")
                owner: Any = importlib.import_module(module)
                *owners, name = path.split(".")
                for attribute in owners:
                    owner = getattr(owner, attribute)
                function = getattr(owner, name, None) or getattr(builtins, name)
                setattr(owner, name, self.timed(part, function))


def verification(timers: Timers) -> None:
    """Run all topics as the workers of `dlkb run` do, but in one process."""
    from dlkb.book.read.book import read_book
    from dlkb.book.read.roots import find_root
    from dlkb.book.run.session import outcomes_of

    for page in read_book(find_root()):
        for outcome in outcomes_of(page) if page.is_topic else ():
            if outcome.error:
                raise RuntimeError(f"{page.stem}: {outcome.error}")


def figures(timers: Timers) -> None:
    """Draw all figures as the workers of `dlkb figures` do, but in one process."""
    from dlkb.book.draw import drawing
    from dlkb.book.draw.figures import figure_stems, figures_of

    root = Path.cwd()
    for stem in figure_stems(root):
        drawn = drawing.draw_script(str(root), stem, [f.name for f in figures_of(root, stem)])
        for failed in (text for text in drawn.values() if isinstance(text, str)):
            raise RuntimeError(failed)


def site(timers: Timers) -> None:
    """Build the site as `dlkb build` does when nothing is stale."""
    from dlkb.book.publish.site import build

    if build(Path.cwd()):
        raise RuntimeError("the site was not built")


def refresh(timers: Timers) -> None:
    """Follow the edit of a page as `dlkb serve` does, without the time until it looks."""
    from dlkb.book.serve.incremental import Site

    served = Site(Path.cwd(), "http://127.0.0.1/dlkb/")
    page = Path("docs/optimizers/adam.md")
    before = page.read_text(encoding="utf-8")
    try:
        served.update()
        served.update()  # sees the ledger that the build wrote
        timers.read()
        page.write_text(f"{before}\nA word more.\n", encoding="utf-8")
        served.update()
    finally:
        page.write_text(before, encoding="utf-8")
        served.close()


TASKS = {task.__name__: task for task in (verification, figures, site, refresh)}


def main(task: str, output: str) -> None:
    """Do a task and write the seconds of its parts."""
    timers = Timers()
    timers.time_imports()
    timers.time_parts(PARTS[task])
    TASKS[task](timers)
    Path(output).write_text(json.dumps(timers.read()))


if __name__ == "__main__":
    main(*sys.argv[1:])
