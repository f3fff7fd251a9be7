import copy
import io

import pytest
import torch

from dlkb.optim import Adam
from tests.close import assert_close
from tests.optim.like_torch import (
    SHAPES,
    assert_same_signature,
    assert_same_state,
    parameters,
    set_gradients,
    train,
)

OPTIONS = [
    {},
    {"lr": 0.05, "betas": (0.7, 0.9), "eps": 1e-2},
    {"lr": torch.tensor(0.05, dtype=torch.float64)},
    {"lr": torch.tensor([0.05], dtype=torch.float64)},
    {"weight_decay": 0.3},
    {"weight_decay": 0.3, "maximize": True},
    {"weight_decay": 0.3, "decoupled_weight_decay": True},
    {"amsgrad": True, "betas": (0.5, 0.6)},
    {"amsgrad": True, "weight_decay": 0.1, "decoupled_weight_decay": True, "lr": 0.1},
]


def test_signature_is_that_of_torch():
    assert_same_signature(Adam, torch.optim.Adam)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_thirty_steps_are_those_of_torch(options, device):
    mine, theirs = parameters(device=device), parameters(device=device)
    a, b = Adam(mine, **options), torch.optim.Adam(theirs, **options)
    train(a, mine, range(30), skip=[1])
    train(b, theirs, range(30), skip=[1])
    for p, q in zip(mine, theirs, strict=True):
        assert_close(p, q)
    assert_same_state(a, b)
    assert len(a.state) == len(SHAPES) - 1  # nothing is stored for who has no gradient


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_other_dtypes(dtype, device):
    mine, theirs = parameters(dtype, device), parameters(dtype, device)
    options = {"lr": 1e-2, "amsgrad": True, "eps": 1e-3}  # 1e-8 is zero in float16
    a, b = Adam(mine, **options), torch.optim.Adam(theirs, **options)
    train(a, mine, range(20))
    train(b, theirs, range(20))
    for p, q in zip(mine, theirs, strict=True):
        assert p.dtype == dtype
        assert_close(p, q)
    assert_same_state(a, b)


@pytest.mark.parametrize("options", OPTIONS[1:], ids=str)
@pytest.mark.parametrize("first", [Adam, torch.optim.Adam])
def test_a_run_resumes_under_the_other(first, options):
    second = torch.optim.Adam if first is Adam else Adam
    whole, parted = parameters(), parameters()
    train(first(whole, **options), whole, range(20))

    before = first(parted, **options)
    train(before, parted, range(8))
    file = io.BytesIO()
    torch.save(before.state_dict(), file)
    file.seek(0)
    after = second(parted)  # its options come from the checkpoint
    after.load_state_dict(torch.load(file))
    train(after, parted, range(8, 20))
    for p, q in zip(parted, whole, strict=True):
        assert_close(p, q)


@pytest.mark.parametrize("options", [{"fused": True}, {"foreach": True}], ids=str)
def test_checkpoint_of_a_fast_kernel_resumes(options):
    whole, parted = parameters(), parameters()
    train(torch.optim.Adam(whole), whole, range(20))
    before = torch.optim.Adam(parted, **options)
    train(before, parted, range(8))
    after = Adam(parted)
    after.load_state_dict(before.state_dict())
    assert after.param_groups[0]["foreach"] is options.get("foreach")
    assert after.param_groups[0]["fused"] is options.get("fused")
    train(after, parted, range(8, 20))
    for p, q in zip(parted, whole, strict=True):
        assert_close(p, q)


def test_checkpoint_of_an_old_torch_resumes():
    params = parameters()
    optimizer = Adam(params)
    train(optimizer, params, range(3))
    checkpoint = copy.deepcopy(optimizer.state_dict())
    for name in ("amsgrad", "maximize", "capturable", "differentiable", "decoupled_weight_decay"):
        del checkpoint["param_groups"][0][name]
    for state in checkpoint["state"].values():
        state["step"] = int(state["step"])
    fresh = Adam(params)
    fresh.load_state_dict(checkpoint)
    assert_same_state(fresh, optimizer)
    assert fresh.state[params[0]]["step"].dtype == torch.float32


def test_copy_and_pickle():
    params = parameters()
    optimizer = Adam(params, lr=0.3)
    train(optimizer, params, range(3))
    clone = copy.deepcopy(optimizer)
    assert_same_state(clone, optimizer)
    theirs = clone.param_groups[0]["params"]
    train(optimizer, params, range(3, 6))
    train(clone, theirs, range(3, 6))
    for p, q in zip(params, theirs, strict=True):
        assert torch.equal(p, q)


def test_parameters_and_state_are_updated_in_place():
    params = parameters()
    optimizer = Adam(params, amsgrad=True)
    train(optimizer, params, [0])
    pointers = [p.data_ptr() for p in params]
    held = dict(optimizer.state[params[0]])
    train(optimizer, params, [1])
    assert [p.data_ptr() for p in params] == pointers
    assert all(optimizer.state[params[0]][name] is value for name, value in held.items())
    assert all(p.requires_grad and p.is_leaf for p in params)


