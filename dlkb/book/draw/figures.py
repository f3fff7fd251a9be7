"""Figures: found by reading the scripts, drawn in parallel, kept as long as nothing changes.

`scripts/figures/<stem>.py` holds public functions without arguments, annotated `-> Figure`.
Each becomes `docs/assets/figures/<stem>/<name>-light.svg` and `-dark.svg`, and the same for phones,
`<name>-narrow-light.svg` and `-narrow-dark.svg`. One annotated `-> Explorable` becomes also
`<name>-axes-light.svg` and `-axes-dark.svg`, without what moves, as are its narrow variants, and
`<name>.json`, the frames of what moves. What `<name>_says()` returns is kept beside. A drawing is
kept until its script, a module that the script imports, the style, or a library changes.
Nothing heavy is imported here: matplotlib and the scripts live in the worker processes.
"""

import ast
import json
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from dlkb.book.draw import style
from dlkb.book.draw.drawing import SCRIPTS, Drawings, Says
from dlkb.book.draw.workers import in_parallel
from dlkb.book.read.book import resolve
from dlkb.book.read.freshness import content_key, digest, digest_of, parse, read_note, write
from dlkb.book.read.parts import PageError

OUTPUT = Path("docs/assets/figures")
CACHE = Path(".cache/figures.json")
ENGINE = tuple(sorted(Path(__file__).parent.glob("*.py")))


@dataclass(frozen=True)
class FigureSource:
    """A function that draws one figure; `says` if there is one that tells what it says."""

    stem: str
    name: str
    line: int
    explorable: bool
    says: bool

    def __str__(self) -> str:
        return f"{self.stem}/{self.name}"

    @property
    def outputs(self) -> list[str]:
        """The files under `docs/assets/figures`."""
        layouts = ("", "-axes", "-narrow") if self.explorable else ("", "-narrow")
        svgs = [f"{self}{layout}-{theme}.svg" for layout in layouts for theme in style.THEMES]
        return [*svgs, f"{self}.json"] if self.explorable else svgs


@dataclass(frozen=True)
class Failure:
    """What could not be drawn, and why; without a `name` it is the whole script."""

    stem: str
    name: str
    error: str

    def __str__(self) -> str:
        where = f"{SCRIPTS.as_posix()}/{self.stem}.py"
        return f"{where}: {self.name}()" if self.name else where


@dataclass
class Report:
    """What `draw` did. Figures are named `<stem>/<name>`, removed files by their path."""

    drawn: list[str] = field(default_factory=list)
    cached: list[str] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)

    def show(self, console: Console) -> int:
        """Print the report, failures with their traceback, and return the exit status."""
        for failure in self.failed:
            console.print(f"{failure} failed:", style="bold red", highlight=False, soft_wrap=True)
            console.print(failure.error, markup=False, highlight=False, soft_wrap=True)
        for name in self.removed:
            console.print(f"removed {name}: no script draws it", highlight=False)
        counts = (
            f"{len(self.drawn)} drawn, {len(self.cached)} up to date, {len(self.failed)} failed"
        )
        console.print(counts, highlight=False)
        return 1 if self.failed else 0


def figure_stems(root: Path) -> list[str]:
    """Return the stems that have a figure script; files that start with `_` are helpers."""
    scripts = root / SCRIPTS
    paths = (path for path in scripts.glob("*/*.py") if not path.name.startswith("_"))
    return sorted(path.relative_to(scripts).with_suffix("").as_posix() for path in paths)


def figures_of(root: Path, stem: str) -> list[FigureSource]:
    """Return the figures of one script, without importing it."""
    tree = parse((root / SCRIPTS / f"{stem}.py").read_bytes())
    functions = [
        (node, ast.unparse(node.returns).strip("'\"").rsplit(".", 1)[-1])
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
        and not node.name.startswith("_")
        and not ast.unparse(node.args)
        and node.returns is not None
    ]
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    return [
        FigureSource(
            stem, node.name, node.lineno, returned == "Explorable", f"{node.name}_says" in names
        )
        for node, returned in functions
        if returned in ("Figure", "Explorable")
    ]


def find_figures(root: Path) -> list[FigureSource]:
    """Return every figure of the book."""
    return [figure for stem in figure_stems(root) for figure in figures_of(root, stem)]


