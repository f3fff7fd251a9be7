from functools import partial

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch.nn import functional as F

from dlkb.experiments.digits import Split, digits
from dlkb.experiments.networks import draw, layers
from dlkb.experiments.rules import adam_rule, plain_rule, sgd_rule
from dlkb.experiments.scores import evaluate, squared_error
from dlkb.experiments.training import train
from tests.experiments.modules import Module

SMALL = digits(train=40, test=30, seeds=3)


def torch_run(networks, data, s, optimizer, steps, *, clip=None, loss=F.cross_entropy):
    """Train one of the networks on all examples in a loop of torch's own."""
    model = Module(networks, s)
    optimizer = optimizer(model.parameters())
    x, y = torch.tensor(data.x_train), torch.tensor(data.y_train)
    losses, norms = [], []
    for _ in range(steps):
        optimizer.zero_grad()
        value = loss(model(x), y)
        value.backward()
        limit = float("inf") if clip is None else clip
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), limit).item())
        losses.append(value.item())
        optimizer.step()
    return model, losses, norms


def own(data, s):
    return Split(*(part[s] for part in data))


@pytest.mark.parametrize(
    ("rule", "optimizer", "clip"),
    [
        (sgd_rule(lr=0.3, momentum=0.5), partial(torch.optim.SGD, lr=0.3, momentum=0.5), None),
        (adam_rule(lr=0.02), partial(torch.optim.Adam, lr=0.02), None),
        (sgd_rule(lr=0.3), partial(torch.optim.SGD, lr=0.3), 0.15),
        (
            adam_rule(lr=0.02, weight_decay=0.1, decoupled=True),
            partial(torch.optim.AdamW, lr=0.02, weight_decay=0.1),
            None,
        ),
    ],
)
@pytest.mark.parametrize("norm", ["", "batch"])
def test_is_torchs_loop(rule, optimizer, clip, norm):
    networks = draw((64, 8, 8, 10), init="torch", norm=norm, seeds=3)
    before = networks.theta.clone()
    run = train(networks, SMALL, rule=rule, steps=15, clip=clip)
    assert torch.equal(networks.theta, before)
    assert run.loss.shape == run.grad_norm.shape == (3, 15)
    for s in range(3):
        model, losses, norms = torch_run(networks, own(SMALL, s), s, optimizer, 15, clip=clip)
        np.testing.assert_allclose(run.loss[s], losses, rtol=1e-6)
        np.testing.assert_allclose(run.grad_norm[s], norms, rtol=1e-6)
        torch.testing.assert_close(run.networks.theta[s], model.row(), rtol=1e-5, atol=1e-7)
    if clip:
        assert (run.grad_norm > clip).any()


def test_gradient_norms_by_layer():
    run = train(draw((64, 8, 10), seeds=3), SMALL, rule=sgd_rule(lr=0.1), steps=4)
    assert run.layer_grad_norm.shape == (3, 4, 2)
    np.testing.assert_allclose(np.hypot(*run.layer_grad_norm.transpose(2, 0, 1)), run.grad_norm)
    model = Module(draw((64, 8, 10), seeds=3), 1)
    x, y = torch.tensor(SMALL.x_train[1]), torch.tensor(SMALL.y_train[1])
    F.cross_entropy(model(x), y).backward()
    for k, linear in enumerate(model.linears):
        norm = torch.cat([linear.weight.grad.ravel(), linear.bias.grad]).norm()
        assert run.layer_grad_norm[1, 0, k] == pytest.approx(norm.item())


def test_softmax_regression_comes_to_scikit_learns_solution():
    data = digits(train=200, test=200)
    l2 = 0.05
    start = draw((64, 10), bias=False, seeds=2)
    run = train(start, data, rule=sgd_rule(lr=1.0, momentum=0.9, weight_decay=l2), steps=400)
    model = LogisticRegression(C=1 / (200 * l2), fit_intercept=False, tol=1e-10, max_iter=2000)
    model.fit(data.x_train, data.y_train)
    for s in range(2):
        found = layers(run.networks)[0].weight[s].numpy()
        np.testing.assert_allclose(found.T, model.coef_, atol=1e-5)
        assert run.test_accuracy[s, -1] == model.score(data.x_test, data.y_test)


