import numpy as np
import pytest
import torch

from dlkb.optimizers.adam import adam, adam_init
from dlkb.optimizers.adamw import adamw
from tests.cases import Case
from tests.close import assert_close
from tests.optimizers.test_adam import OTHER, arguments

CASES = [
    Case(adamw, lambda rng: (arguments(rng, step=np.asarray(6)), {"weight_decay": 0.3, **OTHER})),
    Case(adamw, lambda rng: (arguments(rng, step=0), {}), "defaults"),
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
