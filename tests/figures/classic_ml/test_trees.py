import numpy as np
from sklearn.ensemble import GradientBoostingRegressor

from scripts.figures.classic_ml import trees as figures
from tests.figures.drawn import assert_draws


def test_stages_are_those_of_sklearn():
    data = figures.noisy()
    x = data.x.astype(np.float32)[:, None]
    model = GradientBoostingRegressor(
        init="zero", n_estimators=10, max_depth=2, learning_rate=figures.RATE
    ).fit(x, data.y)
    for done, prediction in enumerate(model.staged_predict(x), start=1):
        if done in figures.ROUNDS:
            error = np.mean((prediction - data.y) ** 2)
            assert np.isclose(figures.stages(2)[done].training, error, rtol=1e-3)


def test_more_trees_lower_the_training_error_at_every_depth():
    for depth in figures.DEPTHS:
        errors = [figures.stages(depth)[done].training for done in figures.ROUNDS]
        assert (np.diff(errors) < 0).all()


def test_many_stumps_beat_ten_and_many_deeper_trees_do_not():
    for depth, better in ((1, True), (2, False), (4, False)):
        stages = figures.stages(depth)
        assert (stages[200].truth < stages[10].truth) == better


def test_rounds_draws_points_sine_and_sum():
    data = figures.noisy()
    assert_draws(
        figures.rounds(),
        lines={
            "points": (data.x, data.y),
            "sine": (figures.GRID, np.sin(2 * np.pi * figures.GRID)),
            "sum of trees": (figures.GRID, figures.stages(2)[10].on_grid),
        },
        legend=["points", "sine", "sum of trees"],
        xlabel="x",
        ylabel="y",
    )


def test_variance_draws_both_correlations():
    m = np.arange(1, 41)
    lines = {f"correlation {rho}": (m, rho + (1 - rho) / m) for rho in (0.7, 0.2)}
    assert_draws(
        figures.variance(),
        lines=lines,
        texts=["correlation 0.7", "correlation 0.2"],
        xlabel="trees m",
        ylabel="variance of the mean",
    )
