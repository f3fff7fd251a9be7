import numpy as np
import pytest
from sklearn.datasets import load_digits

from dlkb.experiments.digits import IMAGES, all_digits, digits, turned


def test_are_the_digits_each_once():
    images, labels = load_digits(return_X_y=True)
    assert len(images) == IMAGES
    x, y, x_test, y_test = digits(train=1000)
    rows = {(*image, label) for image, label in zip(images, labels, strict=True)}
    found = np.column_stack([np.concatenate([16 * x, 16 * x_test]), np.concatenate([y, y_test])])
    assert {tuple(row) for row in found} == rows


def test_reads_what_scikit_learn_reads():
    for ours, theirs in zip(all_digits(), load_digits(return_X_y=True), strict=True):
        np.testing.assert_array_equal(ours, theirs)
        assert ours.dtype == theirs.dtype
        assert not ours.flags.writeable  # the next call returns it again


def test_seed_decides_the_order_alone():
    first, again, other = digits(), digits(), digits(seed=1)
    np.testing.assert_array_equal(first.x_train, again.x_train)
    assert not np.array_equal(first.x_train, other.x_train)
    few = digits(train=100, test=50)
    np.testing.assert_array_equal(few.x_train, first.x_train[:100])
    np.testing.assert_array_equal(few.x_test, first.x_train[100:150])


def test_each_seed_is_its_own_split():
    stacked = digits(train=300, test=40, noise=0.3, scale="standard", seeds=3, seed=5)
    for s in range(3):
        one = digits(train=300, test=40, noise=0.3, scale="standard", seed=5 + s)
        for together, alone in zip(stacked, one, strict=True):
            np.testing.assert_array_equal(together[s], alone)


def test_noise_relabels_training_images_only():
    clean, noisy = digits(), digits(noise=0.5)
    np.testing.assert_array_equal(clean.x_train, noisy.x_train)
    np.testing.assert_array_equal(clean.y_test, noisy.y_test)
    assert 0.4 < (clean.y_train != noisy.y_train).mean() < 0.5  # nine tenths of a half
    assert 0.87 < (clean.y_train != digits(noise=1.0).y_train).mean() < 0.93
    wrong = np.bincount(noisy.y_train[clean.y_train != noisy.y_train], minlength=10)
    assert wrong.min() > 20


def test_scales():
    x, _, x_test, _ = digits(train=500, scale="standard")
    assert abs(x.mean()) < 1e-12
    assert abs(x.std() - 1) < 1e-12
    unit = digits(train=500)
    mean, std = unit.x_train.mean(), unit.x_train.std()
    np.testing.assert_allclose(x_test * std + mean, unit.x_test, atol=1e-12)
    assert digits(dtype="float32").x_test.dtype == np.float32


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train": 0}, "train is 0"),
        ({"train": IMAGES}, "train is 1797"),
        ({"train": 1000, "test": 798}, r"test is 798: it must lie in \[1, 797\]"),
        ({"test": 0}, "test is 0"),
        ({"noise": 1.1}, "noise is 1.1"),
        ({"scale": "bright"}, "scale is 'bright'"),
        ({"dtype": "int8"}, "dtype is 'int8'"),
        ({"seeds": 0}, "seeds is 0"),
    ],
)
def test_errors_name_the_argument(options, message):
    with pytest.raises(ValueError, match=message):
        digits(**options)


def test_limits_are_allowed():
    assert len(digits(train=1).y_train) == 1
    assert len(digits(train=IMAGES - 1).y_test) == 1
    assert len(digits(train=1000, test=797).y_test) == 797


def test_turned_turns_each_image():
    x = digits(train=20, seeds=2).x_train
    left = turned(x)
    assert left.shape == x.shape
    image, result = x[1, 3].reshape(8, 8), left[1, 3].reshape(8, 8)
    for row in range(8):
        for column in range(8):
            assert result[row, column] == image[column, 7 - row]
    np.testing.assert_array_equal(turned(left, quarters=3), x)
    with pytest.raises(ValueError, match=r"images has shape \(3, 8, 8\)"):
        turned(np.ones((3, 8, 8)))
