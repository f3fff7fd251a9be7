"""The pictures that a link to the site shows elsewhere: title, one line, first figure.

One PNG for each topic, and `index.png` for all other pages, under `docs/assets/previews/`; drawn
before the site is built, and kept until what is on it changes. `overrides/partials/preview.html`
names them.
"""

import html
import json
import re
import textwrap
from importlib.metadata import version
from pathlib import Path

from dlkb.book.draw.figures import OUTPUT as FIGURES
from dlkb.book.publish.summaries import Summary, summary
from dlkb.book.read.addresses import Addresses, addresses
from dlkb.book.read.freshness import digest, digest_of, read_note, write
from dlkb.book.read.parts import Page

OUTPUT = Path("docs/assets/previews")
CACHE = Path(".cache/previews.json")
WIDTH, HEIGHT = 1200, 630
"""Pixels, as those who show links ask for."""

_INK, _MUTED, _PANEL, _ACCENT = "#1f2328", "#57606a", "#f6f7f9", "#2b5cb8"
_TONES = {
    "holds": "#1b6b3f",
    "conditional": "#7a5600",
    "imprecise": "#af9a66",
    "refuted": "#b4220b",
    "buggy": "#b4220b",
    "opinion": "#6a3d8f",
    "outdated": "#6a3d8f",
    "missing": "#2b5cb8",
}
_EDGE = 64
_OPENING = re.compile(r'<svg\b[^>]*?\sviewBox="(?P<box>[-\d. ]+)"[^>]*>', re.DOTALL)


def _lines(text: str, letters: int, most: int) -> list[str]:
    return textwrap.wrap(text, letters, max_lines=most, placeholder=" …")


def _words(lines: list[str], x: int, y: int, size: int, colour: str, weight: str = "") -> str:
    """Return lines of text, the first one's baseline at `y`."""
    bold = f' font-weight="{weight}"' if weight else ""
    return "".join(
        f'<text x="{x}" y="{y + round(number * size * 1.28)}" font-size="{size}" '
        f'fill="{colour}"{bold}>{html.escape(line)}</text>'
        for number, line in enumerate(lines)
    )


def _placed(figure: str, x: int, y: int, width: int, height: int) -> str:
    """Return a drawing, fitted into a box."""
    opening = _OPENING.search(figure)
    if opening is None:
        return ""
    inside = figure[opening.end() : figure.rindex("</svg>")]
    return (
        f'<svg xmlns:xlink="http://www.w3.org/1999/xlink" x="{x}" y="{y}" width="{width}" '
        f'height="{height}" viewBox="{opening["box"]}">{_without_metadata(inside)}</svg>'
    )


def _without_metadata(svg: str) -> str:
    return re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)


def _bar(verdicts: tuple[tuple[str, int], ...], x: int, y: int, width: int) -> str:
    """Return the bar of verdicts, a part for each as long as its share."""
    whole = sum(count for _, count in verdicts)
    parts, before = "", 0
    for name, count in verdicts:
        left = x + round(width * before / whole)
        before += count
        right = x + round(width * before / whole) - (3 if before < whole else 0)
        parts += (
            f'<rect x="{left}" y="{y}" width="{right - left}" height="10" fill="{_TONES[name]}"/>'
        )
    return parts


def preview(
    name: str, title: str, line: str, figure: str = "", topic: Summary | None = None
) -> str:
    """Return the picture as an SVG.

    Args:
        name: Of the site.
        title: Of the page.
        line: What the page is about.
        figure: A drawing of matplotlib; without one the title has the whole width.
        topic: Whose family, level and verdicts are shown.
    """
    letters = (15, 31) if figure else (26, 62)
    titles = _lines(title, letters[0], 3)
    size = 48 if figure else 60
    top = 190
    below = top + round(len(titles) * size * 1.28) + 4
    parts = [
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<rect width="14" height="{HEIGHT}" fill="{_ACCENT}"/>',
        _words([name], _EDGE, 96, 30, _ACCENT, "bold"),
        _words(titles, _EDGE, top, size, _INK, "bold"),
        _words(_lines(line, letters[1], 5 if len(titles) < 3 else 3), _EDGE, below, 24, _MUTED),
    ]
    if figure:
        parts.append(f'<rect x="580" y="40" width="580" height="550" rx="14" fill="{_PANEL}"/>')
        parts.append(_placed(figure, 604, 64, 532, 502))
    if topic:
        claims = sum(count for _, count in topic.verdicts)
        said = f"{claims} statements, tested" if claims > 1 else topic.level.capitalize()
        parts.append(_words([said], _EDGE, 552, 22, _MUTED))
        if claims:
            parts.append(_bar(topic.verdicts, _EDGE, 572, 460))
    else:
        parts.append(_words(["Every fence has run."], _EDGE, 572, 22, _MUTED))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
        f'font-family="DejaVu Sans">{"".join(parts)}</svg>'
    )


def previews(root: Path, book: list[Page]) -> dict[str, str]:
    """Return the pictures as SVG, by their names below `docs/assets/previews`."""
    known: Addresses = addresses(root)
    found = {"index": preview(known.name, *_tagline(book, known))}
    for page in book:
        if page.is_topic:
            topic = summary(page)
            figure = ""
            if page.images:
                path = root / FIGURES / f"{page.images[0].name}-light.svg"
                figure = path.read_text(encoding="utf-8") if path.is_file() else ""
            found[page.stem] = preview(known.name, topic.title, topic.line, figure, topic)
    return found


def _tagline(book: list[Page], known: Addresses) -> tuple[str, str]:
    home = next((page for page in book if page.stem == "index"), None)
    return (home.title if home else known.name), known.description


def png(svg: str) -> bytes:
    """Return a picture as PNG, in the letters that come with matplotlib."""
    import matplotlib
    from resvg_py import svg_to_bytes

    fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    files = [str(fonts / f"DejaVuSans{bold}.ttf") for bold in ("", "-Bold")]
    return bytes(svg_to_bytes(svg_string=svg, skip_system_fonts=True, font_files=files))


def write_previews(root: Path, book: list[Page]) -> None:
    """Draw the pictures that are stale, and remove those of no page."""
    cache = read_note(root / CACHE)
    engine = version("resvg-py")
    kept = {}
    for name, svg in previews(root, book).items():
        path, key = root / OUTPUT / f"{name}.png", digest(f"{engine} {svg}".encode())
        if cache.get(name) != [key, digest_of(path)]:
            write(path, png(svg))
        kept[name] = [key, digest_of(path)]
    write(root / CACHE, json.dumps(kept, indent=1, sort_keys=True).encode())
    for path in sorted((root / OUTPUT).rglob("*.png")):
        if path.relative_to(root / OUTPUT).with_suffix("").as_posix() not in kept:
            path.unlink()
