import math

import numpy as np

from dlkb.experiments import h100
from scripts.figures.systems import cuda as figures
from tests.figures.drawn import assert_draws


def test_efficiency_by_counting_blocks():
    for n in (256, 1024, 1088, 4096):
        for tile, units in ((64, 108), (128, 132)):
            side = math.ceil(n / tile)
            waves = math.ceil(side**2 / units)
            expected = n * n / (waves * units * tile * tile)
            found = figures.efficiency(np.asarray([float(n)]), tile, units)[0]
            np.testing.assert_allclose(found, expected)


def test_quantization_draws_its_frame():
    assert_draws(
        figures.quantization(),
        lines={
            "multiples of 64": (figures.SIZES, figures.efficiency(figures.SIZES, 128, 132)),
            "powers of two": (figures.POWERS, figures.efficiency(figures.POWERS, 128, 132)),
        },
        legend=["multiples of 64", "powers of two"],
        xlabel="rows = columns",
        ylabel="share of useful work",
    )


def test_powers_of_two_are_not_the_best_for_any_tile_or_gpu_shown():
    for tile in figures.TILES:
        for units in figures.UNITS:
            share = figures.efficiency(figures.SIZES, tile, units)
            assert share.max() > figures.efficiency(figures.POWERS, tile, units).max()


def test_strides_draws_sectors_and_reads():
    data = figures.traffic()
    for panel, (name, values) in enumerate(zip(data._fields, data, strict=True)):
        assert_draws(
            figures.strides(),
            panel=panel,
            bars={name: (figures.STRIDES, values)},
            xlabel="stride in words",
        )
    assert data.sectors[:9].tolist() == [4, 8, 12, 16, 20, 24, 28, 32, 32]
    assert data.reads.tolist() == [math.gcd(int(s), 32) for s in figures.STRIDES]


def test_rooflines_draws_the_roof_and_what_lies_on_it():
    roof = np.minimum(3.35 * figures.INTENSITY, 989)
    dots = {name: ([x], [y]) for name, (x, y) in figures.dots().items()}
    assert_draws(
        figures.rooflines(),
        lines={"roofline": (figures.INTENSITY, roof)} | dots,
        texts=list(dots),
        xlabel="operations a byte",
    )
    assert list(figures.dots()) == ["add", "1 row", "16 rows", "128 rows", "1024 rows"]


def test_measured_draws_what_was_measured():
    rates = [h100.rate(n) for n in figures.SHOWN]
    assert_draws(
        figures.measured(),
        panel=0,
        bars={"rate": rates},
        title="10¹² operations a second",
    )
    rows, time = h100.layer()
    assert_draws(figures.measured(), panel=1, lines={"time": (rows[:26], time[:26])}, xlabel="rows")
