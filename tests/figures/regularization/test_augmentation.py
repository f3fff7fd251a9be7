import numpy as np

from scripts.figures.regularization import augmentation as figures
from scripts.figures.regularization.augmentation import (
    NAMES,
    SIZES,
    START,
    changed_data,
    gains_data,
    turned_data,
)
from tests.figures.drawn import assert_draws


def test_gains_start_with_fifty_images_and_say_so():
    explorable = figures.gains()
    for images in SIZES[:2]:
        data = gains_data(images)
        sentence = explorable.show(images)
        assert f"With {images} images, {data.plain:.0f} %" in sentence
        assert f"{data.gain[:, 0].mean():+.1f} points" in sentence
        assert data.gain.shape == (figures.SEEDS, len(NAMES))
    assert np.percentile(gains_data(SIZES[START]).gain[:, -1], 75) < 0


def test_gains_draws_its_data():
    explorable, data = figures.gains(), gains_data(SIZES[START])
    explorable.show(SIZES[START])
    bars, spreads = explorable.moving[: len(NAMES)], explorable.moving[len(NAMES) :]
    for at, (patch, line) in enumerate(zip(bars, spreads, strict=True)):
        column = data.gain[:, at]
        np.testing.assert_allclose(patch.get_xy()[:4], figures.bar(column.mean(), at))
        np.testing.assert_allclose(line.get_xdata(), np.percentile(column, [25, 75]))
    edges = {k: np.percentile(data.gain[:, at], [25, 75]) for at, k in enumerate(NAMES)}
    assert_draws(
        figures.gains(),
        lines={kind: (edges[kind], [at, at]) for at, kind in enumerate(NAMES)},
        xlabel="gain in points of test accuracy",
    )


def test_changed_draws_the_images():
    six, _, found = changed_data()
    short = {"rotate": "rotation", "turn": "half a turn", "mirror": "flip"}
    images = {"as it is": six} | {short.get(kind, kind): image for kind, image in found.items()}
    assert_draws(figures.changed(), images=images, texts=list(images))
    assert np.array_equal(found["mirror"], six[:, ::-1])
    assert np.allclose(found["turn"], six[::-1, ::-1], atol=1e-9)


def test_turned_draws_its_data():
    data = turned_data()
    assert_draws(
        figures.turned(),
        lines={
            "right, trained upright": (data.angle, data.right),
            "right, trained on all angles": (data.angle, data.trained),
            "sixes called nine": (data.angle, data.nines),
        },
        xlabel="turned by, degrees",
        ylabel="share in %",
    )
    assert data.right[0] > 95
    assert data.nines[-1] > 80
