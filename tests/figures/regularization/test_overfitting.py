import numpy as np
import pytest

from dlkb.regularization.overfitting import stopping_point
from scripts.figures.regularization.overfitting import (
    SEEDS,
    SIZES,
    descent_data,
    digit_errors,
    filter_data,
    risk_data,
    selection_data,
    train,
)


def test_right_labels_are_learnt_before_wrong_ones():
    data = train(0.4)
    assert data.right.shape[1] == SEEDS >= 10
    # When a network has fitted nine tenths of its right labels, few of the wrong ones are.
    reached = (data.right >= 0.9).argmax(0)
    assert np.mean(data.wrong[reached, range(SEEDS)] < 0.3) == 1
    assert np.mean(data.wrong[-1] > 0.99) == 1


def test_test_accuracy_peaks_and_falls_with_noisy_labels_alone():
    noisy, clean = train(0.4), train(0.0)
    assert np.mean(noisy.test_accuracy.max(0) - noisy.test_accuracy[-1] > 0.1) == 1
    assert np.mean(noisy.test_accuracy.argmax(0) < 25) >= 0.9
    assert np.mean(clean.test_accuracy.max(0) - clean.test_accuracy[-1] < 0.03) == 1
    assert (noisy.test_accuracy.max(1) < clean.test_accuracy.min(1))[30:].all()


def test_the_loss_rises_and_the_accuracy_does_not_fall():
    data = train(0.0, images=50)
    stop = stopping_point(data.val_loss.mean(1), patience=5)
    best = int(stop.best_step)
    assert 5 < best < 15
    assert np.mean(data.val_loss[-1] > 1.1 * data.val_loss.min(0)) == 1
    assert (np.diff(data.train_loss.mean(1))[3:] < 0).all()
    assert data.val_accuracy[-1].mean() > data.val_accuracy[best].mean()
    # The gap is there where the validation loss is best.
    assert np.mean(data.val_loss[best] > 2 * data.train_loss[best]) == 1


def test_random_labels_are_fitted_and_nothing_is_learnt():
    data = train(1.0)
    assert np.mean((data.right[-1] == 1) & (data.wrong[-1] == 1)) >= 0.9
    assert abs(data.test_accuracy[-1].mean() - 0.1) < 0.03


def test_the_filters_are_close_and_ordered():
    data = filter_data()
    ratio = data.flow / data.ridge
    assert ratio.min() >= 1
    assert ratio.max() == pytest.approx(1.29843, abs=1e-5)
    assert 1.5 < data.x[ratio.argmax()] < 2.1
    assert 0.19 < (data.flow - data.ridge).max() < 0.21
    near = data.x < 5
    assert np.abs(data.descent - data.flow)[near].max() < 0.01
    assert (data.descent >= data.ridge)[near].all()


def test_bias_falls_variance_rises_and_draws_agree():
    data = risk_data()
    total = data.bias + data.variance
    assert (np.diff(data.bias) < 0).all()
    assert (np.diff(data.variance) > 0).all()
    np.testing.assert_allclose(data.sampled, total, rtol=0.03)
    best = total.argmin()
    assert 0 < best < len(total) - 1
    assert total[best] < 0.9 * total[-1]
    assert (np.diff(data.train) < 0).all()
    assert total.max() < 6
    assert data.train.max() < 8


def test_more_digits_less_error_and_a_smaller_gap():
    seen, unseen = digit_errors()
    assert seen.shape == (len(SIZES), SEEDS)
    assert (np.diff(unseen.mean(1)) < 0).all()
    assert np.mean(unseen[-1] < unseen[0]) == 1
    assert (np.diff((unseen - seen).mean(1)) < 0).all()
    assert seen.max() < 0.01


def test_least_squares_gets_worse_with_more_data_and_ridge_does_not():
    data = descent_data()
    far = np.abs(data.n - 40) > 3
    np.testing.assert_allclose(data.sampled[far], data.closed[far], rtol=0.1)
    assert data.closed[data.n == 34] > data.closed[data.n == 10]
    assert (np.diff(data.ridge) < 0.02).all()
    assert (data.ridge <= data.sampled).all()


def test_the_best_score_is_too_good_as_the_formula_says():
    # With 100 examples scores near 0.9 are skewed: the largest is less far out than a normal one.
    data = selection_data()
    for n, share in ((100, 0.15), (1000, 0.05), (10_000, 0.05)):
        assert (np.diff(data.sampled[n]) > 0).all()
        np.testing.assert_allclose(data.sampled[n][3:], data.closed[n][3:], rtol=share)
    # A hundred times the examples, a tenth of the optimism; k = 1 has none.
    np.testing.assert_allclose(data.closed[100][1:], 10 * data.closed[10_000][1:])
