"""Hold an equation of a page to the function that computes it.

The TeX that the reader sees is read into a tree and evaluated on random inputs: all sides, and
the relations between them. Then each sign, exponent and factor of it is changed in turn, and the
tie must fail: a tie that would not notice a false equation is an error itself.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from types import CodeType
from typing import Any

import numpy as np

from dlkb.book.hold.calls import compile_call, compile_value, run, used
from dlkb.book.hold.check import Problem
from dlkb.book.hold.evaluate import evaluate
from dlkb.book.hold.mutants import mutants
from dlkb.book.hold.ranges import Range, read_ranges
from dlkb.book.read.formula import read_formula
from dlkb.book.read.nodes import Node, Statement, key, show
from dlkb.book.read.pages import Page, Tie
from dlkb.book.read.tex import equations
from dlkb.book.read.tokens import FormulaError

TRIALS = 20
_WIDE_TRIALS = 40
_EQUALITIES = ("=", "<-", "->")
_ORDERS = {"<": 1, "<=": 1, ">": -1, ">=": -1}


class TieError(Exception):
    """An equation that cannot be read, or that the function contradicts."""


@dataclass(frozen=True)
class _Trial:
    """One draw: what the symbols stand for, what the call returns, what data-left says."""

    values: dict[str, Any]
    call: Any
    left: Any


@dataclass(frozen=True)
class _Case:
    """A tie, read: its equation first, then the definitions that it uses."""

    statements: tuple[Statement, ...]
    ranges: list[Range]
    call: CodeType
    let: dict[str, CodeType]
    left: CodeType | None
    subject: bool  # the first side is what the call returns
    entered: bool  # the call's value is compared already


def tie_problems(page: Page) -> list[Problem]:
    """Return which ties of a page do not hold, with their lines."""
    found = []
    for tie in page.ties:
        try:
            verify(page, tie)
        except TieError as error:
            found.append(Problem(page.path, tie.line, str(error)))
    return found


def verify(page: Page, tie: Tie) -> None:
    """Compare the equation and the function, then the equation with its mutants.

    Raises:
        TieError: If they differ, if something cannot be read or has no value, or if the tie would
            hold a false equation, too.
    """
    try:
        with np.errstate(all="ignore"):
            case = _read(page, tie)
            trials = _trials(case)
            if fault := _fault(case, case.statements, trials):
                raise TieError(f"equation {tie.label} and {tie.call} differ: {fault}")
            for place, mutant in _survivors(case, trials):
                raise TieError(
                    f"equation {tie.label}: the tie would also hold "
                    f"'{_show(mutant)}' for '{_show(case.statements[place])}': widen data-where, "
                    "or compare more of it with data-let or data-left"
                )
    except FormulaError as error:
        raise TieError(f"equation {tie.label}: {error}") from None


def _read(page: Page, tie: Tie) -> _Case:
    labelled = {eq.label: eq.tex for eq in equations(page.text) if eq.label}
    for label in (tie.label, *tie.definitions):
        if label not in labelled:
            raise TieError(f"the page has no equation labelled {label!r}")
    ranges = read_ranges(tie.where)
    names = {row.name for row in ranges}
    let = _assignments(tie.let)
    first, *others = read_formula(labelled[tie.label], names)
    for label in tie.definitions:
        others += read_formula(labelled[label], names)
    for other in others:
        if other.relations[:1] != ("=",) or set(other.relations) - {"="}:
            raise FormulaError(f"'{_show(other)}' is a condition: say it in a sentence instead")
    bound = names | set(let)
    defined = {key(show(other.sides[0])) for other in others if _plain(other.sides[0])}
    bound |= defined
    head = first.sides[0]
    renewed = first.relations[:1] == ("<-",)
    subject = _plain(head) and len(first.sides) > 1 and (renewed or not _known(head, bound))
    unheld = set(first.relations) - {*_EQUALITIES, *_ORDERS}
    if unheld:
        raise FormulaError(f"the relation {unheld.pop()} cannot be tested: use = or ≤")
    _check_names(tie, first, others, names, let)
    given = (*let, "call")
    identifiers = {*names, *(name for name in given if name.isidentifier())}
    expressions = " ".join((tie.let, tie.left))
    return _Case(
        statements=(first, *others),
        ranges=ranges,
        call=compile_call(tie.call, names),
        let={name: compile_value(text, identifiers) for name, text in let.items()},
        left=compile_value(tie.left, identifiers) if tie.left else None,
        subject=subject,
        entered=(subject and not tie.left) or "call" in expressions.replace("(", " ").split(),
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


def _plain(node: Node) -> bool:
    """Whether a side is one thing that has a name: x, f(x), E[z], |x|."""
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


def _trials(case: _Case) -> list[_Trial]:
    generator = random.Random(0)
    found = []
    for _ in range(TRIALS):
        drawn = {row.name: row.draw(generator) for row in case.ranges}
        values = {row.name: row.in_formula(drawn[row.name]) for row in case.ranges}
        call = run(case.call, drawn)
        for name, code in case.let.items():
            value = run(code, {**drawn, "call": call})
            values[name] = value
            if name.isidentifier():
                drawn[name] = value
        left = run(case.left, {**drawn, "call": call}) if case.left else None
        found.append(_Trial(values, call, left))
    return found


def _fault(case: _Case, statements: tuple[Statement, ...], trials: list[_Trial]) -> str | None:
    """Return what is wrong with the statements, if anything."""
    strict: set[int] = set()
    for trial in trials:
        values = dict(trial.values)
        for place in range(len(statements) - 1, -1, -1):
            fault = _statement_fault(case, statements[place], place == 0, trial, values, strict)
            if fault:
                return f"{fault} at { {name: trial.values[name] for name in trial.values} }"
    orders = {i for i, name in enumerate(statements[0].relations) if name in _ORDERS}
    if orders - strict:
        return "the sides are equal in every trial: the relation could point the other way"
    return None


def _statement_fault(
    case: _Case,
    statement: Statement,
    first: bool,
    trial: _Trial,
    values: dict[str, Any],
    strict: set[int],
) -> str | None:
    sides = statement.sides
    found: list[Any] = []
    for place, side in enumerate(sides):
        opened = place == 0 and (case.subject if first else key(show(side)) not in values)
        found.append(None if opened and _plain(side) else evaluate(side, values))
    if first and case.left is not None:
        if found[0] is not None and not _same(found[0], trial.left):
            return f"the left side is {found[0]}, data-left {trial.left}"
        found[0] = trial.left
    if first and found[0] is None:
        found[0] = trial.call
    if not first and found[0] is None:
        found[0] = values[key(show(sides[0]))] = found[-1]
    if first and not case.entered and not _same(found[-1], trial.call):
        return f"the equation says {found[-1]}, the function {trial.call}"
    for place, relation in enumerate(statement.relations):
        left, right = found[place], found[place + 1]
        if relation in _EQUALITIES:
            if not _same(left, right):
                return f"{show(sides[place])} is {left}, {show(sides[place + 1])} is {right}"
            continue
        less, more = (left, right) if _ORDERS[relation] > 0 else (right, left)
        gap = np.asarray(more, float) - np.asarray(less, float)
        slack = 1e-9 * np.maximum(np.abs(more), np.abs(less)) + 1e-12
        if not np.all(gap > slack if relation in "<>" else gap >= -slack):
            return f"{left} {relation} {right} is false"
        if np.any(gap > slack):
            strict.add(place)
    return None


def _same(left: Any, right: Any) -> bool:
    left, right = np.asarray(left, np.float64), np.asarray(right, np.float64)
    if left.ndim != right.ndim:  # a column is a vector
        left, right = (v[:, 0] if v.ndim == 2 and v.shape[1] == 1 else v for v in (left, right))
    try:
        return bool(np.allclose(left, right, rtol=1e-9, atol=1e-12))
    except ValueError:  # shapes that do not fit
        return False


def _survivors(case: _Case, trials: list[_Trial]) -> Iterator[tuple[int, Statement]]:
    """Yield false statements that the trials do not tell from the true ones."""
    for place, statement in enumerate(case.statements):
        for mutant in mutants(statement):
            changed = (*case.statements[:place], mutant, *case.statements[place + 1 :])
            try:
                noticed = _fault(case, changed, trials) is not None
            except (FormulaError, ValueError, IndexError, ArithmeticError, np.linalg.LinAlgError):
                noticed = True
            if not noticed and not _equal(case, statement, mutant):
                yield place, mutant


def _equal(case: _Case, statement: Statement, mutant: Statement) -> bool:
    """Whether a mutant says the same for all values, not only for those of the ranges."""
    if statement.relations != mutant.relations:
        return False
    pairs = zip(statement.sides, mutant.sides, strict=True)
    before, after = next((a, b) for a, b in pairs if a != b)
    generator, compared = random.Random(1), 0
    ranges = {row.name: row.widened() for row in case.ranges}
    leaves = [n for n in before.walk() if n.kind in ("symbol", "bold", "apply")]
    free = {key(show(leaf)) for leaf in leaves} - set(ranges)
    for trial in range(_WIDE_TRIALS):
        values: dict[str, Any] = {name: generator.uniform(-4, 4) for name in free}
        values |= {n: row.in_formula(row.draw(generator)) for n, row in ranges.items()}
        if trial % 2:
            values = {name: np.abs(value) for name, value in values.items()}
        try:
            one, other = evaluate(before, values), evaluate(after, values)
        except (FormulaError, ValueError, IndexError, np.linalg.LinAlgError):
            continue
        if np.all(np.isfinite(one)) and np.all(np.isfinite(other)):
            compared += 1
            if not _same(one, other):
                return False
    return compared > 0


def _show(statement: Statement) -> str:
    words = [show(statement.sides[0])]
    for relation, side in zip(statement.relations, statement.sides[1:], strict=True):
        words += [relation, show(side)]
    return " ".join(words)
