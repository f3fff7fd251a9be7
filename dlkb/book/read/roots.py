"""Where the book is: a checkout, or the pages that the wheel brings along."""

import atexit
import contextlib
import hashlib
import shutil
import tempfile
from pathlib import Path

import platformdirs

from dlkb.book.read.parts import PageError

PACKAGE = Path(__file__).resolve().parents[2]


def find_root(start: Path | None = None) -> Path:
    """Return the folder that holds `mkdocs.yml` and `docs/claims.toml`.

    Looked for upwards from `start` (the current folder), then beside an editable install. Without
    a checkout it is a copy of the wheel's book.

    Raises:
        PageError: If there is none.
    """
    with contextlib.suppress(PageError):
        return find_checkout(start)
    packed = PACKAGE / "_book"
    if packed.is_dir():
        return unpacked(PACKAGE, platformdirs.user_cache_path("dlkb"))
    raise PageError(
        f"no book at {start or Path.cwd()} or above it, nor in the package: "
        "clone the repository, or install a wheel"
    )


def find_checkout(start: Path | None = None) -> Path:
    """Return the checkout, whose files may be edited.

    Raises:
        PageError: If there is none.
    """
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents, PACKAGE.parent):
        if (folder / "mkdocs.yml").is_file() and (folder / "docs" / "claims.toml").is_file():
            return folder
    raise PageError(
        f"no dlkb checkout at {start} or above it: clone the repository and run dlkb inside it"
    )


def unpacked(package: Path, cache: Path) -> Path:
    """Copy the wheel's book to where figures and what has run can be kept beside it.

    There is one copy for each state of the package, so what was kept of another does not count.

    Args:
        package: The installed package; its folder `_book` is copied.
        cache: The user's cache; where it cannot be written, a temporary folder serves.
    """
    copy = cache / _digest(package)
    if copy.is_dir():
        return copy
    try:
        cache.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=cache))
    except OSError:
        draft = Path(tempfile.mkdtemp(prefix="dlkb-")).resolve()
        atexit.register(shutil.rmtree, draft, ignore_errors=True)
        copy = draft / "book"
    shutil.copytree(package / "_book", draft / "new")
    try:
        (draft / "new").replace(copy)
    except OSError:  # another process was faster
        if not copy.is_dir():
            raise
    if copy.parent == cache:
        shutil.rmtree(draft)
    return copy


def _digest(package: Path) -> str:
    """Hash the package's files: the pages show what its code does."""
    found = hashlib.sha256()
    for path in sorted(package.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            found.update(path.relative_to(package).as_posix().encode() + b"\0")
            found.update(path.read_bytes())
    return found.hexdigest()[:16]
