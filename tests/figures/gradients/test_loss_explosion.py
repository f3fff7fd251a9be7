import itertools

import numpy as np
import pytest
import torch

from scripts.figures.gradients import loss_explosion as figures
from tests.figures.drawn import assert_draws


def test_each_rule_crosses_one_at_its_limit():
    x, curves = figures.rate_data()
    for name, limit in zip(figures.RULES, (2, 3.8, 3.8 / 2.8), strict=True):
        np.testing.assert_allclose(x[curves[name] < 1].max(), limit, atol=0.02)
        assert (curves[name][x > limit] > 1).all()
    plateau = curves["heavy ball, β = 0.9"][(x > 0.01) & (x < 3.7)]
    np.testing.assert_allclose(plateau, np.sqrt(0.9))


@pytest.mark.parametrize("lr", figures.LEARNING_RATES[1:])
def test_sharpness_settles_at_two_over_the_learning_rate(lr):
    end = figures.train(lr).sharpness[-10:] * lr / 2
    assert end.shape == (10, figures.SEEDS)
    assert figures.SEEDS >= 10
    near = np.abs(np.median(end, axis=0) - 1) < 0.1
    assert near.mean() >= 0.9


def test_below_the_limit_sharpness_rises_and_the_loss_never_does():
    run = figures.train(0.3)
    assert (run.sharpness * 0.3 / 2 < 1).all()
    assert (run.sharpness[-1] > run.sharpness[5]).mean() >= 0.9
    assert (np.diff(run.loss, axis=0) < 0).all()


@pytest.mark.parametrize("lr", figures.LEARNING_RATES[1:])
def test_at_the_edge_the_loss_goes_up_and_down_but_falls(lr):
    loss = figures.train(lr).loss
    assert ((np.diff(loss, axis=0) > 0).any(axis=0)).mean() >= 0.9
    assert (loss[-50:].mean(0) < 0.5 * loss[100:150].mean(0)).mean() >= 0.9


def test_the_largest_learning_rate_is_unstable_at_the_start_and_trains_all_the_same():
    run = figures.train(1.2)
    assert (run.sharpness[0] * 1.2 / 2 > 1).all()
    assert (run.loss[-1] < 0.1 * run.loss[0]).mean() >= 0.9


def test_from_one_point_the_limit_separates_falling_from_rising():
    below, above = figures.continued(0.9), figures.continued(1.1)
    assert (below[0] == above[0]).all()
    assert (np.diff(below, axis=0) < 0).all()
    assert (above.max(axis=0) > 2 * above[0]).mean() >= 0.9
    assert (above[-1] < above[0]).mean() >= 0.9  # and recovers


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("lr", [0.05, 0.2, 0.35])
def test_the_descent_is_that_of_torch(lr, momentum):
    data = figures.descend(lr, momentum)
    theta = torch.ones(2, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([theta], lr=lr, momentum=momentum)
    for row, value in zip(data.path, data.loss, strict=True):
        np.testing.assert_allclose(row, theta.detach().numpy(), rtol=1e-9, atol=1e-9)
        loss = (torch.tensor(figures.BOWL) * theta**2).sum() / 2
        np.testing.assert_allclose(value, 2 * loss.item() / 11, rtol=1e-9, atol=1e-12)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def test_the_sentence_tells_the_fate_of_the_descent():
    explorable = figures.quadratic()
    rates, momenta = (slider.values for slider in explorable.sliders)
    for lr, momentum in itertools.product(rates, momenta):
        said, ratio = explorable.show(lr, momentum), 10 * lr / (2 * (1 + momentum))
        assert ("diverges" in said) == (ratio > 1 + 1e-9), said
        assert ("swings" in said) == (abs(ratio - 1) < 1e-9), said
        assert ("converges" in said) == (ratio < 1 - 1e-9), said
        assert said.endswith(f"η = {(1 + momentum) / 5:.3g}.")
    # The caption: the best rate without momentum, and the limit.
    best = min(rates, key=lambda lr: max(figures.descend(lr, 0.0).rates))
    assert best == 0.18
    assert "swings" in explorable.show(0.2, 0.0)
    loss = figures.descend(0.18, 0.9).loss
    assert (np.diff(loss) > 0).any()
    assert loss[-1] < 0.1


def test_quadratic_draws_the_loss_of_its_start():
    assert_draws(
        figures.quadratic(),
        panel=1,
        lines={"loss": figures.descend(0.18, 0.9).loss},
        title="loss / loss at the start",
        xlabel="step",
    )


def test_rates_draws_the_three_rules_and_their_limits():
    x, curves = figures.rate_data()
    limits = dict(zip(figures.RULES, (2, 3.8, 3.8 / 2.8), strict=True))
    assert_draws(
        figures.rates(),
        lines={
            **{name: (x, rate) for name, rate in curves.items()},
            **{f"limit of {name}": ([limit], [1]) for name, limit in limits.items()},
        },
        legend=list(figures.RULES),
        texts=["2", "3.8", "1.36"],
        xlabel="η λ",
        ylabel="factor of the error a step",
    )


def test_edge_of_stability_draws_curvature_and_loss():
    figure = figures.edge_of_stability()
    for panel, kind in enumerate(("sharpness", "loss")):
        drawn = {f"η = {lr}": getattr(figures.train(lr), kind) for lr in figures.LEARNING_RATES}
        assert_draws(
            figure,
            panel=panel,
            lines={name: np.median(values, axis=1) for name, values in drawn.items()},
            bands={name: (values.min(1), values.max(1)) for name, values in drawn.items()},
            legend=list(drawn) if panel else None,
        )


def test_one_point_draws_every_network():
    lines = {}
    for share in (0.9, 1.1):
        losses = figures.continued(share)
        for seed, curve in enumerate((losses / losses[0]).T):
            lines[f"_{share} {seed}" if seed else f"η = {share} · 2/λ"] = curve
    assert_draws(
        figures.one_point(),
        lines=lines,
        legend=["η = 0.9 · 2/λ", "η = 1.1 · 2/λ"],
        xlabel="step",
        ylabel="loss / loss at the start",
    )