def draw(
    root: Path, stems: list[str] | None = None, force: bool = False, console: Console | None = None
) -> Report:
    """Draw the figures that are missing or stale, in parallel, under a progress bar.

    Args:
        root: The repository.
        stems: Whose figures, named as `dlkb run` names pages; all by default.
        force: Draw also what is up to date, and fail where the bytes do not repeat.
        console: Where the progress bar goes; standard error by default.

    Returns:
        What was drawn, what was up to date, and what failed. A failure stops no other figure.

    Raises:
        PageError: If a stem has no script; the message suggests the nearest.
    """
    root = root.resolve()
    known = figure_stems(root)
    chosen = _choose(known, stems)
    report = Report()
    kept = {stem: record for stem, record in read_note(root / CACHE).items() if stem in known}
    tasks: dict[str, list[FigureSource]] = {}
    outputs: set[str] = set()
    for stem in chosen:
        try:
            figures = figures_of(root, stem)
        except SyntaxError as error:
            report.failed.append(
                Failure(stem, "", "".join(traceback.format_exception(error, limit=0)))
            )
            continue
        key = _key(root, stem)
        if kept.get(stem, {}).get("key") != key:
            kept[stem] = {"key": key, "files": {}, "says": {}}
        for figure in figures:
            outputs |= set(figure.outputs)
            if force or not _is_fresh(root, figure, kept[stem]["files"]):
                tasks.setdefault(stem, []).append(figure)
            else:
                report.cached.append(str(figure))
    try:
        names = {stem: [figure.name for figure in figures] for stem, figures in tasks.items()}
        for stem, drawings in in_parallel(root, names, console or Console(stderr=True), force):
            _keep(root, stem, tasks[stem], drawings, kept[stem], report)
    finally:
        write(root / CACHE, json.dumps(kept, indent=1, sort_keys=True).encode())
    outputs |= {
        name for f in report.failed if not f.name for name in kept.get(f.stem, {}).get("files", {})
    }
    for folder in [OUTPUT] if stems is None else [OUTPUT / stem for stem in chosen]:
        report.removed += _remove_all_but(outputs, root, folder)
    report.drawn.sort()
    return report


def said(root: Path, stem: str) -> dict[str, Says] | None:
    """Return what the figures of a stem say, by name, as kept since they were drawn.

    Nothing is drawn or imported. None if the script has changed since, or was never drawn.
    """
    root = root.resolve()
    record = read_note(root / CACHE).get(stem)
    return record["says"] if record and record["key"] == _key(root, stem) else None


def _key(root: Path, stem: str) -> str:
    return content_key(root, root / SCRIPTS / f"{stem}.py", ENGINE)


def _choose(known: list[str], names: list[str] | None) -> list[str]:
    if names is None:
        return known
    chosen = set()
    for name in names:
        try:
            chosen.add(resolve(name, known))
        except PageError as error:
            hint = str(error).partition(": ")[2]
            raise PageError(f"no figures for '{name}': {hint}") from error
    return sorted(chosen)


def _is_fresh(root: Path, figure: FigureSource, files: dict[str, str]) -> bool:
    """Whether every variant of a figure is there, as it was drawn."""
    return all(
        name in files and digest_of(root / OUTPUT / name) == files[name] for name in figure.outputs
    )


def _keep(
    root: Path,
    stem: str,
    figures: list[FigureSource],
    drawings: Drawings,
    record: dict[str, Any],
    report: Report,
) -> None:
    """Write what was drawn and note it in `record`, or report why there is nothing to write."""
    known = {figure.name: figure for figure in figures}
    files = record["files"]
    for name, drawn in drawings.items():
        if isinstance(drawn, str):
            report.failed.append(Failure(stem, name, drawn))
            continue
        figure = known[name]
        if len(drawn.files) != len(figure.outputs):
            why = "It returned an Explorable or a Figure, but its annotation says the other.\n"
            report.failed.append(Failure(stem, name, why))
            continue
        written = dict(zip(figure.outputs, drawn.files, strict=True))
        digests = {file: digest(content) for file, content in written.items()}
        if any(files.get(file, new) != new for file, new in digests.items()):
            why = (
                "It is not what it was, although nothing that it depends on has changed.\n"
                f"Seed what is random (or remove {CACHE} if this is another machine).\n"
            )
            report.failed.append(Failure(stem, name, why))
            continue
        for file, content in written.items():
            write(root / OUTPUT / file, content)
        files.update(digests)
        if drawn.says is not None:
            record["says"][name] = drawn.says
        report.drawn.append(str(figure))


def _remove_all_but(outputs: set[str], root: Path, folder: Path) -> list[str]:
    """Remove the drawings that no script makes any more, and folders left empty."""
    removed = []
    for path in sorted((root / folder).rglob("*"), reverse=True):
        name = path.relative_to(root / OUTPUT).as_posix()
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()
        elif path.suffix in (".svg", ".json") and name not in outputs:
            path.unlink()
            removed.append(path.relative_to(root).as_posix())
    return removed
