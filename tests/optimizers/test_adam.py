import math
from copy import copy

import numpy as np
import pytest
import torch

from dlkb.optimizers.adam import (
    AdamState,
    adam,
    adam_init,
    bias_correction,
    effective_step,
    spike_step,
    stable_curvature,
    step_bound,
)
from tests.cases import Case
from tests.close import assert_close

HUGE = {"float64 huge grad": "the state holds squares, which do not fit"}
# With the default learning rate a step is below the rounding of float16.
SQUARES = HUGE | {"float16 large grad": "the state holds squares, which do not fit"}
OTHER = {"lr": 0.02, "betas": (0.8, 0.95), "eps": 0.05}


def arguments(rng, *, step, amsgrad=False, shape=(4, 3)):
    """Parameters, gradient and the state that `step` gradients left behind."""
    theta, grad = rng.normal(size=(2, *shape))
    m, v = 0.3 * rng.normal(size=shape), 0.1 * rng.uniform(0.5, 1.5, size=shape)
    v_max = v * rng.uniform(0.5, 1.5, size=shape) if amsgrad else None
    return theta, grad, AdamState(copy(step), m, v, v_max)


def case(label, *, step, amsgrad=False, **options):
    return Case(
        adam,
        lambda rng: (arguments(rng, step=step, amsgrad=amsgrad), options),
        label,
        unless=SQUARES if options else HUGE,
    )


CASES = [
    Case(adam_init, lambda rng: ((rng.normal(size=(4, 3)),), {"amsgrad": True})),
    Case(adam_init, lambda rng: ((rng.normal(size=(4, 3)),), {}), "plain"),
    Case(
        bias_correction,
        lambda rng: ((np.asarray([1.0, 7.0, 300.0]),), {"beta": 0.9}),
        fixed=("step",),
    ),
    Case(bias_correction, lambda rng: ((3,), {"beta": 0.9}), "number"),
    Case(effective_step, lambda rng: (arguments(rng, step=np.asarray(7))[2:], OTHER)),
    case("first", step=np.asarray(0, dtype=np.int32)),
    case("number", step=6, **OTHER),
    case("amsgrad", step=np.asarray(6), amsgrad=True, **OTHER),
    case("decay", step=np.asarray(6), weight_decay=0.3, maximize=True, **OTHER),
    Case(
        step_bound,
        lambda rng: ((), {"step": np.asarray([1.0, 8.0, 60.0]), "betas": (0.8, 0.9)}),
        fixed=("step",),
    ),
    Case(step_bound, lambda rng: ((), {"lr": 0.1}), "limit"),
    Case(stable_curvature, lambda rng: ((), {"lr": 0.1, "beta1": 0.8})),
    Case(
        spike_step,
        lambda rng: (
            (),
            {"step": np.asarray([1.0, 8.0, 60.0]), "betas": (0.8, 0.9), "lr": 0.1},
        ),
        fixed=("step",),
    ),
]


def run(gradients, *, theta=0.0, step=0, amsgrad=False, **options):
    """Step through scalar gradients; return every step taken."""
    theta = np.asarray(theta)
    state = adam_init(theta, amsgrad=amsgrad)._replace(step=step)
    steps = []
    for grad in gradients:
        new, state = adam(theta, np.asarray(grad, dtype=float), state, **options)
        steps.append(theta - new)
        theta = new
    return np.asarray(steps), theta, state


@pytest.mark.parametrize("counter", [0, "array"])
@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 0, 2), (5, 4)])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"lr": 0.3, "betas": (0.5, 0.7), "eps": 0.1},
        {"betas": (0.0, 0.9)},
        {"weight_decay": 0.4},
        {"weight_decay": 0.4, "maximize": True},
        {"amsgrad": True},
        {"amsgrad": True, "betas": (0.3, 0.6), "weight_decay": 0.1, "eps": 1e-3},
    ],
    ids=str,
)
def test_forty_steps_are_those_of_torch(options, shape, counter):
    rng = np.random.default_rng(1)
    theta, scale = rng.normal(size=(2, *shape))
    p = torch.nn.Parameter(torch.as_tensor(theta).clone())
    oracle = torch.optim.Adam([p], **options)
    options = dict(options)
    state = adam_init(theta, amsgrad=options.pop("amsgrad", False))
    if counter == 0:
        state = state._replace(step=0)
    for t in range(40):
        # Growing, then shrinking, so that AMSGrad's maximum is not the newest value.
        grad = np.asarray(scale * rng.normal(size=shape) * math.exp(-abs(t - 10) / 5))
        p.grad = torch.as_tensor(grad)
        oracle.step()
        theta, state = adam(theta, grad, state, **options)
        assert_close(theta, p)
    mine = {"exp_avg": state.m, "exp_avg_sq": state.v, "max_exp_avg_sq": state.v_max}
    assert state.step == oracle.state[p].pop("step") == 40
    for name, value in oracle.state[p].items():
        assert_close(mine[name], value)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("counter", [0, "array"])
