import copy
import io
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from dlkb.nn import BCEWithLogitsLoss, CrossEntropyLoss
from tests.close import assert_close

WEIGHT = torch.tensor([0.5, 2.0, 1.0, 0.25])


def draw(shape, dtype=torch.float32, device="cpu"):
    values = 3 * np.random.default_rng(0).normal(size=shape)
    return torch.tensor(values, dtype=dtype, device=device)


def labels(shape, device="cpu"):
    found = np.random.default_rng(1).integers(0, 4, size=shape)
    return torch.tensor(found, device=device)


def both(ours, theirs, input, target):
    """Compare the losses of two modules and their gradients."""
    results = []
    for module in (ours, theirs):
        x = input.clone().requires_grad_()
        loss = module(x, target)
        (grad,) = torch.autograd.grad((loss * loss.detach().cos()).sum(), x)
        results.append((loss, grad))
    assert_close(results[0][0], results[1][0], scale=3)
    assert_close(results[0][1], results[1][1])


OPTIONS = [
    {},
    {"reduction": "sum"},
    {"reduction": "none", "label_smoothing": 0.2},
    {"weight": WEIGHT, "ignore_index": 2},
    {"weight": WEIGHT, "ignore_index": 2, "label_smoothing": 0.2, "reduction": "sum"},
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: "-".join(o) or "default")
@pytest.mark.parametrize("shape", [(4,), (6, 4), (1, 4), (2, 4, 3), (2, 4, 3, 1), (0, 4)])
@pytest.mark.parametrize("soft", [False, True])
def test_loss_and_gradient_are_those_of_torch(options, shape, soft, device):
    x = draw(shape, device=device)
    batch = () if len(shape) == 1 else (shape[0], *shape[2:])
    target = x.flip(0).softmax(0 if len(shape) == 1 else 1) if soft else labels(batch, device)
    if soft and "ignore_index" in options:
        return  # torch refuses it
    options = {k: v.to(device) if k == "weight" else v for k, v in options.items()}
    both(CrossEntropyLoss(**options), nn.CrossEntropyLoss(**options), x, target)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"reduction": "sum", "pos_weight": WEIGHT},
        {"reduction": "none", "weight": WEIGHT},
        {"weight": WEIGHT, "pos_weight": WEIGHT},
    ],
    ids=lambda o: "-".join(o) or "default",
)
@pytest.mark.parametrize("shape", [(4,), (6, 4), (0, 4), (2, 3, 4)])
def test_binary_loss_and_gradient_are_those_of_torch(options, shape, device):
    x = draw(shape, device=device)
    target = x.flip(-1).sigmoid()
    options = {k: v.to(device) if "weight" in k else v for k, v in options.items()}
    both(BCEWithLogitsLoss(**options), nn.BCEWithLogitsLoss(**options), x, target)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_the_rounded_loss(dtype, device):
    x, target = draw((50, 4), dtype, device), labels(50, device)
    loss = CrossEntropyLoss()(x, target)
    assert loss.dtype == dtype
    assert loss == nn.CrossEntropyLoss()(x.double(), target).to(dtype)
    yes = (target > 1).to(dtype)
    loss = BCEWithLogitsLoss()(x[:, 0], yes)
    assert loss == nn.BCEWithLogitsLoss()(x[:, 0].double(), yes.double()).to(dtype)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_under_autocast_the_loss_is_that_of_float32(dtype, device):
    rng = np.random.default_rng(0)
    logits = torch.tensor(30 * rng.normal(size=(50, 4)), dtype=dtype, device=device)
    shares = torch.tensor(rng.dirichlet(np.ones(4), size=50), dtype=dtype, device=device)
    binary = (BCEWithLogitsLoss, nn.BCEWithLogitsLoss)
    several = (CrossEntropyLoss, nn.CrossEntropyLoss)
    for (ours, theirs), target in (
        (several, labels((50,), device)),
        (several, shares),
        (binary, shares),
    ):
        x = logits.clone().requires_grad_()
        with torch.autocast(device, dtype):
            found, dtype_of_torch = ours()(x, target), theirs()(x, target).dtype
        assert found.dtype == dtype_of_torch == torch.float32
        # torch's value on a GPU is not: its log-probabilities of half precision are rounded to it.
        wide = target.float() if target.is_floating_point() else target
        wanted = theirs()(x.float(), wide)
        assert_close(found, wanted)
        assert_close(*(torch.autograd.grad(loss, x)[0] for loss in (found, wanted)))


