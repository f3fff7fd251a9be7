import copy
import math

import pytest
import torch

from dlkb.optim import SGD, Adagrad, Adam
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
    {"lr": 0.1, "weight_decay": 0.3},
    {"lr": 0.1, "weight_decay": 0.3, "maximize": True},
    {"lr": 0.1, "momentum": 0.9},
    {"lr": 0.1, "momentum": 0.9, "dampening": 0.5, "weight_decay": 0.1},
    {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
    {"lr": torch.tensor(0.1, dtype=torch.float64), "momentum": 0.9},
    {"lr": torch.tensor([0.1], dtype=torch.float64), "weight_decay": 0.1},
    {"lr": 0.01, "momentum": 1.0},
]


def test_signature_is_that_of_torch():
    assert_same_signature(SGD, torch.optim.SGD)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_thirty_steps_are_those_of_torch(options, device):
    mine, theirs = parameters(device=device), parameters(device=device)
    a, b = SGD(mine, **options), torch.optim.SGD(theirs, **options)
    train(a, mine, range(30), skip=[1])
    train(b, theirs, range(30), skip=[1])
    for p, q in zip(mine, theirs, strict=True):
        assert_close(p, q)
    assert_same_state(a, b, strides=False)  # those of empty tensors differ
    assert repr(a) == repr(b)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_other_dtypes(dtype, device):
    mine, theirs = parameters(dtype, device), parameters(dtype, device)
    options = {"lr": 1e-2, "momentum": 0.9, "nesterov": True}
    a, b = SGD(mine, **options), torch.optim.SGD(theirs, **options)
    train(a, mine, range(20))
    train(b, theirs, range(20))
    for p, q in zip(mine, theirs, strict=True):
        assert p.dtype == dtype
        assert_close(p, q)


@pytest.mark.parametrize("options", OPTIONS[1:6], ids=str)
@pytest.mark.parametrize("first", [SGD, torch.optim.SGD])
def test_a_run_resumes_under_the_other(first, options):
    second = torch.optim.SGD if first is SGD else SGD
    assert_resumes(first, second, options)


def test_without_momentum_nothing_is_stored():
    params = parameters()
    optimizer = SGD(params, lr=0.1, weight_decay=0.1)
    train(optimizer, params, range(2))
    assert optimizer.state_dict()["state"] == {}
    assert not optimizer.state


def test_momentum_that_sets_in_late_starts_undampened_as_in_torch():
    mine, theirs = parameters(), parameters()
    a, b = SGD(mine, lr=0.1), torch.optim.SGD(theirs, lr=0.1)
    for optimizer, params in ((a, mine), (b, theirs)):
        train(optimizer, params, range(3))
        optimizer.param_groups[0].update(momentum=0.9, dampening=0.5)
        train(optimizer, params, range(3, 8))
    for p, q in zip(mine, theirs, strict=True):
        assert_close(p, q)
    assert_same_state(a, b, strides=False)  # those of empty tensors differ


def test_checkpoint_of_an_old_torch_resumes():
    params = parameters()
    optimizer = SGD(params, lr=0.1, momentum=0.9)
    train(optimizer, params, range(3))
    checkpoint = copy.deepcopy(optimizer.state_dict())
    for name in ("nesterov", "maximize", "foreach", "differentiable", "fused"):
        del checkpoint["param_groups"][0][name]
    fresh = SGD(params)
    fresh.load_state_dict(checkpoint)
    assert_same_state(fresh, optimizer, strides=False)
    checkpoint["state"][0]["momentum_buffer"] = None  # had no gradient yet
    fresh.load_state_dict(checkpoint)
    train(fresh, params, [3])
    assert_close(fresh.state[params[0]]["momentum_buffer"], params[0].grad)


@pytest.mark.parametrize("nesterov", [False, True])
def test_compiled_steps_are_those_of_torch(nesterov):
    """The first step stores the gradient in full; both kernels run for many sizes."""
    options = {"lr": 0.1, "momentum": 0.9, "nesterov": nesterov, "weight_decay": 0.1}
    options |= {} if nesterov else {"dampening": 0.5}
    results = []
    for kind, fused in ((SGD, True), (torch.optim.SGD, False)):
        generator = torch.Generator().manual_seed(0)
        params = [torch.randn(s, generator=generator) for s in ((3, 5), (40, 500), (7,))]
        params = [torch.nn.Parameter(p) for p in params]
        optimizer = kind(params, fused=fused, **options)
        for _ in range(4):
            for p in params:
                p.grad = torch.randn(p.shape, generator=generator)
            optimizer.step()
        results.append(params)
    for p, q in zip(*results, strict=True):
        assert_close(p, q)


def test_gradients_flow_through_differentiable_steps():
    """Also through the first velocity, which torch takes for a constant."""
    lr = torch.tensor(0.1, dtype=torch.float64, requires_grad=True)
    start = torch.tensor([1.0, -2.0], dtype=torch.float64, requires_grad=True)
    grads = torch.tensor([[0.5, 1.0], [2.0, -1.0]], dtype=torch.float64, requires_grad=True)

    def end(lr, start, grads):
        theta = start.clone()
        optimizer = SGD([theta], lr=lr, momentum=0.9, differentiable=True)
        for grad in grads:
            theta.grad = grad
            optimizer.step()
        return theta

    assert torch.autograd.gradcheck(end, (lr, start, grads))


def test_a_cuda_graph_may_capture_a_step_that_counts_nothing(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    p = torch.nn.Parameter(torch.ones(2))
    p.grad = torch.ones(2)
    SGD([p], lr=0.5, momentum=0.9).step()
    assert p.tolist() == [0.5, 0.5]
    with pytest.raises(RuntimeError, match="capturable is False"):
        Adam([p]).step()
    with pytest.raises(RuntimeError, match=r"Adagrad counts on the CPU.*use Adam or RMSprop"):
        Adagrad([p]).step()


def test_sparse_gradients_are_made_dense():
    table = torch.nn.Embedding(5, 2, sparse=True)
    twin = torch.nn.Embedding(5, 2)
    twin.load_state_dict(table.state_dict())
    for layer, kind in ((table, SGD), (twin, torch.optim.SGD)):
        optimizer = kind(layer.parameters(), lr=0.1, momentum=0.9)
        for index in ([1, 1], [3], [1]):
            optimizer.zero_grad()
            layer(torch.tensor(index)).sum().backward()
            optimizer.step()
    assert_close(table.weight, twin.weight)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": -0.1}, r"lr is -0.1: .* \[0, inf\)"),
        ({"lr": torch.tensor(-0.1)}, "lr is -0.1"),
        ({"lr": torch.ones(2)}, r"lr has shape \(2,\)"),
        ({"momentum": -0.1}, r"momentum is -0.1: .* \[0, inf\)"),
        ({"weight_decay": math.nan}, "weight_decay is nan"),
        ({"nesterov": True}, r"momentum is 0: .* \(0, inf\)"),
        ({"nesterov": True, "momentum": 0.9, "dampening": 0.1}, r"dampening is 0.1: .* \[0, 0\]"),
    ],
)
def test_errors_name_the_argument(options, message):
    with pytest.raises(ValueError, match=message):
        SGD(parameters(), **options)
