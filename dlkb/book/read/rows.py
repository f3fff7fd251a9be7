"""The lines of a page, each with what it is and where it stands."""

import re
from dataclasses import dataclass
from functools import lru_cache

from dlkb.book.read.parts import VERDICTS

_FENCE = re.compile(r"^[ >]*(`{3,}|~{3,})")
_BLOCK = re.compile(r"^ *(/{3,}) *([a-z][\w-]*) *(\|.*)?$")
_BLOCK_END = re.compile(r"^ *(/{3,}) *$")
_HEADING = re.compile(r"^(#{1,6}) +(.+)$")
_EXERCISE = re.compile(r"^\*\*(\d+)\.\*\*")


@dataclass(frozen=True)
class Row:
    """A line: its text, its kind, the blocks around it, and the section, card or exercise.

    Kinds are `text`, `heading`, `code` (a fence with its marks), `title` (the first line of a
    block), `options` (of a block), `end` (of a block) and `directive` (`::: name`).
    `place` runs from the page's title to the innermost section; a card and an exercise are
    places too, marked by a slash.
    """

    text: str
    kind: str
    blocks: tuple[str, ...]
    place: tuple[str, ...]

    @property
    def is_card(self) -> bool:
        """Whether the line stands in a claim."""
        return any(name in VERDICTS for name in self.blocks)


@lru_cache(maxsize=4)  # the rules of one page ask one after the other
def rows(text: str) -> tuple[Row, ...]:
    r"""Return the lines of a page's Markdown, without front matter.

    Example:
        >>> [row.kind for row in rows("# Title\n/// details | More\n    open: true\nSo.\n///")]
        ['heading', 'title', 'options', 'text', 'end']
    """
    found: list[Row] = []
    blocks: list[tuple[str, str]] = []  # slashes and name
    sections: list[tuple[int, str]] = []  # level and heading
    exercise = card = ""
    closing: re.Pattern[str] | None = None
    in_options = False
    for number, line in enumerate(text.split("\n")):
        kind = "text"
        if closing:
            kind, closing = "code", None if closing.match(line) else closing
        elif in_options and line.startswith("    "):
            kind = "options"
        elif opened := _FENCE.match(line):
            kind, closing = "code", re.compile(rf"^[ >]*{opened[1]}+ *$")
        elif _BLOCK_END.match(line):
            kind = "end"
        elif started := _BLOCK.match(line):
            kind = "title"
            blocks.append((started[1], started[2]))
            card = f"/card {number}" if started[2] in VERDICTS else card
        elif not blocks and (heading := _HEADING.match(line)):
            kind, exercise = "heading", ""
            level = len(heading[1])
            sections = [*(above for above in sections if above[0] < level), (level, heading[2])]
        elif line.startswith("::: "):
            kind = "directive"
        elif not blocks and (numbered := _EXERCISE.match(line)):
            exercise = f"/exercise {numbered[1]}"
        in_options = kind in ("title", "options", "directive")
        place = (*(name for _, name in sections), *filter(None, (exercise, card)))
        found.append(Row(line, kind, tuple(name for _, name in blocks), place))
        if kind == "end" and blocks and blocks.pop()[1] in VERDICTS:
            card = ""
    return tuple(found)
