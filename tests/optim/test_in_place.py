"""Joined and compiled steps: the values of torch, one compilation, and eager where none can be."""

import os
import shutil
from functools import partial

import pytest
import torch

from dlkb.optim import SGD, Adam, AdamW, _in_place
from dlkb.optim._in_place import JOINED, SMALL, TOGETHER, batches, write_step
from dlkb.optim._memory import as_vectors
from dlkb.optim.adam import Options
from dlkb.optimizers.adam import adam_init
from tests.close import assert_close

SHAPES = [(4, 3), (5,), (), (0,), (1, 1), (SMALL + 3,), (130, 131), (2, SMALL), (7, 1)]
MANY = [(SMALL + i, 1) for i in range(1, 2 * TOGETHER)]
COMPILED = [
    (Adam, torch.optim.Adam, {"weight_decay": 0.1}),
    (Adam, torch.optim.Adam, {"amsgrad": True, "maximize": True, "betas": (0.5, 0.6)}),
    (AdamW, torch.optim.AdamW, {"lr": 0.1, "weight_decay": 0.3, "eps": 1e-2}),
]


@pytest.fixture
def compiler():
    """Start with nothing compiled; a missing compiler is a failure in CI, a skip elsewhere."""
    if not (shutil.which("c++") or shutil.which("g++")):
        message = "no C++ compiler: install g++ or clang"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    torch.compiler.reset()
    _in_place._compiled.cache_clear()
    torch._dynamo.utils.counters.clear()


def compilations() -> int:
    return torch._dynamo.utils.counters["stats"]["unique_graphs"]


def parameters(shapes=SHAPES, dtype=torch.float64, device="cpu"):
    generator = torch.Generator().manual_seed(0)
    drawn = [torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes]
    return [torch.nn.Parameter(t.to(device, dtype)) for t in drawn]


def train(optimizer, params, steps, *, skip=()):
    for t in steps:
        generator = torch.Generator().manual_seed(t)
        for i, p in enumerate(params):
            grad = torch.randn(p.shape, generator=generator, dtype=torch.float64).to(p)
            p.grad = None if (i, t) in skip else grad
        optimizer.step()


def row_of(p):
    zero = adam_init(p.detach())
    return (p.detach(), p.grad, zero.m, zero.v)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
def test_joined_small_tensors_get_the_bits_of_single_ones(dtype, device):
    params = parameters(dtype=dtype, device=device)
    alone = parameters(dtype=dtype, device=device)
    optimizer = Adam(params, lr=0.1)
    options = Options(0.1, (0.9, 0.999), 1e-8, 0.0, False, False)
    states = [adam_init(p.detach()) for p in alone]
    for t in range(4):
        train(optimizer, params, [t])
        for p, q, state in zip(params, alone, states, strict=True):
            write_step(Adam._rule, (q.detach(), p.grad, state.m, state.v), float(t), options)
    for p, q in zip(params, alone, strict=True):
        assert torch.equal(p, q)


def test_parameters_whose_counters_differ_are_not_mixed_up():
    skip = {(0, 0), (0, 1), (6, 0), (3, 2)}
    mine, theirs = parameters(), parameters()
    train(Adam(mine, lr=0.1), mine, range(6), skip=skip)
    train(torch.optim.Adam(theirs, lr=0.1), theirs, range(6), skip=skip)
    for p, q in zip(mine, theirs, strict=True):
        assert_close(p, q)


def test_batches_hold_every_parameter_once_and_no_more_than_they_may():
    params = parameters([(SMALL,)] * 40 + [(SMALL + 1,)] * 2 + [(3,)] * 50)
    rows = [(p,) for p in params]
    seen = []
    for batch in batches(rows):
        assert len(batch) == 1 or sum(p.numel() for (p,) in batch) <= JOINED
        seen += [id(p) for (p,) in batch]
    assert sorted(seen) == sorted(id(p) for p in params)
    assert len(list(batches(rows))) < 8


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(("ours", "torchs", "options"), COMPILED, ids=str)
def test_compiled_steps_are_those_of_torch(compiler, ours, torchs, options, dtype, device):
    mine, theirs = parameters(dtype=dtype, device=device), parameters(dtype=dtype, device=device)
    a, b = ours(mine, **options, fused=True), torchs(theirs, **options)
    train(a, mine, range(12), skip={(0, 3), (5, 4)})
    train(b, theirs, range(12), skip={(0, 3), (5, 4)})
    for p, q in zip(mine, theirs, strict=True):
        assert_close(p, q, scale=4)
    for p, q in zip(mine, theirs, strict=True):
        for name, value in b.state[q].items():
            assert_close(a.state[p][name], value, scale=4)
    assert compilations() == 1


