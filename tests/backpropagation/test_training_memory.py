import functools
import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from dlkb.backpropagation.training_memory import (
    best_segment,
    block_bytes,
    checkpoint_bytes,
    longest_chain,
    mlp_bytes,
    state_bytes,
    tanh_chain,
    tanh_chain_vjp,
)
from tests.cases import Case
from tests.close import assert_close


def chain(rng, batch=3, n=4, depth=5):
    return rng.normal(size=(batch, n)), 0.5 * rng.normal(size=(depth, n, n))


def pulled(rng):
    x, W = chain(rng)
    return x, W, rng.normal(size=x.shape)


SATURATED = {
    "huge all": "W₁x overflows on the way to a tanh of one",
}

CASES = [
    Case(state_bytes, lambda rng: ((1000,), {})),
    Case(state_bytes, lambda rng: ((7,), {"weight": 2, "gradient": 2, "optimizer": 12}), "mixed"),
    Case(mlp_bytes, lambda rng: (((64, 16, 10),), {"batch": 32})),
    Case(
        mlp_bytes,
        lambda rng: (((64, 16, 8, 10),), {"itemsize": 2, "from_input": True}),
        "input",
    ),
    Case(block_bytes, lambda rng: ((128,), {"hidden": 64, "heads": 4, "batch": 2})),
    Case(
        block_bytes,
        lambda rng: ((128,), {"hidden": 64, "heads": 4, "itemsize": 4, "dropout": False}),
        "float32",
    ),
    Case(
        checkpoint_bytes,
        lambda rng: ((1 + 63 * rng.random(7),), {"depth": 64.0, "boundary": 2.0, "inner": 34.0}),
        fixed=("segment",),
    ),
    Case(best_segment, lambda rng: ((64.0,), {"boundary": 2.0, "inner": 34.0})),
    Case(longest_chain, lambda rng: ((3,), {"sweeps": 4})),
    Case(tanh_chain, lambda rng: (chain(rng), {}), batch=(), scale=3, unless=SATURATED),
    Case(
        tanh_chain_vjp,
        lambda rng: (pulled(rng), {"segment": 2}),
        batch=(),
        scale=5,
        unless=SATURATED,
    ),
    Case(
        tanh_chain_vjp,
        lambda rng: (pulled(rng), {"segment": 9}),
        "one segment",
        batch=(),
        scale=5,
        unless=SATURATED,
    ),
]


@pytest.mark.parametrize(
    "shape", [(3, 4, 5), (1, 1, 1), (3, 4, 1), (0, 4, 2), (2, 0, 2), (2, 3, 0)]
)
@pytest.mark.parametrize("segment", [1, 2, 3, 5, 9])
def test_chain_gradients_are_autograd_s_for_every_segment(shape, segment, device):
    batch, n, depth = shape
    arrays = chain(np.random.default_rng(0), batch, n, depth)
    x, W = (torch.tensor(a, device=device, requires_grad=True) for a in arrays)
    y = x
    for weight in W:
        y = torch.tanh(y @ weight.T)
    assert_close(tanh_chain(x.detach(), W.detach()), y)
    g = torch.tensor(np.random.default_rng(1).normal(size=y.shape), device=device)
    expected = torch.autograd.grad(y, (x, W), g, allow_unused=True)
    found = tanh_chain_vjp(x.detach(), W.detach(), g, segment=segment)
    assert_close(found.x, expected[0])
    assert_close(found.W, torch.zeros_like(W) if expected[1] is None else expected[1])


@pytest.mark.parametrize("segment", [1, 4, 8, 16, 64])
def test_chain_keeps_few_states(segment):
    """At no time more than the inputs of the segments and the states of one are alive."""
    from dlkb.nn import peak_memory

    batch, n, depth = 256, 4, 64
    x, W = map(torch.tensor, chain(np.random.default_rng(0), batch, n, depth))
    row = batch * n * 8
    peak = peak_memory(lambda: tanh_chain_vjp(x, W, torch.ones_like(x), segment=segment)) / row
    expected = float(
        checkpoint_bytes(torch.tensor(float(segment)), depth=depth, boundary=1, inner=1)
    )
    gradients = 2 * depth * n * n * 8 / row  # stacked at the end
    assert expected <= peak <= expected + gradients + 5


