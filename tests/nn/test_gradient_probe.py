import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.autograd.functional import jacobian
from torch.utils.checkpoint import checkpoint

from dlkb.linear_algebra.singular_values import log_product_spectrum
from dlkb.nn import check_model, gradient_norms, jacobian_singular_values, signal_norms
from tests.close import assert_close


def mlp(device="cpu", dtype=torch.float64):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 7), nn.Tanh(), nn.Linear(7, 3)
    ).to(device, dtype)


class Shared(nn.Module):
    """The same layer twice, a second one never called, and a skip."""

    def __init__(self):
        super().__init__()
        self.layer, self.unused = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        return x + self.layer(torch.tanh(self.layer(x)))


def state(model):
    return (
        {k: v.clone() for k, v in model.state_dict().items()},
        [id(b) for b in model.buffers()],
        model.training,
        [m.training for m in model.modules()],
        [len(m._forward_hooks) for m in model.modules()],
        [p.grad for p in model.parameters()],
    )


def assert_untouched(model, before):
    after = state(model)
    for key, value in before[0].items():
        assert torch.equal(after[0][key], value), key
    assert after[1:] == before[1:]


# --- parameters ---


def test_gradient_norms_against_backward(device):
    model = mlp(device)
    x = torch.randn(6, 5, dtype=torch.float64, device=device)
    loss = model(x).square().mean()
    found = gradient_norms(model, loss)
    assert all(p.grad is None for p in model.parameters())
    loss.backward()
    assert list(found) == [name for name, _ in model.named_parameters()]
    for name, p in model.named_parameters():
        assert found[name].gradient == pytest.approx(float(p.grad.norm()), rel=1e-12)
        assert found[name].parameter == pytest.approx(float(p.detach().norm()), rel=1e-12)


def test_gradient_norms_leave_an_accumulated_gradient_alone():
    model = mlp()
    model[0].weight.grad = torch.ones_like(model[0].weight)
    gradient_norms(model, model(torch.ones(1, 5, dtype=torch.float64)).sum())
    assert torch.equal(model[0].weight.grad, torch.ones_like(model[0].weight))


def test_unused_and_frozen_parameters():
    model = Shared()
    model.layer.bias.requires_grad_(False)
    found = gradient_norms(model, model(torch.ones(2, 4)).sum())
    assert list(found) == ["layer.weight", "unused.weight", "unused.bias"]
    assert found["unused.weight"].gradient is None
    assert found["layer.weight"].gradient > 0


def test_shared_parameters_are_listed_once():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model[1].weight = model[0].weight
    loss = model(torch.ones(1, 4)).sum()
    found = gradient_norms(model, loss)
    assert list(found) == ["0.weight", "0.bias", "1.bias"]
    loss.backward()
    assert found["0.weight"].gradient == pytest.approx(float(model[0].weight.grad.norm()))


def test_sparse_gradients_have_the_norms_of_dense_ones():
    found = []
    for sparse in (True, False):
        torch.manual_seed(0)
        table = nn.Embedding(5, 3, sparse=sparse)
        found.append(gradient_norms(table, table(torch.tensor([1, 1, 2])).sum()))
    assert found[0] == found[1]


def test_half_precision_norms_do_not_overflow():
    model = nn.Linear(1000, 1, bias=False, dtype=torch.bfloat16)
    found = gradient_norms(model, (1e30 * model(torch.ones(1000, dtype=torch.bfloat16))).sum())
    assert found["weight"].gradient == pytest.approx(1e30 * 1000**0.5, rel=0.01)


# --- signals ---


def test_signal_norms_against_retained_gradients():
    model = mlp()
    x = torch.randn(6, 5, dtype=torch.float64)
    before = state(model)
    found = signal_norms(model, x, lambda y: y.square().mean())
    assert_untouched(model, before)
    signals = [x]
    for module in model:
        signals.append(module(signals[-1]))
        signals[-1].retain_grad()
    signals[-1].square().mean().backward()
    assert list(found) == ["0", "1", "2", "3", "4"]
    for norms, h in zip(found.values(), signals[1:], strict=True):
        assert norms.gradient == pytest.approx(float(h.grad.norm()), rel=1e-12)
        assert norms.signal == pytest.approx(float(h.detach().norm()), rel=1e-12)


