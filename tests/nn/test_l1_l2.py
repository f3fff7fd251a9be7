import numpy as np
import pytest
import torch
from torch import nn

from dlkb.nn import penalized_parameters, penalty, prox_
from tests.close import assert_close


def model(device="cpu", seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3), nn.LayerNorm(3)
    ).to(device)


def weights(net):
    return [net[0].weight, net[3].weight]


def test_matrices_and_kernels_are_penalized_biases_and_gains_are_not(device):
    net = model(device)
    found = penalized_parameters(net)
    assert [id(p) for p in found] == [id(p) for p in weights(net)]
    expected = sum(2.0 * p.abs().sum() + 0.5 * p.square().sum() for p in weights(net))
    assert_close(penalty(net, l1=2.0, l2=1.0), expected)
    penalty(net, l1=2.0, l2=1.0).backward()
    for name, p in net.named_parameters():
        assert (p.grad is not None) == (p.ndim >= 2), name
    assert_close(net[3].weight.grad, 2 * net[3].weight.sign() + net[3].weight)


def test_frozen_and_shared_parameters():
    net = model()
    net[0].weight.requires_grad_(False)
    assert len(penalized_parameters(net)) == 1
    before = net[0].weight.clone()
    prox_(net, lr=1.0, l1=100.0)
    assert_close(net[0].weight, before)
    assert not net[3].weight.any()
    tied = nn.Sequential(nn.Embedding(3, 4), nn.Linear(4, 3, bias=False))
    tied[1].weight = tied[0].weight
    assert_close(penalty(tied, l1=1.0), tied[0].weight.abs().sum())


def test_penalty_with_sgd_is_weight_decay_on_these_parameters(device):
    ours, theirs = model(device), model(device)
    x = torch.tensor(np.random.default_rng(0).normal(size=(5, 1, 4, 4)), dtype=torch.float32)
    chosen = penalized_parameters(theirs)
    rest = [p for p in theirs.parameters() if p.ndim < 2]
    optimizers = [
        torch.optim.SGD(ours.parameters(), lr=0.1),
        torch.optim.SGD([{"params": chosen, "weight_decay": 0.3}, {"params": rest}], lr=0.1),
    ]
    for _ in range(3):
        for net, optimizer in zip((ours, theirs), optimizers, strict=True):
            loss = net(x.to(device)).square().sum()
            if net is ours:
                loss = loss + penalty(net, l2=0.3)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert_close(p, q, scale=10)


def test_prox_makes_exact_zeros_in_place_and_no_graph(device):
    net = model(device)
    places = [p.data_ptr() for p in net.parameters()]
    before = [p.detach().clone() for p in net.parameters()]
    assert prox_(net, lr=0.5, l1=0.3, l2=0.2) is None
    assert [p.data_ptr() for p in net.parameters()] == places
    for p, old in zip(net.parameters(), before, strict=True):
        expected = torch.nn.functional.softshrink(old, 0.15) / 1.1 if p.ndim >= 2 else old
        assert_close(p, expected)
        assert p.requires_grad
        assert p.is_leaf
    assert (net[3].weight == 0).any()
    assert (net[3].weight != 0).any()


@pytest.mark.parametrize(
    ("momentum", "lr_of_prox", "expected"),
    [(0.0, 0.01, 0.7), (0.9, 0.01, 0.97), (0.9, 0.1, 0.7)],
)
def test_with_momentum_prox_needs_the_longer_step(momentum, lr_of_prox, expected):
    # ½(θ − 1)² + 0.3 |θ| is least at 0.7.
    net = nn.Linear(1, 1, bias=False, dtype=torch.float64)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=momentum)
    for _ in range(2000):
        net.weight.grad = net.weight.detach() - 1
        optimizer.step()
        prox_(net, lr=lr_of_prox, l1=0.3)
    np.testing.assert_allclose(net.weight.item(), expected, atol=1e-6)


def test_mixed_precision_weights_add_up():
    net = model()
    net[0].to(torch.bfloat16)
    expected = sum(p.float().abs().sum() for p in weights(net))
    assert_close(penalty(net, l1=1.0), expected, dtype="bfloat16")


def test_errors():
    with pytest.raises(ValueError, match="LayerNorm has no trainable parameter of two axes"):
        penalty(nn.LayerNorm(3), l1=1.0)
    with pytest.raises(ValueError, match="there is nothing to penalize"):
        prox_(model().requires_grad_(False), lr=0.1, l1=1.0)
    with pytest.raises(ValueError, match=r"l1 is -1\.0"):
        penalty(model(), l1=-1.0)
    with pytest.raises(ValueError, match=r"lr is -1\.0"):
        prox_(model(), lr=-1.0, l1=1.0)


def test_complex_weights_are_refused_before_any_is_changed():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2, dtype=torch.complex64))
    before = net[0].weight.detach().clone()
    with pytest.raises(TypeError, match=r"a weight has dtype .*complex64"):
        prox_(net, lr=0.1, l1=1.0)
    assert torch.equal(net[0].weight, before)


def test_a_lazy_weight_is_refused_until_it_has_a_shape():
    net = nn.Sequential(nn.LazyLinear(2), nn.Linear(2, 1))
    with pytest.raises(ValueError, match=r"0\.weight has no shape yet: call the model once"):
        penalized_parameters(net)
    net(torch.ones(1, 3))
    assert len(penalized_parameters(net)) == 2
