"""Templates of the theme and of docstrings, compiled once: half of the time of a small site."""

from pathlib import Path
from types import CodeType

from jinja2.bccache import Bucket, FileSystemBytecodeCache

CACHE = Path(".cache/templates")

_HERE: dict[tuple[str, str], CodeType] = {}
"""What this process has compiled or read, by template and hash of its source."""


class Compiled(FileSystemBytecodeCache):
    """Keeps them in memory for the next build, and under the checkout for the next process."""

    def __init__(self, root: Path) -> None:
        folder = root / CACHE
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(str(folder))

    def load_bytecode(self, bucket: Bucket) -> None:
        """Look into memory first."""
        if known := _HERE.get((bucket.key, bucket.checksum)):
            bucket.code = known
            return
        super().load_bytecode(bucket)
        if bucket.code:
            _HERE[bucket.key, bucket.checksum] = bucket.code

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep what was compiled in both places."""
        assert bucket.code
        _HERE[bucket.key, bucket.checksum] = bucket.code
        super().dump_bytecode(bucket)
