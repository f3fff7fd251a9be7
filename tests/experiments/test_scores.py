import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, log_loss
from torch.nn import functional as F

from dlkb.experiments.networks import draw, forward
from dlkb.experiments.scores import (
    as_numpy,
    as_tensor,
    cross_entropy,
    evaluate,
    sharpness,
    squared_error,
)

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(12, 6)), RNG.integers(0, 3, 12)


def test_losses_are_torchs():
    outputs, labels = torch.tensor(RNG.normal(size=(4, 12, 3))), torch.tensor(Y)
    own = torch.stack([labels.roll(s) for s in range(4)])
    targets = torch.tensor(RNG.normal(size=(12, 3)))
    for s in range(4):
        one = F.cross_entropy(outputs[s], labels)
        assert float(cross_entropy(outputs, labels)[s]) == pytest.approx(one.item())
        one = F.cross_entropy(outputs[s], own[s])
        assert float(cross_entropy(outputs, own)[s]) == pytest.approx(one.item())
        for given, plain in ((labels, F.one_hot(labels).double()), (targets, targets)):
            half = F.mse_loss(outputs[s], plain) * 3 / 2
            assert float(squared_error(outputs, given)[s]) == pytest.approx(half.item())


def test_scores_are_scikit_learns():
    networks = draw((6, 5, 3), seeds=3)
    found = evaluate(networks, X, Y)
    for s in range(3):
        p = forward(networks, torch.tensor(X))[-1][s].softmax(-1).numpy()
        assert found.loss[s] == pytest.approx(log_loss(Y, p))
        assert found.accuracy[s] == pytest.approx(accuracy_score(Y, p.argmax(1)))
    assert found.accuracy.dtype == np.float64


def test_targets_that_are_no_labels_have_no_accuracy():
    found = evaluate(draw((6, 3)), X, RNG.normal(size=(12, 3)), loss=squared_error)
    assert np.isnan(found.accuracy).all()
    assert (found.loss > 0).all()


def test_sharpness_is_the_largest_eigenvalue_of_the_hessian():
    networks = draw((6, 4, 3), activation=torch.tanh, gain=1.0, seeds=2)
    found = sharpness(networks, X, Y, steps=200)
    for s in range(2):

        def loss(row, s=s):
            one = networks._replace(theta=row[None])
            return cross_entropy(forward(one, torch.tensor(X))[-1], torch.tensor(Y))[0]

        hessian = torch.autograd.functional.hessian(loss, networks.theta[s])
        assert found[s] == pytest.approx(torch.linalg.eigvalsh(hessian)[-1].item(), rel=1e-6)
    rough = sharpness(networks, X, Y, steps=3)
    assert (rough < found).all()


def test_values_go_where_the_networks_are():
    networks = draw((6, 3), dtype="float32")
    assert as_tensor(X, networks).dtype == torch.float32
    assert as_tensor(Y.astype(np.int32), networks).dtype == torch.int64
    assert as_tensor(torch.tensor(X), networks).device == networks.theta.device
    assert as_numpy(networks.theta.requires_grad_()).shape == (10, 21)
