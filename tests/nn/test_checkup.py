import copy
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, gaussian_nll_loss, mse_loss, nll_loss

from dlkb.nn import check_model
from dlkb.nn.checkup import Checkup, Finding, Weights
from dlkb.optim import Adam


def mlp(depth=2, activation=nn.ReLU, last=()):
    torch.manual_seed(0)
    layers = [nn.Linear(6, 32), activation()]
    for _ in range(depth - 1):
        layers += [nn.Linear(32, 32), activation()]
    return nn.Sequential(*layers, nn.Linear(32, 5), *last)


def batch(n=64, device="cpu"):
    rng = np.random.default_rng(0)
    x = torch.tensor(rng.normal(size=(n, 6)), dtype=torch.float32, device=device)
    return x, torch.tensor(rng.integers(0, 5, n), device=device)


def chain(*weights):
    """One weight a layer: the gradient of each is the product of the others."""
    model = nn.Sequential(*(nn.Linear(1, 1, bias=False) for _ in weights))
    for layer, weight in zip(model, weights, strict=True):
        nn.init.constant_(layer.weight, weight)
    return model


def mean(output, target):
    return output.mean()


ONES = torch.ones(20, 1), None


def found(report, name):
    (finding,) = [finding for finding in report.findings if finding.name == name]
    return finding


