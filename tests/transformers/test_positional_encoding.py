import math

import numpy as np
import pytest
import torch
from transformers.models.bloom.modeling_bloom import build_alibi_tensor
from transformers.models.gptj.modeling_gptj import (
    apply_rotary_pos_emb as rotate_pairs,
)
from transformers.models.gptj.modeling_gptj import (
    create_sinusoidal_positions,
)
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb as rotate_halves

from dlkb.transformers.positional_encoding import (
    alibi,
    angles,
    interleave,
    rotary,
    sinusoidal,
)
from tests.cases import Case
from tests.close import assert_close


def at(rng):
    return (np.asarray([0.0, 1.0, 5.0, -2.5]),)


def heads(rng):
    return rng.normal(size=(2, 4, 6)), np.asarray([0.0, 1.0, 3.0, -2.0])


CASES = [
    Case(angles, lambda rng: (at(rng), {"width": 6, "base": 100.0}), fixed=("positions",)),
    Case(sinusoidal, lambda rng: (at(rng), {"width": 6, "base": 100.0}), fixed=("positions",)),
    Case(
        rotary,
        lambda rng: (heads(rng), {"layout": "halves", "base": 100.0}),
        "halves",
        scale=4,
        fixed=("positions",),
        batch=("x",),
        broadcasts=("positions",),
    ),
    Case(
        rotary,
        lambda rng: (heads(rng), {"layout": "pairs"}),
        "pairs",
        scale=4,
        fixed=("positions",),
        batch=("x",),
    ),
    Case(interleave, lambda rng: ((rng.normal(size=(3, 6)),), {"inverse": False})),
    Case(interleave, lambda rng: ((rng.normal(size=(3, 6)),), {"inverse": True}), "inverse"),
    Case(
        alibi,
        lambda rng: ((np.ones((3, 4, 2)), np.ones((3, 5, 2))), {"past": 1}),
        fixed=("q", "k"),
        batch=(),
        broadcasts=("q", "k"),
    ),
]


