import copy

import pytest
import torch
from torch.nn import Parameter

from dlkb.optim import RMSprop
from tests.close import assert_close
from tests.optim.like_torch import (
    assert_resumes,
    assert_same_signature,
    assert_same_state,
    parameters,
    train,
)

OPTIONS = [
    {},
    {"lr": 0.3, "alpha": 0.8, "eps": 1e-2},
    {"lr": torch.tensor(0.05, dtype=torch.float64)},
    {"momentum": 0.9, "weight_decay": 0.3},
    {"centered": True},
    {"centered": True, "momentum": 0.5, "weight_decay": 0.3, "maximize": True},
]


def test_signature_is_that_of_torch():
    assert_same_signature(RMSprop, torch.optim.RMSprop)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_thirty_steps_are_those_of_torch(options, device):
    mine, theirs = parameters(device=device), parameters(device=device)
    a, b = RMSprop(mine, **options), torch.optim.RMSprop(theirs, **options)
    train(a, mine, range(30), skip=[1])
    train(b, theirs, range(30), skip=[1])
    for p, q in zip(mine, theirs, strict=True):
        assert_close(p, q, scale=100)  # the variance cancels digits
    assert_same_state(a, b)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("first", [RMSprop, torch.optim.RMSprop])
def test_a_run_resumes_under_the_other(first, options):
    second = torch.optim.RMSprop if first is RMSprop else RMSprop
    assert_resumes(first, second, options, scale=100)


def test_checkpoint_of_an_old_torch_resumes():
    params = parameters()
    optimizer = RMSprop(params)
    train(optimizer, params, range(3))
    checkpoint = copy.deepcopy(optimizer.state_dict())
    for name in ("momentum", "centered", "foreach", "maximize", "differentiable", "capturable"):
        del checkpoint["param_groups"][0][name]
    for state in checkpoint["state"].values():
        state["step"] = int(state["step"])
    fresh = RMSprop(params)
    fresh.load_state_dict(checkpoint)
    assert_same_state(fresh, optimizer)


@pytest.mark.parametrize(
    ("name", "value", "lacking"),
    [("momentum", 0.9, "momentum_buffer"), ("centered", True, "grad_avg")],
)
def test_an_option_switched_on_later_is_named(name, value, lacking):
    params = parameters()
    optimizer = RMSprop(params)
    train(optimizer, params, [0])
    optimizer.param_groups[0][name] = value
    before = params[0].detach().clone()
    with pytest.raises(ValueError, match=rf"lacks \['{lacking}'\]: an option of its group"):
        optimizer.step()
    assert torch.equal(params[0], before)
    optimizer.param_groups[0][name] = 0
    optimizer.step()


def test_centred_steps_on_a_gradient_that_stays_are_not_nan():
    theta = Parameter(torch.zeros(64))
    optimizer = RMSprop([theta], centered=True, alpha=0.9, lr=1e-3)
    for _ in range(300):
        theta.grad = torch.linspace(0.1, 3.0, 64)
        optimizer.step()
    assert bool(torch.isfinite(theta).all())


@pytest.mark.parametrize("name", ["lr", "eps", "weight_decay", "momentum", "alpha"])
def test_values_out_of_range_are_refused(name):
    RMSprop(parameters(), **{name: 0.0})
    with pytest.raises(ValueError, match=rf"{name} is -0.1: it must lie in \[0, "):
        RMSprop(parameters(), **{name: -0.1})


def test_alpha_is_at_most_one():
    RMSprop(parameters(), alpha=1.0)
    with pytest.raises(ValueError, match=r"alpha is 1.01: it must lie in \[0, 1\]"):
        RMSprop(parameters(), alpha=1.01)


def test_large_parameters_are_compiled_to_the_same_steps():
    results = []
    for kind in (RMSprop, torch.optim.RMSprop):
        generator = torch.Generator().manual_seed(0)
        p = Parameter(torch.randn(2**20, generator=generator))
        optimizer = kind([p], lr=0.01, momentum=0.9, centered=True, alpha=0.9, eps=1e-2)
        for _ in range(3):
            p.grad = torch.randn(2**20, generator=generator)
            optimizer.step()
        results.append(p)
    assert_close(*results, scale=10)
