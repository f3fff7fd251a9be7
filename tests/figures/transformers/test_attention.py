import numpy as np
import pytest

from dlkb.transformers.attention_scale import gaussian_entropy
from scripts.figures.transformers import attention as figures
from tests.figures.drawn import assert_draws


def test_weights_draws_its_data():
    data = figures.weights_data(64, 0.0)
    assert data.one.sum() == pytest.approx(1)
    assert len(data.one) == 16
    assert_draws(
        figures.weights(),
        panel=1,
        lines={
            "every width": (figures.WIDTHS, data.read),
            "this width": ([64], data.read[[2]]),
        },
        xlabel="width d",
        ylabel="keys read on average",
    )
    bars = figures.weights()
    assert "the largest weight is 1.00; queries read 1.5 of 16" in bars.show(64, 0.0)
    corners = bars.moving[0].get_xy()
    assert np.allclose(corners[1:64:4, 1], data.one)
    assert np.allclose(corners[1:64:4, 0], np.arange(1, 17) - 0.4)


def test_only_the_root_keeps_the_number_of_keys_that_are_read():
    read = {power: figures.weights_data(4, power).read for power in figures.POWERS}
    assert np.ptp(read[0.5]) < 1
    assert np.ptp(read[0.25]) > 3
    assert np.ptp(read[0.75]) > 2.5
    assert read[0.0][-1] < 1.5
    assert read[1.0][-1] > 15.9


@pytest.mark.parametrize(("panel", "name"), list(enumerate(figures.PANELS)))
def test_masks_draws_its_data(panel, name):
    keys, queries = figures.readable(name)
    assert_draws(
        figures.masks(),
        panel=panel,
        lines={name: (keys, queries)},
        title=name,
        xlabel="key",
        ylabel=("query", "")[panel > 0],
    )
    assert len(keys) == {"all": 36, "causal": 21, "window of 3": 15}.get(name, 11)


def test_entropies_draws_its_data():
    lines = {}
    for keys in figures.COUNTS:
        found, expected = figures.entropy_data(keys)
        assert expected[4] == gaussian_entropy(keys=keys, std=1.0)
        assert found[0] == pytest.approx(np.log(keys))
        lines[f"{keys} keys"] = (figures.SPREADS, found)
        lines[f"expected, {keys}"] = (figures.SPREADS, expected)
    assert_draws(
        figures.entropies(),
        lines=lines,
        texts=[f"{keys} keys" for keys in figures.COUNTS],
        xlabel="standard deviation of the scores",
        ylabel="entropy in nats",
    )
