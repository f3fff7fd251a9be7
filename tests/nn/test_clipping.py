import math

import pytest
import torch
from torch import nn

from dlkb.nn import (
    clip_grad_norm_,
    clip_grad_value_,
    clip_grads_with_norm_,
    get_total_norm,
)
from tests.close import assert_close, dtype_name


def parameters(device, dtypes=(torch.float32,), scale=1.0, seed=0):
    """Return parameters of odd shapes with gradients, equal for equal seeds; one has none."""
    generator = torch.Generator().manual_seed(seed)
    found = []
    for shape in [(3, 4), (5,), (), (1, 1, 2), (0, 3)]:
        for dtype in dtypes:
            p = nn.Parameter(torch.zeros(shape, dtype=dtype, device=device))
            p.grad = (scale * torch.randn(shape, generator=generator)).to(device, dtype)
            found.append(p)
    return [*found, nn.Parameter(torch.zeros(2, device=device))]


def assert_same_gradients(ours, theirs, scale=1.0, dtype=None):
    for p, q in zip(ours, theirs, strict=True):
        assert (p.grad is None) == (q.grad is None)
        if p.grad is not None:
            assert p.grad.dtype == q.grad.dtype
            assert_close(p.grad, q.grad, scale=scale, dtype=dtype or dtype_name(p.grad))


@pytest.mark.parametrize("foreach", [None, False, True])
@pytest.mark.parametrize("norm_type", [1, 2.0, 3.5, math.inf, "inf"])
@pytest.mark.parametrize("max_norm", [0, 0.5, 100.0, math.inf])
def test_norm_against_torch(max_norm, norm_type, foreach, device):
    ours, theirs = parameters(device), parameters(device)
    if norm_type in (math.inf, "inf"):  # torch has no maximum norm of an empty gradient
        ours, theirs = ours[:4], theirs[:4]
    found = clip_grad_norm_(ours, max_norm, norm_type, foreach=foreach)
    expected = torch.nn.utils.clip_grad_norm_(theirs, max_norm, norm_type)
    assert_close(found, expected)
    assert found.device.type == device
    assert_same_gradients(ours, theirs)


@pytest.mark.parametrize(
    "dtypes",
    [
        (torch.bfloat16,),
        (torch.float16,),
        (torch.float64,),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float64),
    ],
)
def test_dtypes_against_torch(dtypes, device):
    ours, theirs = parameters(device, dtypes, 3.0), parameters(device, dtypes, 3.0)
    found = clip_grad_norm_(ours, 1.0)
    expected = torch.nn.utils.clip_grad_norm_(theirs, 1.0)
    assert found.dtype == expected.dtype
    # On a GPU torch adds the squares of float32 gradients in float32.
    narrow = "float32" if dtypes == (torch.float32, torch.float64) else None
    assert_close(found, expected, dtype=narrow)
    assert_same_gradients(ours, theirs, dtype=narrow)


@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("norm_type", [1.0, 2.0, math.inf])
def test_gradients_that_are_not_finite_against_torch(bad, norm_type, device):
    ours, theirs = parameters(device)[:4], parameters(device)[:4]
    for some in (ours, theirs):
        some[0].grad[1, 2] = bad
    found = clip_grad_norm_(ours, 1.0, norm_type)
    assert_close(found, torch.nn.utils.clip_grad_norm_(theirs, 1.0, norm_type))
    assert_same_gradients(ours, theirs)


@pytest.mark.parametrize("bad", [math.inf, math.nan])
def test_error_if_nonfinite_leaves_the_gradients_alone(bad, device):
    ours, before = parameters(device), parameters(device)
    for some in (ours, before):
        some[1].grad[0] = bad
    message = r"norm of order 2\.0 for gradients from `parameters` is non-finite: (inf|nan)"
    with pytest.raises(RuntimeError, match=message):
        clip_grad_norm_(ours, 1.0, error_if_nonfinite=True)
    with pytest.raises(RuntimeError, match="non-finite"):
        torch.nn.utils.clip_grad_norm_(before, 1.0, error_if_nonfinite=True)
    assert_same_gradients(ours, before)
    assert_close(clip_grad_norm_(parameters(device), 1.0, error_if_nonfinite=True).isfinite(), True)