@pytest.mark.parametrize("index", [0, 5])
def test_a_label_out_of_bounds_is_named(index):
    target = labels(6)
    target[index] = 4
    with pytest.raises(IndexError, match=r"Target 4 is out of bounds: .* \[0, 3\]"):
        CrossEntropyLoss()(draw((6, 4)), target)
    target[index] = -1
    with pytest.raises(IndexError, match=r"Target -1 is out of bounds: .* ignore_index, -100"):
        CrossEntropyLoss()(draw((6, 4)), target)
    assert CrossEntropyLoss(ignore_index=-1)(draw((6, 4)), target).isfinite()


@pytest.mark.parametrize(("dtype", "classes"), [("uint8", 300), ("uint8", 256), ("int8", 200)])
def test_labels_of_a_narrow_dtype(dtype, classes):
    x, target = draw((3, classes)), torch.tensor([0, 5, 127])
    expected = nn.CrossEntropyLoss()(x, target)
    assert_close(CrossEntropyLoss()(x, target.to(getattr(torch, dtype))), expected)
    with pytest.raises(IndexError, match="Target 156 is out of bounds"):
        CrossEntropyLoss()(draw((1, 100)), torch.tensor([156], dtype=torch.uint8))


def test_compiles_in_one_graph(device):
    x, target = draw((6, 4), device=device), labels(6, device)
    options = {"weight": WEIGHT.to(device), "label_smoothing": 0.1}
    for ours, theirs, t in (
        (CrossEntropyLoss(**options), nn.CrossEntropyLoss(**options), target),
        (
            BCEWithLogitsLoss(WEIGHT.to(device)),
            nn.BCEWithLogitsLoss(WEIGHT.to(device)),
            x.sigmoid(),
        ),
    ):
        torch.compiler.reset()
        both(torch.compile(ours, fullgraph=True, backend="aot_eager"), theirs, x, t)


def test_gradients_of_gradients():
    x = draw((3, 4), torch.float64).requires_grad_()
    assert torch.autograd.gradgradcheck(lambda x: CrossEntropyLoss()(x, labels(3)), (x,))
    y = x.detach().sigmoid()
    assert torch.autograd.gradgradcheck(lambda x: BCEWithLogitsLoss()(x, y), (x,))


@pytest.mark.parametrize("name", ["CrossEntropyLoss", "BCEWithLogitsLoss"])
def test_it_takes_the_place_of_torch_s(name):
    ours, theirs = globals()[name], getattr(nn, name)
    assert repr(ours()) == repr(theirs())
    assert not ours().state_dict()
    loss, other = ours(weight=WEIGHT.clone()), theirs(weight=torch.ones(4))
    assert list(loss.state_dict()) == list(other.state_dict())
    other.load_state_dict(loss.state_dict())
    assert torch.equal(other.weight, WEIGHT)
    other.weight += 1
    loss.load_state_dict(other.state_dict())
    assert torch.equal(loss.weight, WEIGHT + 1)
    assert loss.to(torch.float64).weight.dtype == torch.float64
    buffer = io.BytesIO()
    torch.save(copy.deepcopy(loss), buffer)
    buffer.seek(0)
    assert torch.load(buffer, weights_only=False).reduction == "mean"


@pytest.mark.parametrize("name", ["CrossEntropyLoss", "BCEWithLogitsLoss"])
@pytest.mark.parametrize(
    ("old", "reduction"),
    [
        ({"reduce": False}, "none"),
        ({"size_average": False}, "sum"),
        ({"size_average": True}, "mean"),
        ({"size_average": False, "reduce": False}, "none"),
    ],
)
def test_the_old_arguments_warn_and_mean_what_they_meant(name, old, reduction):
    with pytest.warns(UserWarning, match=f"pass reduction='{reduction}'"):
        ours = globals()[name](**old)
    with pytest.warns(UserWarning, match="deprecated"):
        assert ours.reduction == getattr(nn, name)(**old).reduction == reduction


