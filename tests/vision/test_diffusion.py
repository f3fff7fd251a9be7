import warnings

import numpy as np
import pytest
import torch

from dlkb.vision.diffusion import ddim_step, ddpm_step, diffuse, guide, parts, posterior
from dlkb.vision.ideal_denoiser import mixture_x0
from dlkb.vision.noise_schedules import alpha_bar, linear_beta
from tests.cases import Case
from tests.close import assert_close

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from diffusers import DDIMScheduler, DDPMScheduler

SHARE = ("alpha_bar", "previous")
NOW, BEFORE = np.asarray([[0.25], [0.5]]), np.asarray([[0.5], [0.75]])


def draw(rng, count):
    return tuple(rng.normal(size=(2, 3)) for _ in range(count))


def case(function, count, shares, label="", **options):
    return Case(
        function,
        lambda rng: ((*draw(rng, count), *(np.copy(share) for share in shares)), options),
        label,
        fixed=SHARE,
        broadcasts=SHARE,
        batch=(),
    )


CASES = [
    case(diffuse, 2, (NOW,)),
    case(parts, 2, (NOW,), "noise"),
    case(parts, 2, (NOW,), "x0", predicts="x0"),
    case(parts, 2, (NOW,), "velocity", predicts="velocity"),
    case(posterior, 2, (NOW, BEFORE)),
    case(ddpm_step, 3, (NOW, BEFORE)),
    case(ddpm_step, 3, (NOW, BEFORE), "beta", variance="beta"),
    case(ddim_step, 3, (NOW, BEFORE)),
    case(ddim_step, 3, (NOW, BEFORE), "eta", eta=0.5),
    Case(guide, lambda rng: (draw(rng, 2), {"scale": 3.0})),
]

T = 100
SCHEDULES = {
    "linear": {},
    "scaled_linear": {"beta_start": 0.00085, "beta_end": 0.012},
    "squaredcos_cap_v2": {},
}


def shares(scheduler):
    """ᾱ₀ … ᾱ_T, in float64."""
    return np.concatenate([[1.0], alpha_bar(scheduler.betas.double().numpy())])


def scheduler(kind, schedule="linear", **options):
    options = SCHEDULES[schedule] | {"clip_sample": False} | options
    return kind(num_train_timesteps=T, beta_schedule=schedule, **options)


def arrays(count, seed=0, shape=(4, 3)):
    return np.random.default_rng(seed).normal(size=(count, *shape))


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_noise_and_velocity_are_those_of_diffusers(schedule):
    theirs = scheduler(DDPMScheduler, schedule)
    share = shares(theirs)
    x0, noise = arrays(2)
    steps = np.asarray([1, 2, 50, T])
    given = torch.tensor(x0), torch.tensor(noise), torch.tensor(steps - 1)
    ours = diffuse(x0, noise, share[steps][:, None])
    assert_close(ours, theirs.add_noise(*given), scale=1e7)  # their shares are float32
    found = parts(ours, noise, share[steps][:, None])
    assert_close(found.velocity[:3], theirs.get_velocity(*given)[:3], scale=1e7)
    assert_close(found.x0[:3], x0[:3])


@pytest.mark.parametrize("t", [1, 2, 50, 99, T])
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("variance", ["posterior", "beta"])
@pytest.mark.parametrize("predicts", ["noise", "x0", "velocity"])
def test_ddpm_step_is_that_of_diffusers(predicts, variance, schedule, t):
    theirs = scheduler(
        DDPMScheduler,
        schedule,
        variance_type={"posterior": "fixed_small", "beta": "fixed_large"}[variance],
        prediction_type={"noise": "epsilon", "x0": "sample", "velocity": "v_prediction"}[predicts],
    )
    share = shares(theirs)
    x, output = arrays(2)
    generator = torch.Generator().manual_seed(3)
    step = theirs.step(torch.tensor(output), t - 1, torch.tensor(x), generator=generator)
    generator.manual_seed(3)
    z = torch.randn(x.shape, generator=generator, dtype=torch.float64).numpy()
    found = parts(x, output, share[t], predicts=predicts)
    ours = ddpm_step(x, found.noise, z, share[t], share[t - 1], variance=variance)
    size = max(1, np.abs(ours).max())  # cosine's last step divides by the root of 0.001
    assert_close(ours / size, step.prev_sample / size, scale=1e8)


