import numpy as np
import pytest
import torch
from torch.nn import functional as F

from scripts.figures.normalization import norm_axes as figures
from scripts.figures.normalization.norm_axes import BATCHES, KINDS, Kind, dots, mates_data, shared
from tests.figures.drawn import assert_draws

X = torch.tensor(np.random.default_rng(1).normal(size=(3, 6, 4)))

TORCH = {
    "batch norm": lambda x: F.batch_norm(x, None, None, training=True),
    "layer norm, C·H·W": lambda x: F.layer_norm(x, (6, 4)),
    "layer norm, C": lambda x: F.layer_norm(x.transpose(1, 2), (6,)).transpose(1, 2),
    "instance norm": F.instance_norm,
} | {f"group norm, G = {g}": lambda x, g=g: F.group_norm(x, g) for g in (1, 2, 3, 6)}


@pytest.mark.parametrize("kind", range(len(KINDS)), ids=KINDS)
def test_those_that_share_a_mean_in_torch(kind):
    for channel in range(1, 7):
        x = X.clone().requires_grad_()
        (grad,) = torch.autograd.grad(TORCH[KINDS[kind]](x)[1, channel - 1, 1], x)
        assert np.array_equal(shared(kind, channel), grad.abs().numpy() > 1e-9)


def test_a_kind_is_written_by_its_name():
    assert [f"{Kind(k)}" for k in range(len(KINDS))] == list(KINDS)


def test_the_sentence_counts():
    explorable = figures.axes_shared()
    assert explorable.show(0, 3) == (
        "In batch norm: 12 numbers share a mean: those of 3 examples and 1 channel."
    )
    assert explorable.show(5, 3) == (
        "In group norm, G = 3: 8 numbers share a mean: those of 1 example and 2 channels."
    )


def test_the_first_frame():
    mask = shared(4, 2)
    one = np.zeros_like(mask)
    one[1, 1, 1] = True
    assert_draws(
        figures.axes_shared(),
        lines={"all": dots(np.ones_like(mask)), "same": dots(mask), "marked": dots(one)},
        ylabel="channel",
    )


def test_batch_mates_matter_less_the_more_numbers_share_a_mean():
    few, many = mates_data(1), mates_data(64)
    assert (many < few / 4).all()
    assert 3 < few[1] / few[-1] < 5.5  # the root of 16 is 4


def test_batch_mates_draws_its_data():
    assert_draws(
        figures.batch_mates(),
        lines={"1 place": (BATCHES, mates_data(1)), "64 places": (BATCHES, mates_data(64))},
        xlabel="batch size",
        ylabel="change of an output",
    )
