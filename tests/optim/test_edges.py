"""Where drop-in optimizers go wrong: default devices, infinities, refusals, foreign states."""

import copy
import math

import numpy as np
import pytest
import torch
from torch.nn import Parameter

import dlkb.optim
from dlkb.optim._in_place import batches
from dlkb.optim._memory import as_arrays, as_vectors
from tests.close import assert_close
from tests.optim.torch_suite import INFOS, TwoTensor, by_info, layers, ours, train

KERNELS = [(info, False) for info in INFOS] + [(INFOS[0], True)]


@pytest.mark.parametrize(("info", "fused"), KERNELS, ids=lambda x: getattr(x, "name", str(x)))
def test_default_device_and_dtype_do_not_matter(info, fused, device):
    """Nothing is made on the default device: "meta" has no numbers, so each would be an error."""
    results = []
    for kind, place, dtype in (
        (ours(info), "meta", torch.float32 if fused else torch.float64),
        (info.optim_cls, "cpu", torch.float32),
    ):
        params = layers(torch.float32, device, shapes=((5, 3), (4,), (2, 70, 130)))
        options = {"fused": True} if fused and kind is not info.optim_cls else {}
        optimizer = kind(params, lr=0.1, **options)
        gradients = [torch.full_like(p, 0.5) for p in params]
        torch.set_default_dtype(dtype)
        try:
            with torch.device(place):
                for _ in range(3):
                    for p, grad in zip(params, gradients, strict=True):
                        p.grad = grad
                    optimizer.step()
                optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
                optimizer.step()
        finally:
            torch.set_default_dtype(torch.float32)
        results.append((params, optimizer))
    (mine, optimizer), (theirs, _) = results
    for p, q in zip(mine, theirs, strict=True):
        assert_close(p, q)
        assert all(value.device.type != "meta" for value in optimizer.state[p].values())


@by_info
def test_meta_parameters_keep_their_counter_where_it_belongs(info):
    """A model without memory is stepped through, as planners of memory do."""
    for capturable in (False, True) if info.has_capturable_arg else (None,):
        p = Parameter(torch.empty(2**11, 2**10, device="meta"))
        p.grad = torch.empty_like(p)
        options = {} if capturable is None else {"capturable": capturable}
        optimizer = ours(info)([p], **options)
        before = torch._dynamo.utils.counters["stats"]["unique_graphs"]
        optimizer.step()
        assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == before  # only on the CPU
        for name, value in optimizer.state[p].items():
            where = "cpu" if name == "step" and not capturable else "meta"
            assert value.device.type == where


@by_info
@pytest.mark.parametrize("options", [{}, {"maximize": True}, {"weight_decay": 0.0}], ids=str)
def test_infinite_parameters_without_gradient_stay(info, options):
    results = []
    for kind in (ours(info), info.optim_cls):
        p = Parameter(torch.tensor([math.inf, -math.inf, 1.0, -0.0]))
        optimizer = kind([p], **({"weight_decay": 0.0} | options))
        for _ in range(3):
            p.grad = torch.zeros(4)
            optimizer.step()
        results.append(p.detach())
    assert results[0].tolist() == results[1].tolist() == [math.inf, -math.inf, 1.0, 0.0]


NUMBERS = {
    "SGD": {"lr": 0.1, "momentum": 0.9, "dampening": 0.1, "weight_decay": 0.01},
    "Adam": {"lr": 0.1, "betas": (0.9, 0.99), "eps": 1e-8, "weight_decay": 0.01},
    "AdamW": {"lr": 0.1, "betas": [0.9, 0.99], "eps": 1e-8, "weight_decay": 0.01},
    "Lion": {"lr": 0.1, "betas": (0.9, 0.99), "weight_decay": 0.01},
    "Adagrad": {
        "lr": 0.1,
        "lr_decay": 0.1,
        "weight_decay": 0.01,
        "eps": 1e-8,
        "initial_accumulator_value": 0.1,
    },
    "RMSprop": {"lr": 0.1, "alpha": 0.9, "eps": 1e-8, "weight_decay": 0.01, "momentum": 0.9},
}
OF_NUMPY = [np.float32, np.float64, lambda x: np.asarray(x)]


