"""Whether what was made is still what would be made: a hash of all that it depends on."""

import ast
import contextlib
import hashlib
import json
import os
import platform
import re
import time
from collections.abc import Callable, Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from dlkb.book.read.code import examples
from dlkb.book.read.parts import Page

LIBRARIES = tuple(
    "array-api-compat lightgbm matplotlib numpy scipy scikit-learn sympy torch xgboost".split()
)
_PACKAGES = {"xgboost": "xgboost-cpu"}  # where the extra `docs` installs it under another name
ENGINE = tuple(sorted(Path(__file__).parents[1].rglob("*.py")))
"""The book's own code: what it makes of a page may change with it."""
_DATA = re.compile(r"[\w./-]+\.(?:json|csv|npy|npz|toml|bib)")
_DATA_ENDING = re.compile(rb"\.(?:json|csv|npy|npz|toml|bib)")
_IMPORT = re.compile(
    rb"(?:^|[;:])[ \t]*((?:import|from)\b(?:\\\n|[^\n(;#])*(?:\((?:[^)#]|#[^\n]*)*\))?)",
    re.MULTILINE,
)
_SETTLED = 2.0
"""Seconds after which a file that is written again has another time, on any system."""

State = tuple[int, ...]


@cache
def parse(source: bytes) -> ast.Module:
    """Parse a module once for each content."""
    return ast.parse(source)


def depends_on(root: Path, *scripts: Path) -> set[Path]:
    """Return scripts and all files under `root` that they import, directly or not."""
    waiting, found = set(scripts), set[Path]()
    while waiting:
        found |= waiting
        waiting = {file for path in waiting for file in _imports(root, path)} - found
    return found


def _state(path: Path) -> State:
    """Return what tells whether a file was written since; of one just written, nothing does."""
    status = path.stat()
    state = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    settled = time.time() - max(status.st_mtime, status.st_ctime) > _SETTLED
    return state if settled else (*state, time.monotonic_ns())


def _imports(root: Path, path: Path) -> frozenset[Path]:
    """Return the files under `root` that the module at `path` imports, packages included."""
    return _imports_at(root, path, _state(path))


@cache  # the pages of a book import the same modules
def _imports_at(root: Path, path: Path, state: State) -> frozenset[Path]:
    try:
        statements = _import_statements(path.read_bytes())
        return _imported_by(root, statements, path.relative_to(root).parts[:-1])
    except SyntaxError:
        return frozenset()  # importing it will say so


def _import_statements(source: bytes) -> bytes:
    """Return what looks like an import in a module: a twentieth of the time to parse it all.

    Those in a string come along: a file more that counts does no harm.
    """
    found = b"\n".join(match[1] for match in _IMPORT.finditer(source))
    try:
        parse(found)
    except SyntaxError:
        return source
    return found


def _imported_by(root: Path, source: bytes, package: tuple[str, ...]) -> frozenset[Path]:
    # Strings and os.path, for speed: a book asks for a million files, few of which there are.
    here = {name.removesuffix(".py") for name in os.listdir(root)}  # noqa: PTH208
    imported = _imported_names(source, package)
    names = ["/".join((str(root), *parts)) for parts in imported if parts[0] in here]
    files = [f"{name}{end}" for name in names for end in (".py", "/__init__.py")]
    return frozenset(Path(file) for file in files if os.path.isfile(file))  # noqa: PTH113


