"""A goal of the benchmarks, and the judgement on it."""

from typing import NamedTuple

from dlkb.book.publish.measured import MISSING

CALL = "A call of a compiled function costs some tens of microseconds, whatever its size."
"""Why many a goal is missed: said in one way."""


class Goal(NamedTuple):
    """A goal, and whether the measurement meets it."""

    wanted: str
    holds: bool
    shown: str
    why: str
    """The cause, said where the goal is missed."""


def judge(
    wanted: str,
    values: dict[str, float],
    limit: float,
    show: str,
    why: str = "",
    *,
    least: bool = False,
) -> Goal:
    """Judge the worst of some measurements, which are named."""
    if not values:
        return Goal(wanted, False, MISSING, "")
    name = (min if least else max)(values, key=lambda key: values[key])
    holds = values[name] >= limit if least else values[name] <= limit
    return Goal(wanted, holds, f"{show.format(values[name])} {name}".strip(), why)
