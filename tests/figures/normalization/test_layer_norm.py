import numpy as np
import pytest
import torch
from torch.nn import functional as F

from scripts.figures.normalization import layer_norm as figures
from scripts.figures.normalization.layer_norm import MEANS, STDS, precision_data, row_data
from tests.figures.drawn import assert_draws


@pytest.mark.parametrize("mean", MEANS)
@pytest.mark.parametrize("std", STDS)
def test_rows_are_those_of_torch(mean, std):
    x, y = row_data(mean, std)
    assert np.isclose(x.mean(), mean)
    assert np.isclose(x.std(), std)
    assert np.allclose(y, F.layer_norm(torch.tensor(x), (16,)).numpy())


def test_the_first_frame():
    x, y = row_data(2.0, 0.3)
    feature, ends = np.arange(1, 17), [0.3, 16.7]
    figure = figures.before_and_behind()
    for panel, (title, values) in enumerate((("in front", x), ("behind", y))):
        assert_draws(
            figure if panel == 0 else figure.figure,
            panel=panel,
            lines={
                title: (feature, values),
                f"{title}, mean": (ends, [values.mean()] * 2),
            },
            title=title,
            xlabel="feature",
        )


def test_the_sentence_says_what_is_behind():
    explorable = figures.before_and_behind()
    for std in STDS:
        said = explorable.show(-1.0, std)
        assert said.startswith(f"In front the mean is -1 and the standard deviation {std:g};")
        assert said.endswith(f"0 and {row_data(-1.0, std).y.std():.2f}.")


def test_the_difference_loses_digits_and_the_mean_first_does_not():
    data = precision_data()
    assert (data.one_pass[1:] > data.mean_first[1:]).all()
    assert data.one_pass[-1] > 1e4 * data.mean_first[-1]
    assert (np.diff(data.mean_first) > 0).all()


def test_float16_overflows_between_46_and_1000():
    data = precision_data()
    assert np.allclose(data.as_it_is[data.size < 40], 1, atol=0.01)
    assert (data.as_it_is[data.size > 900] == 0).all()
    assert np.allclose(data.widened, 1, atol=0.01)


def test_precision_draws_its_data():
    data, figure = precision_data(), figures.precision()
    assert_draws(
        figure,
        panel=0,
        lines={
            "E[x²] − μ²": (data.ratio, data.one_pass),
            "mean first": (data.ratio, data.mean_first),
        },
        texts=["E[x²] − μ²", "mean first"],
        title="float32",
        xlabel="mean / standard deviation",
        ylabel="largest error",
    )
    assert_draws(
        figure,
        panel=1,
        lines={
            "computed in float32": (data.size, data.widened),
            "as it is": (data.size, data.as_it_is),
        },
        title="float16",
        xlabel="standard deviation in front",
        ylabel="behind",
    )
