import numpy as np
import pytest
import torch

from dlkb.experiments import cures
from dlkb.experiments.cures import SHIFTS, shift, try_cures


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_a_shift_moves_and_fills_with_black():
    image = np.arange(1.0, 65.0).reshape(8, 8)
    down, right = (shift(image.reshape(64), *by).reshape(8, 8) for by in ((1, 0), (0, 1)))
    np.testing.assert_array_equal(down[1:], image[:-1])
    np.testing.assert_array_equal(right[:, 1:], image[:, :-1])
    assert (down[0] == 0).all()
    assert (right[:, 0] == 0).all()
    back = shift(shift(image.reshape(1, 64), -1, -1), 1, 1).reshape(8, 8)
    np.testing.assert_array_equal(back[1:, 1:], image[1:, 1:])
    assert len(set(SHIFTS)) == 4


def test_splits_hold_five_digits_and_share_nothing():
    low, high = (cures._split(100, 0.0, 2, low=low) for low in (True, False))
    for split in (low, high):
        assert set(np.unique(split.y_train)) == set(range(5))
        for s in range(2):
            train, test = ({row.tobytes() for row in x[s]} for x in (split.x_train, split.x_test))
            assert not train & test
    assert not {row.tobytes() for row in low.x_train[0]} & {
        row.tobytes() for row in high.x_train[0]
    }
    noisy = cures._split(100, 1.0, 2)
    np.testing.assert_array_equal(noisy.x_train, low.x_train)
    np.testing.assert_array_equal(noisy.y_test, low.y_test)
    assert 0.1 < (noisy.y_train == low.y_train).mean() < 0.3


def test_every_cure_is_another_network():
    scores = try_cures(noise=0.4, images=20, steps=20, seeds=2)
    assert list(scores.loss) == list(scores.accuracy) == list(scores.shifted)
    assert next(iter(scores.loss)) == "none"
    ends = [tuple(loss) for loss in scores.loss.values()]
    assert len(set(ends)) == len(ends) == 8
    assert all((loss > 0).all() for loss in scores.loss.values())
    assert all(((hits >= 0) & (hits <= 1)).all() for hits in scores.accuracy.values())
    assert scores.shifted["none"].mean() > scores.loss["none"].mean()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"images": 151}, "images is 151"),
        ({"images": 0}, "images is 0"),
        ({"noise": 2}, "noise is 2"),
    ],
)
def test_errors_name_the_argument(options, message):
    with pytest.raises(ValueError, match=message):
        try_cures(**{"noise": 0.0, "images": 20, "steps": 1, "seeds": 1} | options)