def test_schedules_of_lr_and_betas_and_new_shapes_compile_nothing_anew(compiler):
    results = []
    for kind, options in ((Adam, {"fused": True}), (torch.optim.Adam, {})):
        params = parameters()
        optimizer = kind(params, **options)
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=12)
        for t in range(10):
            train(optimizer, params, [t])
            scheduler.step()
        results.append(params)
    for p, q in zip(*results, strict=True):
        assert_close(p, q)
    other = parameters([(3 * SMALL, 2), (17,)])
    train(Adam(other, lr=0.3, fused=True), other, range(3))
    assert compilations() == 1
    for count in (TOGETHER - 1, TOGETHER, 2 * TOGETHER - 1):
        mine, theirs = parameters(MANY[:count]), parameters(MANY[:count])
        train(Adam(mine, lr=0.1, fused=True), mine, range(3))
        train(torch.optim.Adam(theirs, lr=0.1), theirs, range(3))
        for p, q in zip(mine, theirs, strict=True):
            assert_close(p, q)
    assert compilations() == 2


def test_many_optimizers_and_dtypes_in_one_process_are_all_compiled(compiler, monkeypatch):
    """The compiler gives up on a code object after eight kernels."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    before = 0
    for dtype in (torch.float32, torch.bfloat16):
        for count in (1, TOGETHER):
            for kind in (Adam, AdamW, SGD):
                params = parameters(MANY[:count], dtype)
                train(kind(params, fused=True), params, range(1))
                assert compilations() > before
                before = compilations()
    _in_place._compiled.cache_clear()


def test_what_is_worth_compiling_is_compiled_unless_refused(compiler):
    for shape, fused, expected in (
        ((2**10, 2**10 - 1), None, 0),
        ((2**10, 2**10), False, 0),
        ((2**10, 2**10), None, 1),
    ):
        params = parameters([shape], torch.float32)
        train(Adam(params, fused=fused), params, range(2))
        assert compilations() == expected


@pytest.mark.parametrize("fused", [True, False])
def test_memory_that_is_not_in_order(compiler, fused):
    results = []
    for kind, options in ((Adam, {"fused": fused}), (torch.optim.Adam, {})):
        generator = torch.Generator().manual_seed(0)
        turned = torch.randn(8, 64, 9, 9, generator=generator).to(memory_format=torch.channels_last)
        sparse = torch.randn(300, 200, generator=generator)[:, ::2]
        params = [torch.nn.Parameter(turned), torch.nn.Parameter(sparse)]
        assert not params[0].is_contiguous()
        assert not params[1].is_contiguous()
        optimizer = kind(params, lr=0.1, **options)
        for _ in range(5):
            for p in params:
                p.grad = torch.randn(p.shape, generator=generator)
            optimizer.step()
        results.append(params)
    for p, q in zip(*results, strict=True):
        assert_close(p, q)


def test_vectors_share_memory_and_a_gap_has_none():
    p = torch.nn.Parameter(torch.zeros(2, 3, 4, 5).to(memory_format=torch.channels_last))
    p.grad = torch.arange(120.0).view(2, 3, 4, 5)
    theta, grad, _, _ = as_vectors(row_of(p))
    theta.copy_(grad)
    assert torch.equal(p, p.grad)
    q = torch.nn.Parameter(torch.zeros(4, 6)[:, :3])
    q.grad = torch.ones(4, 3)
    assert as_vectors(row_of(q)) is None


def test_without_a_compiler_it_warns_once_and_steps_all_the_same(compiler, monkeypatch):
    monkeypatch.setattr(_in_place, "_failures", [])
    mine, theirs = parameters(), parameters()
    optimizer = Adam(mine, fused=True)
    missing = torch._inductor.config.patch({"cpp.cxx": (None, "/nowhere/c++")})
    with missing, torch._inductor.config.patch(fx_graph_cache=False):
        with pytest.warns(UserWarning, match=r"runs uncompiled.*Install a C\+\+ compiler, or pass"):
            train(optimizer, mine, [0])
        train(optimizer, mine, range(1, 4))  # a second warning would be an error
    assert len(_in_place._failures) == 1
    train(torch.optim.Adam(theirs), theirs, range(4))
    for p, q in zip(mine, theirs, strict=True):
        assert_close(p, q)