def test_a_healthy_model(device):
    model = mlp().to(device)
    x, y = batch(device=device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    report = check_model(model, (x, y), cross_entropy, optimizer=optimizer)
    assert report.findings == ()
    assert report.loss == pytest.approx(cross_entropy(model(x), y).item())
    assert report.chance == pytest.approx(np.log(5))
    cross_entropy(model(x), y).backward()
    assert [w.name for w in report.weights] == ["0.weight", "2.weight", "4.weight"]
    before = copy.deepcopy(model)
    optimizer.step()
    for weights in report.weights:
        p = model.get_parameter(weights.name)
        q = before.get_parameter(weights.name)
        assert weights.size == pytest.approx(q.square().mean().sqrt().item())
        assert weights.gradient == pytest.approx(p.grad.square().mean().sqrt().item())
        assert weights.step == pytest.approx(((p - q).norm() / q.norm()).item(), rel=1e-4)


def test_nothing_is_changed():
    model = mlp(last=[nn.Dropout(0.5), nn.BatchNorm1d(5)])
    model[0].bias.grad = torch.ones(32)
    optimizer = Adam(model.parameters())
    x, y = batch()
    before = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
    random = torch.random.get_rng_state()
    report = check_model(model, (x, y), cross_entropy, optimizer=optimizer)
    assert "gradients of another batch are left" in report.names
    assert torch.equal(torch.random.get_rng_state(), random)
    for old, new in zip(before[0].values(), model.state_dict().values(), strict=True):
        assert torch.equal(old, new)
    assert optimizer.state_dict() == before[1]
    assert not optimizer.state
    assert all(
        p is q for p, q in zip(optimizer.param_groups[0]["params"], model.parameters(), strict=True)
    )
    assert [p.grad is None for p in model.parameters()] == [n != 1 for n in range(8)]
    assert torch.equal(model[0].bias.grad, torch.ones(32))
    assert not any(m._forward_pre_hooks or m._forward_hooks for m in model.modules())
    assert all(m.training for m in model.modules())


def test_a_step_goes_on_from_the_optimizer_s_state():
    model = chain(2.0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    mean(model(ONES[0]), None).backward()
    optimizer.step()
    state = copy.deepcopy(optimizer.state_dict())
    optimizer.zero_grad()
    (weights,) = check_model(model, ONES, mean, optimizer=optimizer).weights
    assert weights.step == pytest.approx(0.019 / 1.99, rel=1e-4)
    assert str(optimizer.state_dict()) == str(state)


class Named(nn.Module):
    """Takes a keyword, and gives its layers their input by name."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(6, 8), nn.Linear(8, 5)

    def forward(self, x, *, shift=0.0):
        return self.second(input=torch.relu(self.first(input=x) + shift))


def test_arguments_by_name():
    torch.manual_seed(0)
    model, (x, y) = Named(), batch()
    dead = check_model(model, (x, y), cross_entropy, keywords={"shift": -100.0})
    assert found(dead, "units are dead").detail == "second gets 100%"
    assert "units are dead" not in check_model(model, (x, y), cross_entropy).names
    several = check_model(model, ((x,), y), cross_entropy)
    assert several == check_model(model, (x, y), cross_entropy)


def test_what_cannot_be_seen_is_named():
    with pytest.warns(DeprecationWarning, match="jit"):
        scripted = torch.jit.script(nn.Linear(6, 5))
    with pytest.raises(TypeError, match="0 is a ScriptModule"):
        check_model(nn.Sequential(scripted), batch(), cross_entropy)


def test_softmax_before_cross_entropy():
    report = check_model(mlp(last=[nn.Softmax(-1)]), batch(), cross_entropy)
    assert report.names == ("softmax before cross_entropy",)
    assert "before the softmax" in report.findings[0].advice
    logs = mlp(last=[nn.LogSoftmax(-1)])
    assert check_model(logs, batch(), cross_entropy).names == ()  # a second one changes nothing
    assert check_model(logs, batch(), nll_loss).names == ()
    assert check_model(logs, batch(), nll_loss).chance is None
    likelihood = lambda p, y: nll_loss(p.log(), y)  # noqa: E731
    assert check_model(mlp(last=[nn.Softmax(-1)]), batch(), likelihood).names == ()


def test_softmax_in_bfloat16_sums_to_one_up_to_rounding():
    x, y = batch()
    model = mlp(last=[nn.Softmax(-1)]).bfloat16()
    nn.init.normal_(model[-2].weight)
    sums = model(x.bfloat16()).double().sum(1)
    assert (sums - 1).abs().max() > 1e-3  # the case that a narrow limit misses
    assert check_model(model, (x.bfloat16(), y), cross_entropy).names == (
        "softmax before cross_entropy",
    )


@pytest.mark.parametrize("length", [1, 9, 11])
def test_classes_of_texts_are_on_the_last_axis(length):
    tokens, labels = torch.randint(11, (2, 4, length))
    model = nn.Sequential(nn.Embedding(11, 8), nn.Linear(8, 11))
    flat = lambda out, y: cross_entropy(out.flatten(0, 1), y.flatten())  # noqa: E731
    report = check_model(model, (tokens, labels), flat)
    assert report.chance == pytest.approx(np.log(11))
    assert report.names == ()
    twice = model.append(nn.Softmax(-1))
    assert check_model(twice, (tokens, labels), flat).names == ("softmax before cross_entropy",)


def test_what_is_not_finite():
    model = chain(1.0)
    x = torch.ones(20, 1)
    x[3] = float("nan")
    report = check_model(model, (x, None), mean)
    assert report.names[:3] == (
        "inputs are not finite",
        "loss is not finite",
        "gradients are not finite",
    )
    assert found(report, "inputs are not finite").detail == "1 entries"
    root = check_model(chain(0.0), ONES, lambda out, _: out.mean().square().sqrt())
    assert root.names == ("gradients are not finite",)
    assert root.loss == 0
    assert found(root, "gradients are not finite").detail == "0.weight"


@pytest.mark.parametrize(
    ("last", "names"),
    [
        (1.1e4, ("gradients explode",)),
        (0.9e4, ()),
        (1 / 0.9e4, ()),
        (1 / 1.1e4, ("gradients vanish",)),
    ],
)
def test_gradients_that_vanish_or_explode(last, names):
    report = check_model(chain(1.0, 1.0, last), ONES, mean)
    assert report.names == names  # of the first weight: `last`; of the last: 1
    if names:
        assert "0.weight has" in report.findings[0].detail


def test_zeroed_weights_are_not_vanishing_gradients():
    model = mlp()
    nn.init.zeros_(model[-1].weight)  # as B of a fresh LoRA: a gradient of 0 before it, for a step
    assert check_model(model, batch(), cross_entropy).names == ()
    deep = mlp(12, nn.Sigmoid)
    nn.init.zeros_(deep[0].weight)
    assert "gradients vanish" in check_model(deep, batch(), cross_entropy).names


def test_steps_that_are_not_finite():
    def names(model, dtype, **settings):
        x, y = batch()
        model.to(dtype)
        optimizer = torch.optim.Adam(model.parameters(), **settings)
        return check_model(model, (x.to(dtype), y), cross_entropy, optimizer=optimizer)

    model = mlp()
    nn.init.constant_(model[0].bias[:3], -100.0)  # gradients of 0: 0 / (0 + ε), and ε rounds to 0
    nn.init.zeros_(model[-1].bias)
    report = names(model, torch.float16)
    assert report.names == ("steps are not finite",)
    assert "0.bias" in report.findings[0].detail
    assert names(model, torch.float16, eps=1e-3).names == ()
    assert names(model, torch.float32).names == ()


def test_deep_sigmoids_vanish_and_relus_do_not():
    assert "gradients vanish" in check_model(mlp(12, nn.Sigmoid), batch(), cross_entropy).names
    assert check_model(mlp(4), batch(), cross_entropy).names == ()


@pytest.mark.parametrize(("dead", "named"), [(16, False), (17, True), (32, True)])
def test_dead_units(dead, named):
    model = mlp()
    nn.init.constant_(model[0].bias[:dead], -100.0)
    report = check_model(model, batch(), cross_entropy)
    assert ("units are dead" in report.names) == named
    if dead == 17:
        assert found(report, "units are dead").detail == "2 gets 53%"


class Functional(nn.Module):
    """Convolutions and an activation that is no module."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b = nn.Conv1d(1, 4, 3), nn.Conv1d(4, 2, 3)
        nn.init.constant_(self.a.bias[:3], -100.0)

    def forward(self, x):
        return self.b(torch.relu(self.a(x))).mean(-1)


def test_dead_channels_of_a_convolution():
    x = torch.randn(2, 1, 20, generator=torch.Generator().manual_seed(0))
    report = check_model(Functional(), (x, torch.tensor([0, 1])), cross_entropy)
    assert found(report, "units are dead").detail == "b gets 75%"


def test_black_borders_and_few_examples_are_not_dead_units():
    x, y = batch()
    x[:, :5] = 0
    assert check_model(mlp(), (x, y), cross_entropy).names == ()
    model = mlp()
    nn.init.constant_(model[0].bias, -100.0)
    for n in (15, 16):
        report = check_model(model, batch(n), cross_entropy)
        assert ("units are dead" in report.names) == (n == 16)


def test_gradients_of_another_batch():
    model = mlp()
    x, y = batch()
    cross_entropy(model(x), y).backward()
    assert check_model(model, (x, y), cross_entropy).names == ()  # this batch's own
    cross_entropy(model(x), y).backward()
    report = check_model(model, (x, y), cross_entropy)
    assert report.names == ("gradients of another batch are left",)
    assert found(report, report.names[0]).detail == "0.weight, 0.bias, 2.weight and 3 more"
    model.zero_grad(set_to_none=False)
    assert check_model(model, (x, y), cross_entropy).names == ()


def test_parameters_that_are_not_trained():
    model = mlp()
    model[0].requires_grad_(False)
    model.spare = nn.Linear(2, 2, bias=False)
    model.forward = lambda x: nn.Sequential.forward(nn.Sequential(*model[:5]), x)
    optimizer = torch.optim.SGD(model[2].parameters(), lr=0.1)
    report = check_model(model, batch(), cross_entropy, optimizer=optimizer)
    assert found(report, "parameters are frozen").detail == "0.weight, 0.bias"
    assert found(report, "parameters do not enter the loss").detail == "spare.weight"
    missing = found(report, "parameters are not in the optimizer").detail
    assert missing == "4.weight, 4.bias, spare.weight"
    steps = {w.name: w.step is None for w in report.weights}
    assert steps == {"2.weight": False, "4.weight": True, "spare.weight": True}


@pytest.mark.parametrize(
    ("lr", "names"),
    [(0.21, ("steps are long",)), (0.19, ()), (2.1e-6, ()), (1.9e-6, ("steps are short",))],
)
def test_length_of_steps(lr, names):
    model = chain(2.0)  # with gradient 1: a step of lr, by 2
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    report = check_model(model, ONES, mean, optimizer=optimizer)
    assert report.names == names
    assert report.weights[0].step == pytest.approx(lr / 2, rel=0.1)


def test_loss_above_chance():
    model = mlp()
    nn.init.zeros_(model[-1].weight)
    for offset, named in ((2.5, False), (4.0, True)):
        # One class gets `offset` more than the four others: the loss is that of a wrong class.
        model[-1].bias.data = torch.tensor([offset, 0, 0, 0, 0])
        report = check_model(model, (batch()[0], torch.ones(64, dtype=torch.long)), cross_entropy)
        assert report.loss == pytest.approx(np.log(np.exp(offset) + 4), rel=1e-5)
        assert ("loss is above chance" in report.names) == named == (report.loss > 2 * np.log(5))


@pytest.mark.parametrize("scale", [1 / 8, 1, 64])
def test_chance_is_of_the_loss_as_it_is_reduced(scale):
    """A sum, or a mean by the number of accumulated batches."""
    report = check_model(mlp(), batch(), lambda out, y: scale * cross_entropy(out, y))
    assert report.chance == pytest.approx(scale * np.log(5))
    assert report.names == ()


@pytest.mark.parametrize(("size", "names"), [(9.9, ()), (10.1, ("inputs are large",))])
def test_large_inputs(size, names):
    assert check_model(chain(1.0), (torch.full((20, 1), size), None), mean).names == names


def test_shapes_that_are_broadcast():
    with pytest.warns(UserWarning, match="target size"):
        report = check_model(chain(1.0), (torch.ones(20, 1), torch.zeros(20)), mse_loss)
    assert found(report, "output and target differ in shape").detail == "(20, 1) and (20,)"
    assert check_model(chain(1.0), (torch.ones(20, 1), torch.zeros(20, 1)), mse_loss).names == ()


def test_shapes_of_a_loss_that_mends_them_and_of_whole_numbers():
    model = nn.Sequential(nn.Linear(3, 1))
    x, y = torch.randn(20, 3), torch.arange(20)
    for target in (y, y.float()):
        report = check_model(model, (x, target), lambda out, t: (out - t).square().mean())
        assert report.names == ("output and target differ in shape",)
        assert report.findings[0].detail == "(20, 1) and (20,)"
        for squeezed in (
            lambda out, t: mse_loss(out.squeeze(-1), t.float()),
            lambda out, t: mse_loss(out.squeeze(1), t.float()),
        ):
            assert check_model(model, (x, target), squeezed).names == ()
    nn.init.zeros_(model[0].weight)  # outputs that are equal, as after learning the mean
    report = check_model(model, (x, y.float()), lambda out, t: (out - t).square().mean())
    assert report.names == ("output and target differ in shape",)
    two = nn.Sequential(nn.Linear(3, 2)), (x, y.float()), lambda out, t: (out[:, 0] - t).mean()
    assert check_model(*two).names == ()
    three = nn.Sequential(nn.Linear(3, 4)), (x, y.float()[:, None]), mse_loss
    with pytest.warns(UserWarning, match="target size"):
        assert check_model(*three).names == ("output and target differ in shape",)
    one = nn.Sequential(nn.Linear(3, 1)), (x, 0 * y), cross_entropy
    assert check_model(*one).names == ()


def table(out, t, scale=1.0):
    return scale * (out - t).square().mean()


@pytest.mark.parametrize("n", [64, 1000, 1001])
def test_a_table_of_whole_numbers_in_any_order_and_of_a_scaled_loss(n):
    model, x = nn.Linear(3, 1), torch.randn(n, 3)
    floats = torch.rand(n)
    for target in (torch.arange(n) % 2, torch.arange(n) % 2 == 1, floats, 1e6 * floats):
        for loss in (
            lambda out, t: table(out, t.to(out)),
            lambda out, t: table(out, t.to(out), 1 / 64),
            lambda out, t: table(out, t.to(out)) + 100,
        ):
            names = check_model(model, (x, target), loss).names
            assert "output and target differ in shape" in names


def test_sparse_gradients():
    def model(sparse):
        torch.manual_seed(0)
        return nn.Sequential(nn.Embedding(11, 4, sparse=sparse), nn.Flatten(), nn.Linear(12, 5))

    data = torch.arange(192).reshape(64, 3) % 11, torch.arange(64) % 5
    reports = []
    for one in (model(False), model(True)):
        cross_entropy(one(data[0]), data[1]).backward()  # this batch's own, left behind
        optimizer = torch.optim.SGD(one.parameters(), lr=0.1)
        reports.append(check_model(one, data, cross_entropy, optimizer=optimizer))
    assert str(reports[1]) == str(reports[0])
    assert reports[1].names == ()


class Single(nn.Linear):
    """One number for the batch."""

    def forward(self, x):
        return super().forward(x).mean()


def test_one_output_for_all_targets():
    for target in (torch.rand(64), torch.rand(64, 1)):
        report = check_model(Single(3, 1), (torch.randn(64, 3), target), table)
        assert report.names == ("output and target differ in shape",)


def test_one_target_for_all_outputs_is_meant():
    aim = torch.tensor(0.5)
    for loss in (table, lambda out, t: (out.mean() - t).square()):
        assert check_model(nn.Linear(3, 1), (torch.randn(64, 3), aim), loss).names == ()


def quantiles(out, t):
    at = torch.tensor([0.1, 0.5, 0.9])
    return torch.maximum(at * (t - out), (at - 1) * (t - out)).mean()


def refusing(out, t):
    assert out.ndim == 2
    return mse_loss(out[:, 0], t)


@pytest.mark.parametrize(
    ("width", "loss", "shape"),
    [
        (1, lambda out, t: mse_loss(out, t[:, None]), (64,)),
        (1, lambda out, t: mse_loss(out, t.view_as(out)), (64,)),
        (1, lambda out, t: (out.mean() - t.mean()).square(), (64,)),
        (1, refusing, (64,)),
        (1, lambda out, t: out.mean(), ()),
        (2, lambda out, t: gaussian_nll_loss(out[:, :1], t, out[:, 1:].exp()), (64, 1)),
        (3, quantiles, (64, 1)),
    ],
)
def test_shapes_that_a_loss_means_to_differ(width, loss, shape):
    target = torch.rand(shape) if shape else torch.tensor(0.0)
    assert check_model(nn.Linear(3, width), (torch.randn(64, 3), target), loss).names == ()


@pytest.mark.parametrize("width", [1, 5])
def test_a_loss_that_takes_probabilities_alone(width):
    """It raises for the outputs plus a number, and ends the process on a GPU."""
    seen = []

    def loss(out, t):
        seen.append(out.detach())
        return nn.functional.binary_cross_entropy(out, t.to(out))

    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, width), nn.Sigmoid())
    target = torch.arange(32 * width).reshape(32, width) % 2
    assert check_model(model, (torch.randn(32, 4), target), loss).chance is None
    assert all(((out >= 0) & (out <= 1)).all() for out in seen)


