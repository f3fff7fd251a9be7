import numpy as np
import pytest
import torch
from scipy import stats

from dlkb.retrieval.query_bootstrap import (
    bootstrap_interval,
    percentile_interval,
    resampled_means,
)
from tests.cases import Case
from tests.close import assert_close


def values_and_draws(rng):
    return (rng.normal(size=5), (rng.permuted(np.arange(40)) / 40 + 0.01).reshape(8, 5)), {}


CASES = [
    Case(resampled_means, values_and_draws, fixed=("draws",), batch=()),
    Case(percentile_interval, lambda rng: ((rng.normal(size=(2, 9)),), {"level": 0.7})),
    Case(
        bootstrap_interval,
        lambda rng: (
            (rng.normal(size=6),),
            {"generator": np.random.default_rng(1), "samples": 50, "level": 0.8},
        ),
        batch=(),
    ),
]


def test_means_are_those_of_the_drawn():
    values = np.asarray([1.0, 10.0, 100.0])
    draws = np.asarray([[0.0, 0.33, 0.34], [0.66, 0.67, 0.999], [1.0, 1.0, 0.0]])
    assert_close(resampled_means(values, draws), np.asarray([12.0, 210.0, 201.0]) / 3)


@pytest.mark.parametrize("b", [1, 2, 100, 1001])
@pytest.mark.parametrize("level", [0.5, 0.95, 0.999])
def test_quantiles_are_those_of_numpy(b, level):
    means = np.random.default_rng(0).normal(size=(3, b))
    expected = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=-1)
    assert_close(np.stack(percentile_interval(means, level=level)), expected)


def test_the_interval_is_that_of_scipy():
    values = np.random.default_rng(1).beta(0.5, 0.5, size=80)
    found = bootstrap_interval(values, generator=np.random.default_rng(2), samples=20_000)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(3)
    ).confidence_interval
    width = theirs.high - theirs.low
    assert_close(np.stack(found), np.asarray(theirs), scale=1e12 * 0.02 * width)
    assert found.low < values.mean() < found.high
    narrower = bootstrap_interval(values, generator=np.random.default_rng(2), level=0.5)
    assert narrower.high - narrower.low < 0.5 * width


def test_the_default_draws_a_thousand_samples():
    values = np.random.default_rng(4).normal(size=20)
    default = bootstrap_interval(values, generator=np.random.default_rng(5))
    named = bootstrap_interval(values, generator=np.random.default_rng(5), samples=1000, level=0.95)
    assert default == named
    means = resampled_means(values, np.random.default_rng(5).random((1000, 20)))
    assert default == percentile_interval(means)


def test_a_torch_generator_draws_for_tensors():
    values = torch.linspace(0, 1, 30, dtype=torch.float64)
    found = bootstrap_interval(values, generator=torch.Generator().manual_seed(0))
    assert 0.3 < found.low < 0.45 < 0.55 < found.high < 0.7
    half = bootstrap_interval(values.half(), generator=torch.Generator().manual_seed(0))
    assert half.low.dtype == torch.float16


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda r: resampled_means(np.ones(3), np.ones((2, 4))), ValueError, r"\(n,\) and"),
        (lambda r: resampled_means(np.ones(0), np.ones((2, 0))), ValueError, r"\(n,\) and"),
        (lambda r: resampled_means(np.ones(3), np.ones(3)), ValueError, r"\(n,\) and"),
        (lambda r: resampled_means(np.ones(3, int), np.ones((2, 3))), TypeError, "values has"),
        (lambda r: resampled_means(np.ones(3), np.ones((2, 3), int)), TypeError, "draws has"),
        (lambda r: percentile_interval(np.ones(0)), ValueError, "b of at least 1"),
        (lambda r: percentile_interval(np.ones(3), level=1.0), ValueError, r"level is 1.0"),
        (lambda r: percentile_interval(np.ones(3, int)), TypeError, "means has dtype"),
        (lambda r: bootstrap_interval(np.ones((2, 3)), generator=r), ValueError, "one of each"),
        (lambda r: bootstrap_interval(np.ones(0), generator=r), ValueError, "one of each"),
        (lambda r: bootstrap_interval(np.ones(3), generator=r, samples=0), ValueError, "samples"),
        (lambda r: bootstrap_interval(np.ones(3), generator=r, level=0.0), ValueError, "level is"),
        (lambda r: bootstrap_interval(np.ones(3, int), generator=r), TypeError, "values has"),
    ],
)
def test_errors_name_the_argument(call, error, message):
    generator = np.random.default_rng(0)
    with pytest.raises(error, match=message):
        call(generator)
    assert generator.random() == np.random.default_rng(0).random(), "nothing was drawn"
