"""What becomes of three tasks when one fails, found by running asyncio and anyio."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import anyio

LIBRARIES = ("anyio",)

Ends = dict[str, str]


async def _task(name: str, ends: Ends) -> str:
    # One ends at once, one fails after a turn of the loop, one would go on for ten turns.
    try:
        for _ in range({"quick": 0, "fails": 1, "slow": 10}[name]):
            await asyncio.sleep(0)
        if name == "fails":
            raise OSError(name)
    except asyncio.CancelledError:
        ends[name] = "cancelled"
        raise
    ends[name] = "done"
    return name


NAMES = ("quick", "fails", "slow")


async def _gather(ends: Ends, **options: Any) -> Any:
    return await asyncio.gather(*(_task(name, ends) for name in NAMES), **options)


async def _group(ends: Ends) -> Any:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_task(name, ends)) for name in NAMES]
    return [task.result() for task in tasks]


async def _wait(ends: Ends) -> Any:
    tasks = [asyncio.create_task(_task(name, ends)) for name in NAMES]
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    return done


async def _anyio(ends: Ends) -> Any:
    async with anyio.create_task_group() as group:
        for name in NAMES:
            group.start_soon(_task, name, ends)


def _row(start: Callable[[Ends], Awaitable[Any]]) -> tuple[str, str]:
    """Say what comes out, and what becomes of the task that would go on."""
    ends: Ends = {}

    async def main() -> tuple[str, str]:
        try:
            result = await start(ends)
            errors = [r for r in result if isinstance(r, OSError)]
            raised = "nothing: it is in the list" if errors else "nothing: look at each task"
        except OSError:
            raised = "the error"
        except BaseExceptionGroup as group:
            inside = [type(error) for error in group.exceptions]
            raised = "an `ExceptionGroup`" if inside == [OSError] else str(inside)
        then = ends.get("slow", "goes on")
        for _ in range(20):
            await asyncio.sleep(0)
        if then == "goes on" and ends.get("slow") != "done":
            raise LookupError("the slow task was neither cancelled nor did it go on")
        return raised, "waited for" if then == "done" else then

    return asyncio.run(main())


def which_convention() -> dict[str, tuple[str, ...]]:
    """Return what each way to wait for tasks raises, and what becomes of the others."""
    return {
        "`asyncio.gather`": _row(_gather),
        "`gather(…, return_exceptions=True)`": _row(
            lambda ends: _gather(ends, return_exceptions=True)
        ),
        "`asyncio.wait(…, FIRST_EXCEPTION)`": _row(_wait),
        "`asyncio.TaskGroup`": _row(_group),
        "anyio `create_task_group`": _row(_anyio),
    }