@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan])
def test_smoothing_out_of_range(value):
    with pytest.raises(ValueError, match=rf"label_smoothing is {value}: .* \[0, 1\]"):
        CrossEntropyLoss(label_smoothing=value)


@pytest.mark.parametrize("kind", [CrossEntropyLoss, BCEWithLogitsLoss])
def test_errors(kind):
    with pytest.raises(ValueError, match="reduction is 'batch'"):
        kind(reduction="batch")
    with pytest.raises(ValueError, match="has shape"):
        kind()(draw((2, 4)), draw((2, 3)))
    for loss in (CrossEntropyLoss(), BCEWithLogitsLoss()):
        with pytest.raises(TypeError, match="target is list: pass a tensor"):
            loss(torch.zeros(2, 3), [0, 1])
        with pytest.raises(TypeError, match="input is list: pass a tensor"):
            loss([[0.0, 1.0]], torch.tensor([0]))
    with pytest.raises(ValueError, match=r"input has shape \(\)"):
        CrossEntropyLoss()(torch.tensor(1.0), torch.tensor(0))


def test_the_positive_weight_is_saved():
    loss, other = BCEWithLogitsLoss(pos_weight=WEIGHT), nn.BCEWithLogitsLoss(pos_weight=WEIGHT + 1)
    other.load_state_dict(loss.state_dict())
    assert torch.equal(other.pos_weight, WEIGHT)


def test_integers_for_yes_and_no_are_refused_here_and_by_torch():
    for kind, error in ((BCEWithLogitsLoss, TypeError), (nn.BCEWithLogitsLoss, RuntimeError)):
        with pytest.raises(error):
            kind()(draw((4,)), torch.tensor([0, 1, 1, 0]))


@pytest.mark.parametrize("name", ["weight", "pos_weight"])
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_weights_that_would_make_the_loss_larger_are_refused_here_and_by_torch(name, reduction):
    x, target = draw((4, 1)), labels((4, 1)).float() / 4
    for kind, error in ((BCEWithLogitsLoss, ValueError), (nn.BCEWithLogitsLoss, RuntimeError)):
        with pytest.raises(error, match="broadcast"):
            kind(**{name: WEIGHT}, reduction=reduction)(x, target)


def test_a_batch_without_labels_moves_nothing(device):
    x = draw((6, 4), device=device).requires_grad_()
    loss = CrossEntropyLoss()(x, torch.full((6,), -100, device=device))
    loss.backward()
    assert loss.isnan()
    assert not x.grad.any()


def test_gradients_of_each_example_under_vmap(device):
    x, target = draw((6, 4), device=device), labels(6, device)
    target[0] = -100
    found = []
    for kind in (CrossEntropyLoss, nn.CrossEntropyLoss):
        grad = torch.func.grad(kind(reduction="sum"))
        found.append(torch.func.vmap(grad)(x, target))
    assert_close(*found)
    target[1] = 4
    if device == "cpu":
        with pytest.raises(IndexError, match="Target 4 is out of bounds"):
            torch.func.vmap(torch.func.grad(CrossEntropyLoss()))(x, target)


def test_on_fake_tensors_it_looks_at_no_label():
    with FakeTensorMode():
        assert CrossEntropyLoss()(torch.zeros(6, 4), torch.zeros(6, dtype=torch.long)).shape == ()


@pytest.mark.parametrize("name", ["CrossEntropyLoss", "BCEWithLogitsLoss"])
def test_gradients_by_targets_are_those_of_torch(name):
    x = draw((3, 4))
    target = nn.functional.one_hot(labels(3), 4).float().requires_grad_()
    found = [
        torch.autograd.grad(kind(reduction="sum")(x, target), target)[0]
        for kind in (globals()[name], getattr(nn, name))
    ]
    assert_close(*found, scale=8)
