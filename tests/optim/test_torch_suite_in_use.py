"""PyTorch's own suite on our optimizers: schedulers, checkpoints, hooks, gradients, compilers."""

import copy
import io

import torch
from torch.distributed.optim import _apply_optimizer_in_backward
from torch.nn import Parameter

from tests.optim.torch_suite import (
    LEAVES,
    TwoTensor,
    assert_like,
    by_info,
    each,
    gradients,
    layers,
    options_of,
    ours,
    train,
)


@by_info
def test_schedulers(info):
    for makers in info.scheduler_inputs:
        results = []
        for kind in (ours(info), info.optim_cls):
            params = layers()
            groups = [{"params": params[:2]}, {"params": params[2:], "lr": 0.05}]
            optimizer = kind(groups, lr=0.01)
            schedulers = [make(optimizer) for make in makers]
            for t in range(10):
                train(optimizer, params, [t])
                for scheduler in schedulers:
                    plateau = isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau)
                    scheduler.step(*([1.0] if plateau else []))
            results.append(params)
        for p, q in zip(*results, strict=True):
            assert_like(p, q, 4)


@each(LEAVES)
def test_checkpoints(info, given, device):
    """Deterministic, loadable with weights_only, from and to torch, old, named and unnamed."""
    params = layers(device=device)
    names = [f"p{i}" for i in range(len(params))]
    optimizer = ours(info)(zip(names, params, strict=True), **options_of(given))
    train(optimizer, params, range(3))
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)

    old = copy.deepcopy(saved)
    for flag in info.not_og_supported_flags:
        for group in old["param_groups"]:
            group.pop(flag, None)
    for state in old["state"].values():
        if "step" in state:
            state["step"] = state["step"].item()

    start = [p.detach().clone() for p in params]
    ends = []
    for kind, checkpoint, named in (
        (ours(info), saved, True),
        (info.optim_cls, saved, False),
        (ours(info), old if not given.kwargs.get("maximize") else saved, False),
    ):
        again = [Parameter(p.clone()) for p in start]
        fresh = kind(zip(names, again, strict=True) if named else again, **options_of(given))
        loaded = copy.deepcopy(checkpoint)  # its tensors become the optimizer's, as in torch
        fresh.load_state_dict(loaded)
        assert str(loaded) == str(checkpoint)
        train(fresh, again, range(3, 6))
        ends.append(again)
    train(optimizer, params, range(3, 6))
    for again in ends:
        for p, q in zip(again, params, strict=True):
            assert_like(p, q)
    clone = copy.deepcopy(optimizer)
    assert {"defaults", "param_groups", "state"} <= vars(clone).keys()
    assert str(clone.state_dict()) == str(optimizer.state_dict())


@by_info
def test_hooks_are_called_in_torchs_order(info):
    traces = []
    for kind in (ours(info), info.optim_cls):
        params, trace = layers(), []
        optimizer = kind(params)

        def note(event, trace=trace):
            return lambda *_: trace.append(event)

        optimizer.register_step_pre_hook(note("before the step"))
        optimizer.register_step_post_hook(note("after the step"))
        optimizer.register_state_dict_pre_hook(note("before saving"))
        optimizer.register_state_dict_post_hook(note("after saving"))
        optimizer.register_load_state_dict_pre_hook(note("before loading"))
        optimizer.register_load_state_dict_post_hook(note("after loading"))
        train(optimizer, params, [0])
        optimizer.load_state_dict(optimizer.state_dict())
        copy.deepcopy(optimizer).step()
        traces.append(trace)
    assert traces[0] == traces[1]
    assert len(traces[0]) >= 6


def gradient_options(info):
    """Yield options whose tensors want a gradient, beside the suite's own."""
    for given in info.optim_inputs_func("cpu"):
        yield given.kwargs
    double = {"dtype": torch.float64, "requires_grad": True}
    yield {"lr": torch.tensor(0.1, **double)}
    defaults = info.optim_cls([torch.ones(1)]).defaults
    if defaults["weight_decay"] is not None:
        yield {"weight_decay": torch.tensor(0.3, **double), "lr": torch.tensor(0.1, **double)}
    if "betas" in defaults:
        betas = torch.tensor(0.8, **double), torch.tensor(0.9, **double)
        yield {"betas": betas, "lr": torch.tensor(0.1, **double)}


@by_info
def test_gradients_flow_through_the_step(info, device):
    """To parameters, gradients, state and hyperparameters, over two steps."""
    for options in gradient_options(info):
        leaves = {k: v for k, v in options.items() if isinstance(v, torch.Tensor)}
        betas = options.get("betas", ())

        def move(theta, grad, *inputs, options=options, leaves=leaves):
            given = dict(options) | dict(zip(leaves, inputs, strict=False))
            if "betas" in given and isinstance(given["betas"][0], torch.Tensor):
                given["betas"] = tuple(inputs[len(leaves) :])
            theta = theta.clone()
            optimizer = ours(info)([theta], differentiable=True, **given)
            for scale in (1.0, 0.5):
                theta.grad = scale * grad
                optimizer.step()
            state = [v for v in optimizer.state[theta].values() if v.requires_grad]
            return (theta, *state)

        generator = torch.Generator().manual_seed(1)
        theta = torch.randn(3, generator=generator, dtype=torch.float64, requires_grad=True)
        grad = torch.randn(3, generator=generator, dtype=torch.float64, requires_grad=True)
        tensors = [*leaves.values(), *(b for b in betas if isinstance(b, torch.Tensor))]
        assert torch.autograd.gradcheck(move, (theta, grad, *tensors))


@by_info
def test_tensor_subclasses(info):
    """The suite's TwoTensor computes on two tensors: both must go the way of plain ones."""
    start = layers(torch.float32, shapes=((5, 3), (4,)))
    results = []
    for wrap in (True, False):
        params = [Parameter(p.detach().clone()) for p in start]
        if wrap:
            params = [Parameter(TwoTensor(p.detach(), 2 * p.detach())) for p in params]
        optimizer = ours(info)(params, lr=0.1)
        for t in range(5):
            for p, q in zip(params, start, strict=True):
                q.grad = None
                gradients([q], t)
                p.grad = TwoTensor(q.grad, q.grad.clone()) if wrap else q.grad
            optimizer.step()
        results.append(params)
    for p, q in zip(*results, strict=True):
        assert isinstance(p, TwoTensor)
        assert_like(p.a, q)
        assert not torch.equal(p.a, p.b)


@by_info
def test_a_compiled_step(info):
    """torch.compile of the whole step, as users call it."""
    results = []
    for compiled in (True, False):
        params = layers(torch.float32, shapes=((5, 3), (), (0, 3)))
        optimizer = ours(info)(params, lr=torch.tensor(0.1))
        step = torch.compile(optimizer.step, backend="aot_eager") if compiled else optimizer.step
        for t in range(4):
            gradients(params, t)
            step()
        results.append(params)
    for p, q in zip(*results, strict=True):
        assert_like(p, q)


@by_info
def test_steps_in_the_backward_pass(info):
    """`_apply_optimizer_in_backward` makes an optimizer for each parameter."""
    results = []
    for early in (True, False):
        torch.manual_seed(0)
        model = torch.nn.Linear(3, 2)
        if early:
            _apply_optimizer_in_backward(ours(info), model.parameters(), {"lr": 0.1})
        optimizer = ours(info)(model.parameters(), lr=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            model(torch.ones(3)).square().sum().backward()
            if not early:
                optimizer.step()
        results.append(list(model.parameters()))
    for p, q in zip(*results, strict=True):
        assert_like(p, q)
