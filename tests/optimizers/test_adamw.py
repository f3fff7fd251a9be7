import numpy as np
import pytest
import torch

from dlkb.optimizers.adam import adam, adam_init
from dlkb.optimizers.adamw import adamw, coupled_rate, decay_factor, noise_rms
from tests.cases import Case
from tests.close import assert_close
from tests.optimizers.test_adam import HUGE, OTHER, SQUARES, arguments

CASES = [
    Case(
        adamw,
        lambda rng: (
            arguments(rng, step=np.asarray(6)),
            {"weight_decay": 0.3, "maximize": True, **OTHER},
        ),
        unless=SQUARES,
    ),
    Case(adamw, lambda rng: (arguments(rng, step=0), {}), "defaults", unless=HUGE),
    Case(
        decay_factor,
        lambda rng: ((np.asarray([0.0, 3.0, 50.0]),), {"lr": 0.1, "weight_decay": 0.4}),
        fixed=("steps",),
    ),
    Case(decay_factor, lambda rng: ((7,), {}), "number"),
    Case(
        coupled_rate,
        lambda rng: ((rng.uniform(0.1, 4, (2, 3)),), {"weight_decay": 0.3, "eps": 0.1}),
    ),
    Case(coupled_rate, lambda rng: ((rng.uniform(0.1, 4, 3),), {"weight_decay": 0.3}), "defaults"),
    Case(noise_rms, lambda rng: ((), {"lr": 0.1, "weight_decay": 0.5})),
    Case(noise_rms, lambda rng: ((), {}), "defaults"),
]


@pytest.mark.parametrize("shape", [(), (0,), (5, 4)])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"lr": 0.3, "weight_decay": 0.5, "betas": (0.5, 0.7), "eps": 0.1},
        {"weight_decay": 0.0},
        {"weight_decay": 0.4, "maximize": True},
        {"amsgrad": True, "betas": (0.3, 0.6), "weight_decay": 0.1},
    ],
    ids=str,
)
def test_forty_steps_are_those_of_torch(options, shape):
    rng = np.random.default_rng(1)
    theta = np.asarray(rng.normal(size=shape))
    p = torch.nn.Parameter(torch.as_tensor(theta).clone())
    oracle = torch.optim.AdamW([p], **options)
    options = dict(options)
    state = adam_init(theta, amsgrad=options.pop("amsgrad", False))._replace(step=0)
    for t in range(40):
        grad = np.asarray(rng.normal(size=shape) * np.exp(-abs(t - 10) / 5))
        p.grad = torch.as_tensor(grad)
        oracle.step()
        theta, state = adamw(theta, grad, state, **options)
        assert_close(theta, p)


def test_decay_leaves_the_averages_alone_and_scales_with_lr():
    theta, grad = np.asarray([2.0]), np.asarray([0.0])
    new, state = adamw(theta, grad, adam_init(theta), lr=0.1, weight_decay=0.3)
    assert_close(new, theta * (1 - 0.1 * 0.3))
    assert state.m == 0
    assert state.v == 0


def test_without_decay_it_is_adam():
    rng = np.random.default_rng(2)
    theta, grad, state = arguments(rng, step=3)
    for a, b in zip(
        adamw(theta, grad, state, weight_decay=0.0)[1],
        adam(theta, grad, state)[1],
        strict=True,
    ):
        assert (a is b is None) or np.array_equal(a, b)


def test_dtype_is_kept(device):
    theta = torch.ones(3, dtype=torch.bfloat16, device=device)
    new, state = adamw(theta, theta, adam_init(theta))
    assert new.dtype == state.m.dtype == state.v.dtype == torch.bfloat16


def test_negative_decay_is_an_error():
    theta = np.ones(2)
    with pytest.raises(ValueError, match=r"weight_decay is -0.1: it must lie in \[0, inf\)"):
        adamw(theta, theta, adam_init(theta), weight_decay=-0.1)


def test_a_weight_without_gradient_decays_as_under_torch():
    p = torch.nn.Parameter(torch.full((3,), 2.0, dtype=torch.float64))
    oracle = torch.optim.AdamW([p], lr=0.1, weight_decay=0.3)
    for t in range(1, 20):
        p.grad = torch.zeros_like(p)
        oracle.step()
        left = decay_factor(np.full(3, float(t)), lr=0.1, weight_decay=0.3)
        assert_close(2 * left, p)
    assert decay_factor(0, lr=0.1, weight_decay=0.3) == 1
    p = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))
    p.grad = torch.zeros_like(p)
    torch.optim.AdamW([p]).step()
    assert_close(np.asarray([decay_factor(1)]), p)  # the defaults are those of torch


