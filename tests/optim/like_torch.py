"""What the tests of each optimizer share: a drop-in does what its namesake in torch does."""

import inspect

import numpy as np
import torch

from tests.close import assert_close

SHAPES = [(4, 3), (5,), (), (0,), (2, 0), (1, 1)]


def parameters(dtype=torch.float64, device="cpu"):
    rng = np.random.default_rng(0)
    return [
        torch.nn.Parameter(torch.tensor(rng.normal(size=s), dtype=dtype, device=device))
        for s in SHAPES
    ]


def set_gradients(params, t, *, skip=()):
    rng = np.random.default_rng(100 + t)
    for i, p in enumerate(params):
        grad = rng.normal(size=p.shape) * np.exp(-abs(t - 5))
        p.grad = None if i in skip else torch.tensor(grad, dtype=p.dtype, device=p.device)


def train(optimizer, params, steps, **keywords):
    for t in steps:
        set_gradients(params, t, **keywords)
        optimizer.step()


def assert_same_state(mine, theirs, *, strides=True):
    """Equal keys, shapes, dtypes, devices and values, group options included."""
    mine, theirs = mine.state_dict(), theirs.state_dict()
    assert mine["param_groups"] == theirs["param_groups"]
    assert mine["state"].keys() == theirs["state"].keys()
    for key, state in theirs["state"].items():
        assert list(mine["state"][key]) == list(state)
        for name, value in state.items():
            ours = mine["state"][key][name]
            assert ours.dtype == value.dtype
            assert ours.device == value.device
            assert ours.stride() == value.stride() or not strides
            assert_close(ours, value)


def assert_same_signature(mine, theirs):
    mine, theirs = inspect.signature(mine).parameters, inspect.signature(theirs).parameters
    assert list(mine) == list(theirs)
    for name, parameter in theirs.items():
        assert (mine[name].default, mine[name].kind) == (parameter.default, parameter.kind)


def assert_resumes(first, second, options, *, scale=1.0):
    """A checkpoint of the first goes on under the second, whose options come from it."""
    whole, parted = parameters(), parameters()
    train(first(whole, **options), whole, range(20))
    before = first(parted, **options)
    train(before, parted, range(8))
    after = second(parted)
    after.load_state_dict(before.state_dict())
    train(after, parted, range(8, 20))
    for p, q in zip(parted, whole, strict=True):
        assert_close(p, q, scale=scale)