def network(widths, activation):
    layers = []
    for i, o in pairwise(widths):
        layers += [nn.Linear(i, o), activation()]
    return nn.Sequential(*layers[:-1])


@pytest.mark.parametrize("widths", [(8, 3), (8, 16, 3), (5, 16, 16, 4, 3)])
@pytest.mark.parametrize("batch", [0, 1, 32])
@pytest.mark.parametrize(
    ("activation", "from_input"),
    [(nn.ReLU, False), (nn.Tanh, False), (nn.Sigmoid, False), (nn.GELU, True), (nn.SiLU, True)],
)
def test_mlp_bytes_are_what_torch_keeps(widths, batch, activation, from_input):
    from dlkb.nn import saved_memory

    for dtype in (torch.float32, torch.bfloat16):
        model = network(widths, activation).to(dtype)
        saved = saved_memory(model, torch.zeros(batch, widths[0], dtype=dtype))
        options = {"batch": batch, "itemsize": dtype.itemsize, "from_input": from_input}
        assert saved.inputs + saved.activations == mlp_bytes(widths, **options)


@pytest.mark.parametrize("sequence", [1, 16, 48])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_block_bytes_are_what_a_block_keeps(sequence, batch, dtype, dropout):
    """Beside them mean and deviation of both layer norms, for each token."""
    from dlkb.experiments.transformer import Block
    from dlkb.nn import saved_memory

    hidden, heads, size = 24, 3, dtype.itemsize
    block = Block(hidden, heads, dropout=dropout).to(dtype)
    saved = saved_memory(block, torch.zeros(batch, sequence, hidden, dtype=dtype))
    counted = block_bytes(
        sequence, hidden=hidden, heads=heads, batch=batch, itemsize=size, dropout=dropout > 0
    )
    statistics = 4 * size * sequence * batch
    assert saved.inputs + saved.activations == sum(counted) + statistics
    found = saved.modules | {"norm_1": saved.inputs}
    parts = {
        name: sum(size for key, size in found.items() if key.startswith(name))
        for name in ("attention", "drop", "mlp")
    }
    masks = (1 if dropout else 0) * sequence * batch * hidden
    assert parts["drop"] == 2 * masks
    assert parts["attention"] == counted.attention + counted.scores - masks
    assert parts["mlp"] == counted.mlp - masks


def test_block_bytes_are_the_papers():
    for s, b, h, a in ((2048, 1, 12288, 96), (7, 3, 10, 2), (1, 1, 1, 1)):
        found = block_bytes(s, hidden=h, heads=a, batch=b)
        assert sum(found) == pytest.approx(s * b * h * (34 + 5 * a * s / h))
        assert found == (4 * s * b * h, 11 * s * b * h, 5 * a * s * s * b, 19 * s * b * h)


@pytest.mark.parametrize("optimizer", ["SGD", "Momentum", "Adam"])
def test_state_bytes_are_what_torch_holds(optimizer):
    layer = nn.Linear(10, 7)
    made, kept = {
        "SGD": (torch.optim.SGD(layer.parameters()), 0),
        "Momentum": (torch.optim.SGD(layer.parameters(), momentum=0.9), 4),
        "Adam": (torch.optim.Adam(layer.parameters()), 8),
    }[optimizer]
    layer(torch.ones(1, 10)).sum().backward()
    made.step()
    held = [s for state in made.state.values() for s in state.values() if s is not None and s.ndim]
    found = state_bytes(77, optimizer=kept)
    assert found.optimizer == sum(s.nbytes for s in held)
    assert found.parameters == sum(p.nbytes for p in layer.parameters())
    assert found.gradients == sum(p.grad.nbytes for p in layer.parameters())