def test_dtype_is_kept_and_follows_torch(dtype, counter, device):
    rng = np.random.default_rng(2)
    theta = torch.tensor(rng.normal(size=(6, 5)), dtype=dtype, device=device)
    p = torch.nn.Parameter(theta.clone())
    oracle = torch.optim.Adam([p], lr=1e-2, amsgrad=True)
    state = adam_init(theta, amsgrad=True)
    if counter == 0:
        state = state._replace(step=0)
    for _ in range(20):
        grad = torch.tensor(rng.normal(size=(6, 5)), dtype=dtype, device=device)
        p.grad = grad
        oracle.step()
        theta, state = adam(theta, grad, state, lr=1e-2)
    assert {x.dtype for x in (theta, state.m, state.v, state.v_max)} == {dtype}
    assert_close(theta, p)


def test_root_is_taken_before_the_correction_so_that_half_precision_does_not_overflow():
    theta = torch.zeros(1, dtype=torch.float16)
    grad = torch.full((1,), 1e3, dtype=torch.float16)  # v / (1 − β₂) would be 1e6 > 65504
    for step in (0, torch.tensor(0)):
        new, _ = adam(theta, grad, adam_init(theta)._replace(step=step), lr=0.1)
        assert_close(new, np.asarray([-0.1]), dtype="float16")


def test_gradient_through_the_step_is_that_of_finite_differences():
    rng = np.random.default_rng(3)
    theta, grad, state = (
        torch.tensor(x, requires_grad=True) if isinstance(x, np.ndarray) else x
        for x in arguments(rng, step=4)
    )
    state = AdamState(4, torch.tensor(state.m), torch.tensor(state.v))
    assert torch.autograd.gradcheck(lambda p, g: adam(p, g, state, lr=0.1)[0], (theta, grad))


def test_array_counter_survives_jit_and_counts():
    import jax
    import jax.numpy as jnp

    theta = jnp.ones(3)
    state = adam_init(theta)
    step = jax.jit(lambda theta, grad, state: adam(theta, grad, state, lr=0.1))
    for t in range(3):
        theta, state = step(theta, jnp.ones(3), state)
        assert int(state.step) == t + 1
    assert_close(theta, np.full(3, 0.7), scale=1e5)  # ε = 1e-8


def test_a_new_learning_rate_or_step_does_not_recompile():
    torch.compiler.reset()
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph

    @torch.compile(fullgraph=True, backend=backend)
    def step(theta, grad, state, lr):
        return adam(theta, grad, state, lr=lr)

    theta = torch.ones(3)
    state = adam_init(theta)
    for t in range(8):
        theta, state = step(theta, torch.ones(3), state, 0.1 / (t + 1))
    assert len(graphs) <= 2  # the second when lr turns out to change


def test_constant_gradient_is_estimated_without_bias_from_the_first_step():
    steps, _, state = run([3.0] * 50, lr=0.1, eps=0.0)
    assert_close(steps, np.full(50, 0.1))
    assert state.m < 3.0  # the raw average is not there yet
    assert_close(state.m / bias_correction(50, beta=0.9), np.asarray(3.0))
    assert_close(state.v / bias_correction(50, beta=0.999), np.asarray(9.0))


def test_bias_correction_is_the_geometric_sum():
    for beta in (0.0, 0.5, 0.999):
        for t in (1, 2, 30):
            total = (1 - beta) * sum(beta ** (t - s) for s in range(1, t + 1))
            assert bias_correction(t, beta=beta) == pytest.approx(total, rel=1e-12)


def test_step_does_not_depend_on_the_scale_of_the_loss():
    gradients = np.random.default_rng(4).normal(size=60)
    expected, _, _ = run(gradients, eps=0.0)
    for scale in (1e-6, 1e6):
        assert_close(run(scale * gradients, eps=0.0)[0] / 1e-3, expected / 1e-3)


def test_without_memory_it_is_sign_descent():
    gradients = np.random.default_rng(5).normal(size=20)
    steps, _, _ = run(gradients, betas=(0.0, 0.0), eps=0.0, lr=0.1)
    assert_close(steps, 0.1 * np.sign(gradients))


def test_eps_is_outside_the_root_in_units_of_the_gradient():
    steps, _, _ = run([1e-4], eps=1e-4, lr=1.0)
    assert_close(steps, np.asarray([0.5]))


@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.9, 0.95), (0.5, 0.9), (0.0, 0.5)])
def test_bound_is_never_exceeded_and_is_attained(betas):
    beta1, beta2 = betas
    limit = step_bound(lr=1.0, betas=betas)
    rng = np.random.default_rng(6)
    for gradients in (rng.normal(size=300), rng.standard_cauchy(size=300), 1.03 ** np.arange(300)):
        steps, _, _ = run(gradients, betas=betas, lr=1.0, eps=0.0)
        finite = [step_bound(lr=1.0, betas=betas, step=t) for t in range(1, 301)]
        assert np.all(np.abs(steps) <= np.asarray(finite) * (1 + 1e-9))
        assert np.all(np.asarray(finite) <= limit * (1 + 1e-12))
    if beta1:
        worst = (beta2 / beta1) ** np.arange(300.0)
        steps, _, _ = run(worst, betas=betas, lr=1.0, eps=0.0)
        assert_close(steps, np.asarray(finite), scale=100)


