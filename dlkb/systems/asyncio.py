r"""What waiting together gains: rates and times of tasks that share one event loop."""

import math

from dlkb.arrays import Array, check_between, check_count, check_float, namespace, widen


def throughput(in_flight: Array, *, wait: float, work: float, workers: int = 1) -> Array:
    r"""Return the highest rate at which tasks that wait and compute can be finished.

    $$r = \min\left(\frac{c}{w + s},\ \frac{p}{s}\right)$$

    Args:
        in_flight: c ≥ 0, how many tasks are under way at once, a floating-point array.
        wait: w ≥ 0, seconds that a task waits, while others run.
        work: s > 0, seconds that a task computes, alone on its worker.
        workers: p ≥ 1, how many compute at once: 1 for an event loop, and for threads that share
            a global lock; processes, or threads without one, as many as there are cores.

    Returns:
        Tasks a second, like `in_flight`.

    Raises:
        TypeError: If `in_flight` is not floating-point.
        ValueError: If a number is out of its range.

    Example:
        >>> import numpy as np
        >>> throughput(np.asarray([1.0, 5.0, 50.0]), wait=0.9, work=0.1)
        array([ 1.,  5., 10.])
    """
    check_float("in_flight", in_flight)
    check_between("wait", wait, 0, math.inf, closed="left")
    check_between("work", work, 0, math.inf, closed="neither")
    check_count("workers", workers, 1)
    xp = namespace(in_flight)
    return xp.minimum(in_flight / (wait + work), xp.full_like(in_flight, workers / work))


def lockstep_throughput(in_flight: Array, *, wait: float, work: float, workers: int = 1) -> Array:
    r"""Return the rate of tasks that all wait together, and then queue up to compute.

    $$r = \frac{c}{w + s\,\lceil c/p\rceil}$$

    Args:
        in_flight: c ≥ 1, how many tasks are under way at once, a floating-point array.
        wait: w ≥ 0, seconds that a task waits, while others run.
        work: s > 0, seconds that a task computes.
        workers: p ≥ 1, how many compute at once.

    Returns:
        Tasks a second, like `in_flight`: what an event loop does with tasks that wait equally
        long behind a semaphore, and at least half of `throughput` for one worker.

    Raises:
        TypeError: If `in_flight` is not floating-point.
        ValueError: If a number is out of its range.

    Example:
        >>> import numpy as np
        >>> lockstep_throughput(np.asarray([1.0, 9.0]), wait=0.9, work=0.1)
        array([1., 5.])
    """
    check_float("in_flight", in_flight)
    check_between("wait", wait, 0, math.inf, closed="left")
    check_between("work", work, 0, math.inf, closed="neither")
    check_count("workers", workers, 1)
    return in_flight / (wait + work * -(-in_flight // workers))


def enough_in_flight(*, wait: float, work: float, workers: int = 1) -> float:
    r"""Return how many tasks can keep all workers busy, if they never wait for each other.

    $$c_\star = p\left(1 + \frac{w}{s}\right)$$

    Args:
        wait: w ≥ 0, seconds that a task waits.
        work: s > 0, seconds that a task computes.
        workers: p ≥ 1, how many compute at once.

    Returns:
        The number of tasks at which `throughput` bends.

    Raises:
        ValueError: If a number is out of its range.

    Example:
        >>> round(enough_in_flight(wait=0.9, work=0.1), 6)
        10.0
    """
    check_between("wait", wait, 0, math.inf, closed="left")
    check_between("work", work, 0, math.inf, closed="neither")
    check_count("workers", workers, 1)
    return workers * (1 + wait / work)


def finish_times(seconds: Array, *, limit: int) -> Array:
    r"""Return when each task ends, if they start in order and at most `limit` are under way.

    $$f_i = d_i + \min_j F_j, \qquad F_j \leftarrow f_i$$

    where F_j is when slot j gets free and the task takes the first free slot, as behind a
    semaphore, whose queue is first in, first out.

    Args:
        seconds: How long each task waits, (…, n), floating-point, ≥ 0.
        limit: Slots ≥ 1.

    Returns:
        Times since the start, like `seconds`.

    Raises:
        TypeError: If `seconds` is not floating-point.
        ValueError: If `seconds` has no axis, or `limit` is below 1.

    Example:
        >>> import numpy as np
        >>> finish_times(np.asarray([3.0, 1.0, 1.0, 1.0]), limit=2)
        array([3., 1., 2., 3.])
    """
    check_float("seconds", seconds)
    check_count("limit", limit, 1)
    if len(seconds.shape) == 0:
        raise ValueError("seconds has no axis: one entry for each task is needed")
    xp = namespace(seconds)
    wide = widen(seconds)
    slots = [xp.zeros_like(wide[..., :1])] * min(limit, max(1, wide.shape[-1]))
    free = xp.concat(slots, axis=-1) if wide.shape[-1] else wide
    ends = []
    for i in range(wide.shape[-1]):
        first = xp.argmin(free, axis=-1, keepdims=True)
        end = xp.min(free, axis=-1, keepdims=True) + wide[..., i : i + 1]
        taken = xp.stack([first[..., 0] == j for j in range(free.shape[-1])], axis=-1)
        free = xp.where(taken, end, free)
        ends.append(end)
    found = xp.concat(ends, axis=-1) if ends else wide
    return xp.astype(found, seconds.dtype, copy=False)


def longest_schedule(seconds: Array, *, limit: int) -> Array:
    r"""Return a bound on the end of the last task, whatever the order of the tasks.

    $$\max_i f_i \le \frac{1}{c}\sum_i d_i + \left(1 - \frac{1}{c}\right)\max_i d_i$$

    Args:
        seconds: How long each task waits, (…, n), floating-point, ≥ 0, n ≥ 1.
        limit: c ≥ 1, slots.

    Returns:
        The bound, (…): at most 2 − 1/c times as long as the best order takes.

    Raises:
        TypeError: If `seconds` is not floating-point.
        ValueError: If `seconds` holds no task, or `limit` is below 1.

    Reference:
        Graham (1969).

    Example:
        >>> import numpy as np
        >>> longest_schedule(np.asarray([1.0, 1.0, 2.0]), limit=2)
        np.float64(3.0)
    """
    check_float("seconds", seconds)
    check_count("limit", limit, 1)
    if len(seconds.shape) == 0 or seconds.shape[-1] == 0:
        raise ValueError(
            f"seconds has shape {tuple(seconds.shape)}: its last axis must hold a task or more"
        )
    xp = namespace(seconds)
    wide = widen(seconds)
    total, longest = xp.sum(wide / limit, axis=-1), xp.max(wide, axis=-1)
    return xp.astype(total + (1 - 1 / limit) * longest, seconds.dtype, copy=False)