@pytest.mark.parametrize("eps", [1e-8, 0.3])
def test_adam_with_a_penalty_is_adamw_with_the_coupled_rate(eps):
    """For β₁ = 0, where the penalty's step is not averaged, and v̂ of the whole gradient."""
    rng = np.random.default_rng(4)
    theta = rng.normal(size=5)
    options = {"lr": 0.05, "betas": (0.0, 0.9)}
    p = torch.nn.Parameter(torch.tensor(theta))
    oracle = torch.optim.Adam([p], weight_decay=0.2, eps=eps, **options)
    for t in range(1, 30):
        theta, grad = p.detach().numpy().copy(), 10 ** rng.normal(size=5)
        p.grad = torch.tensor(grad)
        oracle.step()
        root = np.sqrt(oracle.state[p]["exp_avg_sq"].numpy() / (1 - 0.9**t))
        rate = coupled_rate(root**2, weight_decay=0.2, eps=eps)
        assert_close((1 - 0.05 * rate) * theta - 0.05 * grad / (root + eps), p)


@pytest.mark.parametrize("scale", [1e-3, 100.0])
@pytest.mark.parametrize(("lr", "weight_decay"), [(0.02, 0.5), (0.02, 2.0)])
def test_noise_holds_a_weight_at_its_rms(lr, weight_decay, scale):
    """A second moment that is known stands for β₂ → 1, which no run is long enough for."""
    rng = np.random.default_rng(5)
    theta = np.zeros(4000)
    state = adam_init(theta)._replace(step=10**6, v=np.full(4000, scale**2))
    options = {"lr": lr, "weight_decay": weight_decay, "betas": (0.0, 1 - 1e-9)}
    for _ in range(int(4 / (lr * weight_decay))):
        theta, state = adamw(theta, scale * rng.normal(size=4000), state, **options)
        state = state._replace(step=10**12)
    assert abs(np.sqrt(np.mean(theta**2)) / noise_rms(lr=lr, weight_decay=weight_decay) - 1) < 0.05


def test_noise_rms_at_the_limits_of_stability():
    # ηλ = 1: every step starts from zero, so that the weight is the last step, of size η.
    assert noise_rms(lr=0.25, weight_decay=4.0) == pytest.approx(0.25, rel=1e-12)
    assert noise_rms(lr=1.0, weight_decay=1.999) > 15


def test_errors_of_the_rates():
    with pytest.raises(ValueError, match=r"lr is -1: it must lie in \[0, inf\)"):
        decay_factor(3, lr=-1)
    with pytest.raises(ValueError, match=r"weight_decay is -1: it must lie in \[0, inf\)"):
        decay_factor(3, weight_decay=-1)
    with pytest.raises(TypeError, match="v_hat has dtype int64"):
        coupled_rate(np.arange(3), weight_decay=0.1)
    with pytest.raises(ValueError, match=r"weight_decay is -1"):
        coupled_rate(np.ones(3), weight_decay=-1)
    with pytest.raises(ValueError, match=r"eps is -1"):
        coupled_rate(np.ones(3), weight_decay=1, eps=-1)
    for options in ({"weight_decay": 0.0}, {"lr": 2.0, "weight_decay": 1.0}, {"lr": -1.0}):
        with pytest.raises(ValueError, match=r"lr \* weight_decay is .* must lie in \(0, 2\)"):
            noise_rms(**options)


@pytest.mark.parametrize("rule", [adam, adamw])
def test_a_rate_of_numpy_does_not_widen_parameters_or_state(rule):
    theta = np.ones(2, dtype=np.float32)
    rates = {"lr": np.float64(0.1), "weight_decay": np.float64(0.1)}
    new, state = rule(theta, theta, adam_init(theta), **rates)
    assert new.dtype == state.m.dtype == state.v.dtype == np.float32


def test_integers_are_refused():
    with pytest.raises(TypeError, match="theta has dtype int64"):
        adamw(np.asarray([1, 2]), np.ones(2), adam_init(np.ones(2)))


@pytest.mark.parametrize("rule", [adam, adamw])
def test_a_wider_state_leaves_the_parameters_narrow(rule):
    theta, state = np.ones(2, np.float32), adam_init(np.ones(2))
    new, state = rule(theta, theta, state, lr=0.1)
    assert new.dtype == np.float32
    assert state.m.dtype == state.v.dtype == np.float64
    half = torch.ones(2, dtype=torch.bfloat16)
    new, state = rule(half, half, adam_init(torch.ones(2)), lr=0.1)
    assert new.dtype == torch.bfloat16
    assert state.v.dtype == torch.float32
