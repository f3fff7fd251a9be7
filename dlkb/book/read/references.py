"""The sources of the book: read from docs/references.bib, cited by key, listed once a page.

`[@kingma2015]` stands for a source, `[@kingma2015, section 2.1]` for a place in it. In code, math
and comments it is text like any other.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from pybtex.database import Entry, Person, parse_string
from pybtex.exceptions import PybtexError
from pybtex.richtext import Text

from dlkb.book.read.parts import PageError
from dlkb.book.read.tex import blanked

BIBLIOGRAPHY = Path("docs/references.bib")

REFERENCES = re.compile(r"^## +References *(?:\{.*\})? *$", re.MULTILINE)
CITATION = re.compile(r"\[@(?P<key>[\w-]+)(?:,\s*(?P<place>[^\]]+))?\]")
_ENTRY = re.compile(r"^@\w+\{(?P<key>[^,\s]+),", re.MULTILINE)
_NEEDED = ("author", "title", "year")
_MARK = re.compile(r"[\\{}~%'`$^_&#]|--|,,|\s\s|[^\S ]|^\s|\s$")
"""What may print as something else in LaTeX."""


@dataclass(frozen=True)
class Source:
    """An entry of the bibliography; `line` is where it stands there."""

    key: str
    authors: tuple[str, ...]
    surnames: tuple[str, ...]
    year: str
    title: str
    venue: str
    identifier: str
    url: str
    confirmed: str
    line: int

    @property
    def name(self) -> str:
        """Who wrote it, as a text says it."""
        if len(self.surnames) > 2:
            return f"{self.surnames[0]} et al."
        return " and ".join(self.surnames)

    def cited(self, place: str | None = None, *, in_parentheses: bool = False) -> str:
        """Return the words of a citation.

        Example:
            >>> ba = Source("ba2016", ("J. Ba",), ("Ba",), "2016", "T", "", "", "", "", 1)
            >>> ba.cited("section 2"), ba.cited("section 2", in_parentheses=True)
            ('Ba (2016, section 2)', 'Ba, 2016, section 2')
        """
        rest = f", {' '.join(place.split())}" if place else ""
        if in_parentheses:
            return f"{self.name}, {self.year}{rest}"
        return f"{self.name} ({self.year}{rest})"

    def listed(self) -> str:
        """Return the entry of the list of references, in Markdown."""
        *most, last = self.authors
        names = f"{', '.join(most)} and {last}" if most else last
        stop = "" if self.title.endswith(("?", "!")) else "."
        parts = [f"{names} ({self.year}). *{self.title}{stop}*"]
        if self.venue:
            parts.append(f"{self.venue}.")
        if self.url:
            parts.append(f"[{self.identifier}]({self.url}).")
        if self.confirmed:
            parts.append(f"Looked up: {self.confirmed}.")
        return " ".join(parts)


class Citation(NamedTuple):
    """A citation in a text: what is cited, and where it stands."""

    key: str
    place: str | None
    start: int
    end: int
    line: int
    in_parentheses: bool


def _without_tex(latex: str) -> str:
    """Return what LaTeX prints; most fields hold none of its marks, which saves a second."""
    return str(Text.from_latex(latex)) if _MARK.search(latex) else latex


def _plain(entry: Entry, field: str) -> str:
    return _without_tex(entry.fields.get(field, ""))


def _surname(person: Person) -> str:
    return _without_tex(" ".join(person.prelast_names + person.last_names))


def _whole_name(person: Person) -> str:
    names = person.first_names + person.middle_names + person.prelast_names + person.last_names
    return _without_tex(" ".join(names))


def _venue(entry: Entry) -> str:
    """Return where it appeared: the fields that are there, in the order of the styles."""
    fields = (
        "journal",
        "booktitle",
        "howpublished",
        "edition",
        "institution",
        "school",
        "publisher",
        "number",
    )
    parts = [_plain(entry, field) for field in fields]
    journal = " ".join(part for part in (parts[0], _plain(entry, "volume")) if part)
    pages = _plain(entry, "pages").replace("--", "–")
    return ", ".join(part for part in (journal, *parts[1:], pages) if part)


def _address(entry: Entry) -> tuple[str, str]:
    """Return the identifier that is shown and the address that it leads to."""
    if doi := entry.fields.get("doi"):
        return f"doi:{doi}", f"https://doi.org/{doi.replace('(', '%28').replace(')', '%29')}"
    if eprint := entry.fields.get("eprint"):
        return f"arXiv:{eprint}", f"https://arxiv.org/abs/{eprint}"
    url = entry.fields.get("url", "")
    return url.removeprefix("https://").split("/")[0], url


def _source(key: str, entry: Entry, line: int, path: Path) -> Source:
    if missing := [f for f in _NEEDED if not (entry.fields.get(f) or entry.persons.get(f))]:
        raise PageError(f"{path}:{line}: {key} lacks {', '.join(missing)}: add it to the entry")
    for name, value in entry.fields.items():
        if re.search(r"(?<!\\)%", value) and name not in ("url", "doi"):
            raise PageError(f"{path}:{line}: {key}, {name}: what follows % is a comment, write \\%")
    identifier, url = _address(entry)
    letter = match[1] if (match := re.search(r"\d([a-z])$", key)) else ""
    people = entry.persons["author"]
    return Source(
        key=key,
        authors=tuple(_whole_name(person) for person in people),
        surnames=tuple(_surname(person) for person in people),
        year=entry.fields["year"] + letter,
        title=_plain(entry, "title"),
        venue=_venue(entry),
        identifier=identifier,
        url=url,
        confirmed=_plain(entry, "confirmed"),
        line=line,
    )


def read_sources(root: Path) -> Mapping[str, Source]:
    """Read the bibliography of the book at `root`; empty if there is none.

    Raises:
        PageError: If it is not BibTeX, holds a key twice, or an entry lacks a field.
    """
    path = root / BIBLIOGRAPHY
    return _parsed(path.read_text(encoding="utf-8"), path) if path.is_file() else {}


@lru_cache(maxsize=4)  # every page asks
def _parsed(text: str, path: Path) -> Mapping[str, Source]:
    lines = {m["key"]: text.count("\n", 0, m.start()) + 1 for m in _ENTRY.finditer(text)}
    try:
        entries = parse_string(text, "bibtex").entries
    except PybtexError as error:
        raise PageError(f"{path}: not BibTeX: {error}") from None
    return {key: _source(key, entry, lines.get(key, 1), path) for key, entry in entries.items()}


def citations(text: str) -> list[Citation]:
    """List the citations of a text in order; those in code, math and comments are none.

    Example:
        >>> [found] = citations("Shown (by [@ba2016, section 2]); not `[@code2000]`.")
        >>> found.key, found.place, found.in_parentheses
        ('ba2016', 'section 2', True)
    """
    prose = blanked(text)
    found = []
    for match in CITATION.finditer(prose):
        start = match.start()
        paragraph = prose[max(prose.rfind("\n\n", 0, start), 0) : start]
        line = prose.count("\n", 0, start) + 1
        inside = _open_parentheses(paragraph) > 0
        found.append(Citation(match["key"], match["place"], start, match.end(), line, inside))
    return found


def _open_parentheses(text: str) -> int:
    depth = 0
    for mark in re.findall("[()]", text):
        depth = depth + 1 if mark == "(" else max(depth - 1, 0)
    return depth


def find(key: str, sources: Mapping[str, Source]) -> Source:
    """Return the source of a key.

    Raises:
        PageError: If there is none; the message names the nearest.
    """
    if key in sources:
        return sources[key]
    near = get_close_matches(key, sources, n=1)
    hint = f"did you mean {near[0]}?" if near else f"add it to {BIBLIOGRAPHY}"
    raise PageError(f"no source '{key}': {hint}")


def cite(
    text: str, sources: Mapping[str, Source], *, keys: list[str] | None = None, site: bool = False
) -> str:
    """Write out the citations of a text, and the list of sources under `## References`.

    Args:
        text: Markdown.
        sources: The bibliography.
        keys: What the list holds; by default, what the text cites.
        site: Whether a citation leads to the list (the site), or to the source itself
            (a notebook, whose parts have no anchors).

    Raises:
        PageError: For a key without a source.
    """
    found = citations(text)
    keys = [citation.key for citation in found] if keys is None else keys
    if not keys:
        return text
    parts, end = [], 0
    for citation in found:
        source = find(citation.key, sources)
        words = source.cited(citation.place, in_parentheses=citation.in_parentheses)
        address = f"#{anchor(source.key)}" if site else source.url
        parts += [text[end : citation.start], f"[{words}]({address})" if address else words]
        end = citation.end
    text = "".join(parts) + text[end:]
    heading = REFERENCES.search(blanked(text))
    if not heading:
        return text
    rows = []
    for key in sorted(set(keys)):
        mark = f"\n  {{: #{anchor(key)} }}" if site else ""
        rows.append(f"- {find(key, sources).listed()}{mark}")
    return f"{text[: heading.end()]}\n\n{chr(10).join(rows)}\n{text[heading.end() :]}"


def anchor(key: str) -> str:
    """Return the id of a source in the list of a page."""
    return f"ref-{key}"
