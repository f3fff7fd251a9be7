"""PyTorch's own suite on our optimizers: steps, kernels, dtypes, mistakes."""

import copy
import re

import pytest
import torch
from torch.nn import Parameter

from tests.optim.torch_suite import (
    ALL,
    INFOS,
    LEAVES,
    PLAIN,
    assert_like,
    by_info,
    compare,
    each,
    gradients,
    layers,
    options_of,
    ours,
    train,
)

REFUSED: dict[str, str] = {}
"""What torch's suite asks for and we refuse, with the reason. At most ten; it may only shrink."""

ACCEPTED = {
    "lr as Tensor doesn't work with foreach & not capturable": "foreach chooses no kernel here",
    "betas must be either both floats or both Tensors": "the formula takes either",
    r"betas\[0\] as a Tensor is not supported for capturable=False and foreach=True": (
        "foreach chooses no kernel here"
    ),
}
"""Mistakes under torch that are none here."""


@each(ALL)
def test_steps_are_those_of_torch(info, given, device):
    options = options_of(given)
    slow = options | dict.fromkeys(("foreach", "fused", "differentiable"), False)
    slow = {name: value for name, value in slow.items() if name in given.kwargs}
    compare(info, options, slow, dtype=torch.float32, device=device)
    if not options.get("fused"):
        compare(info, options, slow, dtype=torch.float64, device=device)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@each(PLAIN)
def test_steps_in_half_precision(info, given, dtype, device):
    options = options_of(given)
    if "eps" in info.optim_cls([torch.ones(1)]).defaults:
        options["eps"] = 0.1  # as the suite: 1e-8 is zero in float16
    compare(info, options, copy.deepcopy(options), dtype=dtype, device=device, steps=5)


@by_info
def test_options_on_the_accelerator(info, device):
    """Tensors as lr and betas, also of three axes, with and without a counter on the device."""
    given = [case for case in info.optim_inputs_func("cuda") if case.kwargs.get("capturable")]
    assert given or not info.has_capturable_arg
    for case in given:
        for capturable in (True, False):
            options = options_of(case, capturable=capturable)
            theirs = options_of(case, capturable=capturable and device == "cuda", foreach=False)
            compare(info, options, theirs, dtype=torch.float32, device=device)


@by_info
def test_mistakes_are_refused_as_by_torch(info):
    seen = set()
    for mistake in info.optim_error_inputs_func("cpu", torch.float32):
        given = mistake.optimizer_error_input
        params = layers(torch.float32) if given.params is None else given.params
        if given.desc in ACCEPTED:
            seen.add(given.desc)
            optimizer = ours(info)(params, **options_of(given))
            train(optimizer, optimizer.param_groups[0]["params"], [0])
            continue
        # The same kind of error; in its words, or naming argument, value and what is accepted.
        words = f"{mistake.error_regex}|(: it must lie in)|(: it must be a number)"
        if mistake.error_type is UserWarning:
            with pytest.warns(UserWarning, match=words):
                ours(info)(params, **options_of(given))
        else:
            with pytest.raises(mistake.error_type, match=words):
                ours(info)(params, **options_of(given))
    assert seen == set(ACCEPTED) or "betas" not in info.optim_cls([torch.ones(1)]).defaults


@each(LEAVES)
def test_goes_downhill_also_with_memory_that_has_gaps(info, given, device):
    for gaps in (False, True):
        generator = torch.Generator().manual_seed(0)
        weight = torch.randn(10, 5, 2, generator=generator).to(device)[..., 0]
        bias = torch.randn(10, 2, generator=generator).to(device)[..., 0]
        params = [Parameter(t if gaps else t.contiguous()) for t in (weight, bias)]
        x = torch.randn(5, generator=generator).to(device)
        optimizer = ours(info)(params, **options_of(given))
        assert repr(optimizer).startswith(f"{info.name} (")

        def closure(optimizer=optimizer, params=params, x=x):
            optimizer.zero_grad()
            loss = (params[0].mv(x) + params[1]).square().sum()
            loss.backward()
            return loss

        before = closure().item()
        for _ in range(20):
            assert isinstance(optimizer.step(closure), torch.Tensor)
        after = closure().item()
        assert after > before if given.kwargs.get("maximize") else after < before