@pytest.mark.parametrize("width", [2, 8, 64])
def test_sinusoids_are_those_of_the_paper(width):
    encoded = sinusoidal(np.arange(50.0), width=width)
    for p in (0, 1, 49):
        for i in range(width // 2):
            turned = p / 10_000 ** (2 * i / width)
            expected = [math.sin(turned), math.cos(turned)]
            assert_close(encoded[p, 2 * i : 2 * i + 2], np.asarray(expected))
    split = np.concatenate([encoded[:, ::2], encoded[:, 1::2]], axis=-1)
    theirs = create_sinusoidal_positions(50, width)  # sines first, in float32
    assert_close(split, theirs, dtype="float32")
    assert sinusoidal(np.zeros((3, 0, 2)), width=width).shape == (3, 0, 2, width)


@pytest.mark.parametrize("width", [2, 6, 64])
@pytest.mark.parametrize("base", [10_000.0, 500_000.0])
def test_rotary_is_that_of_transformers_in_both_layouts(width, base):
    rng = np.random.default_rng(0)
    x = torch.tensor(rng.normal(size=(2, 3, 7, width)))
    positions = torch.arange(7.0, dtype=torch.float64) + 100
    turned = angles(positions, width=width, base=base)
    double = torch.cat([turned, turned], -1)[None]
    expected, _ = rotate_halves(x, x, double.cos(), double.sin())
    assert_close(rotary(x, positions, base=base), expected)
    swapped = x.transpose(1, 2)  # GPT-J has the heads third
    pairs = rotate_pairs(swapped, turned.sin()[None], turned.cos()[None]).transpose(1, 2)
    assert_close(rotary(x, positions, base=base, layout="pairs"), pairs)


def test_the_layouts_differ_by_an_order_of_the_entries():
    rng = np.random.default_rng(1)
    x, positions = rng.normal(size=(5, 8)), np.arange(5.0)
    turned = rotary(interleave(x), positions, layout="pairs")
    assert_close(interleave(turned, inverse=True), rotary(x, positions))
    assert not np.allclose(rotary(x, positions, layout="pairs"), rotary(x, positions))


@pytest.mark.parametrize("layout", ["halves", "pairs"])
def test_scores_depend_on_the_difference_of_positions_and_gradients_turn_back(layout):
    rng = np.random.default_rng(2)
    q, k = rng.normal(size=(2, 1, 8))
    found = []
    for shift in (0.0, 1.0, 1000.0):
        turned = rotary(np.stack([q, k]), np.asarray([shift]), layout=layout)
        later = rotary(k, np.asarray([shift + 5]), layout=layout)
        assert_close(np.linalg.norm(turned, axis=-1), np.linalg.norm([q, k], axis=-1))
        found.append((turned[0] * later).sum())
    assert_close(np.asarray(found), np.full(3, found[0]), scale=100)
    x = torch.tensor(rng.normal(size=(3, 4, 8)), requires_grad=True)
    positions, cotangent = torch.arange(4.0, dtype=torch.float64), torch.ones(3, 4, 8)
    (grad,) = torch.autograd.grad(rotary(x, positions, layout=layout), x, cotangent)
    assert_close(grad, rotary(cotangent.double(), -positions, layout=layout))


def test_large_positions_in_half_precision():
    x = torch.tensor(np.random.default_rng(3).normal(size=(1, 8)), dtype=torch.bfloat16)
    positions = torch.tensor([4001.0])
    exact = rotary(x.double(), positions.double())
    assert_close(rotary(x, positions), exact.bfloat16(), dtype="bfloat16", scale=0.3)
    assert rotary(x, positions).dtype == torch.bfloat16
    for count in (3.0, 200.0):  # rounded once, behind the product
        given = torch.tensor([count], dtype=torch.bfloat16)
        exact = angles(given.double(), width=64).bfloat16()
        assert torch.equal(angles(given, width=64), exact)


@pytest.mark.parametrize("count", [1, 2, 8, 16, 6, 12, 20])
def test_slopes_are_those_of_transformers(count):
    q, k = np.ones((count, 1, 2)), np.ones((count, 9, 2))
    bias = alibi(q, k, past=8)
    theirs = build_alibi_tensor(torch.ones(1, 9), count, torch.float64)
    # Bloom adds slope times position: the same up to a number that is one for all keys.
    assert_close(bias - bias[..., :1], theirs.reshape(count, 1, 9), dtype="float32")
    assert_close(bias[:, 0, -1], np.zeros(count))
    both = alibi(np.ones((count, 9, 2)), k)
    assert_close(both, np.swapaxes(both, -1, -2))
    assert_close(both[:, -1:], bias)


def test_no_heads_no_bias():
    assert alibi(np.ones((0, 2, 3)), np.ones((0, 2, 3))).shape == (0, 2, 2)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: angles(np.arange(3), width=4), TypeError, "positions has dtype int64"),
        (lambda: angles(np.arange(3.0), width=5), ValueError, "width is 5: an even"),
        (lambda: angles(np.arange(3.0), width=0), ValueError, "width is 0: an even number ≥ 2"),
        (lambda: angles(np.arange(3.0), width=4, base=0.0), ValueError, "base is 0.0"),
        (lambda: sinusoidal(np.arange(3), width=4), TypeError, "positions has dtype int64"),
        (lambda: rotary(np.ones((3, 4)), np.arange(3)), TypeError, "positions has dtype"),
        (lambda: rotary(np.ones((3, 4)), [0.0, 1.0, 2.0]), TypeError, "positions is list"),
        (lambda: rotary(np.ones((3, 4), int), np.arange(3.0)), TypeError, "x has dtype"),
        (lambda: rotary(np.ones((3, 4)), np.arange(2.0)), ValueError, r"positions has .*\(2,\)"),
        (lambda: rotary(np.ones(4), np.arange(4.0)), ValueError, r"x has shape \(4,\)"),
        (lambda: rotary(np.ones((3, 5)), np.arange(3.0)), ValueError, "width is 5"),
        (
            lambda: rotary(np.ones((3, 4)), np.arange(3.0), layout="half"),
            ValueError,
            "layout is 'half'",
        ),
        (lambda: interleave(np.ones(5)), ValueError, "width is 5"),
        (lambda: interleave(np.asarray(1.0)), ValueError, "width is 0"),
        (lambda: alibi(np.ones((3, 4)), np.ones((3, 4))), ValueError, r"q has shape \(3, 4\)"),
        (lambda: alibi(np.ones((1, 3, 4)), np.ones((3, 4))), ValueError, r"k has shape \(3, 4\)"),
        (lambda: alibi(np.ones((1, 3, 4), int), np.ones((1, 3, 4))), TypeError, "q has dtype"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
