"""The lies of a page that its rules may notice, without running anything."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from dlkb.book.hold.citations import unconfirmed
from dlkb.book.hold.numbers import held_numbers
from dlkb.book.read.numerals import numerals
from dlkb.book.read.parts import ALT, Page
from dlkb.book.read.readable import readable
from dlkb.book.read.references import citations, read_sources
from dlkb.book.read.rows import rows
from scripts.lies.lie import Lie
from scripts.lies.words import denied, false_sentences, other_numbers, other_words

_OPPOSITE = {"holds": "refuted", "refuted": "holds", "buggy": "holds", "conditional": "holds"}
_CARD = re.compile(
    r"^/// (?P<type>holds|conditional|imprecise|refuted|buggy|opinion|outdated|missing)"
    r" \| (?P<title>[^\n]*)\n {4}attrs: \{id: (?P<id>[\w-]+), data-source: \"(?P<source>[^\"]+)\"",
    re.MULTILINE,
)
_FIGURE = re.compile(
    rf"!\[(?P<alt>{ALT})\]\((?:\.\./)*assets/figures/(?P<stem>[\w/]+)/(?P<name>\w+)\.svg\)"
    r"(?:\{[^}\n]*\})?(?:\s*\n(?P<marks>/{3,}) *figure-caption[^\n]*\n(?: {4}[^\n]*\n)*"
    r"(?P<caption>.*?)\n(?P=marks))?",
    re.DOTALL,
)
_COMMENT = re.compile(r"(?<=\s)# [^\n\"']*$", re.MULTILINE)


def text_lies(root: Path, page: Page, text: str) -> list[Lie]:
    """Return the lies of a page's text, in order of their kinds.

    Args:
        root: The repository.
        page: The page.
        text: Its file, front matter included.
    """
    head = len(text) - len(page.text)
    return [
        *_numbers(page, text, head, bound=False),
        *_description(text, head),
        *_cards(page, text),
        *_figures(page, text),
        *_citations(root, text),
        *_comments(page, text),
        *_prose(page, text, head),
    ]


def bound_lies(page: Page, text: str) -> list[Lie]:
    """Return the lies about numbers that are bound: evaluated where the page runs."""
    return list(_numbers(page, text, len(text) - len(page.text), bound=True))


def _line(text: str, start: int) -> int:
    return text.count("\n", 0, start) + 1


def _numbers(page: Page, text: str, head: int, *, bound: bool) -> Iterator[Lie]:
    for held in held_numbers(page):
        if (held.by == "bound") != bound:
            continue
        start, end = head + held.number.start, head + held.number.end
        for says in other_numbers(text[start:end]):
            sign = f"shows {says}, but" if bound else f"nothing holds {says}"
            yield Lie("number", start, end, says, held.line, sign.replace("_", ","))


def _description(text: str, head: int) -> Iterator[Lie]:
    line = re.search(r"^description: .*$", text[:head], re.MULTILINE)
    if line is None:
        return
    for number in numerals(readable(line[0])):
        start, end = (line.start() + place for place in (number.start, number.end))
        for says in other_numbers(text[start:end]):
            yield Lie("description", start, end, says, 1, f"the description says {says}")


def _cards(page: Page, text: str) -> Iterator[Lie]:
    found = list(_CARD.finditer(text))
    used = {card["id"] for card in found}
    for place, card in enumerate(found):
        sign = f"claim {card['id']}:"
        others = (_OPPOSITE.get(card["type"], "refuted"), "outdated")
        for says in (other for other in others if other != card["type"]):
            yield Lie("verdict", *card.span("type"), says, sign=sign)
        start, end, says = denied(card["title"])
        at = card.start("title")
        yield Lie("statement", at + start, at + end, says, sign=sign)
        source = re.sub(r"\d(?=\D*$)", lambda d: str((int(d[0]) + 1) % 10), card["source"])
        yield Lie("source", *card.span("source"), source, sign=sign)
        number = int(card["id"][2:]) + 1
        while f"c-{number:03}" in used:
            number += 1
        used.add(f"c-{number:03}")
        yield Lie("id", *card.span("id"), f"c-{number:03}", sign=f"claim c-{number:03}")
        if place:
            yield _exchanged(text, found[place - 1], card)


def _exchanged(text: str, one: re.Match[str], other: re.Match[str]) -> Lie:
    between = text[one.end("id") : other.start("id")]
    says = other["id"] + between + one["id"]
    return Lie("id", one.start("id"), other.end("id"), says, sign=f"claim {other['id']}")


def _figures(page: Page, text: str) -> Iterator[Lie]:
    figures = [found for found in _FIGURE.finditer(text) if found["stem"] == page.stem]
    names = [found["name"] for found in figures]
    for found in figures:
        line = _line(text, found.start())
        others = [name for name in names if name != found["name"]]
        for other in others[:2]:
            yield Lie("figure exchanged", *found.span("name"), other, line)
        if not others:
            other = "optimizers/adam/late_bursts" if "adam" not in page.stem else "front/idea"
            yield Lie("figure exchanged", found.start("stem"), found.end("name"), other)
        for part in ("alt", "caption"):
            for start, end, says in false_sentences(found[part] or ""):
                at = found.start(part)
                name = {"alt": "alt text"}.get(part, part)
                yield Lie(name, at + start, at + end, says, line)


def _citations(root: Path, text: str) -> Iterator[Lie]:
    sources = read_sources(root)
    keys = sorted(sources)
    for cited in {citation.key for citation in citations(text)}:
        for found in re.finditer(rf"\[@(?P<key>{cited})(?:, (?P<place>[^\]]*))?\]", text):
            line = _line(text, found.start())
            near = (f"{cited[:-1]}{digit}" for digit in "0123456789")
            says = next(key for key in near if key not in keys)
            yield Lie("citation's key", *found.span("key"), says, line)
            other = keys[(keys.index(cited) + 1) % len(keys)] if cited in keys else keys[0]
            yield Lie("citation exchanged", *found.span("key"), other, line)
            if found["place"] and (digits := re.search(r"\d+", found["place"])):
                start, end = (found.start("place") + place for place in digits.span())
                says = other_numbers(text[start:end])[0]
                place = found["place"][: digits.start()] + says + found["place"][digits.end() :]
                known = cited in sources and not unconfirmed(place, sources[cited])
                kind = "citation exchanged" if known else "cited place"
                yield Lie(kind, start, end, says, line)


def _comments(page: Page, text: str) -> Iterator[Lie]:
    starts = [0, *(found.end() for found in re.finditer("\n", text))]
    for fence in page.runnable:
        first = starts[fence.line - 1]
        last = starts[fence.line - 1 + fence.code.count("\n")]
        for comment in _COMMENT.finditer(text, first, last):
            for start, end, says in list(false_sentences(comment[0]))[:1]:
                at = comment.start()
                yield Lie("comment", at + start, at + end, says, _line(text, at))


def _prose(page: Page, text: str, head: int) -> Iterator[Lie]:
    """Yield what turns a sentence round without touching a number: nothing but readers hold it."""
    read = readable(page.text)
    start = 0
    for row in rows(page.text):
        end = start + len(row.text)
        if row.kind == "text":
            yield from _turned(read[start:end], head + start, _line(text, head + start))
        start = end + 1


def _turned(row: str, at: int, line: int) -> Iterable[Lie]:
    for start, end, says in list(other_words(row))[:1]:
        yield Lie("prose", at + start, at + end, says, line)