def test_a_loss_that_refuses_other_outputs():
    def loss(out, t):
        assert (out < 0).any()
        return cross_entropy(out, t)

    assert check_model(mlp(), batch(), loss).chance is None


def test_logits_of_zero_have_a_chance():
    model = mlp()
    nn.init.zeros_(model[-1].weight)
    nn.init.zeros_(model[-1].bias)
    assert check_model(model, batch(), cross_entropy).chance == pytest.approx(np.log(5))


class OneVector(nn.Module):
    """A layer that is called with one vector of parameters."""

    def __init__(self):
        super().__init__()
        self.code, self.layer = nn.Parameter(torch.ones(4)), nn.Linear(4, 3)

    def forward(self, x):
        return x + self.layer(self.code)


def test_a_layer_of_one_vector():
    data = torch.randn(32, 3), torch.zeros(32, 3)
    assert check_model(OneVector(), data, mse_loss).names == ()


def test_dead_channels_of_one_image_without_a_batch():
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 3, 3))
    nn.init.constant_(model[0].bias[:3], -100.0)
    report = check_model(model, (torch.randn(1, 10, 10), torch.zeros(3, 6, 6)), mse_loss)
    assert found(report, "units are dead").detail == "2 gets 75%"


class Complex(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.full((3, 3), 3.0 + 4.0j))

    def forward(self, x):
        return (x.to(torch.complex64) @ self.weight).abs()


