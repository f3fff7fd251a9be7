import numpy as np
import pytest

from scripts.figures.regularization import l1_l2 as figures
from tests.close import assert_close
from tests.figures.drawn import assert_draws


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


STILL = {
    "center": tuple(figures.CENTER[:, None]),
    "across": ([0, 1], [0, 0]),
    "upright": ([0, 0], [0, 1]),
}
"""What stays in both panels of `balls` where the slider moves the rest."""


def test_balls_draws_ball_contour_and_solution():
    data = figures.ball_data(1, 1.3)
    assert_draws(
        figures.balls(),
        panel=0,
        lines={
            "path": tuple(figures.ball_path(1).T),
            "edge": tuple(data.edge),
            "contour": tuple(data.contour),
            "solution": tuple(data.solution[:, None]),
            **STILL,
        },
        xlabel="θ₁",
        ylabel="θ₂",
        title="L1",
    )
    data = figures.ball_data(2, 1.3)
    assert_draws(
        figures.balls(),
        panel=1,
        lines={
            "path": tuple(figures.ball_path(2).T),
            "edge": tuple(data.edge),
            "contour": tuple(data.contour),
            "solution": tuple(data.solution[:, None]),
            **STILL,
        },
        xlabel="θ₁",
        title="L2",
    )
    (legend,) = figures.balls().figure.legends
    names = ["ball", "loss", "solution", "solutions for other λ"]
    assert [text.get_text() for text in legend.get_texts()] == names
    colors = [handle.get_color() for handle in legend.get_lines()]
    assert colors[:3] == ["C1", "C0", "C1"]


def test_l1_has_a_flat_piece_l2_a_slope():
    data = figures.shrinkage_data()
    z = data["z"]
    assert ((data["L1"] == 0) == (abs(z) <= 1)).all()
    np.testing.assert_allclose(data["L1"][z > 1], z[z > 1] - 1)
    np.testing.assert_allclose(data["L2"], z / 2)
    assert ((data["both, half each"] == 0) == (abs(z) <= 0.5)).all()


def test_shrinkage_draws_the_four_maps():
    data = figures.shrinkage_data()
    z = data["z"]
    names = ["L1", "L2", "both, half each"]
    assert_draws(
        figures.shrinkage(),
        lines={"no penalty": (z, z), **{name: (z, data[name]) for name in names}},
        legend=["no penalty", *names],
        xlabel="z, where the loss alone is least",
        ylabel="θ, the solution",
    )


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


@pytest.mark.parametrize(("panel", "title"), [(0, "lasso"), (1, "ridge")])
def test_paths_draws_ten_coefficients(panel, title):
    data = figures.paths_data()
    strengths, theta = ((data.l1, data.lasso), (data.l2, data.ridge))[panel]
    assert_draws(
        figures.paths(),
        panel=panel,
        lines={str(i): (strengths, theta[:, i]) for i in range(10)},
        xlabel=("λ₁", "λ₂")[panel],
        title=title,
    )


def test_only_the_proximal_step_makes_zeros_in_every_seed():
    data = figures.zeros_data()
    assert data["proximal"].shape == (150, 12)
    assert (data["subgradient"] == 0).all()
    assert (data["proximal"][0] == 0).all()
    assert (data["proximal"][-1] > 0.5).all()


def test_zeros_draws_median_and_range():
    shares = figures.zeros_data()
    assert_draws(
        figures.zeros(),
        lines={name: np.median(share, axis=1) for name, share in shares.items()},
        bands={name: (share.min(1), share.max(1)) for name, share in shares.items()},
        legend=list(shares),
        xlabel="steps",
        ylabel="share of weights = 0",
    )
