"""The files that one topic has, and what is still to be written in them."""

import re
from pathlib import Path

FILES = {
    "page": "docs/{family}/{topic}.md",
    "formula": "dlkb/{family}/{topic}.py",
    "tests": "tests/{family}/test_{topic}.py",
    "bugs": "tests/{family}/bugs_{topic}.toml",
    "figures": "scripts/figures/{family}/{topic}.py",
    "figure_tests": "tests/figures/{family}/test_{topic}.py",
}
"""What each topic has. Shells and modules about libraries are there for some."""

_GAP = re.compile(r"(?:<!--|#) *to write: +(.+?) *(?:-->|\"\"\"|$)")


def family_of(stem: str) -> str:
    """Return the family of a topic.

    Example:
        >>> family_of("optimizers/adam")
        'optimizers'
    """
    return stem.partition("/")[0]


def files_of(stem: str) -> dict[str, Path]:
    """Return the files of a topic by what they hold, from the root of the checkout.

    Example:
        >>> files_of("optimizers/adam")["tests"].as_posix()
        'tests/optimizers/test_adam.py'
    """
    family, topic = stem.split("/")
    return {what: Path(place.format(family=family, topic=topic)) for what, place in FILES.items()}


def gaps(text: str) -> list[tuple[int, str]]:
    r"""Return line and subject of each comment that says what is still to be written.

    Example:
        >>> gaps("## The idea\n<!--to write: the idea-->")
        [(2, 'the idea')]
    """
    return [
        (number, found[1])
        for number, line in enumerate(text.split("\n"), start=1)
        for found in _GAP.finditer(line)
    ]


def gaps_of(root: Path, stem: str) -> list[tuple[Path, int, str]]:
    """Return file, line and subject of what a topic still lacks."""
    paths = [root / path for path in files_of(stem).values()]
    family = root / "docs" / family_of(stem) / "index.md"
    return [
        (path, line, subject)
        for path in [*paths, family]
        if path.is_file()
        for line, subject in gaps(path.read_text(encoding="utf-8"))
    ]
