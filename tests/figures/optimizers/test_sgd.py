import numpy as np
import pytest
import torch

from scripts.figures.optimizers import sgd as figures
from tests.figures.drawn import assert_draws


def test_the_mean_over_runs_follows_the_formula():
    for lr, batch in ((0.1, 1), (1.0, 16), (0.03, 64)):
        data = figures.noisy(lr, batch, runs=4000)
        np.testing.assert_allclose(data.measured, data.expected, rtol=0.12)
        assert data.expected[-1] == pytest.approx(data.floor, rel=0.01)


def test_a_run_is_that_of_torch():
    noise = np.random.default_rng(3).normal(scale=0.5, size=(figures.STEPS, 1))
    theta = torch.ones(1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([theta], lr=0.3)
    path = [1.0]
    for kick in noise:
        theta.grad = theta.detach() + torch.tensor(kick)
        optimizer.step()
        path.append(theta.item() ** 2)
    np.testing.assert_allclose(figures.noisy(0.3, 4).run, path, rtol=1e-9)


def test_the_sentence_names_floor_and_time():
    explorable = figures.noise()
    rates, batches = (slider.values for slider in explorable.sliders)
    for batch in batches:
        floors = [figures.noisy(lr, batch).floor for lr in rates]
        assert (np.diff(floors) > 0).all()  # a smaller learning rate lowers the floor
    said = explorable.show(0.1, 1)
    assert said == "The mean square error comes within twice its floor of 0.053 after 14 steps."
    assert "more than 300 steps" in explorable.show(0.01, 64)


def test_noise_draws_run_mean_and_floor():
    data = figures.noisy(0.1, 1)
    steps = np.arange(figures.STEPS + 1)
    assert_draws(
        figures.noise(),
        lines={
            "one run": (steps[::3], data.run[::3]),
            "mean over runs": (steps[::5], data.expected[::5]),
            "floor": ([0, figures.STEPS], [data.floor] * 2),
        },
        legend=["one run", "mean over runs", "floor"],
        xlabel="step t",
        ylabel="square of the error",
    )


def test_sampling_draws_three_ways():
    data = figures.balls()
    names = ["independent draws", "each epoch in one sorted order", "each epoch in a fresh order"]
    rows = (data.independent, data.fixed, data.epochs)
    assert_draws(
        figures.sampling(),
        lines={
            **{name: (figures.RATES, row) for name, row in zip(names, rows, strict=True)},
            "measured": (figures.RATES, data.measured),
        },
        legend=names,
        xlabel="learning rate, ηλ",
        ylabel="mean square of the error",
    )


def test_runs_in_fresh_orders_are_where_the_formula_says():
    data = figures.balls()
    np.testing.assert_allclose(data.measured, data.epochs, rtol=0.3)
    assert (data.measured[:7] < data.independent[:7] / 10).all()


def test_captions():
    for says in (figures.noise_says(), figures.sampling_says()):
        assert all(says.values()), [phrase for phrase, true in says.items() if not true]
