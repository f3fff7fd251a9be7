import asyncio
import heapq
import selectors
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from dlkb.systems.asyncio import (
    enough_in_flight,
    finish_times,
    lockstep_throughput,
    longest_schedule,
    throughput,
)
from tests.cases import Case
from tests.close import assert_close


def seconds(rng):
    return rng.uniform(0.5, 3, size=(2, 6))


CASES = [
    Case(
        throughput,
        lambda rng: ((rng.integers(1, 40, 5).astype(float),), {"wait": 0.75, "work": 0.25}),
    ),
    Case(
        throughput,
        lambda rng: ((np.arange(1.0, 40.0),), {"wait": 0.75, "work": 0.25, "workers": 4}),
        "workers",
    ),
    Case(
        lockstep_throughput,
        lambda rng: ((np.arange(1.0, 40.0),), {"wait": 0.75, "work": 0.25, "workers": 4}),
        fixed=("in_flight",),
    ),
    Case(enough_in_flight, lambda rng: ((), {"wait": 0.3, "work": 0.1})),
    Case(enough_in_flight, lambda rng: ((), {"wait": 0.3, "work": 0.1, "workers": 3}), "workers"),
    Case(finish_times, lambda rng: ((seconds(rng),), {"limit": 2})),
    Case(longest_schedule, lambda rng: ((seconds(rng),), {"limit": 2})),
]


class Jump(selectors.DefaultSelector):
    """Moves its clock on instead of waiting."""

    now = 0.0

    def select(self, timeout=None):
        self.now += timeout or 0.0
        return super().select(None if timeout is None else 0)


class VirtualClock(asyncio.SelectorEventLoop):
    """An event loop in which sleeping takes no time, and clocks are exact."""

    def __init__(self):
        self.jump = Jump()
        super().__init__(self.jump)

    def time(self):
        return self.jump.now


def run(main):
    # In a thread of its own: a browser test that ran before leaves a loop running in this one.
    def runs():
        with asyncio.Runner(loop_factory=VirtualClock) as runner:
            return runner.run(main)

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(runs).result()


async def ends_of(delays, limit):
    clock, gate = asyncio.get_running_loop(), asyncio.Semaphore(limit)

    async def task(delay):
        async with gate:
            await asyncio.sleep(delay)
            return clock.time()

    return await asyncio.gather(*map(task, delays))


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 20])
def test_finish_times_are_those_of_a_semaphore(limit):
    rng = np.random.default_rng(limit)
    for n in (1, 2, 12):
        delays = rng.uniform(1, 5, n)
        assert_close(finish_times(delays, limit=limit), np.asarray(run(ends_of(delays, limit))))


def test_finish_times_by_a_heap():
    rng = np.random.default_rng(0)
    for _ in range(20):
        delays, free, ends = rng.uniform(0, 3, 15), [0.0] * 4, []
        for delay in delays:
            ends.append(heapq.heappop(free) + delay)
            heapq.heappush(free, ends[-1])
        assert_close(finish_times(delays, limit=4), np.asarray(ends))


def test_extremes_of_the_limit():
    delays = np.asarray([[3.0, 1.0, 2.0]])
    assert finish_times(delays, limit=1).tolist() == [[3, 4, 6]]
    assert finish_times(delays, limit=99).tolist() == delays.tolist()
    assert finish_times(np.zeros((2, 0)), limit=3).shape == (2, 0)


def test_bound_holds_and_is_attained():
    rng = np.random.default_rng(1)
    for limit in (1, 2, 5):
        delays = rng.exponential(size=(200, 9))
        last = finish_times(delays, limit=limit).max(-1)
        assert (last <= longest_schedule(delays, limit=limit) + 1e-12).all()
        assert (last >= np.maximum(delays.sum(-1) / limit, delays.max(-1)) - 1e-12).all()
        worst = np.asarray([1.0] * (limit * (limit - 1)) + [float(limit)])
        assert finish_times(worst, limit=limit).max() == longest_schedule(worst, limit=limit)


