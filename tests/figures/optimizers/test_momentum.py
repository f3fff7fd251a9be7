import itertools

import numpy as np
import pytest
import torch

from dlkb.gradients.loss_explosion import convergence_rate
from scripts.figures.optimizers import momentum as figures
from tests.figures.drawn import assert_draws


@pytest.mark.parametrize(("lr", "beta"), [(0.04, 0.8), (0.02, 0.0), (0.111, 0.444)])
def test_the_path_is_that_of_torch(lr, beta):
    theta = torch.ones(2, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([theta], lr=lr, momentum=beta)
    for row in figures.descend(lr, beta).path:
        np.testing.assert_allclose(row, theta.detach().numpy(), rtol=1e-9, atol=1e-9)
        optimizer.zero_grad()
        ((torch.tensor(figures.BOWL) * theta**2).sum() / 2).backward()
        optimizer.step()


def test_the_sentence_tells_the_rate_and_the_fate():
    explorable = figures.path()
    rates, betas = (slider.values for slider in explorable.sliders)
    for lr, beta in itertools.product(rates, betas):
        said = explorable.show(lr, beta)
        assert ("does not converge" in said) == (25 * lr >= 2 * (1 + beta) - 1e-9), said
    # No other value of the sliders is faster than the best parameters.
    assert "0.667" in explorable.show(figures.BEST.lr, figures.BEST.momentum)
    fastest = min(
        float(convergence_rate(figures.BOWL, lr=lr, momentum=beta).max())
        for lr, beta in itertools.product(rates, betas)
    )
    assert figures.BEST.rate <= fastest < figures.BEST.rate + 0.02


def test_path_draws_the_way_on_levels_of_the_loss():
    way = tuple(figures.descend(0.04, 0.8).path.T)
    angle = np.linspace(0, 2 * np.pi, 121)
    ellipses = {}
    for level in figures.CONTOURS:
        x, y = np.sqrt(26 * level) * np.cos(angle), np.sqrt(26 / 25 * level) * np.sin(angle)
        np.testing.assert_allclose((x**2 + 25 * y**2) / 26, level)
        ellipses[f"level {level}"] = (x, y)
    assert_draws(
        figures.path(),
        panel=0,
        lines={**ellipses, "minimum": ([0], [0]), "way": way, "steps": way},
        xlabel="flat: λ = 1",
        ylabel="steep: λ = 25",
    )


def test_path_draws_the_plane():
    data = figures.plane()
    assert_draws(
        figures.path(),
        panel=1,
        lines={
            "limit": (data.momentum, data.limit),
            "best": ([figures.BEST.momentum], [figures.BEST.lr]),
            "here": ([0.8], [0.04]),
        },
        legend=["limit", "best"],
        xlabel="momentum β",
        ylabel="learning rate η",
        title="factor of the error a step",
    )
    inside = data.rate < 1
    assert (inside == (data.lr[:, None] < data.limit)).mean() > 0.99


def test_the_phase_tells_creeping_from_swinging():
    explorable = figures.phase()
    rates, betas = (slider.values for slider in explorable.sliders)
    for rate, beta in itertools.product(rates, betas):
        said, root = explorable.show(rate, beta), beta**0.5
        assert ("creeps" in said) == (rate <= (1 - root) ** 2), said
        assert ("every step" in said) == (rate >= (1 + root) ** 2), said
        error = figures.phase_data(rate, beta).error
        assert ("creeps" in said) == bool((error > 0).all() and rate < 1), said


def test_phase_draws_portrait_and_error():
    data = figures.phase_data(0.05, 0.9)
    assert data.period == pytest.approx(28.06, abs=0.01)
    np.testing.assert_allclose(data.move[1:] * 0.05**0.5, np.diff(data.error))
    portrait = (data.error, data.move)
    assert_draws(
        figures.phase(),
        panel=0,
        lines={
            "spiral": portrait,
            "steps": portrait,
            "zero": ([0, 1], [0, 0]),
            "no error": ([0, 0], [0, 1]),
        },
        xlabel="error",
        title="phase portrait",
    )
    assert_draws(
        figures.phase(),
        panel=1,
        lines={"error": data.error, "zero": ([0, 1], [0, 0])},
        title="error",
    )


def test_cycle_draws_three_methods():
    data = figures.cycle_data()
    assert_draws(figures.cycle(), lines=data, legend=list(data), xlabel="step t", ylabel="x")


def test_captions():
    for says in (figures.path_says(), figures.phase_says(), figures.cycle_says()):
        assert all(says.values()), [phrase for phrase, true in says.items() if not true]
