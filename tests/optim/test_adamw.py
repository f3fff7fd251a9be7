import inspect

import pytest
import torch

from dlkb.optim import Adam, AdamW
from tests.close import assert_close
from tests.optim.test_adam import assert_same_state, parameters, train

OPTIONS = [
    {},
    {"lr": 0.05, "weight_decay": 0.5, "betas": (0.7, 0.9), "eps": 1e-2},
    {"weight_decay": 0.0},
    {"weight_decay": 0.3, "maximize": True},
    {"amsgrad": True, "weight_decay": 0.1, "lr": torch.tensor(0.1, dtype=torch.float64)},
]


def test_signature_is_that_of_torch():
    mine = inspect.signature(AdamW).parameters
    theirs = inspect.signature(torch.optim.AdamW).parameters
    assert list(mine) == list(theirs)
    for name, parameter in theirs.items():
        assert (mine[name].default, mine[name].kind) == (parameter.default, parameter.kind)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_thirty_steps_are_those_of_torch(options, device):
    mine, theirs = parameters(device=device), parameters(device=device)
    a, b = AdamW(mine, **options), torch.optim.AdamW(theirs, **options)
    train(a, mine, range(30))
    train(b, theirs, range(30))
    for p, q in zip(mine, theirs, strict=True):
        assert_close(p, q)
    assert_same_state(a, b)


@pytest.mark.parametrize("first", [AdamW, torch.optim.AdamW])
def test_a_run_resumes_under_the_other(first):
    second = torch.optim.AdamW if first is AdamW else AdamW
    options = {"lr": 0.1, "weight_decay": 0.2, "amsgrad": True}
    whole, parted = parameters(), parameters()
    train(first(whole, **options), whole, range(20))
    before = first(parted, **options)
    train(before, parted, range(8))
    after = second(parted)
    after.load_state_dict(before.state_dict())
    train(after, parted, range(8, 20))
    for p, q in zip(parted, whole, strict=True):
        assert_close(p, q)


def test_a_checkpoint_of_adam_decays_decoupled_from_now_on():
    params = parameters()
    coupled = Adam(params, weight_decay=0.1)
    train(coupled, params, [0])
    optimizer = AdamW(params)
    optimizer.load_state_dict(coupled.state_dict())
    assert optimizer.param_groups[0]["decoupled_weight_decay"] is True


def test_errors_name_this_class():
    table = torch.nn.Embedding(5, 2, sparse=True)
    optimizer = AdamW(table.parameters())
    table(torch.tensor([1])).sum().backward()
    with pytest.raises(RuntimeError, match="AdamW does not support sparse"):
        optimizer.step()
    with pytest.raises(NotImplementedError, match="fused=True"):
        AdamW(parameters(), fused=True)