def test_a_seed_is_the_same_alone_and_among_others():
    options = {"rule": adam_rule(lr=0.01), "steps": 12, "batch": 7, "dropout": 0.3, "every": 5}
    data = digits(train=40, test=30)
    many = train(draw((64, 8, 10), seeds=3, seed=4), data, seed=4, **options)
    again = train(draw((64, 8, 10), seeds=3, seed=4), data, seed=4, **options)
    np.testing.assert_array_equal(many.loss, again.loss)
    for s in range(3):
        alone = train(draw((64, 8, 10), seeds=1, seed=4 + s), data, seed=4 + s, **options)
        np.testing.assert_allclose(alone.loss[0], many.loss[s], rtol=1e-9)
        np.testing.assert_allclose(alone.test_loss[0], many.test_loss[s], rtol=1e-9)
    other = train(draw((64, 8, 10), seeds=3, seed=4), data, seed=40, **options)
    assert not np.array_equal(many.loss, other.loss)
    assert len({*many.loss[:, 0]}) == 3
    three = draw((64, 8, 10), seeds=3, seed=4)
    twice = three._replace(theta=three.theta.repeat(2, 1))
    np.testing.assert_allclose(
        train(twice, data, seed=4, seeds=3, **options).loss, np.tile(many.loss, (2, 1)), rtol=1e-9
    )


@pytest.mark.parametrize("stacked", [False, True])
def test_batches_pass_through_all_examples_before_any_comes_again(stacked):
    # The gradient of the mean output with respect to the bias is 1, with respect to the weight the
    # mean of the inputs: inputs that are powers of two tell which examples were in the batch.
    x = 2.0 ** np.arange(6)[:, None]
    data = Split(x, np.zeros((6, 1)), x, np.zeros((6, 1)))
    if stacked:
        data = Split(*(np.stack([part, part]) for part in data))
    run = train(
        draw((1, 1), bias=False, seeds=2),
        data,
        rule=sgd_rule(lr=0.0),
        steps=9,
        batch=2,
        loss=lambda outputs, targets: outputs.sum((1, 2)),
        watch=lambda networks, grad: grad,
    )
    for sums in run.watched[..., 0].astype(int):
        epochs = sums.reshape(3, 3)
        assert (epochs.sum(1) == 63).all()
        assert all(int(total).bit_count() == 2 for total in sums)
        assert len({tuple(row) for row in epochs}) > 1


def test_tests_are_made_when_asked_and_at_the_end():
    networks = draw((64, 8, 10), seeds=3)
    run = train(networks, SMALL, rule=sgd_rule(lr=0.1), steps=10, every=4)
    assert run.test_steps.tolist() == [0, 4, 8, 10]
    start = evaluate(networks, SMALL.x_test, SMALL.y_test)
    end = evaluate(run.networks, SMALL.x_test, SMALL.y_test)
    np.testing.assert_array_equal(run.test_loss[:, 0], start.loss)
    np.testing.assert_array_equal(run.test_accuracy[:, -1], end.accuracy)
    short = train(networks, SMALL, rule=sgd_rule(lr=0.1), steps=4)
    assert short.test_steps.tolist() == [4]
    np.testing.assert_array_equal(short.test_loss[:, 0], run.test_loss[:, 1])


def test_only_the_chosen_layers_are_trained():
    networks = draw((64, 8, 8, 10), seeds=3)
    rule = adam_rule(lr=0.1, weight_decay=0.1, decoupled=True)
    run = train(networks, SMALL, rule=rule, steps=5, trained=[1])
    for k, (old, new) in enumerate(zip(layers(networks), layers(run.networks), strict=True)):
        assert torch.equal(old.weight, new.weight) == (k != 1)
        assert torch.equal(old.bias, new.bias) == (k != 1)
    assert not run.layer_grad_norm[..., [0, 2]].any()


