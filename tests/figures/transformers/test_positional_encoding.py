import numpy as np
import pytest

from scripts.figures.transformers import positional_encoding as figures
from tests.figures.drawn import assert_draws


def test_dot_products_draws_its_data():
    data = figures.products(10, 16)
    angles = 3 * 10_000.0 ** (-np.arange(8) / 8)
    assert data.both[33] == pytest.approx(np.cos(angles).mean())
    assert_draws(
        figures.dot_products(),
        lines={
            "sines and cosines": (figures.OFFSETS, data.both),
            "sines alone": (figures.OFFSETS, data.sines),
        },
        legend=["sines and cosines", "sines alone"],
        xlabel="offset",
        ylabel="dot product, 2/d times",
    )


@pytest.mark.parametrize("panel", [0, 1])
def test_lengths_draws_the_medians(panel):
    name = figures.PATTERNS[panel]
    assert_draws(
        figures.lengths(),
        panel=panel,
        lines={
            label: (figures.LENGTHS, np.median(figures.lengths_data(encoding, name), 1))
            for encoding, label in figures.NAMES.items()
        },
        xlabel="length",
        ylabel=("weight in place", "")[panel],
        title=name,
    )


def test_lengths_has_one_legend():
    (legend,) = figures.lengths().legends
    assert [text.get_text() for text in legend.get_texts()] == list(figures.NAMES.values())
