r"""Read the TeX of an equation as a reader does, into a small tree.

Recursive descent over the part of TeX that the pages use. What a reader could take in two ways
is an error, never a guess: `a/bc`, `\log ab`, `\sin^{-1}x`. A symbol right before a parenthesis
is a function, `f(x)`; a product has a space, a dot or a power between, `r\,(1-x)`, or is known
by its name to be a number.
"""

from collections.abc import Collection

from dlkb.book.read.nodes import Node, Statement
from dlkb.book.read.pieces import BARS, BRACKETS, Pieces
from dlkb.book.read.tokens import RELATIONS, SEPARATORS, TIMES, WORDS, FormulaError

_BEGINNINGS = frozenset(
    (*r"\frac \dfrac \tfrac \sqrt \sum \prod \infty \dots \cdots \ldots".split(), r"\begin{cases}")
)


def read_formula(tex: str, numbers: Collection[str] = ()) -> tuple[Statement, ...]:
    r"""Read an equation: one statement, or several between `\quad`, commas or lines.

    Args:
        tex: The TeX between the dollars, without label.
        numbers: Names of symbols that are no functions: a parenthesis behind them multiplies.

    Raises:
        FormulaError: For what is not known, or could be read in two ways.

    Example:
        >>> from dlkb.book.read.nodes import show
        >>> (statement,) = read_formula(r"\rho = \max_i\lvert\lambda_i\rvert \le c")
        >>> statement.relations, [show(side) for side in statement.sides]
        (('=', '<='), ['rho', 'max(abs(lambda_[i]), i)', 'c'])
    """
    found = _Parser(tex, numbers).statements()
    kinds: dict[str, set[str]] = {}
    for node in (node for st in found for side in st.sides for node in side.walk()):
        kinds.setdefault(node.name, set()).add(node.kind)
    for name, uses in kinds.items():
        if {"symbol", "apply"} <= uses:
            raise FormulaError(rf"{name} is a function and a number: write {name}\,(…) in {tex!r}")
        if {"symbol", "bold"} <= uses:
            raise FormulaError(f"{name} is bold and plain: use two letters in {tex!r}")
    return found


def _product(factors: list[Node]) -> Node:
    return factors[0] if len(factors) == 1 else Node("mul", args=tuple(factors))


def symbol_name(tex: str) -> str:
    r"""Return the Python name of a TeX symbol.

    Example:
        >>> symbol_name(r"\hat{m}_{t-1}"), symbol_name(r"\mathbf{x}"), symbol_name(r"\lambda")
        ('m_hat_t_1', 'x', 'lambda_')
    """
    parser = _Parser(tex, ())
    found = parser.symbol().name
    if parser.token:
        raise parser.error(f"{parser.token} is no part of a symbol")
    return found


class _Parser(Pieces):
    def statements(self) -> tuple[Statement, ...]:
        found = [self.statement()]
        while self.ended() and self.token:
            self.place += 1
            if not self.ended():
                found.append(self.statement())
        if self.token:
            raise self.error(f"cannot read {self.token}")
        return tuple(found)

    def statement(self) -> Statement:
        start, depth, indices = self.place, len(self.inside), self.indices
        if self.accept("("):  # perhaps a condition in parentheses
            try:
                inner = self.statement()
                if inner.relations and self.accept(")") and self.ended():
                    return inner
            except FormulaError:
                pass
            self.place, self.indices = start, indices
            del self.inside[depth:]
        sides, relations = [self.sum()], []
        while self.token in RELATIONS:
            relations.append(RELATIONS[self.take()])
            sides.append(self.sum())
        return Statement(tuple(sides), tuple(relations))

    def ended(self) -> bool:
        return not self.token or self.token in SEPARATORS or self.word() in WORDS

    def sum(self) -> Node:
        terms = [self.signed()]
        while self.token in ("+", "-"):
            terms.append(self.signed())
        return terms[0] if len(terms) == 1 else Node("add", args=tuple(terms))

    def signed(self) -> Node:
        if self.accept("-"):
            return Node("neg", args=(self.product(),))
        self.accept("+")
        return self.product()

    def product(self) -> Node:
        phrase = " " in self.token
        factors, divided = [self.factor()], False
        while True:
            if self.accept(*TIMES):
                factors.append(self.factor())
            elif self.accept(r"\circ", r"\odot"):
                factors = [Node("hadamard", args=(_product(factors), self.factor()))]
            elif self.accept("/"):
                if divided:
                    raise self.error("a second / could be read in two ways: write a fraction")
                factors = [Node("div", args=(_product(factors), self.factor()))]
                divided = True
                continue
            elif self.begins_factor():
                if divided and not self.spaced:
                    raise self.error(r"what follows a/b could be read in two ways: write \frac")
                if self.loose == self.place and not self.spaced and not self.begins_function():
                    raise self.error("the function's argument could go on: write parentheses")
                if phrase or " " in self.token:
                    raise self.error(r"words in a product: put \quad before and behind them")
                factors.append(self.factor())
            else:
                return _product(factors)
            divided = False

    def begins_factor(self) -> bool:
        if self.inside and self.token == self.inside[-1]:
            return False
        known = self.token in BRACKETS or self.token in BARS or self.token in _BEGINNINGS
        return known or self.token.isdigit() or self.begins_function() or self.begins_symbol()

    def factor(self) -> Node:
        base = self.primary()
        if self.accept("^"):
            matrix = any(node.kind == "bold" for node in base.walk())
            if self.group() == [r"\top"] or (self.group() == ["T"] and matrix):
                self.skip(self.group())
                base = Node("transpose", args=(base,))
            else:
                base = Node("pow", args=(base, self.argument()))
        if self.token in ("'", "_", "^"):
            raise self.error(f"{self.token} could be read in two ways: write parentheses")
        return base

    def argument(self) -> Node:
        """Read what TeX takes as an argument: a group in braces, or one token."""
        if self.accept("{"):
            awaited, self.inside = self.inside, []
            found = self.sum()
            self.inside = awaited
            self.take("}")
            return found
        if self.token.isdigit():
            return Node("number", self.take())
        if self.begins_symbol() and not self.begins_function():
            return self.named(*self.base())
        return self.primary()

    def primary(self) -> Node:
        token = self.token
        if token.isdigit():
            return self.number()
        if token in BRACKETS:
            return self.one(self.enclosed())
        if token in BARS:
            return self.bars()
        if self.begins_function():
            return self.function()
        if self.begins_symbol():
            return self.application(self.symbol())
        if self.accept(r"\frac", r"\tfrac", r"\dfrac"):
            return self.fraction()
        if self.accept(r"\sqrt"):
            root = self.one(self.enclosed()) if self.token == "[" else Node("number", "2")
            return Node("call", "sqrt", (self.argument(), root))
        if self.accept(r"\sum", r"\prod"):
            return self.over(token[1:])
        if self.accept(r"\begin{cases}"):
            return self.cases()
        if self.accept(r"\infty"):
            return Node("constant", "inf")
        if self.accept(r"\dots", r"\cdots", r"\ldots"):
            return Node("dots", "...")
        raise self.error(f"cannot read {token or 'the end'}")