@cache
def _imported_names(source: bytes, package: tuple[str, ...]) -> set[tuple[str, ...]]:
    """Return the modules that a source imports, and the packages that these are in."""
    names: set[tuple[str, ...]] = set()
    for node in _statements(parse(source)):
        if isinstance(node, ast.Import):
            names |= {tuple(alias.name.split(".")) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parents = package[: len(package) - node.level + 1] if node.level else ()
            base = parents + tuple(node.module.split(".") if node.module else ())
            names |= {(*base, alias.name) for alias in node.names}
    return {name[:length] for name in names for length in range(1, len(name) + 1)}


def _statements(tree: ast.Module) -> Iterator[ast.AST]:
    """Yield the statements of a module, nested ones too: a tenth of its nodes."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        for field in ("body", "orelse", "finalbody", "handlers", "cases"):
            waiting += getattr(node, field, ())


def _data_of(root: Path, script: Path) -> list[Path]:
    """Return the JSON files under `root` that a script names."""
    return sorted({root / text for text in _strings(script.read_bytes()) if text.endswith(".json")})


def content_key(root: Path, script: Path, engine: tuple[Path, ...]) -> str:
    """Hash a script, what it imports and reads, the engine's files, and the libraries' versions."""
    needed = [*sorted(depends_on(root, script)), *_data_of(root, script)]
    files = [(p.relative_to(root).as_posix(), digest_of(p)) for p in needed]
    return digest(json.dumps([versions(), [digest_of(p) for p in engine], files]).encode())


@cache
def engine() -> str:
    """Hash the engine's files as this process loaded them, or nearly so: once."""
    return digest(json.dumps([digest_of(path) for path in ENGINE]).encode())


def page_key(root: Path, page: Page, others: list[Path]) -> str:
    """Hash a page, what its code imports, other files, the engine and the libraries' versions."""
    modules = set[Path]()
    for code in _code_of(page):
        with contextlib.suppress(SyntaxError):  # running it will say so
            modules |= _imported_by(root, code.encode(), ())
    files = {page.path, *others, *depends_on(root, *modules)}
    for file in files - {*others, *ENGINE}:  # the engine's data is what it writes itself
        if file.suffix == ".py" and file.is_relative_to(root):
            files.update(_data_beside(root, file))
    # By their place in the checkout: another checkout of the same files has the same key.
    contents = sorted((_place(file, root), digest_of(file)) for file in files)
    return digest(json.dumps([versions(), engine(), contents]).encode())


@cache
def _place(file: Path, root: Path) -> str:
    return os.path.relpath(file, root)


def _code_of(page: Page) -> Iterator[str]:
    """Yield the fences that may import something, without prompts."""
    for fence in page.runnable:
        code = fence.code
        if "import" not in code:
            continue
        if fence.language == "pycon":
            with contextlib.suppress(ValueError):
                code = "".join(e.source for e in examples(code))
        yield code


def imports_of(page: Page) -> set[str]:
    """Return the top-level modules that a page's own code imports."""
    found = set()
    for code in _code_of(page):
        with contextlib.suppress(SyntaxError):
            found |= {names[0] for names in _imported_names(code.encode(), ())}
    return found


def _data_beside(root: Path, module: Path) -> set[Path]:
    """Return the data files that a module names, from the checkout or from its folder."""
    with contextlib.suppress(SyntaxError, FileNotFoundError):
        names = _data_names(module, _state(module))
        return {file for name in names for file in (root / name, module.parent / name)}
    return set()


@cache
def _data_names(module: Path, state: State) -> set[str]:
    return {text for text in _strings(module.read_bytes()) if _DATA.fullmatch(text)}


def _strings(source: bytes) -> set[str]:
    """Return the string constants of a module; none where no file of data can be named."""
    if not _DATA_ENDING.search(source):  # as in most: to look at each constant takes long
        return set()
    texts = (node.value for node in ast.walk(parse(source)) if isinstance(node, ast.Constant))
    return {text for text in texts if isinstance(text, str)}


@cache
def versions() -> list[str]:
    """Return Python and the libraries that pages use, each with its version."""
    found = ["Python " + ".".join(platform.python_version_tuple()[:2])]
    for library in LIBRARIES:
        number = _version(library) or _version(_PACKAGES.get(library, library))
        found.append(f"{library} {number}" if number else f"no {library}")
    return found


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def digest(content: bytes) -> str:
    """Return the SHA-256 of some bytes."""
    return hashlib.sha256(content).hexdigest()


def digest_of(path: Path) -> str | None:
    """Return the SHA-256 of a file, None if there is none."""
    try:
        return _digest_at(path, _state(path))
    except FileNotFoundError:
        return None


@cache  # most files are asked for by every page
def _digest_at(path: Path, state: State) -> str:
    return digest(path.read_bytes())


def write(path: Path, content: bytes) -> None:
    """Write a file at once or not at all; leave it untouched if it is already so."""
    if digest_of(path) == digest(content):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    half.write_bytes(content)
    half.replace(path)


def read_note(path: Path) -> dict[str, Any]:
    """Return what a file of JSON keeps; nothing if there is none, or it is broken."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def remembered(note: Path, text: str, make: Callable[[str], Any]) -> Any:
    """Return what `make`, a function of the engine, makes of a text: once, kept in `note` as JSON.

    The folder of the note says which function; another text or engine makes it again.
    """
    key = digest((engine() + text).encode())
    kept = read_note(note)
    if kept.get("key") == key:
        return kept["made"]
    made = make(text)
    write(note, json.dumps({"key": key, "made": made}).encode())
    return made
