"""Test all that concerns one topic: `make test TOPIC=optimizers/adam`."""

import subprocess
import sys
from pathlib import Path

from dlkb.book.read import topics
from dlkb.book.read.book import read_book, resolve
from dlkb.book.read.parts import PageError

ROOT = Path(__file__).resolve().parents[1]


def files_of(stem: str, root: Path = ROOT) -> list[str]:
    """Return the files of a topic that are there: formulas, shells, scripts, tests, page."""
    topic, own = stem.split("/")[1], topics.files_of(stem)
    places = [
        own["formula"],
        Path(f"dlkb/nn/{topic}.py"),
        Path(f"dlkb/optim/{topic}.py"),
        own["figures"],
        Path(f"scripts/peers/{stem}.py"),
        own["tests"],
        Path(f"tests/nn/test_{topic}.py"),
        Path(f"tests/optim/test_{topic}.py"),
        own["figure_tests"],
        own["page"],
    ]
    # A shell of several files is a folder; each part may have tests of its own.
    parts = [
        f"dlkb/nn/{topic}/*.py",
        f"tests/nn/test_{topic}_*.py",
        f"tests/optim/test_{topic}_*.py",
    ]
    places += [path.relative_to(root) for part in parts for path in sorted(root.glob(part))]
    return [place.as_posix() for place in places if (root / place).is_file()]


def commands(stem: str, root: Path = ROOT) -> list[list[str]]:
    """Return what is run, in order: lint, rules, then the tests that concern the topic."""
    python = [sys.executable, "-m"]
    files = files_of(stem, root)
    code = [file for file in files if file.endswith(".py")]
    module = stem.replace("/", ".")
    tested = [file for file in files if not file.startswith("scripts/")]
    return [
        [*python, "ruff", "check", *code],
        [*python, "ruff", "format", "--check", *code],
        [*python, "dlkb.book", "check", stem],
        [*python, "dlkb.book", "figures", stem],
        [*python, "pytest", "--quiet", *tested],
        [
            *[*python, "pytest", "--quiet", "-k", f"{module}. or {stem}"],
            *["tests/test_formulas.py", "tests/test_layout.py", "tests/peers"],
            "tests/figures/test_sayings.py",
        ],
    ]


def main() -> int:
    """Run the commands for the topic named, and stop at the first that fails."""
    try:
        stems = [page.stem for page in read_book(ROOT) if page.is_topic]
        stem = resolve(sys.argv[1], stems)
    except (IndexError, PageError) as error:
        print(f"name a topic, for example optimizers/adam: {error}")
        return 2
    for command in commands(stem):
        print("$", " ".join(command[1:]), flush=True)
        if status := subprocess.run(command, cwd=ROOT, check=False).returncode:
            return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
