r"""Name the symbols of an equation as Python code names them: `\hat m_t` is `m_hat_t`."""

import keyword
import re
from abc import ABC, abstractmethod
from collections.abc import Collection

from dlkb.book.read.nodes import Node
from dlkb.book.read.tokens import ACCENTS, BOLD, FONTS, GREEK, Tokens

NAMING = frozenset((r"\star", "*", r"\ast", r"\max", r"\min", r"\dagger", "+", "-"))
"""What stands above a symbol as part of its name, not as a power."""

_PREFIXES = (r"\nabla", r"\partial", r"\Delta")
"""What is named together with the symbol behind it."""


class Symbols(Tokens, ABC):
    """Reads symbols; how to read an argument is left to the reader of formulas."""

    def __init__(self, tex: str, numbers: Collection[str]) -> None:
        super().__init__(tex)
        self.numbers = numbers
        self.indices: tuple[str, ...] = ()  # of the sums around

    @abstractmethod
    def argument(self) -> Node:
        """Read what TeX takes as an argument: a group in braces, or one token."""

    def symbol(self) -> Node:
        """Read a symbol with what stands below and above it."""
        words, bold = self.base()
        return self.named(*self.scripts(words, bold))

    def scripts(self, words: list[str], bold: bool) -> tuple[list[str], bool, tuple[Node, ...]]:
        """Read what stands below and above a symbol; entries, if the index of a sum is there."""
        entries: tuple[Node, ...] = ()
        while True:
            if self.accept("'"):
                words = [*words, "prime"]
            elif self.accept("_"):
                group = self.group()
                if set(group) & set(self.indices):
                    entries = self.entries(group)
                else:
                    words = [*words, *self.words()]
            elif self.token == "^" and self.names():
                self.take()
                words = [*words, *(self.words() or ["star"])]
            else:
                return words, bold, entries

    def names(self) -> bool:
        """Whether what stands above is part of the name, as in v^max and x^(i)."""
        self.place += 1
        group, word = self.group(), self.word()
        self.place -= 1
        naming = len(group) == 1 and group[0] in NAMING
        return bool(word) or naming or (group[0] == "(" and group[-1] == ")")

    def entries(self, group: list[str]) -> tuple[Node, ...]:
        """Read the subscript of an entry, `t-k` or `ij`."""
        if len(group) > 1 and all(token.isalnum() for token in group):
            self.skip(group)
            return tuple(
                Node("number", token) if token.isdigit() else self.named([token], False)
                for token in group
            )
        return (self.argument(),)

    def named(self, words: list[str], bold: bool, entries: tuple[Node, ...] = ()) -> Node:
        """Return the symbol, entry or constant of this name."""
        name = "_".join(words)
        name += "_" * keyword.iskeyword(name)
        if entries:
            return Node("index", name, entries)
        if name in ("e", "pi") and name not in self.numbers:
            return Node("constant", name)
        return Node("bold" if bold else "symbol", name)

    def base(self) -> tuple[list[str], bool]:
        """Read a symbol without what stands below and above it: its words, whether it is bold."""
        if word := self.word():
            self.take()
            words = re.findall("[A-Za-z0-9]+", word)
            more, bold = self.base() if word == "d" and self.begins_symbol() else ([], False)
            return [*words, *more], bold
        token = self.take()
        if token in ACCENTS | FONTS:
            closing = self.accept("{")
            words, bold = self.base()
            if closing and self.accept("_"):
                words += self.words()
            if closing:
                self.take("}")
            if token in ACCENTS:
                return [*words, token[1:]], bold
            return words, bold or token in BOLD
        if token in ("0", "1") and self.place and self.tokens[self.place - 2][0] in (*FONTS, "{"):
            return [("zero", "one")[int(token)]], False
        if token not in GREEK and not re.fullmatch("[A-Za-z]", token):
            raise self.error(f"{token} is no symbol")
        if token == "d" and "d" not in self.numbers and self.begins_symbol() and not self.spaced:
            raise self.error(r"differential or product? Write d\,x or \mathrm{d}x")
        if token not in _PREFIXES:
            return [token.lstrip("\\")], False
        words, bold = [token[1:]], False
        if self.accept("_"):
            words += self.words()
        if self.begins_symbol() and not self.spaced:
            more, bold = self.base()
            words += more
        elif token == r"\partial":
            raise self.error("a derivative of what?")
        return words, bold

    def words(self) -> list[str]:
        """Read a subscript as words of a name: `t+1` becomes t, plus, 1."""
        group = self.group()
        self.skip(group)
        text = " ".join(group).replace("+", " plus ")
        text = re.sub(r"(?<=\d) (?=\d)", "", text)
        for font in (*FONTS, r"\text", r"\mathrm", r"\operatorname"):
            text = re.sub(rf"\{font}(?![A-Za-z])", " ", text)
        return re.findall("[A-Za-z]+|[0-9]+", text)
