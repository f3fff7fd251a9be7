r"""Split the TeX of an equation into tokens."""

import re

GREEK = frozenset(
    r"\alpha \beta \gamma \delta \epsilon \varepsilon \zeta \eta \theta \vartheta \iota \kappa "
    r"\lambda \mu \nu \xi \pi \rho \sigma \tau \upsilon \phi \varphi \chi \psi \omega \Gamma "
    r"\Delta \Theta \Lambda \Xi \Pi \Sigma \Upsilon \Phi \Psi \Omega \ell \nabla \partial".split()
)
ACCENTS = frozenset(r"\hat \bar \tilde \dot \widehat \widetilde \overline".split())
BOLD = frozenset(r"\mathbf \boldsymbol \bm".split())
FONTS = BOLD | frozenset(r"\mathit \mathcal \mathbb \mathsf".split())
RELATIONS = {
    tex: meaning
    for meaning, spellings in {
        "=": r"= := \equiv \coloneqq",
        "<": r"< \lt",
        ">": r"> \gt",
        "<=": r"\le \leq",
        ">=": r"\ge \geq",
        "!=": r"\ne \neq",
        "<-": r"\leftarrow \gets",
        "->": r"\to",
        "~": r"\approx",
    }.items()
    for tex in spellings.split()
}
SEPARATORS = frozenset((r"\quad", r"\qquad", r"\\", r"\Longrightarrow", r"\implies", ",", ";"))
WORDS = frozenset("if for where with when otherwise else and".split())
TIMES = frozenset((r"\cdot", r"\times", "*"))

_TOKEN = re.compile(
    r"\\(?:text|mathrm|operatorname)\s*\{[^{}]*\}|\\(?:begin|end)\s*\{[^{}]*\}"
    r"|\\[A-Za-z]+|\\.|:=|\S",
    re.DOTALL,
)
_BREAKS = frozenset((r"\quad", r"\qquad", r"\\"))
_SPACES = frozenset((r"\,", r"\;", r"\:", r"\ ", r"\>", "~"))
_IGNORED = re.compile(
    r"\\!|\\[bB]igg?[lrm]?|\\(?:left|right|displaystyle|limits)|\\(?:begin|end)\s*\{aligned\}"
)
_NO_DELIMITER = re.compile(r"\\(?:left|right)(?![A-Za-z])\s*\.")


class FormulaError(ValueError):
    """TeX that cannot be read, or could be read in two ways."""


def scan(tex: str) -> list[tuple[str, bool]]:
    """Split TeX into tokens, each with whether a visible space stands before it."""
    found: list[tuple[str, bool]] = []
    spaced, cases = False, 0
    tex = _NO_DELIMITER.sub(" ", tex)
    tokens = [token for token in _TOKEN.findall(tex) if not _IGNORED.fullmatch(token)]
    for place, token in enumerate(tokens):
        cases += token.startswith(r"\begin") - token.startswith(r"\end")
        following = (t for t in tokens[place + 1 :] if t != "&" and t not in _SPACES)
        after = next((t for t in following if t not in (r"\quad", r"\qquad")), "")
        goes_on = after in RELATIONS or after in TIMES or after in ("+", "-")
        if token in _SPACES:
            spaced = True
        elif not cases and (token == "&" or (token in _BREAKS and goes_on)):
            spaced = True  # a line that goes on with = or + is no new statement
        else:
            found.append((token, spaced))
            spaced = False
    while found and found[-1][0] in (".", ",", ";"):
        found.pop()
    return found


class Tokens:
    """The tokens of an equation, and how far they have been read."""

    def __init__(self, tex: str) -> None:
        self.tex = tex
        self.tokens = scan(tex)
        self.place = 0

    @property
    def token(self) -> str:
        """The next token; empty at the end."""
        return self.tokens[self.place][0] if self.place < len(self.tokens) else ""

    @property
    def spaced(self) -> bool:
        """Whether a visible space stands before the next token."""
        return self.place < len(self.tokens) and self.tokens[self.place][1]

    def take(self, wanted: str | None = None) -> str:
        """Return the next token and step over it."""
        token = self.token
        if not token or (wanted is not None and token != wanted):
            raise self.error(f"expected {wanted or 'more'}, found {token or 'the end'}")
        self.place += 1
        return token

    def accept(self, *wanted: str) -> bool:
        """Step over the next token if it is one of those wanted."""
        found = self.token in wanted and self.token != ""
        self.place += found
        return found

    def error(self, message: str) -> FormulaError:
        """Return an error that says where reading stopped."""
        before = " ".join(token for token, _ in self.tokens[: self.place])
        return FormulaError(f"{message}, after {before[-30:] or 'nothing'!r} in {self.tex!r}")

    def word(self) -> str:
        r"""Return what stands in \text{…}, \mathrm{…} or \operatorname{…}, if that is next."""
        found = re.fullmatch(r"\\(?:text|mathrm|operatorname)\s*\{(.*)\}", self.token, re.DOTALL)
        return found[1].strip() if found else ""

    def begins_symbol(self) -> bool:
        """Whether a symbol is next."""
        letter = bool(re.fullmatch("[A-Za-z]", self.token))
        word = self.word()
        return letter or self.token in GREEK | ACCENTS | FONTS or bool(word and word not in WORDS)

    def group(self) -> list[str]:
        """Return the tokens of the next argument, without stepping over it."""
        if self.token != "{":
            return [self.token]
        depth = 0
        for end, (token, _) in enumerate(self.tokens[self.place :], self.place):
            depth += (token == "{") - (token == "}")
            if not depth:
                return [token for token, _ in self.tokens[self.place + 1 : end]]
        raise self.error("a brace is not closed")

    def rest(self) -> list[str]:
        """Return the tokens of the argument after the next."""
        start = self.place
        self.skip(self.group())
        found = self.group()
        self.place = start
        return found

    def skip(self, group: list[str]) -> None:
        """Step over the argument that `group` returned."""
        self.place += len(group) + 2 * (self.token == "{")
