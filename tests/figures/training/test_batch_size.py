import numpy as np
import pytest
import torch

from dlkb.training.batch_size import steps_needed
from scripts.figures.training import batch_size as figures
from tests.figures.drawn import assert_draws

BATCHES = np.asarray(figures.BATCHES, dtype=float)


def test_each_best_rate_reaches_the_goal_and_has_slower_ones_beside():
    for optimizer in figures.RULES:
        found = figures.tuned(optimizer, 0.5)
        assert np.isfinite(found.steps).all()
        assert (np.diff(found.steps) <= 0).all()
        for batch, rate in zip(figures.BATCHES, found.rate, strict=True):
            slower = figures.EXPONENTS[optimizer][batch].index(round(np.log2(rate)) - 1)
            steps = np.median(figures.hits(optimizer, batch)[2, slower])
            assert steps > found.steps[figures.BATCHES.index(batch)]


def test_the_fit_is_near_what_was_measured():
    for target in figures.TARGETS:
        least, critical = figures.fitted("SGD", target)
        expected = steps_needed(BATCHES, least=least, critical=critical)
        assert (abs(np.log(expected / figures.tuned("SGD", target).steps)) < np.log(1.4)).all()
        assert 10 < critical < 40


def test_steps_to_target_draws_what_was_measured_and_the_fit():
    least, critical = figures.fitted("SGD", 0.5)
    line = steps_needed(figures.CURVE, least=least, critical=critical)
    steps = figures.tuned("SGD", 0.5).steps
    for panel, factor, ylabel in ((0, lambda b: 1, "steps"), (1, lambda b: b, "examples")):
        assert_draws(
            figures.steps_to_target(),
            panel=panel,
            lines={
                "fitted curve": (figures.CURVE, factor(figures.CURVE) * line),
                "measured": (BATCHES, factor(BATCHES) * steps),
            },
            legend=["fitted curve", "measured"][: 2 * (1 - panel)],
            xlabel="batch size",
            ylabel=ylabel,
        )


@pytest.mark.parametrize(("panel", "optimizer"), [(0, "SGD"), (1, "Adam")])
def test_scaling_rules_draws_the_best_rates_and_the_rules(panel, optimizer):
    rate = figures.tuned(optimizer, 0.5).rate
    assert_draws(
        figures.scaling_rules(),
        panel=panel,
        lines={
            "linear rule": (BATCHES, rate[0] * BATCHES / 2),
            "root rule": (BATCHES, rate[0] * np.sqrt(BATCHES / 2)),
            "best rate": (BATCHES, rate),
        },
        legend=[] if panel else ["linear rule", "root rule", "best rate"],
        xlabel="batch size",
        ylabel=("learning rate", "")[panel],
        title=optimizer,
    )


def test_gradients_of_examples_average_to_that_of_the_batch():
    networks = figures.draw((5, 4, 3), seeds=2)
    rng = np.random.default_rng(0)
    x, y = torch.tensor(rng.normal(size=(7, 5))), torch.tensor([0, 1, 2] * 2 + [0])
    theta = networks.theta.clone().requires_grad_()
    outputs = figures.forward(networks._replace(theta=theta), x)[-1]
    loss = torch.nn.functional.cross_entropy(outputs.mT, y.expand(2, 7), reduction="none")
    (expected,) = torch.autograd.grad(loss.mean(1).sum(), theta)
    for s in range(2):
        found = figures.example_grads(networks, s, x, y).mean(0)
        torch.testing.assert_close(found, expected[s])


def test_noise_grows_draws_the_medians():
    at = np.arange(len(figures.AT))
    rows = [figures.scales(steps) for steps in figures.AT]
    assert_draws(
        figures.noise_grows(),
        lines={
            "gradients of examples": (at - 0.06, [np.median(row.examples) for row in rows]),
            "two batch sizes": (at + 0.06, [np.median(row.batches) for row in rows]),
        },
        legend=["gradients of examples", "two batch sizes"],
        xlabel="steps of training",
        ylabel="noise scale",
    )