def convert(kind, value):
    return type(value)(map(kind, value)) if isinstance(value, tuple | list) else kind(value)


def three_steps(kind, options, *, later=None, file=None):
    p = Parameter(torch.ones(3))
    optimizer = kind([{"params": [p]} | options] if file else [p], **({} if file else options))
    optimizer.param_groups[0].update(later or {})
    for t in range(1, 4):
        p.grad = t * torch.tensor([0.3, 0.2, -0.1])
        optimizer.step()
    if file:
        torch.save(optimizer.state_dict(), file)
        optimizer.load_state_dict(torch.load(file, weights_only=True))
    return [p.detach(), *optimizer.state[p].values()], optimizer.param_groups[0]


@pytest.mark.parametrize("of_numpy", OF_NUMPY, ids=["float32", "float64", "array"])
@pytest.mark.parametrize("name", NUMBERS)
def test_numpys_numbers_are_pythons(name, of_numpy, tmp_path):
    kind, usual = getattr(dlkb.optim, name), NUMBERS[name]
    for key, value in usual.items():
        given = convert(of_numpy, value)
        plain = convert(float, given)
        expected, group = three_steps(kind, usual | {key: plain})
        results = [three_steps(kind, usual | {key: given}, file=tmp_path / "state.pt")]
        if key != "initial_accumulator_value":  # read before the first step alone
            results.append(three_steps(kind, usual, later={key: given}))
        for found, own in results:
            for mine, other in zip(found, expected, strict=True):
                assert mine.dtype == other.dtype
                assert torch.equal(mine, other)
            assert own[key] == group[key]
            assert type(own[key]) is type(plain)
            assert "numpy" not in type(own[key][0] if "betas" in key else own[key]).__module__


def test_numpys_numbers_are_checked():
    for kind in (dlkb.optim.Adam, dlkb.optim.Lion):
        with pytest.raises(ValueError, match=r"betas\[1\] is 1.0"):
            kind([Parameter(torch.ones(1))], betas=(np.float32(0.5), np.float32(1)))
        optimizer = kind([Parameter(torch.ones(1))])
        optimizer.param_groups[0]["lr"] = np.float32(-1)
        with pytest.raises(ValueError, match=r"lr is -1.0"):
            optimizer.step()


def everything(optimizer):
    values = [p.detach().clone() for group in optimizer.param_groups for p in group["params"]]
    return values, copy.deepcopy(optimizer.state_dict())


def break_lr(optimizer, params):
    optimizer.param_groups[1]["lr"] = -0.1


def break_weight_decay(optimizer, params):
    optimizer.param_groups[1]["weight_decay"] = math.nan


def break_layout(optimizer, params):
    params[-1].grad = params[-1].detach().to_sparse()


def break_size(optimizer, params):
    optimizer.param_groups[1]["lr"] = torch.ones(2)


def break_dtype(optimizer, params):
    params[-1].grad_dtype = None
    params[-1].grad = torch.ones(params[-1].shape, dtype=torch.float32)


BROKEN = [
    (break_lr, ValueError, "lr is -0.1: it must lie in"),
    (break_weight_decay, ValueError, "weight_decay is nan"),
    (break_layout, RuntimeError, "does not support sparse gradients: use torch.optim"),
    (break_size, ValueError, r"lr has shape \(2,\): it must be a number or a tensor of one"),
    (break_dtype, TypeError, "gradient has dtype torch.float32 but .*float64: cast one"),
]


@by_info
@pytest.mark.parametrize(("spoil", "error", "message"), BROKEN)
def test_what_is_refused_in_mid_run_changes_nothing(info, spoil, error, message):
    if spoil is break_layout and ours(info).SPARSE is None:
        pytest.skip("sparse gradients are made dense")
    params = layers()
    groups = [{"params": params[:2]}, {"params": params[2:4]}]
    optimizer = ours(info)(groups, lr=0.1)
    train(optimizer, params[:4], range(2))
    spoil(optimizer, params[:4])
    before = everything(optimizer)
    with pytest.raises(error, match=message):
        optimizer.step()
    after = everything(optimizer)
    assert all(torch.equal(p, q) for p, q in zip(before[0], after[0], strict=True))
    assert str(before[1]) == str(after[1])


