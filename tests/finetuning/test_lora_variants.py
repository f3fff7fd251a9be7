import numpy as np
import peft
import pytest
import torch

from dlkb.finetuning.lora import Factors, low_rank, merge
from dlkb.finetuning.lora_variants import (
    Rates,
    dora,
    factorize,
    lora_plus_rates,
    row_lengths,
    stack,
)
from tests.cases import Case
from tests.close import assert_close


def layer(rng, n_in=7, n_out=4, r=2):
    W = rng.standard_normal((n_out, n_in))
    return W, rng.standard_normal((r, n_in)), rng.standard_normal((n_out, r))


def make_dora(rng):
    W, A, B = layer(rng)
    return (W, A, B, rng.uniform(0.5, 2, 4)), {"scaling": 0.5}


def make_stack(rng):
    pairs = [Factors(*layer(rng, r=r)[1:]) for r in (1, 3)]
    return (pairs,), {"weights": [0.7, -2.0]}


def spread(rng):
    """A matrix whose singular values lie apart, so that their vectors are well determined."""
    U, V = (np.linalg.qr(rng.standard_normal((n, 4)))[0] for n in (4, 7))
    return U * np.asarray([8.0, 4.0, 2.0, 1.0]) @ V.T


def product(M, *, r, scaling=1.0):
    """The product of the factors: each alone has a free sign."""
    A, B = factorize(M, r=r, scaling=scaling)
    return scaling * (B @ A)


OVERFLOW = "the adapted weight, W + sBA, overflows itself"

CASES = [
    Case(row_lengths, lambda rng: ((rng.standard_normal((4, 7)),), {}), scale=3, batch=()),
    Case(row_lengths, lambda rng: ((rng.standard_normal((0, 3)),), {}), "no rows", batch=()),
    Case(row_lengths, lambda rng: ((np.zeros((2, 1)),), {}), "zero", batch=()),
    Case(
        dora,
        make_dora,
        scale=10,
        batch=(),
        unless={"float64 huge all": OVERFLOW, "float16 large all": OVERFLOW},
    ),
    Case(stack, make_stack, scale=3, batch=()),
    Case(lora_plus_rates, lambda _: ((1e-3,), {"ratio": 8.0})),
    Case(
        factorize,
        lambda rng: ((np.diag([4.0, 2.0, 1.0]),), {"r": 2, "scaling": 0.5}),
        scale=10,
        half=False,
        batch=(),
        law=lambda pair, by: Factors(*(factor * np.sqrt(by["M"]) for factor in pair)),
    ),
]


@pytest.mark.parametrize("shift", [-150, 0, 150])
def test_lengths_do_not_overflow(shift):
    M = np.random.default_rng(0).standard_normal((5, 6))
    assert_close(row_lengths(M * 10.0**shift) / 10.0**shift, np.linalg.norm(M, axis=1), scale=10)
    half = torch.tensor([[3e3, 4e3], [3e-4, 4e-4]], dtype=torch.float16)
    assert_close(row_lengths(half).double(), torch.tensor([5e3, 5e-4]).double(), dtype="float16")


def test_the_length_of_an_infinite_row_is_infinite():
    M = np.asarray([[np.inf, 1.0], [np.nan, 1.0], [0.0, 0.0]])
    assert_close(row_lengths(M), np.asarray([np.inf, np.nan, 0.0]))


@pytest.mark.parametrize("default", ["meta", None])
def test_stay_with_the_arguments_whatever_the_defaults(default):
    W, A, B = (torch.tensor(t) for t in layer(np.random.default_rng(0)))
    m = torch.ones(4, dtype=torch.float64)
    torch.set_default_device(default)
    try:
        results = (
            dora(W, A, B, m, scaling=1.0),
            *factorize(W, r=6),
            *stack([Factors(A, B)], weights=[1.0]),
        )
    finally:
        torch.set_default_device(None)
    assert all((t.device.type, t.dtype) == ("cpu", torch.float64) for t in results)


def test_dora_has_the_lengths_and_directions_that_it_says():
    rng = np.random.default_rng(0)
    W, A, B = layer(rng)
    m = rng.uniform(0.5, 2, 4)
    found = dora(W, A, B, m, scaling=0.5)
    V = merge(W, A, B, scaling=0.5)
    assert_close(np.linalg.norm(found, axis=1), m)
    assert_close(found / m[:, None], V / np.linalg.norm(V, axis=1, keepdims=True))
    start = dora(W, A, 0 * B, np.linalg.norm(W, axis=1), scaling=0.5)
    assert_close(start, W)


