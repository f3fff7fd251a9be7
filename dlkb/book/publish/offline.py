"""The built site as a zip that works from `file://` by double click, search included.

No second build: links to folders get their `index.html`, and the math font, which browsers refuse
to fetch from `file://`, comes within the style. The search index is a script anyway.
"""

import base64
import re
import zipfile
from pathlib import Path

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


def _contents(site: Path) -> dict[str, bytes]:
    found = {}
    for path in sorted(site.rglob("*")):
        name = path.relative_to(site).as_posix()
        if path.is_dir() or name in _LEFT_OUT or name.startswith(_ELSEWHERE):
            continue
        if path.suffix == ".html":
            found[name] = _page(path.read_text(encoding="utf-8"), path).encode()
        elif path.suffix == ".css":
            found[name] = _inline_fonts(path.read_text(encoding="utf-8"), path.parent).encode()
        elif path.suffix not in (".map", ".woff2"):
            found[name] = path.read_bytes()
    return found


def write_zip(site: Path) -> Path:
    """Write the zip into the built site, the same bytes for the same site."""
    draft = site / f"{NAME}.part"
    with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name, content in _contents(site).items():
            entry = zipfile.ZipInfo(f"dlkb/{name}")
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content)
    return draft.replace(site / NAME)