@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("calls", [T, 20, 7])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_ddim_path_is_that_of_diffusers(schedule, calls, eta):
    theirs = scheduler(DDIMScheduler, schedule, prediction_type="v_prediction")
    theirs.set_timesteps(calls)
    share = shares(theirs)
    x, z = arrays(2)
    theirs_x, leap = torch.tensor(x), T // calls
    for t in theirs.timesteps.tolist():
        velocity = np.tanh(x) * (1 + t / T)
        step = theirs.step(
            torch.tensor(velocity), t, theirs_x, eta=eta, variance_noise=torch.tensor(z)
        )
        theirs_x = step.prev_sample
        # Counted from 1; what lies before the data is the data.
        now, before = share[t + 1], share[max(t + 1 - leap, 0)]
        noise = parts(x, velocity, now, predicts="velocity").noise
        x = ddim_step(x, noise, z, now, before, eta=eta)
        assert_close(x, theirs_x, scale=1e8)


def test_the_posterior_is_bayes_rule_on_a_grid():
    """q(x_{t−1} | x_t, x₀) ∝ q(x_t | x_{t−1}) q(x_{t−1} | x₀), normalized numerically."""
    now, before, x0, x = 0.3, 0.6, 0.7, -0.4
    grid = np.linspace(-8, 8, 160_001)
    alpha = now / before
    log = -((x - alpha**0.5 * grid) ** 2) / (2 * (1 - alpha))
    log = log - (grid - before**0.5 * x0) ** 2 / (2 * (1 - before))
    weight = np.exp(log - log.max())
    weight /= weight.sum()
    mean = (weight * grid).sum()
    found = posterior(np.asarray([x]), np.asarray([x0]), now, before)
    assert found.mean.item() == pytest.approx(mean, abs=1e-9)
    assert found.variance == pytest.approx((weight * (grid - mean) ** 2).sum(), abs=1e-9)


def test_one_step_of_noise_after_another_is_all_at_once():
    beta = linear_beta(np.arange(1.0, 8), steps=7, last=0.5)
    x, noise = arrays(1)[0], arrays(7, seed=1)
    one_by_one, from_noise = x, np.zeros_like(x)
    for b, e in zip(beta, noise, strict=True):
        one_by_one = diffuse(one_by_one, e, 1 - b)
        from_noise = diffuse(from_noise, e, 1 - b)
    share = alpha_bar(beta)[-1]
    assert_close(one_by_one, diffuse(x, from_noise / (1 - share) ** 0.5, share))


def test_three_predictions_say_the_same():
    x, output = arrays(2)
    found = parts(x, output, 0.3)
    assert_close(found.noise, output)
    for name in ("x0", "velocity"):
        again = parts(x, getattr(found, name), 0.3, predicts=name)
        for a, b in zip(again, found, strict=True):
            assert_close(a, b)
    assert_close(diffuse(found.x0, found.noise, 0.3), x)


def test_velocity_is_the_slope_in_the_angle():
    """With √ᾱ = cos φ, x = cos φ x₀ + sin φ ε, and v = dx/dφ."""
    x0, noise = arrays(2)
    phi, h = 0.7, 1e-6
    ahead, back = (diffuse(x0, noise, np.cos(phi + s) ** 2) for s in (h, -h))
    found = parts(diffuse(x0, noise, np.cos(phi) ** 2), noise, np.cos(phi) ** 2)
    np.testing.assert_allclose(found.velocity, (ahead - back) / (2 * h), atol=1e-8)


@pytest.mark.parametrize("kind", ["x0", "velocity"])
def test_pure_noise_needs_no_division(kind):
    x, output = arrays(2)
    assert np.isfinite(parts(x, output, 0.0, predicts=kind).x0).all()


@pytest.mark.parametrize("kind", ["x0", "velocity"])
def test_diffuse_of_what_is_predicted_is_the_ddim_step_and_starts_at_pure_noise(kind):
    x, output = arrays(2)
    found = parts(x, output, 1e-9, predicts=kind)
    near = diffuse(found.x0, found.noise, 0.3)
    assert_close(near, ddim_step(x, found.noise, x, 1e-9, 0.3), scale=1e6)
    found = parts(x, output, 0.0, predicts=kind)
    np.testing.assert_allclose(diffuse(found.x0, found.noise, 0.3), near, atol=1e-3)


