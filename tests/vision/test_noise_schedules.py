import warnings

import numpy as np
import pytest

from dlkb.vision.noise_schedules import alpha_bar, cosine_alpha_bar, cosine_beta, linear_beta
from tests.cases import Case
from tests.close import assert_close

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from diffusers import DDPMScheduler

T = np.asarray([1.0, 4.0, 8.0])
CASES = [
    Case(
        linear_beta,
        lambda rng: ((np.copy(T),), {"steps": 8, "first": 0.1, "last": 0.5}),
        fixed=("t",),
    ),
    Case(
        cosine_alpha_bar,
        lambda rng: ((np.copy(T),), {"steps": 12, "offset": 0.1}),
        fixed=("t",),
    ),
    Case(
        cosine_beta,
        lambda rng: ((np.copy(T),), {"steps": 8, "offset": 0.1, "largest": 0.9}),
        fixed=("t",),
    ),
    Case(
        alpha_bar,
        lambda rng: ((rng.uniform(0.1, 0.5, size=(2, 3)),), {}),
        fixed=("beta",),
    ),
]


@pytest.mark.parametrize("steps", [2, 10, 100, 1000])
def test_betas_are_those_of_diffusers(steps):
    t = np.arange(1.0, steps + 1)
    for name, ours in (
        ("linear", linear_beta(t, steps=steps)),
        ("squaredcos_cap_v2", cosine_beta(t, steps=steps)),
    ):
        theirs = DDPMScheduler(num_train_timesteps=steps, beta_schedule=name)
        assert_close(ours, theirs.betas.double(), scale=1e6)  # theirs are float32
        assert_close(alpha_bar(ours), theirs.alphas_cumprod.double(), scale=1e6)


def test_the_last_share_of_the_paper():
    share = alpha_bar(linear_beta(np.arange(1.0, 1001), steps=1000))
    assert f"{share[-1]:.3g}" == "4.04e-05"


def test_unclipped_cosine_steps_multiply_to_the_cosine():
    t = np.arange(1.0, 101)
    share = cosine_alpha_bar(t, steps=100)
    assert_close(alpha_bar(cosine_beta(t, steps=100, largest=1.0)), share, scale=10)
    clipped = alpha_bar(cosine_beta(t, steps=100))
    assert_close(clipped[:-1], share[:-1], scale=10)
    assert clipped[-1] == pytest.approx(1e-3 * share[-2], rel=1e-9)
    assert share[-1] < 1e-30


def test_cosine_starts_at_one_and_falls():
    share = cosine_alpha_bar(np.arange(0.0, 101), steps=100)
    assert share[0] == 1
    assert (np.diff(share) < 0).all()


def test_half_precision_does_not_lose_small_betas():
    t = np.asarray([1.0, 500.0, 1000.0], dtype=np.float16)
    found = cosine_beta(t, steps=1000)
    assert found.dtype == np.float16
    np.testing.assert_allclose(found, cosine_beta(t.astype(float), steps=1000), rtol=5e-3)


@pytest.mark.parametrize("shape", [(0,), (1,), (2, 0), (0, 3), (3, 1)])
def test_shapes(shape):
    assert alpha_bar(np.full(shape, 0.5)).shape == shape
    assert linear_beta(np.ones(shape), steps=4).shape == shape


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: linear_beta(np.arange(3), steps=3), TypeError, "t has dtype int64"),
        (lambda: linear_beta(T, steps=1), ValueError, "steps is 1"),
        (lambda: linear_beta(T, steps=8, first=0.0), ValueError, "first is 0.0"),
        (lambda: linear_beta(T, steps=8, last=1.0), ValueError, "last is 1.0"),
        (lambda: cosine_alpha_bar(np.arange(3), steps=3), TypeError, "t has dtype int64"),
        (lambda: cosine_alpha_bar(T, steps=0), ValueError, "steps is 0"),
        (lambda: cosine_alpha_bar(T, steps=8, offset=-1.0), ValueError, "offset is -1.0"),
        (lambda: cosine_beta(np.arange(3), steps=3), TypeError, "t has dtype int64"),
        (lambda: cosine_beta(T, steps=8, largest=0.0), ValueError, "largest is 0.0"),
        (lambda: cosine_beta(T, steps=8, largest=1.1), ValueError, "largest is 1.1"),
        (lambda: alpha_bar(np.arange(3)), TypeError, "beta has dtype int64"),
    ],
)
def test_bad_input_is_named(call, error, match):
    with pytest.raises(error, match=match):
        call()


def test_numbers_of_numpy_keep_the_dtype():
    t, number = np.ones(2, np.float32), np.float64(0.1)
    assert linear_beta(t, steps=9, first=number, last=number).dtype == "f4"
    assert cosine_alpha_bar(t, steps=9, offset=number).dtype == "f4"