def test_finite_gradients_whose_squares_overflow(device):
    ours, theirs = parameters(device, scale=1e30), parameters(device, scale=1e30)
    assert clip_grad_norm_(ours, 1.0).isinf()
    torch.nn.utils.clip_grad_norm_(theirs, 1.0)
    assert_same_gradients(ours, theirs)
    assert not any(p.grad.any() for p in ours[:5])


def test_no_gradient_at_all(device):
    p = nn.Parameter(torch.ones(2, device=device))
    for nothing in ([], [p], p):
        found = clip_grad_norm_(nothing, 1.0)
        expected = torch.nn.utils.clip_grad_norm_(nothing, 1.0)
        assert found == expected == 0
        assert found.dtype == expected.dtype
    clip_grad_value_([], 1.0)
    clip_grad_value_(p, 1.0)
    assert p.grad is None


def test_one_tensor_a_generator_and_an_empty_generator(device):
    ours = parameters(device)
    first = ours[0].grad.clone()
    assert_close(clip_grad_norm_(ours[0], 0.5), torch.linalg.vector_norm(first))
    assert_close(torch.linalg.vector_norm(ours[0].grad), 0.5)
    found = clip_grad_norm_((p for p in parameters(device)), 1.0)
    assert_close(found, torch.nn.utils.clip_grad_norm_(parameters(device), 1.0))
    with pytest.warns(UserWarning, match="empty generator"):
        assert clip_grad_norm_((p for p in []), 1.0) == 0


def test_a_whole_training_step_against_torch(device):
    def run(clip):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1)).to(device)
        sgd = torch.optim.SGD(model.parameters(), lr=0.1)
        x = torch.linspace(-3, 3, 32, device=device).view(8, 4)
        norms = []
        for _ in range(10):
            sgd.zero_grad()
            ((model(x) - 5) ** 2).mean().backward()
            norms.append(clip(model.parameters(), 0.7))
            sgd.step()
        return torch.stack(norms), [p.detach() for p in model.parameters()]

    ours, theirs = run(clip_grad_norm_), run(torch.nn.utils.clip_grad_norm_)
    assert_close(ours[0], theirs[0])
    for p, q in zip(ours[1], theirs[1], strict=True):
        assert_close(p, q)
    assert (ours[0] > 0.7).all()


def test_gradients_on_two_devices(device):
    # With --device cuda they really are two.
    ours = [parameters("cpu")[0], parameters(device, seed=1)[1]]
    theirs = [parameters("cpu")[0], parameters(device, seed=1)[1]]
    found = clip_grad_norm_(ours, 0.3)
    assert found.device.type == "cpu"
    assert_close(found, torch.nn.utils.clip_grad_norm_(theirs, 0.3))
    assert_same_gradients(ours, theirs)


def test_gradients_keep_their_memory_and_build_no_graph(device):
    p = parameters(device)[0]
    p.grad.requires_grad_(True)
    place = p.grad.data_ptr()
    norm = clip_grad_norm_(p, 0.1)
    clip_grad_value_(p, 0.01)
    assert p.grad.data_ptr() == place
    assert not norm.requires_grad
    assert p.grad.is_leaf


def test_value_against_torch(device):
    for dtypes in ((torch.float32,), (torch.bfloat16, torch.float64)):
        ours, theirs = parameters(device, dtypes), parameters(device, dtypes)
        for some in (ours, theirs):
            some[0].grad[0, 0], some[0].grad[0, 1], some[0].grad[0, 2] = math.inf, -9.0, math.nan
        assert clip_grad_value_(iter(ours), 0.5, foreach=False) is None
        torch.nn.utils.clip_grad_value_(theirs, 0.5)
        assert_same_gradients(ours, theirs)


def test_a_limit_beyond_the_dtype_is_its_largest_number():
    p = nn.Parameter(torch.zeros(3, dtype=torch.float16))
    for limit, ends in ((1e6, 65504.0), (math.inf, math.inf)):
        p.grad = torch.tensor([math.inf, 5.0, -math.inf], dtype=torch.float16)
        clip_grad_value_(p, limit)
        assert p.grad.tolist() == [ends, 5.0, -ends]


