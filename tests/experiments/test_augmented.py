import numpy as np
import pytest
from scipy import ndimage
from sklearn.kernel_ridge import KernelRidge

from dlkb.experiments.augmented import KINDS, change, classify
from dlkb.experiments.digits import Split, digits

EYE = np.eye(10)


def changed(kind, count=200):
    data, rng = digits(train=count), np.random.default_rng(1)
    return (
        data.x_train,
        EYE[data.y_train],
        *change(data.x_train, EYE[data.y_train], kind=kind, generator=rng),
    )


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_changes_most_images_and_keeps_targets_or_mixes_them(kind):
    x, y, images, targets = changed(kind)
    assert images.shape == x.shape
    assert (np.abs(images - x).max(1) > 1e-6).mean() > 0.6
    np.testing.assert_allclose(targets.sum(1), 1)
    assert np.array_equal(targets, y) == (kind not in ("mixup", "cutmix"))


def test_mirror_noise_and_moves_are_what_their_names_say():
    x, _, images, _ = changed("mirror")
    assert np.array_equal(images.reshape(-1, 8, 8)[..., ::-1], x.reshape(-1, 8, 8))
    x, _, images, _ = changed("noise")
    assert abs((images - x).std() - 0.1) < 0.005
    for kind in ("shift", "rotate"):
        x, _, images, _ = changed(kind)
        centres = [
            np.asarray([ndimage.center_of_mass(one) for one in a.reshape(-1, 8, 8)])
            for a in (x, images)
        ]
        moved = np.abs(centres[1] - centres[0]).max()
        assert (0.5 < moved < 0.85) if kind == "shift" else moved < 0.6


def test_a_turn_goes_all_the_way_round_and_a_rotation_does_not():
    def overlap(kind):
        x, _, images, _ = changed(kind)
        return (x * images).sum(1) / (x**2).sum(1)

    assert overlap("turn").min() < 0.4
    assert overlap("rotate").min() > 0.6


def test_cutmix_takes_pixels_and_mixup_means():
    x, y, images, targets = changed("cutmix")
    rng = np.random.default_rng(1)
    partner = rng.permutation(len(x))
    from_one = (images == x) | (images == x[partner])
    assert from_one.all()
    x, y, images, targets = changed("mixup")
    rng = np.random.default_rng(1)
    partner, weight = rng.permutation(len(x)), rng.beta(1, 1, size=len(x))[:, None]
    np.testing.assert_allclose(images, weight * x + (1 - weight) * x[partner])
    np.testing.assert_allclose(targets, weight * y + (1 - weight) * y[partner])


@pytest.mark.parametrize("kind", [None, "shift"])
def test_classifier_is_scikit_learn_s(kind):
    data = digits(train=60, test=100)
    x, y = data.x_train, EYE[data.y_train]
    if kind:
        rng = np.random.default_rng(3)
        parts = [(x, y), *(change(x, y, kind=kind, generator=rng) for _ in range(2))]
        x, y = (np.concatenate(part) for part in zip(*parts, strict=True))
    model = KernelRidge(alpha=0.05 * (3 if kind else 1), kernel="rbf", gamma=1 / 8).fit(x, y)
    expected = model.predict(data.x_test).argmax(1)
    assert np.array_equal(classify(data, kind=kind, copies=2, ridge=0.05, seed=3), expected)


def test_a_stack_of_splits_is_each_of_them():
    data = digits(train=40, test=50, seeds=3)
    found = classify(data, kind="mixup", seed=5)
    for s in range(3):
        one = Split(*(part[s] for part in data))
        assert np.array_equal(found[s], classify(one, kind="mixup", seed=5 + s))


def test_errors():
    with pytest.raises(ValueError, match="copies is 0"):
        classify(digits(train=5), kind="shift", copies=0)
    with pytest.raises(ValueError, match="kind is 'blur'"):
        changed("blur")
