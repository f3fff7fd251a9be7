"""Plant falsehoods into the pages, of every kind that a reader can read; say what notices them.

A copy of the repository in a temporary folder is falsified: digits, types of cards, statements,
equations, descriptions of figures, what figures draw, tables, outputs, links, references. What
nothing would notice is listed, and `docs/lies.json` keeps the counts.

    python scripts/planted_lies.py [PAGE...] [--jobs N]   # with a page, nothing is written
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from rich.console import Console  # noqa: E402

from dlkb.book.draw.figures import draw, figure_stems  # noqa: E402
from dlkb.book.read.book import read_book  # noqa: E402
from dlkb.book.read.parts import PageError  # noqa: E402
from scripts.lies.lie import Verdict  # noqa: E402
from scripts.lies.page import bibliography_verdicts, page_verdicts  # noqa: E402
from scripts.lies.report import missed_goals, show, summary  # noqa: E402

KEPT = ("docs/assets/figures", "docs/downloads", ".cache/figures.json")
"""What git ignores, and saves time if it is there."""


def copy_tree(root: Path, target: Path) -> None:
    """Copy what git would commit, and drawings that are up to date."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout
    kept = (path for name in KEPT for path in (root / name, *(root / name).rglob("*")))
    for path in (*(root / name for name in listed.split("\0") if name), *kept):
        if path.is_file() and not path.is_symlink():
            new = target / path.relative_to(root)
            new.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, new)


def plant_all(
    root: Path, stems: list[str], jobs: int, console: Console
) -> tuple[list[Verdict], list[str]]:
    """Plant all lies of the pages named into a tree that may be changed.

    Returns:
        What became of the lies, and which pages are wrong before any lie.

    Raises:
        PageError: If a figure cannot be drawn.
    """
    warnings.filterwarnings("ignore", message=r".*fork\(\)")
    report = draw(root, sorted({*stems} & {*figure_stems(root)}))
    if report.failed:
        report.show(console)
        raise PageError("mend the figures first")
    found = bibliography_verdicts(root) if len(stems) > 1 else []
    wrong = []
    with ProcessPoolExecutor(jobs) as pool:
        for stem, run in [(stem, pool.submit(page_verdicts, root, stem)) for stem in stems]:
            try:
                verdicts = run.result()
            except PageError as error:  # the others are of interest all the same
                wrong.append(f"{stem}: {error}")
                continue
            found += verdicts
            noticed = sum(bool(one.by) for one in verdicts)
            console.print(f"{stem}: {noticed} of {len(verdicts)}", highlight=False)
    return found, wrong


def main() -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("pages", nargs="*", help="default: all")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="pages at a time")
    options = parser.parse_args()
    os.environ["NO_MKDOCS_2_WARNING"] = "1"
    console, start = Console(width=110), time.monotonic()
    try:
        book = read_book(ROOT, options.pages or None)
        stems = [page.stem for page in book]
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            root = Path(folder).resolve() / "book"
            copy_tree(ROOT, root)
            verdicts, wrong = plant_all(root, stems, options.jobs, console)
    except PageError as error:
        console.print(str(error), markup=False, style="bold red", soft_wrap=True)
        return 2
    show(verdicts, console)
    console.print(f"{time.monotonic() - start:.0f} s", highlight=False)
    for message in wrong:
        console.print(message, markup=False, style="bold red", soft_wrap=True)
    if wrong:
        return 2
    if not options.pages:
        text = json.dumps(summary(verdicts, _commit()), indent=1, ensure_ascii=False)
        (ROOT / "docs" / "lies.json").write_text(text + "\n", encoding="utf-8")
    missed = missed_goals(
        Counter(v.kind for v in verdicts), Counter(v.kind for v in verdicts if v.by)
    )
    for message in missed:
        console.print(message, style="bold red", highlight=False)
    return 1 if missed else 0


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--exclude", "*"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
