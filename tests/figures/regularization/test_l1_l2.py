import numpy as np
import pytest
from matplotlib.figure import Figure

from scripts.figures.regularization import l1_l2 as figures
from tests.close import assert_close


def test_l1_touches_at_a_corner_and_l2_does_not():
    sharp, round_ = figures.ball_data(1, 1.3), figures.ball_data(2, 1.3)
    assert sharp.solution[0] > 0.5
    assert sharp.solution[1] == 0
    assert (round_.solution > 0.1).all()
    # The path of L1 reaches the axis and stays on it; that of L2 ends near the origin.
    path = figures.ball_path(1)
    on_axis = path[:, 1] == 0
    assert on_axis.any()
    assert (np.diff(on_axis.astype(int)) >= 0).all()
    assert (path[-1] == 0).all()
    assert (figures.ball_path(2) != 0).all()
    assert np.linalg.norm(figures.ball_path(2)[-1]) < 0.05


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.3, 2.0])
@pytest.mark.parametrize("p", [1, 2])
def test_the_penalized_solution_is_the_best_of_its_ball(p, strength):
    data = figures.ball_data(p, strength)
    radius = np.linalg.norm(data.solution, p)
    norms = np.linalg.norm(data.edge, p, axis=0)
    assert_close(norms, np.full(len(norms), radius), scale=10)

    def loss(theta):
        gap = theta - figures.CENTER[:, None]
        return 0.5 * np.sum(gap * (figures.HESSIAN @ gap), axis=0)

    here = loss(data.solution[:, None])
    assert (loss(data.edge) >= here - 1e-9).all()
    assert_close(loss(data.contour), np.full(49, here[0]), scale=10)


def test_the_caption_names_where_l1_gains_its_zeros():
    explorable = figures.balls()
    zeros = {value: explorable.show(value).split("L2")[0] for value in explorable.sliders[0].values}
    assert all(("none" in said) == (value < 1.2) for value, said in zeros.items())
    assert all(("both" in said) == (value >= 2) for value, said in zeros.items())
    assert all("none" in explorable.show(value).split("L2")[1] for value in zeros)
    assert explorable.show(1.3).startswith(
        "L1: θ = (0.70, 0.00), one is exactly zero. L2: θ = (0.7"
    )


def test_l1_has_a_flat_piece_l2_a_slope():
    data = figures.shrinkage_data()
    z = data["z"]
    assert ((data["L1"] == 0) == (abs(z) <= 1)).all()
    np.testing.assert_allclose(data["L1"][z > 1], z[z > 1] - 1)
    np.testing.assert_allclose(data["L2"], z / 2)
    assert ((data["both, half each"] == 0) == (abs(z) <= 0.5)).all()
    assert (np.diff(data["L1"][abs(z) >= 1]) > 0).any()


def test_lasso_coefficients_reach_zero_at_different_strengths_ridge_none():
    data = figures.paths_data()
    active = (data.lasso != 0).sum(1)
    assert active[0] == 10
    assert active[-1] == 0
    assert len(set(active)) >= 8
    assert (data.ridge != 0).all()
    norms = np.linalg.norm(data.ridge, axis=1)
    assert (np.diff(norms) < 0).all()
    assert norms[-1] < 0.05 * norms[0]
    signs = np.sign(data.ridge)
    assert (signs != signs[0]).any()  # a coefficient of ridge crosses zero


def test_gaps_keep_their_bounds_and_the_subgradient_method_stalls():
    data = figures.convergence_data()
    k = np.arange(1.0, 1001)
    for name, bound in (("ISTA", figures.ista_bound), ("FISTA", figures.fista_bound)):
        gap = data.gaps[name]
        assert (gap <= bound(k, lr=data.lr, distance=data.distance)).all()
    fast, slow, stuck = (data.gaps[name] for name in ("FISTA", "ISTA", "subgradient"))
    assert fast[200] < slow[200] / 20
    assert slow[-1] < 1
    assert stuck[500:].min() > 1  # oscillates around the kink
    assert stuck[500:].min() > 0.5 * stuck[200:300].min()


def test_only_the_proximal_step_makes_zeros_in_every_seed():
    data = figures.zeros_data()
    assert data.proximal.shape == (151, 12)
    assert (data.subgradient == 0).all()
    assert np.mean(data.proximal[-1] > 0.5) == 1
    assert np.mean(data.proximal_accuracy > data.subgradient_accuracy - 0.02) == 1
    assert (data.proximal_accuracy > 0.85).all()


@pytest.mark.parametrize(
    "draw", [figures.shrinkage, figures.paths, figures.convergence, figures.zeros]
)
def test_figures_are_drawn(draw):
    assert isinstance(draw(), Figure)
