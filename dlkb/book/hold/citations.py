"""The rules of references: every source is in the bibliography, and said nowhere else."""

import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path

from dlkb.book.read.parts import Page, PageError
from dlkb.book.read.references import (
    BIBLIOGRAPHY,
    CITATION,
    REFERENCES,
    Citation,
    Source,
    citations,
    find,
    read_sources,
)
from dlkb.book.read.tex import blanked

_YEAR = r"(?:1[89]|20)\d\d[a-z]?\b"
_IDENTIFIER = re.compile(
    r"(?:arXiv:\s*|\barxiv\.org/|\bdoi\.org/)[^\s\])]*[^\s\]).,;]", re.IGNORECASE
)
_BY_NAME = re.compile(
    rf"\b[A-Z][\w'’-]+(?:\set\sal\.?(?:'s|’s)?,?\s\(?{_YEAR}"
    rf"|(?:\sand\s[A-Z][\w'’-]+)?,?\s\({_YEAR})"
)
_QUOTATION = re.compile(r"^ *>.*$", re.MULTILINE)
_SHORT_TITLE = 3  # words; a title like "Deep Learning" is also a common phrase


def unconfirmed(place: str, source: Source) -> str | None:
    """Return what of a place, such as "section 3, table 1", was not looked up in its source."""
    confirmed = " ".join(source.confirmed.lower().split())
    for part in re.split(r"[,;]\s+", place):
        words = re.escape(" ".join(part.lower().split()))
        if not re.search(rf"(?<!\w){words}(?!\w|\.\d)", confirmed):
            return part
    return None


def _place_problem(citation: Citation, source: Source) -> str | None:
    """Return what is wrong with the place cited: only what was looked up may be named."""
    if not citation.place or not (part := unconfirmed(citation.place, source)):
        return None
    return (
        f"'{part}' of {source.key} is not confirmed: look it up, and add it to "
        f"`confirmed` in {BIBLIOGRAPHY}:{source.line}"
    )


def _key_problems(page: Page, sources: Mapping[str, Source]) -> list[tuple[int, str]]:
    found = []
    listed = REFERENCES.search(blanked(page.text))
    for citation in citations(page.text):
        try:
            source = find(citation.key, sources)
        except PageError as error:
            found.append((citation.line, str(error)))
            continue
        if wrong := _place_problem(citation, source):
            found.append((citation.line, wrong))
        if not listed:
            found.append((citation.line, "the page cites, but has no part `## References`"))
    for number, line in enumerate(page.text.split("\n"), start=1):
        if re.match(r" *(?:!\[|/{3,} )", line) and "[@" in line:
            found.append((number, "no citation in alt text or a block's title: put it below"))
    return found


def _prose_problems(page: Page, sources: Mapping[str, Source]) -> list[tuple[int, str]]:
    """Return where a page says what the bibliography says."""
    prose = blanked(page.text)
    for pattern in (_QUOTATION, CITATION):
        prose = pattern.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), prose)
    found = []

    def add(start: int, message: str) -> None:
        found.append((prose.count("\n", 0, start) + 1, message))

    for match in _IDENTIFIER.finditer(prose):
        add(match.start(), f"'{match[0]}': cite the source by its key, [@name2000]")
    for match in (*_BY_NAME.finditer(prose), *_surname_and_year(sources).finditer(prose)):
        words = " ".join(match[0].split())
        add(match.start(), f"'{words}': cite it by its key, {_meant(words, sources)}")
    words = " ".join(prose.lower().split())
    for source in sources.values():
        title = source.title.lower()
        if len(title.split()) >= _SHORT_TITLE and title in words:
            first = re.compile(r"\s+".join(map(re.escape, title.split())), re.IGNORECASE)
            where = first.search(prose)
            message = f"the title of {source.key} stands here: cite it, [@{source.key}]"
            add(where.start() if where else 0, message)
    heading = REFERENCES.search(prose)
    if heading and (own := re.search(r"\S[^\n]*", prose[heading.end() :])):
        add(heading.end() + own.start(), "text under `## References`: the list is generated")
    return list(dict.fromkeys(found))


def _meant(words: str, sources: Mapping[str, Source]) -> str:
    """Return the keys of sources whose year and an author's name stand in the words."""
    near = [
        f"[@{source.key}]"
        for source in sources.values()
        if source.year[:4] in words and any(name in words for name in source.surnames)
    ]
    return " or ".join(near) or f"[@name2000], and add it to {BIBLIOGRAPHY}"


def _surname_and_year(sources: Mapping[str, Source]) -> re.Pattern[str]:
    """Return a pattern for a year after the surname of an author, `Polyak 1964`."""
    names = {re.escape(name) for source in sources.values() for name in source.surnames}
    return re.compile(rf"\b(?:{'|'.join(sorted(names)) or '(?!)'}),?\s{_YEAR}")


def citation_problems(root: Path, page: Page) -> list[tuple[int, str]]:
    """Return line (of the file) and message of what breaks a rule of references on a page."""
    sources = read_sources(root)
    found = _key_problems(page, sources) + _prose_problems(page, sources)
    return [(page.first_line + line - 1, message) for line, message in sorted(found)]


def bibliography_problems(root: Path, pages: list[Page]) -> list[tuple[int, str]]:
    """Return line and message of what is wrong with the bibliography of a whole book."""
    found = []
    sources = read_sources(root)
    for source in sources.values():
        name = unicodedata.normalize("NFKD", source.surnames[0].lower())
        wanted = re.sub("[^a-z]", "", name) + source.year
        if source.key != wanted:
            found.append((source.line, f"key '{source.key}': write {wanted}"))
    used = {citation.key for page in pages for citation in citations(page.text)}
    found += [
        (source.line, f"no page cites {source.key}: cite it, or take it out")
        for source in sources.values()
        if source.key not in used
    ]
    return sorted(found)