def test_eta_one_is_the_ddpm_step():
    x, noise, z = arrays(3)
    assert_close(ddim_step(x, noise, z, 0.2, 0.5, eta=1.0), ddpm_step(x, noise, z, 0.2, 0.5))


def test_the_step_to_the_data_adds_no_noise():
    x, noise, z = arrays(3)
    x0 = parts(x, noise, 0.6).x0
    for variance in ("posterior", "beta"):
        for last in (1.0, np.ones((4, 1))):
            assert_close(ddpm_step(x, noise, z, 0.6, last, variance=variance), x0)
    assert_close(ddim_step(x, noise, z, 0.6, 1.0, eta=1.0), x0)


def test_ddpm_mean_is_the_posterior_mean():
    x, noise, z = arrays(3)
    mean, variance = posterior(x, parts(x, noise, 0.2).x0, 0.2, 0.5)
    assert_close(ddpm_step(x, noise, 0 * z, 0.2, 0.5), mean)
    assert_close(ddpm_step(x, noise, z, 0.2, 0.5), mean + variance**0.5 * z)
    assert_close(ddpm_step(x, noise, z, 0.2, 0.5, variance="beta"), mean + 0.6**0.5 * z)


@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
def test_a_ddim_step_keeps_the_law_of_each_state(eta):
    """Given x₀, and the true noise, the earlier state has mean √ᾱ x₀ and variance 1 − ᾱ."""
    one, zero = np.ones(1), np.zeros(1)
    now, before = 0.2, 0.5

    def step(x0, noise, z):
        return ddim_step(diffuse(x0, noise, now), noise, z, now, before, eta=eta).item()

    assert step(one, zero, zero) == pytest.approx(before**0.5)
    assert step(zero, one, zero) ** 2 + step(zero, zero, one) ** 2 == pytest.approx(1 - before)


def test_guidance_at_one_and_zero():
    conditional, unconditional = arrays(2)
    assert_close(guide(conditional, unconditional, scale=1.0), conditional)
    assert_close(guide(conditional, unconditional, scale=0.0), unconditional)


def test_guided_noise_is_guided_data():
    """Guidance commutes with the conversions, since they are affine for a fixed x."""
    x, conditional, unconditional = arrays(3)
    guided = parts(x, guide(conditional, unconditional, scale=4.0), 0.3)
    for name in ("x0", "velocity"):
        pair = (getattr(parts(x, e, 0.3), name) for e in (conditional, unconditional))
        assert_close(getattr(guided, name), guide(*pair, scale=4.0))


def test_exact_predictions_lead_to_the_law_of_the_data():
    rng = np.random.default_rng(0)
    t = np.arange(1.0, 401)
    share = np.concatenate([[1], alpha_bar(linear_beta(t, steps=400, last=0.05))])
    centres = np.asarray([[-2.0], [1.0]])
    x = rng.normal(size=(4000, 1))
    for t in range(400, 0, -1):
        x0 = mixture_x0(x, centres, share[t], variance=0.04)
        noise = parts(x, x0, share[t], predicts="x0").noise
        x = ddpm_step(x, noise, rng.normal(size=x.shape), share[t], share[t - 1])
    assert np.mean(x > -0.5) == pytest.approx(0.5, abs=0.03)
    assert x[x > -0.5].mean() == pytest.approx(1, abs=0.02)
    assert x[x > -0.5].std() == pytest.approx(0.2, abs=0.02)


