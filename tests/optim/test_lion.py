import copy

import pytest
import torch
from torch.nn import Parameter

from dlkb.optim import Lion
from dlkb.optimizers.lion import lion, lion_init
from tests.close import assert_close
from tests.optim.like_torch import parameters, train

OPTIONS = [
    {},
    {"lr": 0.05, "betas": (0.5, 0.8)},
    {"lr": torch.tensor(0.05, dtype=torch.float64), "weight_decay": 0.3, "maximize": True},
]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_steps_are_those_of_the_formula(options, dtype, device):
    params = parameters(dtype, device)
    optimizer = Lion(params, **options)
    arrays = [p.detach().clone() for p in params]
    states = [lion_init(theta) for theta in arrays]
    for t in range(10):
        train(optimizer, params, [t], skip=[1])
        for i, (p, theta, state) in enumerate(zip(params, arrays, states, strict=True)):
            if i != 1:
                arrays[i], states[i] = lion(theta, p.grad, state, **options)
            assert_close(p, arrays[i])
            assert p.dtype == dtype
    assert list(optimizer.state[params[0]]) == ["exp_avg"]
    assert len(optimizer.state) == len(params) - 1  # nothing is stored for who has no gradient


def test_a_run_resumes():
    whole, parted = parameters(), parameters()
    train(Lion(whole, lr=0.1), whole, range(20))
    before = Lion(parted, lr=0.1)
    train(before, parted, range(8))
    after = Lion(parted)
    after.load_state_dict(copy.deepcopy(before.state_dict()))
    train(after, parted, range(8, 20))
    for p, q in zip(parted, whole, strict=True):
        assert_close(p, q)


def test_what_was_loaded_or_copied_can_be_loaded_and_copied_again():
    params = parameters()
    optimizer = Lion(params, lr=0.1)
    train(optimizer, params, range(2))
    state = copy.deepcopy(optimizer.state_dict())
    for _ in range(2):
        optimizer.load_state_dict(state)
        optimizer = copy.deepcopy(optimizer)
    assert str(optimizer.state_dict()) == str(state)


def test_large_parameters_are_compiled_to_the_same_steps():
    small = Parameter(torch.linspace(-1, 1, 2**10))
    large = Parameter(small.detach().repeat(2**10))
    for t in range(3):
        small.grad = torch.sin(small.detach() + t)
        large.grad = small.grad.repeat(2**10)
        if t == 0:
            optimizers = [Lion([p], lr=0.01, weight_decay=0.1) for p in (small, large)]
        for optimizer in optimizers:
            optimizer.step()
    assert_close(large.view(2**10, -1)[-1], small)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": -0.1}, "lr is -0.1"),
        ({"weight_decay": -0.1}, "weight_decay is -0.1"),
        ({"betas": (1.0, 0.9)}, r"betas\[0\] is 1.0"),
        ({"betas": (0.9, -0.1)}, r"betas\[1\] is -0.1"),
    ],
)
def test_values_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Lion(parameters(), **options)


def test_sparse_gradients_are_refused():
    table = torch.nn.Embedding(5, 2, sparse=True)
    optimizer = Lion(table.parameters())
    table(torch.tensor([1])).sum().backward()
    with pytest.raises(RuntimeError, match="Lion does not support sparse"):
        optimizer.step()