@by_info
def test_a_parameter_whose_memory_holds_other_numbers_is_refused(info):
    p = Parameter(torch.ones(2, dtype=torch.complex64).conj())
    assert p.is_conj()
    p.grad = torch.ones(2, dtype=torch.complex64)
    with pytest.raises(ValueError, match=r"conjugated lazily.* resolve_conj\(\)"):
        ours(info)([p]).step()


@by_info
@pytest.mark.parametrize("switch", [("amsgrad", True)])
def test_an_option_that_needs_another_state_is_named(info, switch):
    name, value = switch
    params = layers()
    optimizer = ours(info)(params)
    if name not in optimizer.defaults:
        pytest.skip(f"no {name}")
    train(optimizer, params, [0])
    optimizer.param_groups[0][name] = value
    before = params[0].detach().clone()
    with pytest.raises(ValueError, match=r"lacks \['max_exp_avg_sq'\]: an option of its group"):
        optimizer.step()
    assert torch.equal(params[0], before)


@by_info
def test_a_state_for_parameters_in_another_order_is_refused(info):
    wide, tall = Parameter(torch.ones(2, 3)), Parameter(torch.ones(3, 2))
    for source in (ours(info), info.optim_cls):
        trained = source([wide, tall])
        train(trained, [wide, tall], [0])
        if not any(t.shape for t in trained.state[wide].values()):
            pytest.skip("keeps nothing of a parameter's shape")
        fresh = ours(info)([tall, wide])
        train(fresh, [wide, tall], [1])
        before = everything(fresh)
        message = r"parameter 0 of its group has shape \(2, 3\), the parameter \(3, 2\)"
        with pytest.raises(ValueError, match=message):
            fresh.load_state_dict(trained.state_dict())
        assert str(before[1]) == str(fresh.state_dict())
        fresh = ours(info)([wide, tall])
        fresh.load_state_dict(trained.state_dict())


@by_info
def test_what_is_no_parameter_group_is_refused_as_by_torch(info):
    params = layers()
    optimizer = ours(info)(params[:1])
    with pytest.raises(TypeError, match="param_group must be a dict"):
        optimizer.add_param_group(params[1:])
    with pytest.raises(ValueError, match="lr is -1"):
        optimizer.add_param_group({"params": params[1:], "lr": -1.0})
    assert len(optimizer.param_groups) == 1
    assert optimizer.param_groups[0]["params"] == params[:1]


class Marked(torch.Tensor):
    """A subclass that changes nothing."""


@by_info
def test_subclasses(info):
    """Who computes like a tensor is joined with others; who hides its memory is taken alone."""
    results = []
    for marked in (True, False):
        params = layers(torch.float32, shapes=((3, 2), (4,), (2,)))
        if marked:
            params = [p.detach().as_subclass(Marked).requires_grad_() for p in params]
        optimizer = ours(info)(params, lr=0.1)
        train(optimizer, params, range(3))
        results.append(params)
    for p, q in zip(*results, strict=True):
        assert type(p) is Marked
        assert_close(p.detach().as_subclass(torch.Tensor), q)
    bare = as_arrays((results[0][0], torch.ones(3, 2), torch.ones(3, 2)))
    assert {type(t) for t in bare} == {torch.Tensor}
    assert bare[0].data_ptr() == results[0][0].data_ptr()

    hidden = as_arrays((Parameter(TwoTensor(torch.ones(4), torch.ones(4))), torch.ones(4)))
    assert isinstance(hidden[0], TwoTensor)
    assert as_vectors(hidden) is None
    plain = (torch.ones(4), torch.ones(4))
    assert list(batches([plain, hidden, plain])) == [[hidden], [plain, plain]]
