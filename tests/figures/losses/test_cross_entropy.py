import numpy as np
import pytest
from scipy import special

from scripts.figures.losses import cross_entropy as figures
from tests.figures.drawn import assert_draws


def test_loss_and_push_are_what_they_are_called():
    data = figures.smoothed(10, 0.0)
    p = special.softmax(np.c_[figures.GAPS, np.zeros((81, 9))], axis=1)[:, 0]
    assert np.allclose(data.loss, -np.log(p))
    assert np.allclose(data.push, 1 - p)
    assert data.start == pytest.approx(np.log(10))
    assert data.floor == 0
    slope = np.gradient(figures.smoothed(10, 0.2).loss, figures.GAPS)
    assert np.allclose(-slope[1:-1], figures.smoothed(10, 0.2).push[1:-1], atol=0.01)


def test_what_the_sliders_show_is_so():
    classes, smoothing = figures.loss_and_push().sliders
    for k in classes.values:
        floors = []
        for epsilon in smoothing.values:
            data = figures.smoothed(k, epsilon)
            floors.append(data.floor)
            assert data.start == pytest.approx(np.log(k))
            assert (data.loss >= data.floor - 1e-12).all()
            assert (data.push.min() < 0) == (epsilon > 0)
            assert data.loss.max() < 16 or epsilon == 0
        assert (np.diff(floors) > 0).all()
    plain = figures.smoothed(1000, 0.0)
    assert (np.diff(plain.loss) < 0).all()  # "falls for ever"
    assert (np.diff(plain.push) < 0).all()


def test_loss_and_push_draws_its_data():
    data = figures.smoothed(1000, 0.1)
    explorable = figures.loss_and_push()
    assert_draws(
        explorable,
        panel=0,
        lines={
            "loss": (figures.GAPS, data.loss),
            "floor": ([-5, 15], [data.floor, data.floor]),
            "log K": ([0], [data.start]),
        },
        legend=["loss", "floor", "log K"],
        xlabel="label's logit − the others",
        title="loss of one example",
    )
    assert_draws(
        explorable,
        panel=1,
        lines={"push": (figures.GAPS, data.push), "": ([0, 1], [0, 0])},
        xlabel="label's logit − the others",
        title="push on the label's logit",
    )


def test_squared_error_draws_both_slopes():
    entropy, squared = figures.slopes()
    p = special.expit(figures.LOGITS)
    assert np.allclose(entropy, 1 - p)
    assert np.allclose(squared, -np.gradient((1 - p) ** 2, figures.LOGITS), atol=0.005)
    assert_draws(
        figures.squared_error(),
        lines={
            "cross entropy": (figures.LOGITS, entropy),
            "squared error": (figures.LOGITS, squared),
        },
        texts=["cross entropy", "squared error"],
        xlabel="logit of yes, which is right",
        ylabel="push",
    )


@pytest.mark.parametrize("setting", figures.SETTINGS.values())
def test_a_temperature_calibrates_and_changes_no_prediction(setting):
    data = figures.calibration(*setting)
    assert (data.errors[:, 1] < data.errors[:, 0]).sum() >= 9
    accuracies = [(part.share * part.accuracy).sum() for part in (data.before, data.after)]
    assert accuracies[0] == pytest.approx(accuracies[1])


def test_temperature_draws_the_reliability():
    for panel, (title, setting) in enumerate(figures.SETTINGS.items()):
        data = figures.calibration(*setting)
        assert_draws(
            figures.temperature(),
            panel=panel,
            lines={
                "": ([0, 1], [0, 1]),
                "T = 1": figures.shown(data.before),
                "T fitted": figures.shown(data.after),
            },
            legend=["T = 1", "T fitted"],
            xlabel="confidence",
            title=title,
        )