def test_complex_weights_are_measured_by_their_modulus():
    data = torch.randn(32, 3), torch.zeros(32, 3)
    (weights,) = check_model(Complex(), data, mse_loss).weights
    assert weights.size == pytest.approx(5.0)


class Noisy(torch.optim.SGD):
    def step(self):
        torch.randn(3)
        return super().step()


def test_an_optimizer_that_draws_leaves_the_random_state():
    model = mlp()
    random = torch.random.get_rng_state()
    check_model(model, batch(), cross_entropy, optimizer=Noisy(model.parameters(), lr=0.1))
    assert torch.equal(torch.random.get_rng_state(), random)


def test_eval_mode():
    assert check_model(mlp().eval(), batch(), cross_entropy).names == ("model is in eval mode",)


def test_a_penalty_of_the_model_s_own_weights_counts():
    model = chain(2.0)
    report = check_model(
        model, ONES, lambda out, _: out.mean() + 3 * model[0].weight.square().sum()
    )
    assert report.weights[0].gradient == pytest.approx(13.0)


def test_a_loss_without_graph_or_shape():
    with pytest.raises(ValueError, match="reduce with"):
        check_model(mlp(), batch(), lambda out, y: out)
    with pytest.raises(ValueError, match="loss has no graph"):
        check_model(mlp(), batch(), lambda out, y: out.detach().mean())


