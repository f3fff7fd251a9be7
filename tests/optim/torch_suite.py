"""PyTorch's own suite for optimizers: its data, and the comparison of a step.

The wheel ships `torch.testing._internal.common_optimizers.optim_db`: for each optimizer the
options to try, the kernels, the schedulers, the mistakes to refuse. What torch asks of an
optimizer the tests beside this file ask of each of ours that torch has under the same name.
"""

import copy
import warnings

import pytest
import torch
from torch.nn import Parameter

import dlkb.optim
from tests.close import TOLERANCE

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # hypothesis is not installed
    from torch.testing._internal import common_optimizers as suite
    from torch.testing._internal.two_tensor import TwoTensor as TwoTensor
# It forbids flags of torch.backends to be set outside of its own tests.
setattr(torch.backends, "__allow_nonbracketed_mutation_flag", True)

INFOS = [info for info in suite.optim_db if info.name in dlkb.optim.__all__]


def ours(info):
    return getattr(dlkb.optim, info.name)


def configurations(device):
    """Yield each optimizer with each of the suite's options, for each kernel that torch has."""
    for info in INFOS:
        for given in suite._get_optim_inputs_including_global_cliquey_kwargs(device, None, info):
            yield info, given


ALL = list(configurations("cpu"))
LEAVES = [(i, g) for i, g in ALL if not any(g.kwargs.get(k) for k in ("fused", "differentiable"))]
PLAIN = [(i, g) for i, g in LEAVES if not g.kwargs.get("foreach")]
by_info = pytest.mark.parametrize("info", INFOS, ids=lambda info: info.name)


def each(cases):
    ids = [f"{info.name}: {given.desc}" for info, given in cases]
    return pytest.mark.parametrize(("info", "given"), cases, ids=ids)


def options_of(given, **changed):
    """Copy the options: a tensor among them is the optimizer's own."""
    return copy.deepcopy(given.kwargs) | changed


def layers(dtype=torch.float64, device="cpu", shapes=((5, 3), (5,), (2, 3, 4), (), (0, 3), (1,))):
    generator = torch.Generator().manual_seed(0)
    drawn = [torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes]
    if dtype.is_complex:
        drawn = [torch.complex(t, t.flip(0) if t.ndim else -t) for t in drawn]
    return [Parameter(t.to(device, dtype)) for t in drawn]


def gradients(params, t, *, like_zero=False):
    generator = torch.Generator().manual_seed(100 + t)
    for p in params:
        grad = torch.randn(p.shape, generator=generator, dtype=torch.float64)
        p.grad = torch.zeros_like(p) if like_zero else grad.to(p.device, p.dtype)


def trainable(params, options):
    """Return what to optimize: with `differentiable` no leaves, which may not be written to."""
    return [p.clone() for p in params] if options.get("differentiable") else params


def train(optimizer, params, steps):
    for t in steps:
        gradients(params, t)
        optimizer.step()


def assert_like(mine, theirs, scale=1.0):
    dtype = str(theirs.dtype).removeprefix("torch.")
    real = {"complex64": "float32", "complex128": "float64"}.get(dtype, dtype)
    tolerance = scale * TOLERANCE[real]
    torch.testing.assert_close(mine.detach(), theirs.detach(), rtol=tolerance, atol=tolerance)


def compare(info, options, theirs_options, *, dtype, device, steps=12, scale=4.0):
    """Take the steps of both; parameters and state are compared after each."""
    mine, theirs = trainable(layers(dtype, device), options), layers(dtype, device)
    a = ours(info)(mine, **options)
    b = info.optim_cls(theirs, **theirs_options)
    for t in range(steps):
        train(a, mine, [t])
        train(b, theirs, [t])
        for p, q in zip(mine, theirs, strict=True):
            assert_like(p, q, scale)
            assert list(a.state[p]) == list(b.state[q])
            for name, value in b.state[q].items():
                assert_like(a.state[p][name], value, scale)
