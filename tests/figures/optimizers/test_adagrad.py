import numpy as np
import pytest

from scripts.figures.optimizers import adagrad as figures
from tests.figures.drawn import assert_draws


@pytest.mark.parametrize("decay", [0.9, 0.99, 0.999])
@pytest.mark.parametrize("spike", [1.0, 10.0, 100.0])
def test_rates_are_the_inverse_roots_of_the_sums(decay, spike):
    data = figures.rates(decay, spike)
    squares = np.ones(figures.STEPS)
    squares[figures.SPIKE_AT - 1] = spike**2
    assert np.allclose(data.rates[0], np.cumsum(squares) ** -0.5)
    v, found = 0.0, []
    for square in squares:
        v = decay * v + (1 - decay) * square
        found.append(v)
    assert np.allclose(data.rates[1], np.asarray(found) ** -0.5)
    corrected = np.asarray(found) / (1 - decay**data.t)
    assert np.allclose(data.rates[2], corrected**-0.5)


def test_adagrad_does_not_recover_and_rmsprop_does():
    for decay in (0.9, 0.99, 0.999):
        ada, rms, _ = figures.rates(decay, 100.0).rates
        assert (np.diff(ada) < 0).all()
        assert rms[-1] > 0.8 or decay == 0.999  # its memory is a third of the run
        assert rms[-1] > 10 * ada[-1]


def test_learning_rates_draws_the_rates():
    data = figures.rates()
    at = figures.shown(data.t)
    assert {0, figures.SPIKE_AT - 1, figures.STEPS - 1} <= set(at.tolist())
    assert_draws(
        figures.learning_rates(),
        lines={
            name: (data.t[at], rate[at])
            for name, rate in zip(figures.NAMES, data.rates, strict=True)
        },
        legend=list(figures.NAMES),
        xlabel="step t",
        ylabel="rate / lr",
    )


def test_eps_inside_draws_both_places():
    data = figures.eps_data()
    assert np.allclose(data.outside, data.size / (data.size + 1e-8))
    assert np.allclose(data.inside, data.size / np.sqrt(data.size**2 + 1e-8))
    assert_draws(
        figures.eps_inside(),
        lines={"√G + ε": (data.size, data.outside), "√(G + ε)": (data.size, data.inside)},
        texts=["√G + ε", "√(G + ε)"],
        xlabel="size of the gradient",
        ylabel="first step / lr",
    )


def test_singular_values_draws_both_polynomials():
    data = figures.singular_data()
    muon = cubic = data.before
    for _ in range(5):
        muon = 3.4445 * muon - 4.7750 * muon**3 + 2.0315 * muon**5
        cubic = 1.5 * cubic - 0.5 * cubic**3
    assert np.allclose(data.muon, muon)
    assert np.allclose(data.cubic, cubic)
    assert_draws(
        figures.singular_values(),
        lines={"Muon": (data.before, muon), "Newton–Schulz": (data.before, cubic)},
        texts=["Muon", "Newton–Schulz"],
        xlabel="singular value before",
        ylabel="after five steps",
    )
