import numpy as np
import pytest

from scripts.figures.finetuning import adapters as figures
from tests.figures.drawn import assert_draws


@pytest.mark.parametrize("panel", [0, 1, 2])
def test_places_draw_where_the_adapter_reads_and_writes(panel):
    place = figures.places_data()[panel]
    assert_draws(
        figures.places(),
        panel=panel,
        lines={"skip": tuple(figures.skip_line().T), "bottleneck": tuple(place.arms.T)},
        texts=[*map(figures.written, place.boxes), "x", "h"],
        title=place.title,
    )
    figure = figures.places()
    found = {t.get_text(): t.get_position() for t in figure.axes[panel].texts}
    for name in ("adapter", "sublayer"):
        assert found[name] == place.boxes[name]
    x, y = place.boxes["adapter"]
    low, high = sorted((place.arms[1, 1], place.arms[2, 1]))
    assert x == place.arms[1, 0]
    assert low < y < high


@pytest.mark.parametrize("bias", figures.BIASES)
def test_the_fit_is_the_nearest_affine_function(bias):
    data = figures.fit(bias)
    assert data.adapter == pytest.approx(figures.INPUTS + np.maximum(figures.INPUTS + bias, 0))
    for slope, shift in ((0.01, 0), (0, 0.01), (-0.01, 0.01)):
        other = data.merged + slope * figures.INPUTS + shift
        assert np.sqrt(np.mean((data.adapter - other) ** 2)) > data.gap
    assert (data.gap < 1e-12) == (abs(bias) >= 1)


def test_no_merge_draws_its_data():
    data = figures.fit(0.0)
    assert_draws(
        figures.no_merge(),
        panel=0,
        lines={
            "adapter": (figures.INPUTS, data.adapter),
            "nearest linear layer": (figures.INPUTS, data.merged),
        },
        legend=["adapter", "nearest linear layer"],
        xlabel="h",
        title="output",
    )
    assert_draws(
        figures.no_merge(),
        panel=1,
        lines={"gap": (figures.BIASES, figures.gaps()), "this bias": ([0], [data.gap])},
        xlabel="bias b of the unit",
        title="gap (root mean square)",
    )


def test_the_sentence_names_the_kink_and_the_gap():
    show = figures.no_merge().show
    assert show(0.5) == (
        f"With b = 0.5 its kink is at h = -0.5: the nearest linear layer misses by "
        f"{figures.fit(0.5).gap:.3f}."
    )
    assert show(1.25).startswith("With b = 1.25 its kink is outside: the nearest linear layer")


@pytest.mark.parametrize("says", [figures.places_says, figures.no_merge_says])
def test_alt_texts_and_captions_are_true(says):
    assert [phrase for phrase, true in says().items() if not true] == []
