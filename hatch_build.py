"""Pack the book into the wheel: then `dlkb list`, `run`, `export`, `verify` need no clone."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PACKED = (
    "mkdocs.yml",
    "constraints.txt",  # which versions the tables about libraries were run with
    "docs/**/*.md",
    "docs/*.toml",
    "docs/*.bib",
    "scripts/figures/**/*.py",
    "scripts/peers/**/*.py",
)
WRITTEN = ("docs/claims.md", "docs/benchmarks.md")
"""Pages that a command writes before the site is built."""


class Book(BuildHookInterface):
    """Put what the pages need under `dlkb/_book`."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the files to a wheel; an editable install reads the clone itself."""
        if version == "editable":
            return
        root = Path(self.root)
        files = {path for pattern in PACKED for path in root.glob(pattern) if path.is_file()}
        for path in sorted(files - {root / name for name in WRITTEN}):
            inside = path.relative_to(root).as_posix()
            build_data["force_include"][str(path)] = f"dlkb/_book/{inside}"