def test_dora_is_that_of_peft():
    rng = np.random.default_rng(0)
    W, A, B = (torch.tensor(t) for t in layer(rng))
    m = torch.tensor(rng.uniform(0.5, 2, 4))
    base = torch.nn.Sequential(torch.nn.Linear(7, 4, bias=False).double())
    config = peft.LoraConfig(target_modules=["0"], r=2, lora_alpha=6, use_dora=True)
    model = peft.get_peft_model(base, config, autocast_adapter_dtype=False)
    theirs = model.base_model.model[0]
    with torch.no_grad():
        theirs.get_base_layer().weight.copy_(W)
        theirs.lora_A["default"].weight.copy_(A)
        theirs.lora_B["default"].weight.copy_(B)
        theirs.lora_magnitude_vector["default"].weight.copy_(m)
    x = torch.tensor(rng.standard_normal((5, 7)))
    assert_close(x @ dora(W, A, B, m, scaling=3.0).T, theirs(x), scale=10)


def test_a_short_row_is_stretched_in_half_precision():
    half = [np.asarray(x, dtype=np.float16) for x in ([[1e-4, 0]], [[0, 0]], [[0]], [10])]
    assert dora(*half, scaling=1.0).tolist() == [[10, 0]]


def test_a_row_of_zeros_stays_zero():
    W, A, B = np.zeros((2, 3)), np.ones((1, 3)), np.asarray([[0.0], [1.0]])
    found = dora(W, A, B, np.ones(2), scaling=1.0)
    assert_close(found, np.asarray([[0.0] * 3, [3**-0.5] * 3]))


@pytest.mark.parametrize("r", [1, 2, 4, 6])
@pytest.mark.parametrize("scaling", [0.5, 3.0])
def test_factors_give_the_nearest_matrix_and_are_balanced(r, scaling):
    M = spread(np.random.default_rng(1))
    A, B = factorize(M, r=r, scaling=scaling)
    assert A.shape == (r, 7)
    assert B.shape == (4, r)
    assert_close(scaling * B @ A, low_rank(M, r=r), scale=10)
    assert_close(np.linalg.norm(A, axis=1), np.linalg.norm(B, axis=0), scale=10)
    assert_close(product(M, r=r, scaling=scaling), low_rank(M, r=r), scale=10)
    if r > 4:
        assert np.all(A[4:] == 0)
        assert np.all(B[:, 4:] == 0)


def test_a_stack_is_the_sum_of_the_updates():
    (pairs,), keywords = make_stack(np.random.default_rng(2))
    A, B = stack(pairs, **keywords)
    expected = 0.7 * pairs[0].B @ pairs[0].A - 2.0 * pairs[1].B @ pairs[1].A
    assert_close(B @ A, expected, scale=10)
    assert A.shape == (4, 7)


def test_rates():
    assert lora_plus_rates(0.1) == Rates(0.1, 1.6)
    assert lora_plus_rates(0.0, ratio=1.0) == Rates(0.0, 0.0)


W, A, B = layer(np.random.default_rng(0))
one = Factors(A, B)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: row_lengths(W[0]), ValueError, r"M has shape \(7,\)"),
        (lambda: row_lengths(W[:, :0]), ValueError, r"M has shape \(4, 0\)"),
        (lambda: row_lengths(W.astype(int)), TypeError, "M has dtype int64"),
        (lambda: dora(W.T, A, B, W[:, 0], scaling=1.0), ValueError, r"W has shape \(7, 4\)"),
        (lambda: dora(W, A, B, W[:1, 0], scaling=1.0), ValueError, r"magnitude has shape \(1,\)"),
        (lambda: dora(W, A, B, W[:, :1], scaling=1.0), ValueError, r"magnitude has shape \(4, 1"),
        (lambda: dora(W, A, B, [1.0], scaling=1.0), TypeError, "magnitude is list"),
        (lambda: factorize(W[0], r=1), ValueError, r"M has shape \(7,\)"),
        (lambda: factorize(W.astype(int), r=1), TypeError, "M has dtype int64"),
        (lambda: factorize(W, r=0), ValueError, "r is 0"),
        (lambda: factorize(W, r=1, scaling=0.0), ValueError, "scaling is 0"),
        (lambda: stack([], weights=[]), ValueError, "there are 0 adapters and 0 weights"),
        (lambda: stack([one], weights=[1.0, 2.0]), ValueError, "1 adapters and 2 weights"),
        (
            lambda: stack([one, Factors(A[:, :1], B)], weights=[1.0, 2.0]),
            ValueError,
            r"A has shape \(2, 1\) .* must map 7 to 4",
        ),
        (
            lambda: stack([one, Factors(A, B[:1])], weights=[1.0, 2.0]),
            ValueError,
            r"B has shape \(1, 2\): all adapters",
        ),
        (lambda: stack([Factors(A.astype(int), B)], weights=[1]), TypeError, "A has dtype int64"),
        (lambda: stack([Factors(A, B.astype(int))], weights=[1]), TypeError, "B has dtype int64"),
        (lambda: stack([Factors(A, B[:, :1])], weights=[1]), ValueError, "one r >= 1"),
        (lambda: lora_plus_rates(-1.0), ValueError, "lr is -1"),
        (lambda: lora_plus_rates(1.0, ratio=0.9), ValueError, "ratio is 0.9"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