def test_under_no_grad():
    with torch.no_grad():
        assert check_model(mlp(), batch(), cross_entropy).names == ()


def test_as_text():
    weights = (Weights("0.weight", 0.5, 1e-9, None), Weights("10.weight", 0.25, None, 0.2))
    findings = (Finding("gradients vanish", "0.weight has 1e-9", "skips"),)
    assert str(Checkup(2.5, 2.302585, weights, findings)).split("\n") == [
        "loss 2.5 (equal outputs: 2.3)",
        "           weights  gradient  step/weights",
        "0.weight   5.0e-01   1.0e-09             –",
        "10.weight  2.5e-01         –       2.0e-01",
        "! gradients vanish: 0.weight has 1e-9",
        "  skips",
    ]
    assert str(Checkup(2.5, None, (), ())) == "loss 2.5\nnothing conspicuous"


def test_the_page_on_symptoms_explains_every_finding():
    root = Path(__file__).parents[2]
    source = (root / "dlkb" / "nn" / "checkup.py").read_text()
    names = set(re.findall(r'Finding\(\s*"([^"]+)"', source))
    assert len(names) >= 16
    rows = re.findall(r"^\| ([a-z][^|]+) \| .+ \|$", (root / "docs/symptoms.md").read_text(), re.M)
    assert names == {name for row in rows for name in row.split(", ")} - {"finding", "symptom"}
