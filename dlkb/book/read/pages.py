"""One reader of pages, behind the tests, `dlkb run`, the export and the claims ledger.

A page is Markdown with YAML front matter. The reader keeps line numbers, so that every
message can point into the file that the author edits.
"""

import re
import textwrap
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from dlkb.book.read.parts import ALT, VERDICTS, Claim, Fence, Heading, Image, Page, PageError, Tie
from dlkb.book.read.yaml_text import parse_yaml

_FENCE = re.compile(r"^( *)(`{3,}|~{3,}) *\{? *\.?([\w+-]*)(.*)$")
_BLOCK = re.compile(r"^ *(/{3,}) *([a-z][\w-]*) *(?:\| *(.*?))? *$")
_BLOCK_END = re.compile(r"^ *(/{3,}) *$")
_HEADING = re.compile(r"^(#{1,6}) +(.*?) *#* *(?:\{.*\})? *$")
_COMMENT = re.compile(r"<!--.*?-->")  # such as binds a number of a title
_FIGURE = re.compile(rf"!\[({ALT})\]\(((?:\.\./)*assets/figures/([\w/]+)\.svg)\)")


_TIE_ATTRIBUTES = ("data-equation", "data-where", "data-let", "data-left", "data-with")


@dataclass
class _Block:
    slashes: str
    name: str
    title: str
    line: int
    options: list[str] = field(default_factory=list)
    body: list[str] = field(default_factory=list)
    in_options: bool = True


def _split_front_matter(path: Path, text: str) -> tuple[dict[str, Any], int]:
    """Return the front matter and the number of lines that it takes."""
    if not text.startswith("---\n"):
        return {}, 0
    end = text.find("\n---\n", 3)
    if end < 0:
        raise PageError(f"{path}:1: front matter is not closed: end it with a line of three dashes")
    try:
        meta = parse_yaml(text[4:end]) or {}
    except yaml.YAMLError as error:
        raise PageError(f"{path}:1: front matter is not YAML: {error}") from None
    return meta, text[: end + 5].count("\n")


def _attributes(block: _Block, needed: tuple[str, ...], example: str, path: Path) -> dict[str, str]:
    where = f"{path}:{block.line}"
    try:
        options = parse_yaml(textwrap.dedent("\n".join(block.options))) or {}
    except yaml.YAMLError as error:
        raise PageError(f"{where}: the block's options are not YAML: {error}") from None
    attributes = options.get("attrs") or {}
    missing = [key for key in needed if key not in attributes]
    if missing:
        raise PageError(
            f"{where}: '{block.name}' lacks {', '.join(missing)}: write under its first line "
            f"    attrs: {example}"
        )
    return {key: str(value) for key, value in attributes.items()}


def _claim(block: _Block, fences: list[Fence], path: Path) -> Claim:
    example = '{id: c-001, data-source: "000:5-6", data-evidence: checked}'
    given = _attributes(block, ("id", "data-source", "data-evidence"), example, path)
    return Claim(
        id=given["id"],
        verdict=block.name,
        statement=_COMMENT.sub("", block.title),
        source=given["data-source"],
        evidence=given["data-evidence"],
        line=block.line,
        body="\n".join(block.body).strip(),
        fences=tuple(f for f in fences if f.claim == given["id"]),
    )


def _tie(block: _Block, path: Path) -> Tie:
    example = '{data-equation: "eq:name", data-where: "0 < x < 1"}'
    given = _attributes(block, ("data-equation", "data-where"), example, path)
    unknown = [key for key in given if key.startswith("data-") and key not in _TIE_ATTRIBUTES]
    if unknown:
        raise PageError(
            f"{path}:{block.line}: 'tied' knows no {', '.join(unknown)}: "
            f"it knows {', '.join(_TIE_ATTRIBUTES)}"
        )
    return Tie(
        label=given["data-equation"],
        call=block.title.strip("` "),
        where=given["data-where"],
        line=block.line,
        let=given.get("data-let", ""),
        left=given.get("data-left", ""),
        definitions=tuple(given.get("data-with", "").split()),
    )


def _claim_id(blocks: list[_Block]) -> str | None:
    for block in blocks:
        found = re.search(r"\bid: *([\w-]+)", " ".join(block.options))
        if block.name in VERDICTS and found:
            return found[1]
    return None


def read_page(path: Path, docs: Path) -> Page:
    """Read one Markdown file below the folder `docs`.

    Raises:
        PageError: For front matter or options that are not YAML, a fence or a block that is
            not closed, a claim without its attributes.
    """
    return _parsed(path.read_text(encoding="utf-8"), path, docs)


@lru_cache(maxsize=1024)  # a command asks for a page half a dozen times
def _parsed(text: str, path: Path, docs: Path) -> Page:
    meta, skip = _split_front_matter(path, text)
    lines = text.split("\n")
    headings: list[Heading] = []
    fences: list[Fence] = []
    claims: list[Claim] = []
    images: list[Image] = []
    ties: list[Tie] = []
    blocks: list[_Block] = []
    heading = ""
    number = skip
    while number < len(lines):
        line = lines[number]
        number += 1
        opening = _FENCE.match(line)
        if opening:
            indent, ticks, language, options = opening.groups()
            asks = tuple(re.findall(r"\.([\w-]+)", options)) if "{" in line else ()
            start = number
            closing = re.compile(rf"^ *{ticks[0]}{{{len(ticks)},}} *$")
            while number < len(lines) and not closing.match(lines[number]):
                number += 1
            if number == len(lines):
                raise PageError(f"{path}:{start}: this fence is not closed")
            body = [row.removeprefix(indent) for row in lines[start:number]]
            for block in blocks:
                block.in_options = False
                block.body += lines[start - 1 : number + 1]
            number += 1
            code = "".join(row + "\n" for row in body)
            if language == "output" and fences and fences[-1].language == "python":
                asks += fences[-1].asks
                fences[-1] = replace(fences[-1], shown=code, asks=asks)
            else:
                claim = _claim_id(blocks)
                fences.append(Fence(language, code, start + 1, heading, claim, asks=asks))
            continue
        if ended := _BLOCK_END.match(line):
            if not blocks or blocks[-1].slashes != ended[1]:
                raise PageError(f"{path}:{number}: nothing to close here")
            closed = blocks.pop()
            if closed.name in VERDICTS:
                claims.append(_claim(closed, fences, path))
            elif closed.name == "tied":
                ties.append(_tie(closed, path))
            continue
        if started := _BLOCK.match(line):
            slashes, name, title = started.groups()
            blocks.append(_Block(slashes, name, title or "", number))
            continue
        for block in blocks[-1:]:
            if block.in_options and line.startswith("    "):
                block.options.append(line)
                break
            block.in_options = False
        else:
            for block in blocks:
                block.body.append(line)
        if not blocks and (found := _HEADING.match(line)):
            heading = _COMMENT.sub("", found[2])
            headings.append(Heading(len(found[1]), heading, number))
        images += [Image(alt, name, number) for alt, _, name in _FIGURE.findall(line)]
    if blocks:
        raise PageError(f"{path}:{blocks[-1].line}: block '{blocks[-1].name}' is not closed")
    stem = path.relative_to(docs).with_suffix("").as_posix()
    return Page(
        stem=stem,
        path=path,
        meta=meta,
        text="\n".join(lines[skip:]),
        first_line=skip + 1,
        headings=tuple(headings),
        fences=tuple(fences),
        claims=tuple(claims),
        images=tuple(images),
        ties=tuple(ties),
    )
