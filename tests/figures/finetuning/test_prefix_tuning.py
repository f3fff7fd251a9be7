import numpy as np
import pytest

from scripts.figures.finetuning import prefix_tuning as figures
from tests.figures.drawn import assert_draws


@pytest.mark.parametrize("length", figures.LENGTHS)
def test_the_gate_is_the_share_of_exponentials(length):
    own = np.exp(figures.OWN).sum()
    scores = np.asarray(figures.SCORES)
    assert figures.gates(length) == pytest.approx(1 / (1 + own / (length * np.exp(scores))))
    for score in figures.SCORES:
        data = figures.mixed(score, length)
        end = figures.PREFIX_VALUE[0]
        assert data.output == pytest.approx((1 - data.gate) * data.own + data.gate * end)


def test_mixture_draws_its_data():
    data, figure = figures.mixed(0.0, 5), figures.mixture()
    legend = ["between both", "own values", "output without prefix", "prefix value", "output"]
    values, end = figures.VALUES, figures.PREFIX_VALUE[0]
    assert_draws(
        figures.mixture(),
        panel=0,
        lines={
            "between both": ([data.own[0], end[0]], [data.own[1], end[1]]),
            "own values": tuple(values.T),
            "output without prefix": ([data.own[0]], [data.own[1]]),
            "prefix value": ([end[0]], [end[1]]),
            "output": ([data.output[0]], [data.output[1]]),
        },
        title="values of one head",
    )
    assert_draws(
        figures.mixture(),
        panel=1,
        lines={
            "gate": (figures.SCORES, figures.gates(5)),
            "this score": ([0], [data.gate]),
        },
        xlabel="score of the prefix keys",
        title="share read from the prefix, λ",
    )
    [drawn] = figure.figure.legends
    assert [text.get_text() for text in drawn.get_texts()] == legend
    assert figure.show(0.0, 5) == (
        f"With 5 positions of score 0 the query reads {100 * data.gate:.0f} % from the prefix."
    )


def test_trained_draws_its_data():
    data = figures.counts()
    assert_draws(
        figures.trained(),
        lines={name: (figures.POSITIONS, row) for name, row in data.items()},
        legend=list(data),
        xlabel="length ℓ",
        ylabel="trained parameters",
    )
    assert data["prefix, all layers"][4] == 368_640
    assert data["LoRA, r = 8"][0] == 294_912


@pytest.mark.parametrize("says", [figures.mixture_says, figures.trained_says])
def test_alt_texts_and_captions_are_true(says):
    assert [phrase for phrase, true in says().items() if not true] == []