@each([case for case in PLAIN if case[0].supports_complex])
def test_complex_parameters(info, given, device):
    for dtype in (torch.complex64, torch.complex128):
        options = options_of(given)
        compare(info, options, copy.deepcopy(options), dtype=dtype, device=device)
    # As two parameters, real and imaginary part; and a gradient that is conjugated lazily.
    whole = [Parameter(torch.tensor([1 + 2j, -3j], device=device))]
    parts = [Parameter(whole[0].detach().real.clone()), Parameter(whole[0].detach().imag.clone())]
    a, b = ours(info)(whole, **options_of(given)), ours(info)(parts, **options_of(given))
    for t in range(10):
        grad = torch.tensor([1 - 2j, 0.5j], device=device) * (t - 4)
        whole[0].grad = grad.conj()
        assert whole[0].grad.is_conj()
        parts[0].grad, parts[1].grad = grad.real, -grad.imag
        a.step()
        b.step()
        assert_like(whole[0].real, parts[0])
        assert_like(whole[0].imag, parts[1])


@each(PLAIN)
def test_dtypes_may_be_mixed(info, given, device):
    dtypes = [torch.float64, torch.float32, torch.bfloat16, torch.complex64] * 3
    results = []
    for kind in (ours(info), info.optim_cls):
        params = [p for dtype in dtypes for p in layers(dtype, device)]
        optimizer = kind(params, **options_of(given))
        train(optimizer, params, range(4))
        results.append(params)
    for p, q in zip(*results, strict=True):
        assert p.dtype == q.dtype
        assert_like(p, q, 4)


@by_info
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64], ids=str)
def test_default_dtype(info, dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        params, theirs = layers(torch.float32), layers(torch.float32)
        optimizer, reference = ours(info)(params), info.optim_cls(theirs)
        train(optimizer, params, range(3))
        train(reference, theirs, range(3))
    finally:
        torch.set_default_dtype(before)
    for p, q in zip(params, theirs, strict=True):
        assert_like(p, q)
        for name, value in reference.state[q].items():
            assert optimizer.state[p][name].dtype == value.dtype


@each(LEAVES)
def test_nothing_moves_without_gradients_or_with_zeros(info, given, device):
    params = layers(device=device)
    optimizer = ours(info)(params, **options_of(given))
    before = [p.detach().clone() for p in params]
    optimizer.step()
    assert all(torch.equal(p, q) for p, q in zip(params, before, strict=True))
    assert bool(optimizer.state) == bool(info.optim_cls(params, **options_of(given)).state)
    gradients(params, 0, like_zero=True)
    optimizer.step()
    if not optimizer.param_groups[0]["weight_decay"]:
        assert all(torch.equal(p, q) for p, q in zip(params, before, strict=True))


@pytest.mark.filterwarnings("ignore:Sparse invariant checks")  # of torch's own
@by_info
def test_sparse_gradients(info):
    """Taken where torch takes them, or listed."""

    def outcome(kind):
        p = Parameter(torch.arange(8.0).view(4, 2))
        optimizer = kind([p], lr=0.1)
        where, what = [[0, 2, 2]], [[1.0, 2.0]] * 3  # one row comes twice
        p.grad = torch.sparse_coo_tensor(where, what, p.shape, check_invariants=True)
        try:
            optimizer.step()
        except RuntimeError as error:
            return str(error)
        return p

    mine, theirs = outcome(ours(info)), outcome(info.optim_cls)
    if isinstance(mine, str):
        assert "does not support sparse gradients: use torch.optim" in mine
        assert isinstance(theirs, str) or f"{info.name}: sparse gradients" in REFUSED
    elif isinstance(theirs, str):  # torch refuses what need only be made dense
        assert ours(info).SPARSE is None
    else:
        assert_like(mine, theirs)


def test_refusals_are_few_and_have_a_reason():
    assert INFOS
    assert len(REFUSED) <= 10
    assert all(re.search(r"\w+ \w+", reason) for reason in (REFUSED | ACCEPTED).values())
    assert len(ACCEPTED) <= 3
