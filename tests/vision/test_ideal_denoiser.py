import numpy as np
import pytest

from dlkb.vision.ideal_denoiser import mixture_x0
from tests.cases import Case
from tests.close import assert_close

SQUARES = dict.fromkeys(
    ["float64 huge x", "float64 huge centres", "float64 huge all"],
    "squared distances do not fit",
)
CASES = [
    Case(
        mixture_x0,
        lambda rng: (
            (rng.normal(size=(2, 3)), rng.normal(size=(4, 3)), np.asarray([[0.25], [0.5]])),
            {"variance": 0.5},
        ),
        fixed=("alpha_bar",),
        broadcasts=("alpha_bar",),
        batch=("x", "alpha_bar"),
        scale=4,
        unless=SQUARES,
    ),
    Case(
        mixture_x0,
        lambda rng: ((rng.normal(size=(2, 3)), rng.normal(size=(4, 3)), 0.5), {}),
        "set",
        batch=("x",),
        scale=4,
        unless=SQUARES,
    ),
]


def by_hand(x, centres, share, variance):
    """E[x₀ | x] from densities, without logarithms."""
    spread = share * variance + 1 - share
    weight = np.exp(-((x - share**0.5 * centres) ** 2).sum(-1) / (2 * spread))
    means = centres + share**0.5 * variance / spread * (x - share**0.5 * centres)
    return (weight[:, None] * means).sum(0) / weight.sum()


@pytest.mark.parametrize("variance", [0.0, 0.3, 2.0])
@pytest.mark.parametrize("share", [0.0, 0.4, 0.9])
def test_each_row_is_bayes_rule(share, variance):
    rng = np.random.default_rng(0)
    x, centres = rng.normal(size=(5, 2)), rng.normal(size=(3, 2))
    expected = np.stack([by_hand(row, centres, share, variance) for row in x])
    assert_close(mixture_x0(x, centres, share, variance=variance), expected)


def test_it_is_the_regression_of_the_data_on_the_noisy_array():
    """The residual is uncorrelated with functions of x: no predictor is better on average."""
    rng = np.random.default_rng(1)
    centres = np.asarray([[-1.0], [2.0]])
    x0 = centres[rng.integers(0, 2, size=100_000)] + 0.3 * rng.normal(size=(100_000, 1))
    x = 0.6**0.5 * x0 + 0.4**0.5 * rng.normal(size=x0.shape)
    residual = x0 - mixture_x0(x, centres, 0.6, variance=0.09)
    for feature in (np.ones_like(x), x, x**2, np.sin(3 * x)):
        assert abs(np.mean(residual * feature)) < 0.02


def test_far_centres_do_not_divide_zero_by_zero():
    found = mixture_x0(np.asarray([[100.0]]), np.asarray([[0.0], [50.0]]), 0.99)
    assert_close(found, np.asarray([[50.0]]))


@pytest.mark.parametrize("shape", [(0, 2), (1, 2), (2,), (3, 0, 2)])
def test_shapes(shape):
    assert mixture_x0(np.ones(shape), np.ones((4, 2)), 0.5).shape == shape


def test_a_share_for_each_row_without_axes_and_with():
    x, centres = np.ones((3, 2)), np.asarray([[0.0, 1.0], [1.0, 0.5]])
    expected = mixture_x0(x, centres, 0.5)
    for share in (np.asarray(0.5), np.asarray([0.5]), np.full((3, 1), 0.5)):
        assert_close(mixture_x0(x, centres, share), expected)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "match"),
    [
        ((np.arange(2), np.ones((1, 2)), 0.5), {}, TypeError, "x has dtype int64"),
        ((np.ones(2), np.ones((1, 2), dtype=int), 0.5), {}, TypeError, "centres has dtype"),
        ((np.ones(2), np.ones((1, 3)), 0.5), {}, ValueError, "centres has shape"),
        ((np.ones(2), np.ones(2), 0.5), {}, ValueError, "centres has shape"),
        ((np.ones(2), np.ones((0, 2)), 0.5), {}, ValueError, r"centres has shape \(0, 2\)"),
        ((np.ones(2), np.ones((1, 2)), np.zeros(1, int)), {}, TypeError, "alpha_bar has dtype"),
        ((np.ones(()), np.ones((1, 1)), 0.5), {}, ValueError, "centres has shape"),
        ((np.ones(2), np.ones((1, 2)), 1.0), {}, ValueError, r"alpha_bar is 1.0: .*\[0, 1\)"),
        ((np.ones(2), np.ones((1, 2)), 0.5), {"variance": -1.0}, ValueError, "variance is -1.0"),
        ((np.ones((3, 2)), np.ones((1, 2)), np.ones((3, 2))), {}, ValueError, "alpha_bar has"),
    ],
)
def test_bad_input_is_named(arguments, options, error, match):
    with pytest.raises(error, match=match):
        mixture_x0(*arguments, **options)