def test_signals_in_front_of_an_activation_in_place():
    torch.manual_seed(0)
    place, copy = (
        nn.Sequential(nn.Linear(4, 4), nn.ReLU(inplace=flag), nn.Linear(4, 1))
        for flag in (True, False)
    )
    copy.load_state_dict(place.state_dict())
    x = torch.randn(8, 4)
    assert signal_norms(place, x, torch.sum) == signal_norms(copy, x, torch.sum)


def test_each_call_of_a_shared_layer_and_none_of_an_unused_one():
    found = signal_norms(Shared(), torch.ones(2, 4), torch.sum)
    assert list(found) == ["layer", "layer#2"]
    assert found["layer#2"].gradient == pytest.approx(8**0.5)


def test_batch_norm_keeps_its_running_statistics_and_mode():
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 1))
    for mode in (True, False):
        model.train(mode)
        model[2].eval()
        before = state(model)
        signal_norms(model, torch.randn(8, 4), torch.sum)
        jacobian_singular_values(model, torch.randn(8, 4))
        assert_untouched(model, before)


def test_hooks_are_removed_when_the_model_fails():
    model = mlp()
    before = state(model)
    with pytest.raises(RuntimeError, match="shapes"):
        signal_norms(model, torch.ones(2, 4, dtype=torch.float64), torch.sum)
    assert_untouched(model, before)