def test_errors():
    p = nn.Parameter(torch.ones(2))
    p.grad = torch.ones(2)
    with pytest.raises(ValueError, match=r"max_norm is -1\.0"):
        clip_grad_norm_(p, -1)
    with pytest.raises(ValueError, match=r"norm_type is 0\.0"):
        clip_grad_norm_(p, 1.0, 0)
    with pytest.raises(ValueError, match=r"clip_value is -1\.0"):
        clip_grad_value_(p, -1)
    sparse = nn.Embedding(3, 2, sparse=True)
    sparse(torch.tensor([0])).sum().backward()
    for clip in (clip_grad_norm_, clip_grad_value_):
        with pytest.raises(TypeError, match=r"torch\.sparse_coo.*sparse=False"):
            clip(sparse.parameters(), 1.0)
    z = nn.Parameter(torch.ones(2, dtype=torch.complex64))
    z.grad = torch.ones(2, dtype=torch.complex64)
    with pytest.raises(TypeError, match="complex64"):
        clip_grad_norm_(z, 1.0)


@pytest.mark.parametrize("norm_type", [1, 2.0, "inf"])
def test_the_total_norm_against_torch(norm_type, device):
    grads = [p.grad for p in parameters(device)[:4]]
    before = [grad.clone() for grad in grads]
    for some in (grads, iter(grads), grads[0]):
        found = get_total_norm(some, norm_type, foreach=False)
        expected = torch.nn.utils.get_total_norm(grads if some is not grads[0] else some, norm_type)
        assert_close(found, expected)
    assert all(torch.equal(a, b) for a, b in zip(grads, before, strict=True))
    assert get_total_norm([]) == torch.nn.utils.get_total_norm([]) == 0
    with pytest.raises(RuntimeError, match="non-finite"):
        get_total_norm([torch.tensor([math.nan])], error_if_nonfinite=True)


@pytest.mark.parametrize("total", [0.1, 7.0, math.inf, math.nan])
def test_a_norm_that_is_known_against_torch(total, device):
    ours, theirs = parameters(device), parameters(device)
    norm = torch.tensor(total, device=device)
    assert clip_grads_with_norm_(iter(ours), 1.5, norm, foreach=True) is None
    torch.nn.utils.clip_grads_with_norm_(theirs, 1.5, norm)
    assert_same_gradients(ours, theirs)
    clip_grads_with_norm_([], 1.0, norm)
    with pytest.raises(ValueError, match=r"max_norm is -2\.0"):
        clip_grads_with_norm_(ours, -2, norm)


def bad_gradient(kind):
    p = nn.Parameter(torch.ones(3, dtype=torch.complex64 if kind == "complex" else torch.float32))
    if kind == "sparse":
        p.grad = torch.ones(3).to_sparse()
    elif kind == "complex":
        p.grad = torch.ones(3, dtype=torch.complex64)
    else:
        p.grad = torch.ones(1).expand(3)
    return p


@pytest.mark.parametrize("kind", ["sparse", "complex", "expanded"])
@pytest.mark.parametrize(
    "clip",
    [
        lambda ps: clip_grad_norm_(ps, 0.1),
        lambda ps: clip_grad_value_(ps, 0.1),
        lambda ps: clip_grads_with_norm_(ps, 0.1, torch.tensor(5.0)),
    ],
)
def test_nothing_is_scaled_before_an_error(kind, clip):
    ours = [*parameters("cpu"), bad_gradient(kind)]
    before = parameters("cpu")
    with pytest.raises((TypeError, ValueError), match=r"sparse_coo|complex64|share memory.*clone"):
        clip(ours)
    assert_same_gradients(ours[:-1], before)


def test_the_warning_points_at_the_caller():
    with pytest.warns(UserWarning, match="empty generator") as caught:
        clip_grad_norm_((p for p in []), 1.0)
    assert caught[0].filename == __file__
