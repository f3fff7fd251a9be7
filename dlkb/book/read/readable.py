"""What a reader reads of a page's Markdown as sentences: the rest is blanked, in place.

Offsets and lines stay, so that whatever is found in the readable text can be pointed at in the
file. Left out are fences, code that is no bare number, link targets, citations, quotations,
labels, comments, the options of blocks, ties, figures with their captions (held by the figures'
own phrases) and tables about libraries (executed).
"""

import re
from functools import lru_cache

from dlkb.book.read.parts import ALT
from dlkb.book.read.rows import rows

_UNREAD_BLOCKS = ("tied", "figure-caption")
_PEERS = re.compile(r"^ *<!-- *peers:")
_BLOCK_MARK = re.compile(r"^ */{3,} *[a-z][\w-]* *(?:\| *)?")
_EXERCISE = re.compile(r"^\*\*\d+\.\*\*")
_BARE_NUMBER = re.compile(r"[+-]?(?:\d[\d_,]*)?\.?\d+(?:e[+-]?\d+)?", re.IGNORECASE)
_CODE_SPAN = re.compile(r"(?<!`)(`+)(?!`)((?:(?!\n[ ]*\n).)+?)(?<!`)\1(?!`)", re.DOTALL)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_UNREAD = re.compile(
    r"""
    !\["""
    + ALT
    + r"""\]\([^)]*\)   # an image, with its alt text
  | (?<=\]) \([^)\s]*(?:[ ]"[^"]*")?\)   # the target of a link
  | \[@[^\]]*\]                   # a citation
  | ^[ ]*\[[^\]]+\]:[ ].*$        # the definition of a link
  | </?[a-zA-Z][^<>]*>            # HTML
  | \{:?[ ]?[.\#][a-z][^{}]*\}       # attributes
  | \\(?:label|eqref|mathrm|operatorname|hspace)\{[^{}]*\}
    """,
    re.VERBOSE | re.MULTILINE,
)


def _blank(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)


@lru_cache(maxsize=4)  # the rules of one page ask one after the other
def _without_code(text: str) -> str:
    """Blank fences and whatever else of a line is not text for readers."""
    kept = []
    in_peers = False
    for row in rows(text):
        line = row.text
        in_peers = bool(_PEERS.match(line)) or (in_peers and line.lstrip().startswith("|"))
        unread = row.kind in ("code", "options", "directive", "end") or in_peers
        if unread or line.lstrip().startswith(">") or set(row.blocks) & set(_UNREAD_BLOCKS):
            line = _blank(line)
        if row.kind == "title":
            line = _BLOCK_MARK.sub(lambda mark: _blank(mark[0]), line)
        kept.append(_EXERCISE.sub(lambda mark: _blank(mark[0]), line))
    return _CODE_SPAN.sub(_number_alone, "\n".join(kept))


def _number_alone(span: re.Match[str]) -> str:
    code = span[2].strip()
    if not _BARE_NUMBER.fullmatch(code):
        return _blank(span[0])
    return span[0].replace("`", " ").replace("_", ",")


def comments(text: str) -> list[re.Match[str]]:
    """Return the HTML comments of a page that do not stand in code."""
    return list(_COMMENT.finditer(_without_code(text)))


def without_comments(text: str) -> str:
    """Return a page's Markdown without its comments; code keeps what looks like one.

    Example:
        >>> without_comments("7.27<!--= bound --> in `<!-- this -->`")
        '7.27 in `<!-- this -->`'
    """
    for comment in reversed(comments(text)):
        text = text[: comment.start()] + text[comment.end() :]
    return text


def readable(text: str) -> str:
    r"""Return a page's Markdown with all but its sentences and formulas blanked.

    Example:
        >>> readable("Run `lr = 12`, [30](x12.md) times <!--= n -->.").split()
        ['Run', ',', '[30]', 'times', '.']
    """
    text = _COMMENT.sub(lambda found: _blank(found[0]), _without_code(text))
    return _UNREAD.sub(lambda found: _blank(found[0]), text)
