import numpy as np

from scripts.figures.systems import asyncio as figures
from tests.figures.drawn import assert_draws


def test_bars_last_as_long_as_the_tasks_and_no_more_than_the_limit_overlap():
    for limit in figures.LIMITS:
        corners = figures.bars(limit)
        begin, end = corners[:, 0, 0], corners[:, 1, 0]
        np.testing.assert_allclose(end - begin, figures.SECONDS)
        assert (np.diff(begin) >= 0).all()
        for t in np.linspace(0.01, end.max() - 0.01, 50):
            assert ((begin < t) & (t < end)).sum() <= limit


def test_limits_draws_its_frame():
    explorable = figures.limits()
    assert_draws(
        explorable,
        lines={"all done": ([figures.done(2)] * 2, [0.2, 8.8])},
        xlabel="seconds",
        ylabel="task",
    )
    for bar, corners in zip(explorable.moving, figures.bars(2), strict=False):
        np.testing.assert_allclose(bar.get_xy()[:4], corners)


def test_rates_draws_its_curves():
    bend = (figures.WAIT + figures.WORK) / figures.WORK
    assert_draws(
        figures.rates(),
        lines={name: (figures.IN_FLIGHT, figures.rate(name)) for name in figures.CURVES}
        | {"bend": ([bend], [1 / figures.WORK])},
        xlabel="tasks in flight",
        ylabel="tasks a second",
    )
    np.testing.assert_allclose(figures.rate("at most")[[0, 9, 59]], [10, 100, 100])
    np.testing.assert_allclose(figures.rate("4 processes")[[0, 39, 59]], [10, 400, 400])