class Structured(nn.Module):
    """Layers whose outputs are a tuple, a dict and integers, and an attention."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(3, 4, batch_first=True)
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.heads, self.best = Heads(), Best()

    def forward(self, x, *, scale=1.0):
        h = self.lstm(x)[0]
        h = self.attention(h, h, h)[0]
        found = self.heads(scale * h)
        self.best(found["mean"])
        return found["mean"].sum() + found["rest"][0].sum()


class Heads(nn.Linear):
    def __init__(self):
        super().__init__(4, 2)

    def forward(self, x):
        y = super().forward(x)
        return {"mean": y, "rest": [y.square(), None, 3, "name"]}


class Best(nn.Module):
    def forward(self, x):
        return x.argmax(-1)


def test_outputs_that_are_tuples_and_dicts_are_listed_by_their_places():
    torch.manual_seed(0)
    model, x = Structured(), torch.randn(1, 2, 3)
    found = signal_norms(model, x, lambda y: y)
    assert list(found) == [
        *("lstm[0]", "lstm[1][0]", "lstm[1][1]", "attention[0]", "attention[1]"),
        *("heads['mean']", "heads['rest'][0]"),
    ]
    h = model.lstm(x)[0].detach().requires_grad_()
    y = model.heads(model.attention(h, h, h)[0])
    (y["mean"].sum() + y["rest"][0].sum()).backward()
    assert found["lstm[0]"].gradient == pytest.approx(float(h.grad.norm()), rel=1e-5)
    slope = 1 + 2 * y["mean"].detach()  # the squares are made of it
    assert found["heads['mean']"].gradient == pytest.approx(float(slope.norm()), rel=1e-5)
    assert found["heads['rest'][0]"].gradient == pytest.approx(4**0.5)
    assert found["lstm[1][0]"].gradient is None  # the loss ignores the last state
    assert found["lstm[1][0]"].signal > 0


def test_keyword_arguments_and_several_arguments():
    torch.manual_seed(0)
    model, x = Structured(), torch.randn(1, 2, 3)
    plain, scaled = (signal_norms(model, x, lambda y: y, keywords={"scale": s}) for s in (1.0, 2.0))
    assert plain == signal_norms(model, x, lambda y: y)
    assert scaled["attention[0]"].gradient > 1.5 * plain["attention[0]"].gradient
    assert signal_norms(model, (), lambda y: y, keywords={"x": x}) == plain
    bilinear = nn.Bilinear(2, 3, 1)
    inputs = torch.ones(4, 2), torch.ones(4, 3)
    assert signal_norms(bilinear, inputs, torch.sum)[""].gradient == pytest.approx(2.0)


def test_frozen_layers_are_listed():
    torch.manual_seed(0)
    model, x = mlp(), torch.randn(6, 5, dtype=torch.float64)
    whole = signal_norms(model, x, torch.sum)
    model[0].requires_grad_(False)
    found = signal_norms(model, x, torch.sum)
    assert list(found) == ["0", "1", "2", "3", "4"]
    assert [found[k].gradient for k in "01"] == [None, None]  # none gets there in training
    assert [found[k].signal for k in "01"] == [whole[k].signal for k in "01"]
    assert [found[k] for k in "234"] == [whole[k] for k in "234"]


class Checkpointed(nn.Module):
    def __init__(self, reentrant):
        super().__init__()
        self.first, self.inner, self.last = nn.Linear(5, 4), mlp_of(4), nn.Linear(4, 1)
        self.reentrant = reentrant

    def forward(self, x):
        h = self.first(x)
        if self.reentrant is not None:
            for _ in range(2):
                h = checkpoint(self.inner, h, use_reentrant=self.reentrant)
        else:
            h = self.inner(self.inner(h))
        return self.last(h)


def mlp_of(width):
    return nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Dropout(0.3))


@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpointed_layers_are_seen(reentrant):
    def norms(kind):
        torch.manual_seed(0)
        model, x = Checkpointed(kind), torch.randn(6, 5)
        return signal_norms(model, x, torch.sum)

    found = norms(reentrant)
    assert list(found)[:4] == ["first", "inner.0", "inner.1", "inner.2"]
    assert list(found)[4:] == ["inner.0#2", "inner.1#2", "inner.2#2", "last"]
    assert found == norms(None)
    assert torch.utils.checkpoint.CheckpointFunction.__name__ == "CheckpointFunction"


@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpoints_do_not_run_again_on_the_model_s_own_buffers(reentrant):
    model, x = Checkpointed(reentrant), torch.randn(6, 5)
    model.inner.append(nn.BatchNorm1d(4))
    before = copy.deepcopy(model.state_dict())
    signal_norms(model, x, torch.sum)
    jacobian_singular_values(model, x)
    check_model(model, (x, torch.zeros(6, 1)), nn.functional.mse_loss)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_a_reentrant_checkpoint_of_frozen_inputs_has_no_gradient_as_in_training():
    model = Checkpointed(True)
    model.first.requires_grad_(False)
    found = signal_norms(model, torch.randn(6, 5), torch.sum)
    assert found["inner.0"].gradient is None
    assert found["inner.0"].signal > 0
    assert found["last"].gradient > 0


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # dynamo's
@pytest.mark.parametrize("part", ["all", "in place", "a layer"])
def test_compiled_models_are_seen(part):
    plain, model = mlp(), mlp()
    x = torch.randn(6, 5, dtype=torch.float64)
    if part == "all":
        model = torch.compile(model, backend="aot_eager")
    elif part == "in place":
        model.compile(backend="aot_eager")
    else:
        model[2] = torch.compile(model[2], backend="aot_eager")
    model(x)
    assert signal_norms(model, x, torch.sum) == signal_norms(plain, x, torch.sum)
    for count in (None, 1):
        ours, theirs = (jacobian_singular_values(m, x[:1], count=count) for m in (model, plain))
        assert torch.equal(ours.singular_values, theirs.singular_values)
    found = gradient_norms(model, model(x).sum())
    expected = gradient_norms(plain, plain(x).sum())
    assert [n.gradient for n in found.values()] == pytest.approx(
        [n.gradient for n in expected.values()]
    )


def test_gradients_behind_a_reentrant_checkpoint_are_an_error_of_torch():
    model = Checkpointed(True)
    with pytest.raises(RuntimeError, match="use_reentrant=False"):
        gradient_norms(model, model(torch.randn(6, 5)).sum())


def test_parametrized_layers_are_one_layer():
    model = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(3, 2, bias=False)))
    assert list(signal_norms(model, torch.ones(1, 3), torch.sum)) == ["0"]


class Past(nn.Module):
    """Uses the weight of a layer that it does not call."""

    def __init__(self):
        super().__init__()
        self.embedding, self.layer = nn.Embedding(5, 3), nn.Linear(3, 3)

    def forward(self, ids):
        h = torch.nn.functional.linear(self.embedding(ids), self.layer.weight)
        return h @ self.embedding.weight.T  # tied: its layer is called


def test_a_layer_that_is_used_past_its_call_is_named():
    model, ids = Past(), torch.tensor([1, 2])
    with pytest.raises(RuntimeError, match=r"^layer: the parameters enter the loss"):
        signal_norms(model, ids, torch.sum)
    model.layer.requires_grad_(False)
    assert list(signal_norms(model, ids, torch.sum)) == ["embedding"]


class Opaque(nn.Module):
    def forward(self, x):
        return Box(x)


class Box:
    def __init__(self, x):
        self.x = x


def test_what_cannot_be_seen_is_named():
    with pytest.warns(DeprecationWarning, match="jit"):
        scripted = torch.jit.script(nn.Linear(2, 2))
    model = nn.Sequential(nn.Linear(2, 2), scripted)
    with pytest.raises(TypeError, match="1 is a ScriptModule"):
        signal_norms(model, torch.ones(1, 2), torch.sum)
    with pytest.raises(TypeError, match="0 returns a Box, whose tensors cannot be seen"):
        signal_norms(nn.Sequential(Opaque()), torch.ones(1, 2), lambda y: y.x.sum())


def test_a_model_that_fails_leaves_no_hooks_when_an_output_is_opaque():
    model = nn.Sequential(nn.Linear(2, 2), Opaque())
    before = state(model)
    with pytest.raises(TypeError, match="Box"):
        signal_norms(model, torch.ones(1, 2), lambda y: y.x.sum())
    assert_untouched(model, before)


def test_signals_under_no_grad_outside():
    with torch.no_grad():
        found = signal_norms(mlp(), torch.ones(1, 5, dtype=torch.float64), torch.sum)
    assert all(norms.gradient > 0 for norms in found.values())


def test_the_third_call_of_a_layer():
    layer = nn.Linear(2, 2)
    found = signal_norms(nn.Sequential(layer, layer, layer), torch.ones(1, 2), torch.sum)
    assert list(found) == ["0", "0#2", "0#3"]


def test_a_layer_that_the_loss_ignores():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    kept = []
    model[0].register_forward_hook(lambda m, i, o: kept.append(o))
    found = signal_norms(model, torch.ones(1, 2), lambda y: model[0](torch.ones(1, 2)).sum())
    assert found["1"].gradient is None


# --- the Jacobian ---


@pytest.mark.parametrize("batch", [1, 3])
def test_singular_values_against_the_full_jacobian(batch, device):
    model = mlp(device)
    x = torch.randn(batch, 5, dtype=torch.float64, device=device)
    J = jacobian(model, x).reshape(3 * batch, 5 * batch)
    found = jacobian_singular_values(model, x)
    assert found.shape == (3 * batch, 5 * batch)
    assert_close(found.singular_values, torch.linalg.svdvals(J), scale=10)
    assert found.condition_number == pytest.approx(float(torch.linalg.cond(J)), rel=1e-9)
    largest = jacobian_singular_values(model, x, count=2, steps=200)
    assert_close(largest.singular_values, torch.linalg.svdvals(J)[:2], scale=1e4)
    assert not largest.singular_values.requires_grad


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(inplace=True), nn.Flatten()), (1, 1, 5, 5)),
        (nn.Sequential(nn.ReLU(inplace=True), nn.Linear(4, 4)), (2, 4)),
        (nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True), (1, 3, 8)),
        (nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)), (5, 4)),
        (Shared(), (2, 4)),
    ],
)
def test_other_modules_against_the_full_jacobian(model, shape):
    torch.manual_seed(1)
    model, x = model.double(), torch.randn(*shape, dtype=torch.float64)
    expected = jacobian(lambda x: model(x.clone()), x)
    expected = torch.linalg.svdvals(expected.reshape(-1, x.numel()))
    found = jacobian_singular_values(model, x).singular_values
    assert_close(found, expected, scale=100)


def test_a_linear_network_against_the_product_of_its_weights():
    torch.manual_seed(0)
    layers = [nn.Linear(6, 6, bias=False, dtype=torch.float64) for _ in range(12)]
    found = jacobian_singular_values(nn.Sequential(*layers), torch.ones(1, 6, dtype=torch.float64))
    expected = log_product_spectrum([layer.weight.detach() for layer in layers])
    np.testing.assert_allclose(found.singular_values[:2].log(), expected[:2], atol=1e-6)


def test_half_precision_and_functions():
    x = torch.ones(3, dtype=torch.bfloat16)
    found = jacobian_singular_values(lambda x: 2 * x, x)
    assert found.singular_values.tolist() == [2.0, 2.0, 2.0]
    assert jacobian_singular_values(torch.tanh, x, count=1).singular_values.dtype == torch.float32


def test_no_grad_outside_does_not_matter_and_x_is_left_alone():
    x = torch.zeros(1, 5, dtype=torch.float64)
    with torch.no_grad():
        found = jacobian_singular_values(mlp(), x)
    assert found.singular_values[0] > 0
    assert not x.requires_grad


# --- errors ---


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: gradient_norms(mlp(), torch.ones(2)), ValueError, r"loss is shape \(2,\)"),
        (lambda: gradient_norms(mlp(), 1.0), ValueError, "loss is float"),
        (lambda: gradient_norms(mlp(), torch.tensor(1.0)), ValueError, "loss has no graph"),
        (
            lambda: gradient_norms(nn.Tanh(), torch.ones((), requires_grad=True) * 1),
            ValueError,
            "no parameter that requires a gradient",
        ),
        (
            lambda: signal_norms(mlp(), torch.ones(1, 5, dtype=torch.float64), lambda y: y),
            ValueError,
            "a scalar tensor is needed",
        ),
        (
            lambda: jacobian_singular_values(nn.Embedding(3, 2), torch.tensor([1])),
            TypeError,
            "for token ids pass embeddings",
        ),
        (lambda: jacobian_singular_values(torch.tanh, [1.0]), TypeError, "x is list"),
        (
            lambda: jacobian_singular_values(nn.LSTM(3, 4), torch.ones(2, 3)),
            TypeError,
            "model returns tuple",
        ),
        (
            lambda: jacobian_singular_values(lambda x: torch.ones(3), torch.ones(2)),
            ValueError,
            "does not depend on x",
        ),
        *(
            (
                lambda count=count: jacobian_singular_values(
                    lambda x: nn.Parameter(torch.ones(3)) * 2, torch.ones(2), count=count
                ),
                ValueError,
                "3 numbers, does not depend on x, 2 numbers: choose",
            )
            for count in (None, 1)
        ),
        (
            lambda: jacobian_singular_values(lambda x: x / 0, torch.ones(2), count=1),
            ValueError,
            "products with the Jacobian are not finite",
        ),
        (
            lambda: jacobian_singular_values(lambda x: x[:0], torch.ones(2)),
            ValueError,
            "0 numbers",
        ),
        (
            lambda: jacobian_singular_values(lambda x: x / 0, torch.ones(2)),
            ValueError,
            "entries of the Jacobian are not finite",
        ),
        (
            lambda: jacobian_singular_values(torch.tanh, torch.ones(2), count=3),
            ValueError,
            r"count is 3: it must lie in \[1, 2\]",
        ),
        (
            lambda: jacobian_singular_values(torch.tanh, torch.ones(2), count=1, steps=0),
            ValueError,
            "steps is 0",
        ),
    ],
)
def test_errors_name_the_argument_and_the_remedy(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_it_draws_on_the_cpu_whatever_the_default_device():
    model, x = mlp(), torch.randn(1, 5, dtype=torch.float64)
    expected = jacobian_singular_values(model, x, count=2, steps=9).singular_values
    torch.set_default_device("meta")  # as a user's "cuda": another generator's draws do not fit it
    try:
        found = jacobian_singular_values(model, x, count=2, steps=9).singular_values
    finally:
        torch.set_default_device(None)
    assert torch.equal(found, expected)
