r"""Read the pieces that a formula is made of: fractions, functions, sums, cases."""

from abc import abstractmethod
from collections.abc import Collection

from dlkb.book.read.nodes import Node
from dlkb.book.read.symbols import Symbols
from dlkb.book.read.tokens import RELATIONS, FormulaError

FUNCTIONS = frozenset(
    "exp log ln sin cos tan sinh cosh tanh arcsin arccos arctan max min det "
    "sign erf erfc diag tr".split()
)
SPECIAL = {"psi": "digamma", "Gamma": "gamma", "Phi": "normal_cdf"}
"""Letters that are a known function where a parenthesis follows."""

BRACKETS = {"(": ")", "[": "]", r"\{": r"\}"}
BARS = {"|": "|", r"\lvert": r"\rvert", r"\|": r"\|", r"\lVert": r"\rVert"}
BARS |= {r"\lceil": r"\rceil", r"\lfloor": r"\rfloor"}


class Pieces(Symbols):
    """Reads pieces; how factors, products and sums are read is left to the reader of formulas."""

    def __init__(self, tex: str, numbers: Collection[str]) -> None:
        super().__init__(tex, numbers)
        self.loose = -1  # where a function's argument without parentheses ended
        self.inside: list[str] = []  # closing delimiters awaited

    @abstractmethod
    def sum(self) -> Node:
        """Read terms up to what ends them."""

    @abstractmethod
    def product(self) -> Node:
        """Read the factors of a term."""

    @abstractmethod
    def factor(self) -> Node:
        """Read a factor with its powers."""

    def begins_function(self) -> bool:
        """Whether the name of a known function is next."""
        return self.token[:1] == "\\" and (self.token[1:] in FUNCTIONS or self.word() in FUNCTIONS)

    def number(self) -> Node:
        """Read digits, with a decimal point between them."""
        digits = ""
        while self.token.isdigit() or (self.token == "." and self.follows_digit()):
            digits += self.take()
        return Node("number", digits)

    def follows_digit(self) -> bool:
        """Whether a digit stands behind the next token."""
        return self.place + 1 < len(self.tokens) and self.tokens[self.place + 1][0].isdigit()

    def one(self, found: tuple[Node, ...]) -> Node:
        """Return the only entry of a list."""
        if len(found) != 1:
            raise self.error("a list is no number")
        return found[0]

    def enclosed(self) -> tuple[Node, ...]:
        """Read a list between brackets."""
        self.inside.append(BRACKETS[self.take()])
        found = [self.sum()]
        while self.accept(","):
            found.append(self.sum())
        self.take(self.inside.pop())
        return tuple(found)

    def bars(self) -> Node:
        """Read an absolute value, a norm, or what is rounded."""
        opening = self.take()
        self.inside.append(BARS[opening])
        found = self.sum()
        self.take(self.inside.pop())
        if opening in ("|", r"\lvert"):
            return Node("call", "abs", (found,))
        if opening in (r"\lceil", r"\lfloor"):
            return Node("call", {r"\lceil": "ceil"}.get(opening, "floor"), (found,))
        return Node("norm", "_".join(self.words()) if self.accept("_") else "", (found,))

    def fraction(self) -> Node:
        """Read a fraction, or a derivative as one symbol."""
        names = [self.differential(group) for group in (self.group(), self.rest())]
        if all(names):  # a derivative is one symbol
            self.skip(self.group())
            self.skip(self.group())
            return Node("symbol", "/".join(names))
        return Node("div", args=(self.argument(), self.argument()))

    def differential(self, group: list[str]) -> str:
        """Return `dx` for the tokens of a differential, nothing for others."""
        if len(group) < 2 or group[0] not in ("d", r"\mathrm{d}", r"\partial"):
            return ""
        inner = type(self)(" ".join(group[1:]), ())
        try:
            name = inner.symbol().name
        except FormulaError:
            return ""
        return "" if inner.token else f"d{name}"

    def function(self) -> Node:
        """Read a known function, its power, its argument."""
        name = self.word() or self.token[1:]
        self.take()
        if self.token == "'":
            return self.application(self.named(*self.scripts([name], bold=False)))
        power = self.exponent()
        if name in ("max", "min") and self.accept("_"):
            return self.over(name)
        name = {"ln": "log", "sgn": "sign"}.get(name, name)
        if name == "log" and self.accept("_"):
            base = self.argument()
            args: tuple[Node, ...] = (self.operand()[0], base)
        else:
            args = self.operand()
        if (len(args) > 1) != (name in ("max", "min")) and name != "log":
            raise self.error(f"{name} has {len(args)} arguments")
        power = power or self.exponent()
        found = Node("call", name, args)
        return Node("pow", args=(found, power)) if power else found

    def exponent(self) -> Node | None:
        """Read the power between a function and its argument."""
        if not self.accept("^"):
            return None
        power = self.argument()
        if power.kind == "neg":
            raise self.error("inverse function or reciprocal? Write arcsin or a fraction")
        return power

    def operand(self) -> tuple[Node, ...]:
        """Read what a function is applied to: a list in brackets, or one factor."""
        if self.token in BRACKETS:
            return self.enclosed()
        found = self.factor()
        self.loose = self.place
        return (found,)

    def over(self, name: str) -> Node:
        """Read a sum, product or maximum, from below the sign to the end of its product."""
        bounds: list[Node] = []
        if name in ("sum", "prod"):
            self.take("_")
        closing = self.accept("{")
        index = self.symbol()
        if closing:
            if self.accept("="):
                bounds.append(self.sum())
            self.take("}")
        if bounds:
            self.take("^")
            bounds.append(self.argument())
        self.indices = (*self.indices, index.name)
        body = self.product()
        self.indices = self.indices[:-1]
        return Node("over", name, (body, index, *bounds))

    def cases(self) -> Node:
        """Read values and conditions up to the end of the cases."""
        found: list[Node] = []
        while not self.accept(r"\end{cases}"):
            found.append(self.sum())
            self.accept(",")
            self.take("&")
            while self.word() in ("if", "for", "when"):
                self.take()
            if self.word() in ("otherwise", "else"):
                self.take()
                found.append(Node("constant", "true"))
            else:
                found.append(self.condition())
            self.accept(",")
            self.accept("\\\\")
        return Node("cases", args=tuple(found))

    def condition(self) -> Node:
        """Read the condition of a case."""
        left = self.sum()
        if self.token not in RELATIONS:
            raise self.error("a case needs a condition")
        return Node("relation", RELATIONS[self.take()], (left, self.sum()))

    def application(self, symbol: Node) -> Node:
        """Apply a symbol to what stands in brackets right behind it, unless it is a number."""
        number = symbol.kind != "symbol" or symbol.name in self.numbers or "/" in symbol.name
        if symbol.name == "E" and self.token in (r"\lVert", r"\lvert", "|"):
            return Node("apply", "E", (self.factor(),))
        if number or self.spaced or self.token not in BRACKETS:
            return symbol
        name = SPECIAL.get(symbol.name)
        kind = "call" if name else "apply"
        found = Node(kind, name or symbol.name, self.enclosed())
        if symbol.name == "E" and self.token == "^" and self.tokens[self.place - 1][0] == ")":
            raise self.error(r"power of the mean, or mean of the power? Write \mathbb{E}[…]")
        return found