def test_dropout_is_on_in_training_and_off_in_the_test():
    networks = draw((64, 32, 10), seeds=3)
    still = {"rule": sgd_rule(lr=0.0), "steps": 6}
    plain, dropped = (train(networks, SMALL, dropout=p, **still) for p in (0.0, 0.5))
    assert (plain.loss.std(1) < 1e-12).all()
    assert (dropped.loss.std(1) > 1e-3).all()
    np.testing.assert_array_equal(plain.test_loss, dropped.test_loss)


def test_schedule_loss_and_watch():
    networks = draw((64, 10), seeds=3)
    seen = []

    def rule(t):
        seen.append(t)
        return plain_rule(lambda theta, grad: theta - 0.1 * t * grad)

    run = train(
        networks,
        SMALL,
        rule=rule,
        steps=3,
        loss=squared_error,
        watch=lambda now, grad: torch.stack([now.theta, grad], dim=1),
    )
    assert run.watched.shape == (3, 3, 2, 650)
    path = [*run.watched[:, :, 0].swapaxes(0, 1), run.networks.theta.numpy()]
    for t in range(1, 4):
        np.testing.assert_allclose(path[t], path[t - 1] - 0.1 * t * run.watched[:, t - 1, 1])
    assert set(seen) == {1, 2, 3}
    assert run.loss[0, 0] == squared_error_by_hand(networks, 0)


def squared_error_by_hand(networks, s):
    data = own(SMALL, s)
    outputs = Module(networks, s)(torch.tensor(data.x_train)).detach().numpy()
    return pytest.approx(((outputs - np.eye(10)[data.y_train]) ** 2).sum(1).mean() / 2)


def test_no_step_is_no_change():
    networks = draw((64, 10), seeds=3)
    run = train(networks, SMALL, rule=sgd_rule(lr=0.1), steps=0, batch=5)
    assert torch.equal(run.networks.theta, networks.theta)
    assert run.loss.shape == run.grad_norm.shape == (3, 0)
    assert run.layer_grad_norm.shape == (3, 0, 1)
    assert run.test_loss.shape == (3, 1)
    assert run.watched is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": -1}, "steps is -1"),
        ({"batch": 41}, r"batch is 41: it must lie in \[1, 40\]"),
        ({"batch": 0}, "batch is 0"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"clip": 0.0}, "clip is 0.0"),
        ({"every": 0}, "every is 0"),
        ({"seeds": 0}, "seeds is 0"),
        ({"trained": [2]}, r"trained is \[2\]: layers are numbered 0 … 1"),
    ],
)
def test_errors_name_the_argument(options, message):
    with pytest.raises(ValueError, match=message):
        train(draw((64, 8, 10), seeds=3), SMALL, **{"rule": sgd_rule(lr=0.1), "steps": 1} | options)


def test_data_must_fit():
    two, rule = draw((64, 10), seeds=2), sgd_rule(lr=0.1)
    for batch in (None, 4):
        with pytest.raises(ValueError, match=r"data.x_train has shape \(3, 40, 64\)"):
            train(two, SMALL, rule=rule, steps=1, batch=batch)
        for short in (SMALL.y_train[:, :30], SMALL.y_train[:2]):
            data = SMALL._replace(y_train=short)
            with pytest.raises(ValueError, match=r"and data\.y_train"):
                train(draw((64, 10), seeds=3), data, rule=rule, steps=1, batch=batch)
    thin = SMALL._replace(x_train=SMALL.x_train[..., :9])
    with pytest.raises(ValueError, match="x has shape"):
        train(draw((64, 10), seeds=3), thin, rule=rule, steps=1)
    whole = train(draw((64, 10), seeds=3), SMALL, rule=sgd_rule(lr=0.1), steps=1, batch=40)
    assert whole.loss.shape == (3, 1)
