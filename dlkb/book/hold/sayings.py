"""Whether alt text and caption of a figure say what the figure's data says.

`scripts/figures/<stem>.py` holds `<figure>_says() -> dict[str, bool]`: phrases as they stand on the
page, and whether each is true of the data. Here they are held against the page, in both directions.
"""

import ast
import re
from pathlib import Path
from typing import NamedTuple

from dlkb.book.draw.drawing import SCRIPTS, Says
from dlkb.book.draw.figures import FigureSource, figures_of
from dlkb.book.read.freshness import parse
from dlkb.book.read.numerals import numerals
from dlkb.book.read.parts import ALT, Page

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-ZÀ-Þ\d$`*_“\[])")
_PERCENT = re.compile(r"[ \u00a0]?%")


class Description(NamedTuple):
    """What a page says of one of its figures, white space made single spaces."""

    name: str
    line: int
    alt: str
    caption: str


def descriptions(page: Page) -> list[Description]:
    """Return what a page says of the figures that its own script draws, in their order."""
    image = re.compile(
        rf"!\[({ALT})\]\((?:\.\./)*assets/figures/{re.escape(page.stem)}/(\w+)\.svg\)"
        r"(?:\{[^}\n]*\})?"
        r"(?:[ \t]*\n+(/{3,}) *figure-caption[^\n]*\n(?: {4}[^\n]*\n)*(.*?)\n\3[ \t]*(?=\n|\Z))?",
        re.DOTALL,
    )
    return [
        Description(
            name=found[2],
            line=page.first_line + page.text.count("\n", 0, found.start()),
            alt=_plain(found[1]),
            caption=_plain(found[4] or ""),
        )
        for found in image.finditer(page.text)
    ]


def saying_problems(root: Path, page: Page, said: dict[str, Says] | None) -> list[tuple[int, str]]:
    """Return line and message of what a page says of its figures and their data does not.

    Args:
        root: The repository.
        page: A page; its figures must be described as the data says.
        said: What each figure says; None if that is not known yet: nothing is computed here.
    """
    if not (root / SCRIPTS / f"{page.stem}.py").is_file():
        return []
    sources = {figure.name: figure for figure in figures_of(root, page.stem)}
    found: list[tuple[int, str]] = []
    for shown in descriptions(page):
        source = sources.get(shown.name)
        if source is None:
            continue  # another rule says so
        where = f"{SCRIPTS.as_posix()}/{page.stem}.py"
        messages = _constants(root, source)
        if not source.says:
            messages = [f"{where} lacks {shown.name}_says() -> dict[str, bool]: write it there"]
        elif said is not None and shown.name not in said:
            messages = [f"{where}: {shown.name}_says() was not run: `dlkb figures {page.stem}`"]
        elif said is not None:
            messages += _compare(shown, said[shown.name])
        found += [(shown.line, message) for message in messages]
    return found


def _constants(root: Path, figure: FigureSource) -> list[str]:
    """Return the phrases that are true by decree: a literal that is said to be True."""
    tree = parse((root / SCRIPTS / f"{figure.stem}.py").read_bytes())
    wanted = f"{figure.name}_says"
    body = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == wanted]
    pairs = [
        (key, value)
        for function in body
        for node in ast.walk(function)
        if isinstance(node, ast.Dict)
        for key, value in zip(node.keys, node.values, strict=True)
    ]
    return [
        f"{wanted}() says {key.value!r} without looking: compute it from the data"
        for key, value in pairs
        if isinstance(key, ast.Constant) and isinstance(value, ast.Constant)
    ]


def _compare(shown: Description, says: Says) -> list[str]:
    function = f"{shown.name}_says()"
    phrases = {_plain(phrase): true for phrase, true in says.items()}
    texts = {"alt text": shown.alt, "caption": shown.caption}
    messages = [
        f"{function}: the data does not say '{phrase}': mend the sentence"
        for phrase, true in phrases.items()
        if not true
    ]
    messages += [
        f"{function} says '{phrase}', the page does not"
        for phrase in phrases
        if not any(_spans(phrase, text) for text in texts.values())
    ]
    for kind, text in texts.items():
        spans = [span for phrase in phrases for span in _spans(phrase, text)]
        for start, end in _sentences(text):
            if not any(start <= first and last <= end for first, last in spans):
                messages.append(
                    f"{kind} of {shown.name}: no phrase of {function} holds '{text[start:end]}'"
                )
        for start, end in _numbers(text):
            if not any(first <= start and end <= last for first, last in spans):
                messages.append(
                    f"{kind} of {shown.name}: no phrase of {function} holds the number "
                    f"{text[start:end]}"
                )
    return messages


def _plain(text: str) -> str:
    return " ".join(text.split())


def _spans(phrase: str, text: str) -> list[tuple[int, int]]:
    """Return where a phrase stands in a text as whole words and whole numbers."""
    whole = rf"(?<![\w])(?<!\d[.,]){re.escape(phrase)}(?!\w|[.,]\d)"
    return [found.span() for found in re.finditer(whole, text)] if phrase else []


def _numbers(text: str) -> list[tuple[int, int]]:
    """Return start and end of each number that must be held, its sign and per cent included."""
    found = []
    for number in numerals(text):
        unit = _PERCENT.match(text, number.end)
        found.append((number.start, unit.end() if unit else number.end))
    return found


def _sentences(text: str) -> list[tuple[int, int]]:
    """Return start and end of each sentence."""
    if not text:
        return []
    ends = list(_SENTENCE_END.finditer(text))
    return list(
        zip(
            [0, *(end.end() for end in ends)],
            [*(end.start() for end in ends), len(text)],
            strict=True,
        )
    )
