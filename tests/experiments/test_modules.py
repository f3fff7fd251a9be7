import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dlkb.experiments.digits import digits
from dlkb.experiments.modules import as_modules, train_modules
from dlkb.experiments.networks import draw, forward
from dlkb.experiments.rules import adam_rule, sgd_rule
from dlkb.experiments.training import train
from dlkb.nn import Dropout, add_lora

DATA = digits(train=30, test=20, seeds=3)


@pytest.mark.parametrize("activation", [torch.relu, torch.tanh, torch.sigmoid])
@pytest.mark.parametrize("bias", [True, False])
def test_modules_compute_what_the_networks_do(activation, bias):
    networks = draw((64, 8, 8, 10), activation=activation, bias=bias, init="torch", seeds=3)
    x = torch.tensor(DATA.x_test)
    expected = forward(networks, x)[-1]
    for s, model in enumerate(as_modules(networks)):
        torch.testing.assert_close(model(x[s]), expected[s])
        with torch.no_grad():
            model[0].weight.zero_()
    torch.testing.assert_close(forward(networks, x)[-1], expected)


def test_training_is_that_of_the_networks():
    networks = draw((64, 8, 10), seeds=3)
    rule = adam_rule(lr=0.02)
    models = as_modules(networks)
    losses = train_modules(models, DATA.x_train, DATA.y_train, rule=rule, steps=10)
    run = train(networks, DATA, rule=rule, steps=10)
    np.testing.assert_allclose(losses, run.loss, rtol=1e-6)
    trained = as_modules(run.networks)
    for model, expected in zip(models, trained, strict=True):
        for p, other in zip(model.parameters(), expected.parameters(), strict=True):
            torch.testing.assert_close(p, other, rtol=1e-5, atol=1e-7)


def test_training_is_torchs():
    x, y = DATA.x_train[:2], DATA.y_train[:2]
    models = as_modules(draw((64, 8, 10), seeds=2))
    twin = as_modules(draw((64, 8, 10), seeds=2))[1]
    optimizer = torch.optim.SGD(twin.parameters(), lr=0.3, momentum=0.9)
    losses = train_modules(models, x, y, rule=sgd_rule(lr=0.3, momentum=0.9), steps=6)
    for step in range(6):
        optimizer.zero_grad()
        loss = F.cross_entropy(twin(torch.tensor(x[1])), torch.tensor(y[1]))
        loss.backward()
        optimizer.step()
        assert losses[1, step] == pytest.approx(loss.item())


def test_frozen_parameters_stay_and_adapters_learn():
    models = as_modules(draw((64, 16, 10), seeds=3))
    before = [model[0].weight.clone() for model in models]
    for model in models:
        add_lora(model, ["0"], r=2, alpha=4)
    losses = train_modules(models, DATA.x_train, DATA.y_train, rule=adam_rule(lr=0.05), steps=20)
    assert (losses[:, -1] < losses[:, 0]).all()
    for model, old in zip(models, before, strict=True):
        assert torch.equal(model[0].base_layer.weight, old)
        assert model[0].lora_B.any()


def test_dropout_differs_from_model_to_model_and_example_to_example():
    models = [nn.Sequential(nn.Linear(1, 1, bias=False), Dropout(0.5)) for _ in range(40)]
    for model in models:
        nn.init.ones_(model[0].weight)
    torch.manual_seed(0)
    x, y = np.ones((40, 50, 1), dtype=np.float32), np.zeros((40, 50, 1))
    half = lambda outputs, _: outputs.mean((1, 2)) / 2  # kept ones count 1 / (1 − p) = 2  # noqa: E731
    share = train_modules(models, x, y, rule=sgd_rule(lr=0.0), steps=1, loss=half)
    assert len(np.unique(share)) > 5
    assert abs(share.mean() - 0.5) < 0.05


def test_schedule_and_no_step():
    models = as_modules(draw((64, 10), seeds=3))
    seen = []

    def rule(t):
        seen.append(t)
        return sgd_rule(lr=0.1 / t)

    train_modules(models, DATA.x_train, DATA.y_train, rule=rule, steps=2)
    assert set(seen) == {1, 2}
    none = train_modules(models, DATA.x_train, DATA.y_train, rule=sgd_rule(lr=0.1), steps=0)
    assert none.shape == (3, 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"norm": "batch"}, "normalization or skips"),
        ({"skip": 1.0}, "normalization or skips"),
        ({"activation": torch.sin}, "networks.activation is"),
    ],
)
def test_errors_name_the_argument(options, message):
    with pytest.raises(ValueError, match=message):
        as_modules(draw((4, 3, 2), **options))


@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
def test_labels_may_be_integers_of_any_size(dtype):
    rule = sgd_rule(lr=0.3)
    found, wide = (
        train_modules(as_modules(draw((64, 10), seeds=3)), DATA.x_train, y, rule=rule, steps=2)
        for y in (DATA.y_train.astype(dtype), DATA.y_train)
    )
    np.testing.assert_array_equal(found, wide)


def test_inputs_must_fit():
    models = as_modules(draw((64, 10), seeds=3))
    x, y, rule = DATA.x_train, DATA.y_train, sgd_rule(lr=1.0)
    with pytest.raises(ValueError, match="steps is -1"):
        train_modules(models, x, y, rule=rule, steps=-1)
    with pytest.raises(ValueError, match=r"x has shape \(2, 30, 64\): it must be \(3, batch, …\)"):
        train_modules(models, x[:2], y, rule=rule, steps=1)
    with pytest.raises(ValueError, match=r"y has shape \(3,\)"):
        train_modules(models, x, y[:, 0], rule=rule, steps=1)
    for model in models:
        model.requires_grad_(False)
    with pytest.raises(ValueError, match="models has no parameter"):
        train_modules(models, x, y, rule=rule, steps=1)
