import numpy as np
import pytest
import torch

from scripts.figures.regularization import overfitting as figures
from tests.figures.drawn import assert_draws

STEPS = np.arange(61)


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_stopping_draws_both_losses_and_the_accuracy():
    data, drawn = figures.means(0.4, 200), figures.stopping()
    assert_draws(
        drawn,
        panel=0,
        lines={
            "training": (STEPS, data.train),
            "validation": (STEPS, data.val),
            "least validation loss": ([data.best] * 2, [0.01, 10]),
        },
        legend=["training", "validation", "least validation loss"],
        xlabel="step",
        title="cross-entropy",
    )
    assert_draws(
        drawn,
        panel=1,
        lines={
            "accuracy": (STEPS, data.accuracy),
            "least validation loss": ([data.best] * 2, [0, 1]),
        },
        xlabel="step",
        title="test accuracy, true labels",
    )


def test_no_slider_leaves_the_axes():
    noise, images = figures.stopping().sliders
    for share in noise.values:
        runs = [figures.means(share / 100, int(n)) for n in images.values]
        for run in runs:
            assert 0.1 < run.val.min() < run.val.max() < 10
            assert run.val[-1] > 1.1 * run.val[run.best]  # it rises, also with true labels
        # More images, a smaller loss where it is least.
        assert (np.diff([run.val[run.best] for run in runs]) < 0.05).all()


def test_test_accuracy_falls_with_noisy_labels_alone():
    for images in (100, 200, 400):
        noisy, clean = figures.curves(0.4, images), figures.curves(0.0, images)
        lost = noisy.test_accuracy.max(1) - noisy.test_accuracy[:, -1]
        assert np.mean(lost > 0.05) >= 0.9
        kept = clean.test_accuracy.max(1) - clean.test_accuracy[:, -1]
        assert kept.mean() < 0.03


def test_memorization_draws_mean_and_range():
    for panel, images in enumerate((100, 400)):
        data = figures.curves(0.4, images, 101)
        parts = {"true labels": data.right, "wrong labels": data.wrong}
        assert_draws(
            figures.memorization(),
            panel=panel,
            lines={name: (np.arange(101), part.mean(0)) for name, part in parts.items()},
            bands={f"{name}, range": (part.min(0), part.max(0)) for name, part in parts.items()},
            legend=list(parts) if panel else [],
            xlabel="step",
            title=f"{images} images",
        )


def test_cures_draws_losses_over_that_without():
    clean = figures.cure_data(noise=0.0, images=50)
    noisy = figures.cure_data(noise=0.4, images=100)
    for panel, losses in enumerate((clean.loss, noisy.loss, clean.shifted)):
        ratios = [loss.mean() / losses["none"].mean() for loss in list(losses.values())[:0:-1]]
        assert_draws(
            figures.cures(),
            panel=panel,
            bars={"test loss": ratios},
            lines={"": ([1, 1], [0, 1])},  # as good as without
            xlabel="test loss / that without",
        )


def test_bias_falls_variance_rises_and_draws_agree():
    data = figures.risk_data()
    total = data.bias + data.variance
    assert (np.diff(data.bias) < 0).all()
    assert (np.diff(data.variance) > 0).all()
    np.testing.assert_allclose(data.sampled, total, rtol=0.03)
    assert total.min() < 0.9 * min(total[0], total[-1])
    assert (np.diff(data.train) < 0).all()
    assert_draws(
        figures.risk(),
        lines={
            "bias²": (data.steps, data.bias),
            "variance": (data.steps, data.variance),
            "error: their sum": (data.steps, total),
            "error over 1500 noise draws": (data.steps, data.sampled),
            "training error": (data.steps, data.train),
        },
        legend=[
            "bias²",
            "variance",
            "error: their sum",
            "error over 1500 noise draws",
            "training error",
        ],
        xlabel="steps of gradient descent",
        ylabel="mean squared error",
    )
