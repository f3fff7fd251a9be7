import itertools

import numpy as np
import pytest

from scripts.figures.optimizers import adamw as figures
from tests.figures.drawn import assert_draws


def test_half_life_is_one_number_decoupled_and_follows_the_gradient_coupled():
    for lr, weight_decay in ((0.01, 0.1), (0.03, 0.1), (0.03, 0.3)):
        flat, rising, floor = figures.laws(lr, weight_decay)
        decoupled = figures.half_life(True, lr, weight_decay)
        coupled = figures.half_life(False, lr, weight_decay)
        assert (decoupled == decoupled[0]).all()
        assert abs(decoupled[0] / flat[0] - 1) < 0.01
        large = figures.SCALES >= 1
        assert (abs(coupled / rising - 1)[large] < 0.08).all()
        silent = figures.SCALES <= 0.003
        assert (abs(coupled / floor - 1)[silent] < 0.15).all()  # steps of size lr
        assert coupled[-1] > 3 * decoupled[0] > 3 * coupled[0]


def test_where_the_loss_is_silent_the_coupled_half_life_does_not_depend_on_the_penalty():
    coupled = [figures.half_life(False, 0.03, decay) for decay in (0.1, 0.3)]
    assert coupled[0][0] == coupled[1][0]
    assert coupled[0][-1] > 2 * coupled[1][-1]
    decoupled = [figures.half_life(True, 0.03, decay)[0] for decay in (0.1, 0.3)]
    assert decoupled[0] > 2.9 * decoupled[1]


@pytest.fixture(scope="module")
def shrinkage():
    return figures.shrinkage()


def test_the_penalty_erases_weights_of_dim_pixels_in_every_network(shrinkage):
    weak = (shrinkage.grad > 0) & (shrinkage.grad < 1e-4)
    strong = shrinkage.grad > 1e-2
    assert weak.sum() >= 4
    assert strong.sum() >= 20
    assert (shrinkage.coupled[:, weak].mean(1) < 0.05).all()
    assert (shrinkage.coupled[:, strong].mean(1) > 0.8).all()
    assert (abs(shrinkage.decoupled[:, weak].mean(1) - 0.88) < 0.12).all()
    assert (abs(shrinkage.decoupled[:, strong].mean(1) - 0.85) < 0.05).all()


def test_pixels_without_any_gradient(shrinkage):
    never = shrinkage.grad == 0
    assert never.sum() >= 2
    assert (shrinkage.coupled[:, never] < 1e-6).all()
    assert np.allclose(shrinkage.decoupled[:, never], (1 - 0.01 * 0.1) ** 400)


def test_the_error_does_not_tell_the_two_apart(shrinkage):
    plain, coupled, decoupled = shrinkage.errors
    assert abs(coupled.mean() - decoupled.mean()) < 0.01
    assert 0.02 < plain.mean() < 0.06


@pytest.mark.parametrize("weight_decay", figures.LAMBDAS)
def test_decay_ends_on_the_box_and_the_penalty_at_the_ridge_solution(weight_decay):
    H, a = figures.CURVATURE, figures.MINIMUM
    ridge = np.linalg.solve(H + weight_decay * np.eye(2), H @ a)
    path = figures.descend(True, weight_decay)
    assert np.allclose(figures.descend(False, weight_decay)[-1], ridge, atol=1e-3)
    assert np.allclose(path[-1], figures.in_box(weight_decay), atol=0.03)
    assert (abs(path) < 1 / weight_decay).all()


def test_the_best_point_of_the_box_is_a_minimum_there():
    for weight_decay in figures.LAMBDAS:
        best, side = figures.in_box(weight_decay), 1 / weight_decay
        gradient = figures.CURVATURE @ (best - figures.MINIMUM)
        at_edge = np.isclose(best, side)
        assert (abs(gradient[~at_edge]) < 1e-12).all()
        assert (gradient[at_edge] < 0).all()


def test_decay_times_draws_the_laws_and_what_was_measured():
    flat, rising, floor = figures.laws(0.01, 0.1)
    curves = {
        "ln 2 / (lr·λ)": flat,
        "the same, times the gradient": rising,
        "steps of lr": np.full_like(flat, floor),
        "decoupled (AdamW)": figures.half_life(True, 0.01, 0.1),
        "coupled (Adam)": figures.half_life(False, 0.01, 0.1),
    }
    assert_draws(
        figures.decay_times(),
        lines={name: (figures.SCALES, curve) for name, curve in curves.items()},
        legend=list(curves),
        xlabel="size of the gradient (standard deviation)",
        ylabel="half-life in steps",
    )


def test_no_slider_shows_a_half_life_beyond_the_axes():
    figure, sliders, *_ = figures.decay_times()
    low, high = figure.axes[0].get_ylim()
    for values in itertools.product(*(slider.values for slider in sliders[:1]), (0.3,)):
        lives = [figures.half_life(decoupled, *values) for decoupled in (True, False)]
        assert low < np.min(lives) <= np.max(lives) < high


def test_digits_draws_mean_least_and_greatest(shrinkage):
    seen = shrinkage.grad > 0
    x = shrinkage.grad[seen]
    assert_draws(
        figures.digits(),
        lines={
            "decoupled (AdamW)": (x, shrinkage.decoupled.mean(0)[seen]),
            "coupled (Adam)": (x, shrinkage.coupled.mean(0)[seen]),
        },
        texts=["decoupled (AdamW)", "coupled (Adam)"],
        xlabel="size of the gradient of a pixel’s weights",
        ylabel="size of the weights\nwith decay / without",
    )


def test_box_draws_both_paths_their_ends_and_the_edge():
    decay, penalty = figures.descend(True), figures.descend(False)
    assert len(figures.shown(decay)) <= 100
    assert np.array_equal(figures.shown(decay)[[0, -1]], decay[[0, -1]])
    x, y = zip((-2.5, -2.5), (2.5, -2.5), (2.5, 2.5), (-2.5, 2.5), (-2.5, -2.5), strict=True)
    assert_draws(
        figures.box(),
        lines={
            "minimum": ([3.0], [0.5]),
            "|θ| ≤ 1/λ": (x, y),
            "AdamW": tuple(figures.shown(decay).T),
            "Adam": tuple(figures.shown(penalty).T),
            "end, AdamW": tuple(decay[-1:].T),
            "end, Adam": tuple(penalty[-1:].T),
        },
        legend=["AdamW", "Adam", "|θ| ≤ 1/λ", "minimum"],
        xlabel="θ₁",
        ylabel="θ₂",
    )
