import numpy as np
import pytest

from dlkb.vision.clip import loss_floor
from scripts.figures.vision import clip as figures
from tests.figures.drawn import assert_draws


def test_floor_draws_floor_and_chance():
    n = figures.BATCHES
    assert_draws(
        figures.floor(),
        lines={
            "at chance, log N": (n, np.log(n)),
            "least possible": (n, figures.floors(1.0)),
            "": ([32_768], [loss_floor(batch=32_768, temperature=1.0)]),
        },
        legend=["at chance, log N", "least possible"],
        xlabel="pairs in the batch, N",
        ylabel="loss",
    )


@pytest.mark.parametrize("temperature", figures.TEMPERATURES)
def test_the_sentence_is_that_of_the_data(temperature):
    low = loss_floor(batch=32_768, temperature=temperature)
    assert figures.floor().show(temperature) == (
        f"At the temperature {temperature:g} no embeddings bring a batch of 32768 below {low:.2f}; "
        "at chance it has 10.40."
    )
    assert (figures.floors(temperature) < np.log(figures.BATCHES)).all()


def test_unseen_draws_the_mean_cosines():
    data = figures.table()
    assert data.shape == (20, 20)
    assert_draws(figures.unseen(), panel=0, images={"cosines": data}, xlabel="name of")


def test_unseen_pairs_are_named():
    found = figures.trained()
    assert np.median(found.unseen) > 0.6