def test_bound_and_spike_at_the_defaults():
    expected = 0.1 / math.sqrt(0.001 * (1 - 0.81 / 0.999))
    assert step_bound(lr=1.0) == pytest.approx(expected, rel=1e-12)
    assert round(step_bound(lr=1.0), 3) == 7.270
    assert round(spike_step(lr=2.0), 3) == round(2 * 3.1622777, 3)
    assert step_bound(lr=0.5, step=1) == pytest.approx(0.5)
    assert step_bound(betas=(0.9, 0.8)) == math.inf
    assert step_bound(betas=(0.5, 0.25)) == math.inf
    assert math.isfinite(step_bound(betas=(0.5, 0.25), step=5))


@pytest.mark.parametrize("quiet", [0, 1, 9, 5000])
def test_spike_step_is_what_a_spike_does(quiet):
    steps, _, _ = run([0.0] * quiet + [123.0], lr=1.0, eps=1e-12)
    assert abs(steps[-1]) == pytest.approx(spike_step(lr=1.0, step=quiet + 1), rel=1e-9)


@pytest.mark.parametrize("beta1", [0.0, 0.5, 0.9])
@pytest.mark.parametrize(("share", "stable"), [(0.99, True), (1.01, False)])
def test_a_quadratic_is_stable_up_to_the_limit(beta1, share, stable):
    # ε far above √v̂ keeps the denominator constant; the curvature is 1.
    eps = 1e6
    lr = share * eps * stable_curvature(lr=1.0, beta1=beta1)
    theta, state = np.asarray(1.0), adam_init(np.asarray(1.0))._replace(step=math.inf)
    for _ in range(6000):
        theta, state = adam(theta, theta, state, lr=lr, betas=(beta1, 0.999), eps=eps)
        if abs(theta) > 1e3:
            break
    assert (abs(theta) < 1e-6) == stable


def test_counter_is_made_where_the_parameters_are():
    assert adam_init(torch.empty(3, device="meta")).step.device.type == "meta"


def test_amsgrad_remembers_a_large_gradient():
    gradients = [1.0, 100.0] + [1.0] * 200
    adam_steps, _, _ = run(gradients, betas=(0.0, 0.9), lr=1.0)
    ams_steps, _, state = run(gradients, betas=(0.0, 0.9), lr=1.0, amsgrad=True)
    assert_close(state.v_max, np.asarray(0.9 * 0.1 + 0.1 * 1e4))
    assert adam_steps[-1] > 0.99
    assert ams_steps[-1] < 0.04


def test_amsgrad_takes_the_maximum_of_the_raw_second_moment():
    # v̂ falls from 1 while v rises: the two conventions differ from the second step on.
    _, _, state = run([1.0, 0.9], amsgrad=True)
    assert_close(state.v_max, np.asarray(0.999 * 0.001 + 0.001 * 0.81))


ONE = np.ones(2)
START = AdamState(0, np.zeros(2), np.zeros(2))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: adam(np.ones(2, int), ONE, START), TypeError, "theta has dtype int64"),
        (lambda: adam(ONE, ONE.astype(complex), START), TypeError, "grad has dtype complex128"),
        (lambda: adam(ONE, ONE.astype("f4"), START), TypeError, "grad has dtype float32 but theta"),
        (lambda: adam([1.0], ONE, START), TypeError, "theta is list"),
        (lambda: adam(ONE, np.ones(3), START), ValueError, r"grad has shape \(3,\)"),
        (lambda: adam(ONE, ONE, adam_init(np.ones(3))), ValueError, r"state.m has shape \(3,\)"),
        (lambda: adam(ONE, ONE, START, lr=-1.0), ValueError, r"lr is -1.0: .* \[0, inf\)"),
        (lambda: adam(ONE, ONE, START, eps=-1.0), ValueError, "eps is -1.0"),
        (lambda: adam(ONE, ONE, START, weight_decay=-1.0), ValueError, "weight_decay is -1.0"),
        (lambda: adam(ONE, ONE, START, betas=(1.0, 0.9)), ValueError, r"beta is 1.0: .* \[0, 1\)"),
        (lambda: adam(ONE, ONE, START, betas=(0.9, 1.0)), ValueError, "beta is 1.0"),
        (lambda: adam(ONE, ONE, START, lr=math.nan), ValueError, "lr is nan"),
        (lambda: adam_init(np.ones(2, int)), TypeError, "theta has dtype int64"),
        (lambda: bias_correction(1, beta=-0.1), ValueError, "beta is -0.1"),
        (lambda: step_bound(betas=(0.9, 0.0)), ValueError, r"betas\[1\] is 0.0"),
        (lambda: step_bound(lr=-1.0), ValueError, "lr is -1.0"),
        (lambda: spike_step(lr=-1.0), ValueError, "lr is -1.0"),
        (lambda: stable_curvature(lr=0.0), ValueError, r"lr is 0.0: .* \(0, inf\)"),
        (lambda: stable_curvature(beta1=1.0), ValueError, "beta1 is 1.0"),
    ],
)
def test_errors_name_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call()
