"""Draw in processes beside this one, under a progress bar."""

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from dlkb.book.draw import drawing, kept
from dlkb.book.draw.drawing import Drawings


def in_parallel(
    root: Path, tasks: dict[str, list[str]], console: Console, afresh: bool = False
) -> Iterator[tuple[str, Drawings]]:
    """Yield the drawings script by script, in the order in which they are done.

    Args:
        root: The repository.
        tasks: By stem, the names of the figures to draw.
        console: Where the progress bar goes.
        afresh: Compute the data again, too.
    """
    if not tasks:
        return
    text, bar = Progress.get_default_columns()[:2]
    columns = (
        text,
        bar,
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[stem]}"),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("figures", total=sum(map(len, tasks.values())), stem="")
        environment = drawing.ENVIRONMENT | ({kept.AFRESH: "1"} if afresh else {})
        for stem, drawings in _in_workers(root, tasks, os.cpu_count() or 1, environment):
            yield stem, drawings
            progress.update(task, advance=len(tasks[stem]), stem=stem)


def _in_workers(
    root: Path, tasks: dict[str, list[str]], workers: int, environment: dict[str, str]
) -> Iterator[tuple[str, Drawings]]:
    died = []
    with (
        drawing.environment_with(environment),
        ProcessPoolExecutor(
            min(workers, len(tasks)), get_context("spawn"), drawing.start, (str(root),)
        ) as pool,
    ):
        # Long scripts first: one that takes long and begins last would keep the others waiting.
        sizes = {stem: (root / drawing.SCRIPTS / f"{stem}.py").stat().st_size for stem in tasks}
        jobs = {
            pool.submit(drawing.draw_script, str(root), stem, tasks[stem]): stem
            for stem in sorted(tasks, key=sizes.__getitem__, reverse=True)
        }
        for job in as_completed(jobs):
            try:
                yield jobs[job], job.result()
            except BrokenProcessPool:
                died.append(jobs[job])
    if died and len(tasks) == 1:
        yield died[0], {"": "The process that drew it was killed.\n"}
        return
    for stem in died:  # one script took the others down with it: each for itself now
        yield from _in_workers(root, {stem: tasks[stem]}, 1, environment)
