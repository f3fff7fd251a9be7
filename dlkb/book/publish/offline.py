"""The built site as a zip that works from `file://` by double click, search included.

No second build: links to folders get their `index.html`, and the math font, which browsers refuse
to fetch from `file://`, comes within the style. The search index is a script anyway.
"""

import base64
import json
import re
import shutil
import zipfile
from pathlib import Path

from dlkb.book.read.freshness import digest, digest_of, engine, write

CACHE = Path(".cache/offline")
NAME = "dlkb-offline.zip"

_LEFT_OUT = ("404.html", "sitemap.xml", "sitemap.xml.gz", NAME)
_ELSEWHERE = "assets/previews/"  # shown by other sites alone
_REFERENCE = re.compile(r'(\b(?:href|src)=")(?![a-z]+:|#|//)([^"#?]*)')
_PRELOAD = re.compile(r'<link rel="preload"[^>]*>')
_INSTANT = re.compile(r'"navigation\.instant"(?:, )?')  # on file:// it ends `document$` unheard
_FONT = re.compile(r'url\("([^")]+\.woff2)"\)')


def _page(html: str, path: Path) -> str:
    """Return a page whose links lead to files."""

    def to_file(match: re.Match[str]) -> str:
        target = match[2]
        if (path.parent / target).is_dir():
            target = f"{target.rstrip('/')}/index.html" if target else "index.html"
        return match[1] + target

    return _REFERENCE.sub(to_file, _INSTANT.sub("", _PRELOAD.sub("", html), count=1))


def _inline_fonts(css: str, folder: Path) -> str:
    def data(match: re.Match[str]) -> str:
        content = base64.b64encode((folder / match[1]).read_bytes()).decode()
        return f'url("data:font/woff2;base64,{content}")'

    return _FONT.sub(data, css)


def _files(site: Path) -> dict[str, Path]:
    """Return the files that go into the zip, or into its pages and styles, by name."""
    found = {path.relative_to(site).as_posix(): path for path in sorted(site.rglob("*"))}
    return {
        name: path
        for name, path in found.items()
        if not (name in _LEFT_OUT or name.startswith(_ELSEWHERE) or path.is_dir())
    }


def _contents(files: dict[str, Path]) -> dict[str, bytes]:
    found = {}
    for name, path in files.items():
        if path.suffix == ".html":
            found[name] = _page(path.read_text(encoding="utf-8"), path).encode()
        elif path.suffix == ".css":
            found[name] = _inline_fonts(path.read_text(encoding="utf-8"), path.parent).encode()
        elif path.suffix not in (".map", ".woff2"):
            found[name] = path.read_bytes()
    return found


def write_zip(root: Path, site: Path) -> Path:
    """Write the zip into the built site, the same bytes for the same site.

    Under `root` the last zip is kept, for as long as the site stays the same: to compress it takes
    longer than to read it.
    """
    files, kept = _files(site), root / CACHE
    key = digest(json.dumps([engine(), [(n, digest_of(f)) for n, f in files.items()]]).encode())
    zipped, note = kept / NAME, kept / "key"
    if not (zipped.is_file() and note.is_file() and note.read_text(encoding="utf-8") == key):
        draft = kept / f"{NAME}.part"
        kept.mkdir(parents=True, exist_ok=True)
        note.unlink(missing_ok=True)
        _zip(draft, _contents(files))
        draft.replace(zipped)
        write(note, key.encode())
    shutil.copyfile(zipped, site / NAME)
    return site / NAME


def _zip(path: Path, contents: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name, content in contents.items():
            entry = zipfile.ZipInfo(f"dlkb/{name}")
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content)
