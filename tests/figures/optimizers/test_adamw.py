import numpy as np
import pytest
from matplotlib.figure import Figure

from dlkb.optimizers.adam import adam
from dlkb.optimizers.adamw import adamw
from scripts.figures.optimizers import adamw as figures


def test_half_life_is_one_number_decoupled_and_follows_the_gradient_coupled():
    data = figures.half_lives()
    assert (data.decoupled == data.decoupled[0]).all()
    assert abs(data.decoupled[0] / (np.log(2) / data.rate) - 1) < 0.03
    large = data.scale >= 0.3
    expected = np.log(2) / data.rate * data.scale
    assert (abs(data.coupled / expected - 1)[large] < 0.05).all()
    assert data.coupled[-1] > 35 * data.coupled[0]
    small = data.scale <= 0.01
    assert (abs(data.coupled[small] - 0.5 / data.lr) <= 6).all()  # steps of size lr


def test_the_coupled_half_life_does_not_depend_on_the_penalty_where_the_loss_is_silent():
    steps = [figures.half_life(adam, 1e-9, weight_decay=w) for w in (1e-4, 1e-2, 1.0)]
    assert len(set(steps)) == 1
    decoupled = [figures.half_life(adamw, 1e-9, weight_decay=w) for w in (0.1, 1.0)]
    assert decoupled[0] > 9 * decoupled[1]


@pytest.fixture(scope="module")
def shrinkage():
    return figures.shrinkage()


def test_the_penalty_erases_weights_of_dark_pixels_in_every_network(shrinkage):
    weak = (shrinkage.grad > 0) & (shrinkage.grad < 1e-4)
    strong = shrinkage.grad > 1e-2
    assert weak.sum() >= 5
    assert strong.sum() >= 20
    assert (shrinkage.coupled[:, weak].mean(1) < 0.03).all()
    assert (shrinkage.coupled[:, strong].mean(1) > 0.8).all()
    assert (abs(shrinkage.decoupled[:, weak].mean(1) - 0.85) < 0.08).all()
    assert (abs(shrinkage.decoupled[:, strong].mean(1) - 0.85) < 0.05).all()


def test_pixels_without_any_gradient(shrinkage):
    never = shrinkage.grad == 0
    assert never.sum() == 3
    assert (shrinkage.coupled[:, never] < 1e-6).all()
    assert np.allclose(shrinkage.decoupled[:, never], (1 - 0.01 * 0.1) ** 400)


def test_the_error_does_not_tell_the_two_apart(shrinkage):
    plain, coupled, decoupled = shrinkage.errors
    assert abs(coupled.mean() - decoupled.mean()) < 0.005
    assert 0.06 < plain.mean() < 0.1


def test_decay_ends_on_the_box_and_the_penalty_at_the_ridge_solution():
    H, a, lam = figures.CURVATURE, figures.MINIMUM, 0.4
    ridge = np.linalg.solve(H + lam * np.eye(2), H @ a)
    edge = np.asarray([1 / lam, a[1] - H[0, 1] / H[1, 1] * (1 / lam - a[0])])
    path = figures.descend(adamw)
    assert np.allclose(figures.descend(adam)[-1], ridge, atol=1e-3)
    assert np.allclose(path[-1], edge, atol=1e-2)
    assert (path[:, 0] < 1 / lam).all()


def test_inside_the_box_decay_does_not_move_the_minimum():
    assert np.allclose(figures.descend(adamw, weight_decay=0.3)[-1], figures.MINIMUM, atol=0.03)


@pytest.mark.parametrize("draw", [figures.decay_times, figures.digits, figures.box])
def test_figures_are_drawn(draw):
    assert isinstance(draw(), Figure)
