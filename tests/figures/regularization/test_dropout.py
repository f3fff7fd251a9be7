import numpy as np
import pytest

from scripts.figures.regularization import dropout as figures
from scripts.figures.regularization.dropout import (
    IMAGES,
    RATES,
    SEEDS,
    UNITS,
    band_data,
    bumps,
    digit_losses,
    explore_bands,
    mask_matrices,
    path_data,
    when_it_helps,
)
from tests.figures.drawn import assert_draws


def test_masks_show_columns_and_entries():
    units, connections = mask_matrices()
    assert set(np.unique(units)) == set(np.unique(connections)) == {0.0, 2.0}
    assert (units == units[0]).all()
    assert all(len(np.unique(column)) == 2 for column in connections.T)
    assert all(len(np.unique(row)) == 2 for row in connections)


def test_masks_draws_both_matrices():
    figure = figures.masks()
    titles = ("dropout: columns", "DropConnect: entries")
    for panel, (matrix, title) in enumerate(zip(mask_matrices(), titles, strict=True)):
        assert_draws(
            figure,
            panel=panel,
            images={"": matrix},
            xlabel="input unit",
            ylabel="output unit",
            title=title,
        )


def test_paths_shrink_to_zero_and_sampling_follows():
    data = path_data()
    assert np.abs(data.sampled - data.closed).max() < 0.05
    assert (np.abs(data.closed[-1]) < 0.15).all()
    assert (np.diff(np.abs(data.closed), axis=0) < 0).all()


def test_ridge_paths_draws_lines_and_dots():
    data, lines = path_data(), {}
    for j in range(4):
        lines[f"$w_{j + 1}$"] = (data.p, data.closed[:, j])
        lines[f"sampled {j + 1}"] = (data.p, data.sampled[:, j])
    assert_draws(
        figures.ridge_paths(),
        lines=lines | {"": ([0, 1], [0, 0])},
        legend=[f"$w_{j + 1}$" for j in range(4)],
        xlabel="p, probability of dropping an input",
        ylabel="weight",
    )


@pytest.mark.parametrize("p", [0.05, 0.3])
def test_the_mc_band_does_not_shrink_with_data_and_the_fit_does(p):
    few, many = band_data(p, 50), band_data(p, 5000)
    inside = np.abs(few.grid) < 2.5
    assert 0.8 < (many.mc / few.mc)[inside].mean() < 1.25
    assert (many.refit / few.refit)[inside].mean() < 0.2


def test_the_sentence_of_the_bands():
    explorable = explore_bands()
    for n in explorable.sliders[1].values:
        data = band_data(0.2, n)
        said = explorable.show(0.2, n)
        assert f"of MC dropout is {data.mc.mean():.2f};" in said
        assert said.endswith(f"{n:,} examples is {data.refit.mean():.2g}.")


def test_the_mc_band_is_that_of_sampling():
    data, rng, p = band_data(0.3, 50), np.random.default_rng(1), 0.3
    phi = bumps(data.grid)
    # The weights that give the mean: 61 points determine 12 features.
    w = np.linalg.lstsq(phi, data.mean, rcond=None)[0]
    samples = [(phi * (rng.random(phi.shape) >= p) / (1 - p)) @ w for _ in range(4000)]
    np.testing.assert_allclose(np.std(samples, axis=0), data.mc, rtol=0.1)


def test_explore_bands_draws_the_prediction():
    line = np.linspace(-3, 3, 241)
    data = band_data(0.2, 100)
    assert_draws(
        explore_bands(),
        lines={"truth": (line, np.sin(2 * line)), "prediction": (data.grid, data.mean)},
        legend=["± 2 MC-dropout std", "± 2 std over data sets", "prediction"],
        xlabel="x",
        ylabel="y",
    )


def test_dropout_helps_where_there_is_a_gap_and_not_where_there_is_none():
    for images, units, helps in ((100, 64, True), (300, 64, True), (1000, 4, False)):
        data = digit_losses(images, units)
        assert data.train.shape == (len(RATES), SEEDS)
        lower = (data.validation[2] < data.validation[0]).mean()
        assert lower > 0.8 if helps else lower < 0.4
        gap = (data.validation[0] - data.train[0]).mean()
        assert gap > 1 if helps else gap < 0.1


def test_when_it_helps_draws_both_losses_and_says_the_best():
    data = digit_losses(IMAGES[0], UNITS[2])
    training, validation = data.train.mean(1), data.validation.mean(1)
    explorable = when_it_helps()
    said = explorable.show(IMAGES[0], UNITS[2])
    assert f"p = {RATES[validation.argmin()]} lowers" in said
    assert f"training loss is {training[0]:.2f}" in said
    assert explorable.show(IMAGES[2], UNITS[0]).endswith("No p lowers the validation loss.")
    assert_draws(
        when_it_helps(),
        lines={"training": (RATES, training), "validation": (RATES, validation)},
        legend=["training", "validation"],
        xlabel="p, probability of dropping",
        ylabel="loss in eval()",
    )
