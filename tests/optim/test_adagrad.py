import copy

import pytest
import torch
from torch.nn import Parameter

from dlkb.optim import Adagrad
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
    {"lr": 0.3, "lr_decay": 0.1, "eps": 1e-2},
    {"lr": torch.tensor(0.05, dtype=torch.float64)},
    {"initial_accumulator_value": 0.5, "weight_decay": 0.3},
    {"weight_decay": 0.3, "maximize": True},
]


def test_signature_is_that_of_torch():
    assert_same_signature(Adagrad, torch.optim.Adagrad)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_thirty_steps_are_those_of_torch(options, device):
    mine, theirs = parameters(device=device), parameters(device=device)
    a, b = Adagrad(mine, **options), torch.optim.Adagrad(theirs, **options)
    assert_same_state(a, b)  # torch makes the state before the first step
    train(a, mine, range(30), skip=[1])
    train(b, theirs, range(30), skip=[1])
    for p, q in zip(mine, theirs, strict=True):
        assert_close(p, q)
    assert_same_state(a, b)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("first", [Adagrad, torch.optim.Adagrad])
def test_a_run_resumes_under_the_other(first, options):
    second = torch.optim.Adagrad if first is Adagrad else Adagrad
    assert_resumes(first, second, options)


def test_checkpoint_of_an_old_torch_resumes():
    params = parameters()
    optimizer = Adagrad(params)
    train(optimizer, params, range(3))
    checkpoint = copy.deepcopy(optimizer.state_dict())
    for name in ("foreach", "maximize", "differentiable", "fused"):
        del checkpoint["param_groups"][0][name]
    for state in checkpoint["state"].values():
        state["step"] = int(state["step"])
    fresh = Adagrad(params)
    fresh.load_state_dict(checkpoint)
    assert_same_state(fresh, optimizer)


def sparse_steps(kind, *, steps=4, **options):
    table = torch.nn.Embedding(6, 2, sparse=True, dtype=torch.float64)
    with torch.no_grad():
        table.weight.copy_(torch.arange(12.0, dtype=torch.float64).view(6, 2))
    optimizer = kind(table.parameters(), lr=0.1, **options)
    for t in range(steps):
        optimizer.zero_grad()
        rows = torch.tensor([t, 1, 1])  # row 1 comes twice: its gradients add up
        table(rows).square().sum().backward()
        assert table.weight.grad.is_sparse
        optimizer.step()
    return table.weight, optimizer


@pytest.mark.filterwarnings("ignore:Sparse invariant checks")  # of torch's own
@pytest.mark.parametrize(
    "options", [{}, {"lr_decay": 0.5}, {"initial_accumulator_value": 0.1}], ids=str
)
def test_sparse_gradients_move_the_rows_that_torch_moves(options):
    (mine, a), (theirs, b) = (
        sparse_steps(kind, **options) for kind in (Adagrad, torch.optim.Adagrad)
    )
    assert_close(mine, theirs)
    assert_same_state(a, b)
    assert mine[4:].tolist() == [[8.0, 9.0], [10.0, 11.0]]


@pytest.mark.filterwarnings("ignore:Sparse invariant checks")  # of torch's own
def test_sparse_gradients_go_with_weight_decay():
    mine, _ = sparse_steps(Adagrad, weight_decay=0.1)
    assert bool((mine[4:] < torch.tensor([[8.0, 9.0], [10.0, 11.0]])).all())
    with pytest.raises(RuntimeError, match="weight_decay option is not compatible"):
        sparse_steps(torch.optim.Adagrad, weight_decay=0.1)


@pytest.mark.filterwarnings("ignore:Sparse invariant checks")  # of torch's own
def test_without_epsilon_rows_without_gradient_are_no_numbers():
    mine, theirs = (sparse_steps(kind, eps=0.0)[0] for kind in (Adagrad, torch.optim.Adagrad))
    assert mine[4:].isnan().all()
    assert theirs[4:].tolist() == [[8.0, 9.0], [10.0, 11.0]]
    assert_close(mine[:4][~mine[:4].isnan()], theirs[:4][~mine[:4].isnan()])


def test_a_group_starts_from_its_own_value():
    first, second, late = (Parameter(torch.zeros(2)) for _ in range(3))
    groups = [{"params": [first]}, {"params": [second], "initial_accumulator_value": 3.0}]
    optimizer = Adagrad(groups, lr=1.0, eps=0.0)
    optimizer.add_param_group({"params": [late], "initial_accumulator_value": 8.0})
    for p in (first, second, late):
        p.grad = torch.ones(2)
    optimizer.step()
    assert_close(torch.stack([first, second, late])[:, 0], torch.tensor([-1, -1 / 2, -1 / 3]))


def test_the_sums_can_be_shared():
    params = parameters()[:1]
    optimizer = Adagrad(params)
    assert not optimizer.state[params[0]]["sum"].is_shared()
    optimizer.share_memory()
    assert optimizer.state[params[0]]["sum"].is_shared()


@pytest.mark.parametrize(
    "name", ["lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps"]
)
def test_values_out_of_range_are_refused(name):
    Adagrad(parameters(), **{name: 0.0})
    with pytest.raises(ValueError, match=rf"{name} is -0.1: it must lie in \[0, inf\)"):
        Adagrad(parameters(), **{name: -0.1})


def test_the_learning_rate_has_a_gradient():
    lr = torch.tensor(0.1, requires_grad=True)
    theta = torch.full((1,), 3.0).requires_grad_().clone()
    optimizer = Adagrad([theta], lr=lr, differentiable=True)
    theta.grad = torch.full((1,), 5.0)
    optimizer.step()
    (slope,) = torch.autograd.grad(theta.sum(), lr)
    assert_close(slope, torch.tensor(-1.0))
