"""What stands around an equation: its number, its mark, and the note that they open.

The note says what the equation is tested against and what its letters mean, and gives its TeX. It
is a popover of the browser's own: it opens by tap and by keyboard without script;
`assets/notes.js` adds hover and places it.
"""

import html
import re
from typing import NamedTuple
from xml.etree.ElementTree import Element, tostring

from dlkb.book.read.notation import Symbol, key
from dlkb.book.read.parts import Page
from dlkb.book.read.tex import Equation, parse_mathml, typeset


class Tied(NamedTuple):
    """A `tied` block as the page writes it."""

    call: str
    where: str
    reading: str


def tied(block: Element) -> Tied:
    """Read a block before its inline text is converted."""
    title, *body = ["".join(part.itertext()) for part in block]
    reading = re.search(r"Read as `([^`]+)`", " ".join(body))
    return Tied(title.strip("` "), block.get("data-where", ""), reading[1] if reading else "")


def flat_primes(root: Element) -> None:
    """Set primes beside their letter: the glyph is raised by itself, in a superscript twice."""
    for parent in list(root.iter()):
        for index, node in enumerate(list(parent)):
            if node.tag not in ("msup", "msubsup"):
                continue
            base, *low, high = list(node)
            marks = list(high) if high.tag == "mrow" else [high]
            if not (marks and marks[0].tag == "mo" and set(marks[0].text or "") <= set("′″‴⁗")):
                continue
            prime = Element("mo", {"lspace": "0", "rspace": "0", "class": "prime"})
            prime.text = marks[0].text
            row = Element("mrow")
            row.extend([_script("msub", base, low), prime])
            if len(marks) > 1:
                rest = marks[1] if len(marks) == 2 else Element("mrow")
                rest.extend(marks[1:] if len(marks) > 2 else [])
                row = _script("msup", row, [rest])
            row.tail = node.tail
            parent[index] = row


def _script(tag: str, base: Element, scripts: list[Element]) -> Element:
    if not scripts:
        return base
    node = Element(tag)
    node.extend([base, *scripts])
    return node


def mark_symbols(root: Element, known: dict[str, Symbol]) -> list[Symbol]:
    """Mark the letters that the notation explains; return their rows in order of appearance."""
    found: list[Symbol] = []
    _mark(root, known, found)
    return found


def _mark(node: Element, known: dict[str, Symbol], found: list[Symbol]) -> None:
    name = _known(node, known)
    children = list(node)
    if name is not None:
        if known[name] not in found:
            found.append(known[name])
        node.set("data-symbol", str(found.index(known[name])))
        children = children[1:] if node.tag in ("msub", "msubsup") else []
    for child in children:
        _mark(child, known, found)


def _known(node: Element, known: dict[str, Symbol]) -> str | None:
    name = key(node)
    if name in known:
        return name
    if node.tag in ("msub", "msubsup"):
        indexed = f"<msub>{key(node[0])}<mi>i</mi></msub>"
        exact = f"<msub>{key(node[0])}{key(node[1])}</msub>"
        return exact if exact in known else indexed if indexed in known else None
    return None


def typeset_for(mathml: str, tex: str, known: dict[str, Symbol]) -> tuple[str, list[Symbol]]:
    """Return the MathML as the page shows it, with its TeX, and the letters that it explains."""
    root = parse_mathml(mathml)
    flat_primes(root)
    found = mark_symbols(root, known)
    root.set("data-tex", tex)
    return tostring(root, encoding="unicode"), found


def tools(anchor: str, number: str, tie: Tied | None, said: str) -> str:
    """Return the number, which is the permalink, and the button that opens the note.

    One tab stop an equation, the button: the note has the link as well.
    """
    name = f"equation {number}" if number else "this equation"
    link = (
        f'<a class="eq-number" href="#{anchor}" tabindex="-1" aria-label="Equation {number}">'
        f"({number})</a>"
    )
    copy = '<button type="button" class="copy-tex">Copy TeX</button>'
    last = f'{copy} <a href="#{anchor}">Link to this equation</a>' if number else copy
    label = f"About {name}, tested" if tie else f"About {name}"
    return (
        f"{link if number else ''}"
        f'<button type="button" class="eq-more{" tested" if tie else ""}" aria-label="{label}" '
        f'popovertarget="{anchor}.note" popovertargetaction="show">'
        f"{'✓' if tie else '⋯'}</button>"
        f'<span class="eq-note" popover id="{anchor}.note">{said}'
        f'<span class="note-line">{last}</span></span>'
    )


def link(call: str, page: Page | None) -> str | None:
    """Return where the page documents the function of a call; None if another page does."""
    name = call.partition("(")[0]
    reference = rf"^::: +{re.escape(name.rpartition('.')[0])}$"
    documented = page and re.search(reference, page.text, re.MULTILINE)
    return f"#{name}" if documented else None


def note(tie: Tied | None, explained: list[Symbol], page: Page | None) -> str:
    """Return what an equation is tested against and what its letters mean, a line each."""
    parts = []
    if tie:
        call = f"<code>{html.escape(tie.call)}</code>"
        if target := link(tie.call, page):
            call = f'<a href="{target}">{call}</a>'
        parts.append(f"<b>Tested against</b> {call}")
        parts.append(f"for <code>{html.escape(tie.where)}</code>")
        if tie.reading:
            parts.append(f"read as <code>{html.escape(tie.reading)}</code>")
    parts += [
        f'<span data-row="{index}">{_row(symbol)}</span>' for index, symbol in enumerate(explained)
    ]
    return "".join(f'<span class="note-line">{part}</span>' for part in parts)


def _row(symbol: Symbol) -> str:
    letters = ", ".join(_math(letter) for letter in symbol.letters)
    facts = [symbol.means, *(fact for fact in (symbol.code, symbol.shape) if fact != "–")]
    return f"{letters}: {'; '.join(map(_inline, facts))}"


def _math(tex: str) -> str:
    return typeset(Equation(1, tex, False, None), {})


def _inline(cell: str) -> str:
    """Return a cell of a table as HTML: math, code and strong text."""
    text = html.escape(cell, quote=False)
    text = re.sub(r"\$([^$]+)\$", lambda match: _math(html.unescape(match[1])), text)
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", text)
    return re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", text)