async def serve(waits, in_flight):
    loop, gate = asyncio.get_running_loop(), asyncio.Semaphore(in_flight)

    async def task(wait):
        async with gate:
            await asyncio.sleep(wait)
            loop.jump.now += 0.1  # computes: nobody else runs

    await asyncio.gather(*map(task, waits))
    return len(waits) / loop.time()


@pytest.mark.parametrize("in_flight", [1, 3, 10, 25])
def test_throughput_of_an_event_loop_lies_between_the_two(in_flight):
    c = np.asarray([float(in_flight)])
    high = throughput(c, wait=0.9, work=0.1)[0]
    low = lockstep_throughput(c, wait=0.9, work=0.1)[0]
    assert high / 2 <= low <= high
    n = 120 * in_flight
    assert run(serve(np.full(n, 0.9), in_flight)) == pytest.approx(low, rel=1e-6)
    waits = np.random.default_rng(in_flight).uniform(0, 1.8, n)
    waits *= 0.9 / waits.mean()
    assert 0.99 * low < run(serve(waits, in_flight)) < 1.01 * high


def test_lockstep_with_workers_counts_rounds():
    found = lockstep_throughput(np.asarray([4.0, 5.0]), wait=3.0, work=1.0, workers=4)
    assert_close(found, np.asarray([1.0, 1.0]))


def test_throughput_bends_where_it_says():
    bend = enough_in_flight(wait=3.0, work=0.5, workers=2)
    assert bend == 14
    found = throughput(np.asarray([bend - 1, bend, bend + 1]), wait=3.0, work=0.5, workers=2)
    assert_close(found, np.asarray([13 / 3.5, 4.0, 4.0]))


def test_half_precision_adds_up_in_float32():
    many = torch.full((3000,), 1.0, dtype=torch.float16)
    assert finish_times(many, limit=1)[-1] == 3000
    assert_close(longest_schedule(many, limit=1), 3000.0)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: throughput(np.ones(2, int), wait=1, work=1), TypeError, "in_flight has dtype"),
        (lambda: throughput(np.ones(2), wait=-1, work=1), ValueError, "wait is -1"),
        (lambda: throughput(np.ones(2), wait=1, work=0), ValueError, "work is 0"),
        (lambda: throughput(np.ones(2), wait=1, work=1, workers=0), ValueError, "workers is 0"),
        (lambda: lockstep_throughput(np.ones(2, int), wait=1, work=1), TypeError, "in_flight has"),
        (lambda: lockstep_throughput(np.ones(2), wait=-1, work=1), ValueError, "wait is -1"),
        (lambda: lockstep_throughput(np.ones(2), wait=1, work=0), ValueError, "work is 0"),
        (
            lambda: lockstep_throughput(np.ones(2), wait=1, work=1, workers=0),
            ValueError,
            "workers is 0",
        ),
        (lambda: enough_in_flight(wait=-1, work=1), ValueError, "wait is -1"),
        (lambda: enough_in_flight(wait=1, work=0), ValueError, "work is 0"),
        (lambda: enough_in_flight(wait=1, work=1, workers=0), ValueError, "workers is 0"),
        (lambda: finish_times(np.ones(2, int), limit=1), TypeError, "seconds has dtype int64"),
        (lambda: finish_times(np.ones(2), limit=0), ValueError, "limit is 0"),
        (lambda: finish_times(np.asarray(1.0), limit=1), ValueError, "seconds has no axis"),
        (lambda: longest_schedule(np.ones(2, int), limit=1), TypeError, "seconds has dtype"),
        (lambda: longest_schedule(np.ones(2), limit=0), ValueError, "limit is 0"),
        (
            lambda: longest_schedule(np.ones((2, 0)), limit=1),
            ValueError,
            r"seconds has shape \(2, 0\)",
        ),
        (lambda: longest_schedule(np.asarray(1.0), limit=1), ValueError, r"seconds has shape \(\)"),
    ],
)
def test_errors_name_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call()