@pytest.mark.parametrize("shape", [(), (0,), (1,), (2, 0, 3)])
def test_shapes(shape):
    x = np.ones(shape)
    assert diffuse(x, x, 0.5).shape == shape
    assert ddim_step(x, x, x, 0.5, 0.7).shape == shape
    assert ddpm_step(x, x, x, 0.5, 0.7).shape == shape


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_a_share_near_one_keeps_its_noise_in_half_precision(dtype):
    """1 − 0.9999 is 0 in float16: the share stays wide."""
    x, noise = np.zeros(2, dtype), np.ones(2, dtype)
    found = diffuse(x, noise, np.asarray([0.9999], dtype=np.float32))
    assert found.dtype == dtype
    np.testing.assert_allclose(found.astype(float), 0.01, rtol=2e-3)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda x: diffuse(x, x[:2], 0.5), ValueError, "noise has shape"),
        (lambda x: diffuse(x, x, 1.5), ValueError, r"alpha_bar is 1.5: .* \[0, 1\]"),
        (lambda x: diffuse(np.arange(3), x, 0.5), TypeError, "x has dtype int64"),
        (lambda x: diffuse(x, x, np.ones((2, 3))), ValueError, "alpha_bar has shape"),
        (lambda x: diffuse(x, x, np.ones(3, dtype=int)), TypeError, "alpha_bar has dtype"),
        (lambda x: parts(x, x[:1], 0.5), ValueError, "output has shape"),
        (lambda x: parts(x, x, 0.5, predicts="score"), ValueError, "predicts is 'score'"),
        (lambda x: parts(x, x, 0.0), ValueError, "alpha_bar is 0.0"),
        (lambda x: parts(x, x, 1.0, predicts="x0"), ValueError, "alpha_bar is 1.0"),
        (lambda x: posterior(x, x[:1], 0.5, 0.7), ValueError, "x0 has shape"),
        (lambda x: posterior(x, x, 0.5, -0.1), ValueError, "previous is -0.1"),
        (lambda x: posterior(x, x, 1.0, np.ones(3)), ValueError, r"alpha_bar is 1.0: .* \[0, 1\)"),
        (lambda x: ddpm_step(x, x, x[:1], 0.5, 0.7), ValueError, "z has shape"),
        (lambda x: ddpm_step(x, x, x, 0.5, 0.7, variance="large"), ValueError, "variance is"),
        (lambda x: ddim_step(x, x, x, 0.5, 0.7, eta=1.1), ValueError, "eta is 1.1"),
        (lambda x: ddim_step(x, x[:1], x, 0.5, 0.7), ValueError, "noise has shape"),
        (lambda x: ddim_step(x, x, x, 0.0, 0.7), ValueError, r"alpha_bar is 0.0: .* \(0, 1\)"),
        (lambda x: ddim_step(x, x, x, 1.0, 0.7), ValueError, r"alpha_bar is 1.0: .* \(0, 1\)"),
        (lambda x: ddpm_step(x, x, x, 0.0, 0.7), ValueError, r"alpha_bar is 0.0: .* \(0, 1\)"),
        (lambda x: ddpm_step(x, x, x, 0.5, 0.0), ValueError, r"previous is 0.0: .* \(0.5, 1\]"),
        (lambda x: ddpm_step(x, x, x, 0.5, 0.5), ValueError, r"previous is 0.5: .* \(0.5, 1\]"),
        (lambda x: posterior(x, x, 0.5, 0.5), ValueError, r"previous is 0.5: .* \(0.5, 1\]"),
        (lambda x: ddim_step(x, x, x, 0.5, 0.2, eta=0.1), ValueError, r"is 0.2: .* \(0.5, 1\]"),
        (lambda x: ddim_step(x, x, x, 0.5, 0.0), ValueError, r"previous is 0.0: .* \(0, 1\]"),
        (lambda x: guide(x, x[:1], scale=2.0), ValueError, "unconditional has shape"),
        (lambda x: guide(x, np.arange(3), scale=2.0), TypeError, "unconditional has dtype"),
    ],
)
def test_bad_input_is_named(call, error, match):
    with pytest.raises(error, match=match):
        call(np.ones(3))


def test_ddim_goes_back_to_the_noisier_state_by_the_same_noise():
    x, noise = np.random.default_rng(3).normal(size=(2, 5))
    earlier = ddim_step(x, noise, noise, 0.2, 0.7)
    assert_close(ddim_step(earlier, noise, noise, 0.7, 0.2), x)


def test_a_scale_of_numpy_keeps_the_dtype():
    assert guide(np.ones(2, np.float32), np.ones(2, np.float32), scale=np.float64(3)).dtype == "f4"