def test_groups_with_options_of_their_own_and_a_late_group():
    results = []
    for kind in (Adam, torch.optim.Adam):
        params = parameters()
        optimizer = kind(
            [
                {"params": params[:1], "lr": 0.1, "betas": (0.5, 0.9), "amsgrad": True},
                {"params": params[1:3], "weight_decay": 0.1, "decoupled_weight_decay": True},
            ],
            lr=0.02,
        )
        train(optimizer, params, range(5))
        optimizer.add_param_group({"params": params[3:], "maximize": True})
        train(optimizer, params, range(5, 12))
        results.append((params, optimizer))
    (mine, a), (theirs, b) = results
    for p, q in zip(mine, theirs, strict=True):
        assert_close(p, q)
    assert_same_state(a, b)


def test_named_parameters():
    model = torch.nn.Linear(2, 2)
    optimizer = Adam(model.named_parameters())
    assert optimizer.state_dict()["param_groups"][0]["param_names"] == ["weight", "bias"]


def test_closure_is_evaluated_with_gradients_and_its_loss_returned():
    theta = torch.nn.Parameter(torch.tensor([3.0]))
    optimizer = Adam([theta], lr=0.5)

    def closure():
        optimizer.zero_grad()
        loss = theta.square().sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 9.0
    assert theta.item() == pytest.approx(2.5)
    assert optimizer.step() is None


@pytest.mark.parametrize(
    "lr", [0.1, torch.tensor(0.1, dtype=torch.float64)], ids=["float", "tensor"]
)
def test_schedulers_of_torch(lr):
    results = []
    for kind in (Adam, torch.optim.Adam):
        params = parameters()
        optimizer = kind(params, lr=copy.copy(lr))
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=12)
        for t in range(10):
            set_gradients(params, t)
            optimizer.step()
            scheduler.step()
        results.append((params, optimizer))
    for p, q in zip(results[0][0], results[1][0], strict=True):
        assert_close(p, q)
    assert results[0][1].param_groups[0]["betas"] == results[1][1].param_groups[0]["betas"]


def test_grad_scaler_unscales_and_skips_overflow():
    results = []
    for kind in (Adam, torch.optim.Adam):
        theta = torch.nn.Parameter(torch.ones(3))
        optimizer = kind([theta], lr=0.1)
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
        for factor in (1.0, float("inf"), 2.0):
            optimizer.zero_grad()
            scaler.scale((factor * theta).sum()).backward()
            scaler.step(optimizer)
            scaler.update()
        assert optimizer.state[theta]["step"] == 2
        results.append(theta)
    assert_close(*results)


def test_capturable_keeps_the_counter_in_a_tensor(device):
    mine, theirs = parameters(device=device), parameters(device=device)
    a, b = Adam(mine, capturable=True, lr=0.1), torch.optim.Adam(theirs, lr=0.1)
    train(a, mine, range(20))
    train(b, theirs, range(20))
    for p, q in zip(mine, theirs, strict=True):
        assert_close(p, q)
    assert all(s["step"].device == p.device and s["step"] == 20 for p, s in a.state.items())


def test_counter_follows_the_default_dtype():
    torch.set_default_dtype(torch.float64)
    try:
        params = parameters()
        optimizer = Adam(params)
        train(optimizer, params, [0])
    finally:
        torch.set_default_dtype(torch.float32)
    assert optimizer.state[params[0]]["step"].dtype == torch.float64


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"fused": True, "differentiable": True},
            RuntimeError,
            "exclude each other: .*leave fused",
        ),
        ({"lr": -1.0}, ValueError, r"lr is -1.0: it must lie in \[0, inf\)"),
        ({"lr": torch.tensor([0.1, 0.2])}, ValueError, r"lr has shape \(2,\)"),
        ({"lr": torch.tensor(-1.0)}, ValueError, "lr is -1.0"),
        ({"eps": -1.0}, ValueError, "eps is -1.0"),
        ({"weight_decay": -1.0}, ValueError, "weight_decay is -1.0"),
        ({"betas": (1.0, 0.9)}, ValueError, r"betas\[0\] is 1.0: it must lie in \[0, 1\)"),
        ({"betas": (0.9, -0.1)}, ValueError, r"betas\[1\] is -0.1"),
        ({"betas": (0.9, torch.tensor(1.0))}, ValueError, r"betas\[1\] is 1.0"),
        ({"betas": (torch.ones(2), 0.9)}, ValueError, r"betas\[0\] has shape \(2,\)"),
    ],
)
def test_bad_options_are_named_for_the_optimizer_a_group_and_a_checkpoint(options, error, message):
    theta = torch.nn.Parameter(torch.ones(2))
    with pytest.raises(error, match=message):
        Adam([theta], **options)
    with pytest.raises(error, match=message):
        Adam([{"params": [theta], **options}])
    checkpoint = torch.optim.Adam([theta]).state_dict()
    checkpoint["param_groups"][0].update(options)
    with pytest.raises(error, match=message):
        Adam([theta]).load_state_dict(checkpoint)


def test_sparse():
    table = torch.nn.Embedding(5, 2, sparse=True)
    optimizer = Adam(table.parameters())
    table(torch.tensor([1])).sum().backward()
    with pytest.raises(RuntimeError, match=r"Adam does not support sparse .*SparseAdam"):
        optimizer.step()


def test_no_parameters():
    with pytest.raises(ValueError, match="empty parameter list"):
        Adam([])