@pytest.mark.parametrize(("boundary", "inner"), [(1.0, 1.0), (2.0, 34.0), (5.0, 1.0)])
@pytest.mark.parametrize("depth", [1, 64, 100])
def test_best_segment_is_the_least_of_all(boundary, inner, depth):
    k = best_segment(depth, boundary=boundary, inner=inner)
    at = {"depth": depth, "boundary": boundary, "inner": inner}
    least = checkpoint_bytes(np.asarray(k), **at)
    assert_close(least, np.asarray(2 * math.sqrt(depth * boundary * inner)))
    assert (least < checkpoint_bytes(np.asarray([k * 0.9, k * 1.1]), **at)).all()


@functools.cache
def least_sweeps(layers: int, slots: int) -> float:
    """Least largest number of forward runs of a layer, by trying every place for the next state.

    `slots` are free ones, beside the input's. The last layer's backward pass needs only its input.
    """
    if layers <= 1:
        return 0
    if slots == 0:
        return layers - 1
    return min(
        max(1 + least_sweeps(left, slots), least_sweeps(layers - left, slots - 1), 1)
        for left in range(1, layers)
    )


@pytest.mark.parametrize("slots", [1, 2, 3])
@pytest.mark.parametrize("sweeps", [0, 1, 2, 3])
def test_longest_chain_is_that_of_the_best_schedule(slots, sweeps):
    longest = longest_chain(slots, sweeps=sweeps)
    assert least_sweeps(longest, slots - 1) <= sweeps < least_sweeps(longest + 1, slots - 1)


X, W = np.ones((2, 3)), np.ones((4, 3, 3))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: state_bytes(-1), ValueError, "parameters is -1"),
        (lambda: state_bytes(1, optimizer=-1), ValueError, "optimizer is -1"),
        (lambda: mlp_bytes((3,)), ValueError, r"widths is \(3,\)"),
        (lambda: mlp_bytes((3, 0)), ValueError, r"widths\[1\] is 0"),
        (lambda: mlp_bytes((3, 1), batch=-1), ValueError, "batch is -1"),
        (lambda: mlp_bytes((3, 1), itemsize=0), ValueError, "itemsize is 0"),
        (lambda: block_bytes(-1, hidden=1, heads=1), ValueError, "sequence is -1"),
        (lambda: block_bytes(1, hidden=0, heads=1), ValueError, "hidden is 0"),
        (lambda: block_bytes(1, hidden=1, heads=0), ValueError, "heads is 0"),
        (lambda: block_bytes(1, hidden=1, heads=1, batch=-1), ValueError, "batch is -1"),
        (lambda: block_bytes(1, hidden=1, heads=1, itemsize=0), ValueError, "itemsize is 0"),
        (
            lambda: checkpoint_bytes(np.ones(1, int), depth=1, boundary=1, inner=1),
            TypeError,
            "segment has dtype",
        ),
        (lambda: best_segment(0, boundary=1, inner=1), ValueError, "depth is 0"),
        (lambda: best_segment(1, boundary=0, inner=1), ValueError, "boundary is 0"),
        (lambda: best_segment(1, boundary=1, inner=0), ValueError, "inner is 0"),
        (lambda: longest_chain(0, sweeps=1), ValueError, "slots is 0"),
        (lambda: longest_chain(1, sweeps=-1), ValueError, "sweeps is -1"),
        (lambda: tanh_chain(X[0], W), ValueError, r"x has shape \(3,\)"),
        (lambda: tanh_chain(X, W[:, :2]), ValueError, r"W has shape \(4, 2, 3\)"),
        (lambda: tanh_chain(X, W[0]), ValueError, r"W has shape \(3, 3\)"),
        (lambda: tanh_chain(X.astype(int), W), TypeError, "x has dtype"),
        (lambda: tanh_chain_vjp(X, W, X[:1], segment=1), ValueError, r"cotangent has shape \(1"),
        (lambda: tanh_chain_vjp(X, W, X, segment=0), ValueError, "segment is 0"),
        (lambda: tanh_chain_vjp(X, W, X, segment=math.inf), TypeError, "segment is inf"),
        (lambda: tanh_chain_vjp(X, W[:0], X.astype(int), segment=1), TypeError, "cotangent has"),
    ],
)
def test_errors_name_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call()
