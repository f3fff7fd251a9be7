import numpy as np
import pytest
import torch

from dlkb.optimizers.muon import COEFFICIENTS, MuonState, muon, muon_init, newton_schulz
from tests.cases import Case
from tests.close import assert_close

NEWTON = (1.5, -0.5, 0.0)


def arguments(rng, shape=(4, 3)):
    theta, grad, m = rng.normal(size=(3, *shape))
    return theta, grad, MuonState(m)


# The iteration amplifies rounding: its slope is up to 3.4 a step.
CASES = [
    Case(
        newton_schulz,
        lambda rng: ((rng.normal(size=(3, 5)),), {}),
        scale=200,
    ),
    Case(
        newton_schulz,
        lambda rng: (
            (rng.normal(size=(5, 3)),),
            {"steps": 3, "coefficients": NEWTON, "eps": 1e-3},
        ),
        "cubic",
        scale=200,
    ),
    Case(muon_init, lambda rng: ((rng.normal(size=(4, 3)),), {})),
    Case(muon, lambda rng: (arguments(rng), {"lr": 0.1}), scale=200),
    Case(
        muon,
        lambda rng: (
            arguments(rng, (3, 4)),
            {
                "lr": 0.1,
                "weight_decay": 0.3,
                "momentum": 0.8,
                "nesterov": False,
                "steps": 2,
                "coefficients": NEWTON,
                "eps": 1e-3,
            },
        ),
        "all",
        scale=200,
    ),
]


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (6, 1), (4, 4), (3, 7), (7, 3), (2, 5, 3)])
@pytest.mark.parametrize("coefficients", [COEFFICIENTS, NEWTON])
def test_singular_values_go_through_the_polynomial(shape, coefficients):
    x = np.random.default_rng(0).normal(size=shape)
    u, s, vt = np.linalg.svd(x, full_matrices=False)
    s = s / (np.sqrt((s**2).sum(-1, keepdims=True)) + 1e-3)
    a, b, c = coefficients
    for _ in range(5):
        s = a * s + b * s**3 + c * s**5
    expected = (u * s[..., None, :]) @ vt
    actual = newton_schulz(x, coefficients=coefficients, eps=1e-3)
    assert_close(actual, expected, scale=1000)


@pytest.mark.parametrize("shape", [(16, 16), (8, 32), (32, 8)])
def test_iteration_is_that_of_torch(shape):
    from torch.optim._muon import _zeropower_via_newtonschulz as theirs

    x = torch.tensor(np.random.default_rng(1).normal(size=shape), dtype=torch.bfloat16)
    expected = theirs(x.clone(), COEFFICIENTS, 5, 1e-7)
    assert_close(newton_schulz(x), expected)
    # torch's bfloat16 is within a few hundredths of the same in float64.
    assert_close(newton_schulz(x.double()), expected, dtype="bfloat16")


@pytest.mark.parametrize("shape", [(8, 8), (4, 12), (12, 4), (1, 6)])
@pytest.mark.parametrize(
    "options",
    [{}, {"nesterov": False}, {"weight_decay": 0.0, "momentum": 0.5, "lr": 0.02, "steps": 3}],
    ids=str,
)
def test_steps_are_those_of_torch(shape, options):
    rng = np.random.default_rng(2)
    theta = torch.tensor(rng.normal(size=shape))
    p = torch.nn.Parameter(theta.clone())
    names = {"steps": "ns_steps"}
    oracle = torch.optim.Muon([p], **{names.get(name, name): x for name, x in options.items()})
    lr = options.get("lr", 1e-3)
    state = muon_init(theta)
    for _ in range(10):
        grad = torch.tensor(rng.normal(size=shape))
        p.grad = grad.clone()
        oracle.step()
        before = theta
        theta, state = muon(theta, grad, state, **options)
        assert_close(state.m, oracle.state[p]["momentum_buffer"])
        # In units of lr, in which torch's bfloat16 iteration is off by hundredths.
        scale = max(1.0, shape[0] / shape[1]) ** 0.5
        shift = ((theta - p) / lr / scale).abs().max()
        assert shift < 0.1
        assert ((theta - before) / lr).abs().max() > 0.2
        theta = p.detach().clone()


def test_scale_of_the_gradient_cancels_and_zero_stays():
    x = np.random.default_rng(3).normal(size=(4, 6))
    assert_close(newton_schulz(1e6 * x, eps=0.0), newton_schulz(x, eps=0.0), scale=1000)
    assert not newton_schulz(np.zeros((3, 2))).any()
    assert newton_schulz(np.zeros((0, 3))).shape == (0, 3)
    assert newton_schulz(np.zeros((2, 3, 0))).shape == (2, 3, 0)


def test_defaults_do_not_converge_to_one_and_newtons_do():
    s = np.geomspace(0.01, 1, 200)
    a, b, c = COEFFICIENTS
    for _ in range(5):
        s = a * s + b * s**3 + c * s**5
    assert 0.6 < s.min() < 0.75
    assert 1.1 < s.max() < 1.3
    x = np.random.default_rng(4).normal(size=(5, 5))
    u, _, vt = np.linalg.svd(x)
    assert_close(newton_schulz(x, steps=60, coefficients=NEWTON), u @ vt, scale=100)


def test_a_rate_of_numpy_does_not_widen_the_parameters():
    theta, grad = np.ones((2, 2), dtype=np.float32), np.ones((2, 2), dtype=np.float32)
    rates = {"lr": np.float64(0.1), "weight_decay": np.float64(0.1)}
    assert muon(theta, grad, muon_init(theta), **rates)[0].dtype == np.float32


ONE, START = np.ones((2, 3)), MuonState(np.zeros((2, 3)))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: newton_schulz(np.ones((2, 2), int)), TypeError, "x has dtype int64"),
        (lambda: newton_schulz(np.ones(2)), ValueError, r"x has shape \(2,\): matrices"),
        (lambda: newton_schulz(ONE, steps=-1), ValueError, "steps is -1"),
        (lambda: newton_schulz(ONE, eps=-1.0), ValueError, "eps is -1.0"),
        (lambda: muon_init(np.ones((2, 2), int)), TypeError, "theta has dtype int64"),
        (lambda: muon(ONE.astype(int), ONE, START), TypeError, "theta has dtype int64"),
        (lambda: muon(ONE, ONE.astype(complex), START), TypeError, "grad has dtype complex128"),
        (lambda: muon(ONE, ONE.astype("f4"), START), TypeError, "grad has dtype float32 but theta"),
        (lambda: muon(ONE, np.ones((3, 2)), START), ValueError, r"grad has shape \(3, 2\)"),
        (lambda: muon(ONE, ONE, MuonState(ONE.T)), ValueError, r"state.m has shape \(3, 2\)"),
        (lambda: muon(ONE, ONE, START, lr=-1.0), ValueError, "lr is -1.0"),
        (lambda: muon(ONE, ONE, START, weight_decay=-1.0), ValueError, "weight_decay is -1.0"),
        (lambda: muon(ONE, ONE, START, momentum=1.0), ValueError, "momentum is 1.0"),
        (
            lambda: muon(VECTOR, VECTOR, MuonState(VECTOR)),
            ValueError,
            r"theta has shape \(3,\): matrices",
        ),
    ],
)
def test_errors_name_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call()


VECTOR = np.ones(3)
