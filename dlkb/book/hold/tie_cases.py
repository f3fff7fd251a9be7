"""Read a tie: the equation of the page, the definitions that it uses, ranges and calls."""

from dataclasses import dataclass
from types import CodeType

from dlkb.book.hold.calls import compile_call, compile_value, used
from dlkb.book.hold.ranges import Range, read_ranges
from dlkb.book.read.formula import read_formula
from dlkb.book.read.nodes import Node, Statement, key, show
from dlkb.book.read.parts import Page, Tie
from dlkb.book.read.tex import equations
from dlkb.book.read.tokens import FormulaError

EQUALITIES = ("=", "<-", "->")
ORDERS = {"<": 1, "<=": 1, ">": -1, ">=": -1}


@dataclass(frozen=True)
class Case:
    """A tie, read: its equation first, then the definitions that it uses."""

    statements: tuple[Statement, ...]
    ranges: list[Range]
    call: CodeType
    let: dict[str, CodeType]
    left: CodeType | None
    subject: bool  # the first side is what the call returns
    entered: bool  # the call's value is compared already


def read_case(page: Page, tie: Tie) -> Case:
    """Read a tie of a page.

    Raises:
        FormulaError: If something cannot be read, is given and not used, or used and not given.
    """
    labelled = {eq.label: eq.tex for eq in equations(page.text) if eq.label}
    for label in (tie.label, *tie.definitions):
        if label not in labelled:
            raise FormulaError(f"the page has no equation labelled {label!r}")
    ranges = read_ranges(tie.where)
    names = {row.name for row in ranges}
    let = _assignments(tie.let)
    first, *others = read_formula(labelled[tie.label], names)
    for label in tie.definitions:
        others += read_formula(labelled[label], names)
    for other in others:
        if not other.relations or set(other.relations) - {*EQUALITIES}:
            raise FormulaError(f"'{written(other)}' is a condition: say it in a sentence instead")
    bound = names | set(let)
    others = _ordered(others, bound)
    bound |= {key(show(other.sides[0])) for other in others if is_plain(other.sides[0])}
    if unheld := set(first.relations) - {*EQUALITIES, *ORDERS}:
        raise FormulaError(f"the relation {unheld.pop()} cannot be tested: use = or ≤")
    head = first.sides[0]
    renewed = first.relations[:1] == ("<-",)
    subject = is_plain(head) and len(first.sides) > 1 and (renewed or not _known(head, bound))
    if subject and not tie.left and ORDERS.keys() & {*first.relations}:
        raise FormulaError(f"data-left must say what {show(head)} is: the call gives the last side")
    _check_names(tie, first, others, names, let)
    in_code = "call" in {name for text in (*let.values(), tie.left or "0") for name in used(text)}
    check_parts(first, tie.left != "", not in_code)
    identifiers = {*names, "call", *(name for name in let if name.isidentifier())}
    return Case(
        statements=(first, *others),
        ranges=ranges,
        call=compile_call(tie.call, names),
        let={name: compile_value(text, identifiers) for name, text in let.items()},
        left=compile_value(tie.left, identifiers) if tie.left else None,
        subject=subject,
        entered=(subject and not tie.left) or in_code,
    )


def _ordered(others: list[Statement], bound: set[str]) -> list[Statement]:
    """Return definitions so that each stands before those that it uses."""
    known, waiting, found = set(bound), list(others), []
    while waiting:
        ready = [other for other in waiting if _known(other.sides[-1], known)] or waiting
        found += ready
        known |= {key(show(other.sides[0])) for other in ready}
        waiting = [other for other in waiting if other not in ready]
    return found[::-1]


def check_parts(statement: Statement, left: bool, call_is_last: bool) -> None:
    """Check that each part of an inequality has a value of its own, or it could be anything.

    Raises:
        FormulaError: If one has none.
    """
    parts: list[list[Node]] = [[statement.sides[0]]]
    for relation, side in zip(statement.relations, statement.sides[1:], strict=True):
        if relation in ORDERS:
            parts.append([])
        parts[-1].append(side)
    for place, part in enumerate(parts):
        held = (place == 0 and left) or (place == len(parts) - 1 and call_is_last)
        if len(parts) > 1 and not held and not any(is_plain(side) for side in part):
            raise FormulaError(
                f"nothing says what {show(part[0])} is: in an inequality the call gives the last "
                "side, data-left the first, data-let a lone symbol"
            )


def _assignments(let: str) -> dict[str, str]:
    found = {}
    for part in filter(None, (part.strip() for part in let.split(";"))):
        name, equals, value = part.partition(" = ")
        if not equals:
            raise FormulaError(f"data-let {part!r} is not like 'E[z] = call; s = 2 * x'")
        found[key(name)] = value
    return found


def _check_names(
    tie: Tie, first: Statement, others: list[Statement], names: set[str], let: dict[str, str]
) -> None:
    """Everything that is given must be used, or a misspelt name would hide what is not held."""
    nodes = [n for st in (first, *others) for side in st.sides for n in side.walk()]
    leaves = {key(show(n)) for n in nodes if n.kind in ("symbol", "bold", "apply")}
    leaves |= {n.name for n in nodes if n.kind in ("apply", "index")}
    texts = [tie.call, *let.values(), *([tie.left] if tie.left else [])]
    in_code = set().union(*(used(text) for text in texts))
    if spare := sorted(names - leaves - in_code):
        raise FormulaError(f"data-where gives a range to {', '.join(spare)}, which nothing uses")
    if spare := sorted(set(let) - leaves - in_code):
        raise FormulaError(
            f"data-let gives a value to {', '.join(spare)}, which the equation does not have: "
            f"it has {', '.join(sorted(leaves))}"
        )


def is_plain(node: Node) -> bool:
    """Return whether a side is one thing that has a name: x, f(x), E[z], |x|."""
    if node.kind == "apply":
        return all(arg.kind in ("symbol", "bold") for arg in node.args)
    if node.kind == "norm" or (node.kind == "call" and node.name == "abs"):
        return node.args[0].kind in ("symbol", "bold")
    return node.kind in ("symbol", "bold")


def _known(node: Node, bound: set[str]) -> bool:
    if node.kind in ("symbol", "bold"):
        return node.name in bound
    if node.kind == "apply" and key(show(node)) in bound:
        return True
    if node.kind in ("apply", "index") and node.name not in bound:
        return False
    return all(_known(arg, bound) for arg in node.args)


def written(statement: Statement) -> str:
    """Return a statement on one line."""
    words = [show(statement.sides[0])]
    for relation, side in zip(statement.relations, statement.sides[1:], strict=True):
        words += [relation, show(side)]
    return " ".join(words)
