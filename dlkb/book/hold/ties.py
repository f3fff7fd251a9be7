"""Hold an equation of a page to the function that computes it.

The TeX that the reader sees is read into a tree and evaluated on random inputs: all sides, and
the relations between them. Then each sign, exponent and factor of it is changed in turn, and the
tie must fail: a tie that would not notice a false equation is an error itself.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlkb.book.hold.calls import run
from dlkb.book.hold.check import Problem
from dlkb.book.hold.evaluate import evaluate
from dlkb.book.hold.mutants import mutants
from dlkb.book.hold.tie_cases import (
    EQUALITIES,
    ORDERS,
    Case,
    check_parts,
    is_plain,
    read_case,
    written,
)
from dlkb.book.read.nodes import Node, Statement, key, show
from dlkb.book.read.parts import Page, Tie
from dlkb.book.read.tokens import FormulaError

TRIALS = 20
_WIDE_TRIALS = 40


class TieError(Exception):
    """An equation that cannot be read, or that the function contradicts."""


@dataclass(frozen=True)
class _Trial:
    """One draw: what the symbols stand for, what the call returns, what data-left says."""

    values: dict[str, Any]
    call: Any
    left: Any


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
            case = read_case(page, tie)
            trials = _trials(case)
            if fault := _fault(case, case.statements, trials):
                raise TieError(f"equation {tie.label} and {tie.call} differ: {fault}")
            for place, mutant in _survivors(case, trials):
                raise TieError(
                    f"equation {tie.label}: the tie would also hold '{written(mutant)}' for "
                    f"'{written(case.statements[place])}': widen data-where, or say with data-let "
                    "or data-left what is compared"
                )
    except ValueError as error:
        raise TieError(f"equation {tie.label}: {error}") from None


def _trials(case: Case) -> list[_Trial]:
    generator = random.Random(0)
    matrices = any(row.kind in ("vector", "matrix") for row in case.ranges)
    found = []
    for _ in range(TRIALS):
        drawn = {row.name: row.draw(generator) for row in case.ranges}
        values = {row.name: row.in_formula(drawn[row.name]) for row in case.ranges}
        call = run(case.call, drawn)
        for name, code in case.let.items():
            value = run(code, {**drawn, "call": call})
            values[name] = np.reshape(value, (-1, 1)) if matrices and np.ndim(value) == 1 else value
            if name.isidentifier():
                drawn[name] = value
        left = run(case.left, {**drawn, "call": call}) if case.left else None
        found.append(_Trial(values, call, left))
    return found


def _fault(case: Case, statements: tuple[Statement, ...], trials: list[_Trial]) -> str | None:
    """Return what is wrong with the statements, if anything."""
    strict: set[int] = set()
    for trial in trials:
        values = dict(trial.values)
        for definition in statements[:0:-1]:  # what a definition uses stands behind it
            if fault := _chain_fault(definition, _defined(definition, values), strict):
                return f"{fault} at {trial.values}"
        if fault := _first_fault(case, statements[0], trial, values, strict):
            return f"{fault} at {trial.values}"
    orders = {i for i, name in enumerate(statements[0].relations) if name in ORDERS}
    if orders - strict:
        return "the sides are equal in every trial: the relation could point the other way"
    return None


def _defined(statement: Statement, values: dict[str, Any]) -> list[Any]:
    """Return the sides of a definition, and add what it defines to the values."""
    head, *rest = statement.sides
    found = [_value(side, values) for side in rest]
    if is_plain(head):
        values.setdefault(key(show(head)), found[-1])
    return [_value(head, values), *found]


def _first_fault(
    case: Case, statement: Statement, trial: _Trial, values: dict[str, Any], strict: set[int]
) -> str | None:
    head, *rest = statement.sides
    given = case.left is not None
    if case.subject and is_plain(head):
        left = trial.left if given else trial.call
    else:
        left = _value(head, values)
    found = [left, *(_value(side, values) for side in rest)]
    if given and not _same(left, trial.left):
        return f"the left side is {left}, data-left {trial.left}"
    if not case.entered and not _same(found[-1], trial.call):
        return f"the equation says {found[-1]}, the function {trial.call}"
    return _chain_fault(statement, found, strict)


def _chain_fault(statement: Statement, found: list[Any], strict: set[int]) -> str | None:
    """Compare neighbours; note which inequalities are strict somewhere."""
    for place, relation in enumerate(statement.relations):
        left, right = found[place], found[place + 1]
        if relation in EQUALITIES:
            if not _same(left, right):
                said = (show(side) for side in statement.sides[place : place + 2])
                return f"{next(said)} is {left}, {next(said)} is {right}"
            continue
        less, more = (left, right) if ORDERS[relation] > 0 else (right, left)
        gap = np.asarray(more, float) - np.asarray(less, float)
        slack = 1e-9 * np.maximum(np.abs(more), np.abs(less)) + 1e-12
        if not np.all(gap > slack if relation in "<>" else gap >= -slack):
            return f"{left} {relation} {right} is false"
        if np.any(gap > slack):
            strict.add(place)
    return None


def _value(side: Node, values: dict[str, Any]) -> Any:
    try:
        return evaluate(side, values)
    except FormulaError:
        raise
    except (ValueError, IndexError, ArithmeticError, np.linalg.LinAlgError) as error:
        raise FormulaError(f"{show(side)} cannot be computed: {error}") from None


def _same(left: Any, right: Any) -> bool:
    left, right = np.asarray(left, np.float64), np.asarray(right, np.float64)
    if 1 in (left.ndim, right.ndim):  # a column or a row is a vector
        left, right = (v.ravel() if 1 in v.shape else v for v in (left, right))
    try:
        return bool(np.allclose(left, right, rtol=1e-9, atol=1e-12))
    except ValueError:  # shapes that do not fit
        return False


def _survivors(case: Case, trials: list[_Trial]) -> Iterator[tuple[int, Statement]]:
    """Yield false statements that the trials do not tell from the true ones."""
    for place, statement in enumerate(case.statements):
        for mutant in mutants(statement):
            changed = (*case.statements[:place], mutant, *case.statements[place + 1 :])
            try:
                if place == 0:
                    check_parts(mutant, case.left is not None, not case.entered)
                noticed = _fault(case, changed, trials) is not None
            except ValueError:  # something has no value, or shapes do not fit
                noticed = True
            if not noticed and not _equal(case, statement, mutant):
                yield place, mutant


def _equal(case: Case, statement: Statement, mutant: Statement) -> bool:
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
            one, other = _value(before, values), _value(after, values)
        except FormulaError:
            continue
        if np.all(np.isfinite(one)) and np.all(np.isfinite(other)):
            compared += 1
            if not _same(one, other):
                return False
    return compared > 0
