"""What formulas share: draws, lengths, erf, and the errors of the checks."""

import math
import re

import array_api_strict
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import torch

from dlkb.arrays import (
    as_numbers,
    bernoulli,
    check_between,
    check_broadcasts,
    check_count,
    check_float,
    check_ids,
    check_same_shape,
    erf,
    namespace,
    norm,
    normal,
    power,
    uniform,
    wide_dtype,
    widen,
)
from dlkb.arrays import device as place
from tests.cases import Case
from tests.close import assert_close

CASES = [
    Case(uniform, lambda rng: ((np.zeros((3, 4)),), {"generator": rng})),
    Case(normal, lambda rng: ((np.zeros((3, 4)),), {"generator": rng})),
    Case(bernoulli, lambda rng: ((np.zeros((3, 4)),), {"p": 0.3, "generator": rng})),
    Case(erf, lambda rng: ((rng.normal(size=(3, 4)),), {})),
    Case(norm, lambda rng: ((rng.normal(size=(3, 4)),), {}), batch=()),
    Case(norm, lambda rng: ((rng.normal(size=(3, 4)),), {"axis": -1, "keepdims": True}), "rows"),
    Case(
        norm, lambda rng: ((rng.normal(size=(3, 4)),), {"ord": 1.0, "axis": -2, "keepdims": False})
    ),
    Case(norm, lambda rng: ((rng.normal(size=(3, 4)),), {"ord": math.inf, "axis": -1}), "largest"),
]


@pytest.mark.parametrize(
    ("dtype", "wide"),
    [("float16", "float32"), ("bfloat16", "float32"), ("bool", "float32"), ("int64", "float32")]
    + [(same, same) for same in ("float32", "float64")],
)
def test_half_precision_is_widened(dtype, wide, device):
    x = torch.ones(3, dtype=getattr(torch, dtype), device=device)
    assert widen(x).dtype == wide_dtype(x) == getattr(torch, wide)
    assert bool((widen(x) == 1).all())
    assert (widen(x) is x) == (dtype == wide)


@pytest.mark.parametrize("ord", [0.5, 1.0, 2.0, 3.0, math.inf])
@pytest.mark.parametrize(("axis", "keepdims"), [(None, False), (None, True), (0, False), (1, True)])
def test_the_norm_is_that_of_torch(ord, axis, keepdims, device):
    x = torch.tensor(np.random.default_rng(0).normal(size=(5, 4)), device=device)
    expected = torch.linalg.vector_norm(x, ord=ord, dim=axis, keepdim=keepdims)
    assert_close(norm(x, ord=ord, axis=axis, keepdims=keepdims), expected)


@pytest.mark.parametrize("value", [0.0, math.inf, -math.inf, math.nan])
def test_the_norm_of_one_value(value):
    assert_close(norm(np.asarray([value, 0.0])), np.asarray(abs(value)))


def test_the_norm_of_nothing_is_zero():
    assert_close(norm(np.zeros((0, 3)), axis=0), np.zeros(3))
    assert_close(norm(torch.zeros(0), ord=math.inf), np.zeros(()), dtype="float32")


@pytest.mark.parametrize("library", [np.asarray, jnp.asarray, torch.as_tensor])
def test_the_norm_of_many_entries_in_half_precision(library):
    ones = library(np.ones((70_000, 2), dtype=np.float16))
    assert_close(norm(ones, axis=0), np.full(2, 70_000**0.5), dtype="float16")


def test_the_norm_has_the_gradient_of_torch(device):
    x = torch.tensor(np.random.default_rng(0).normal(size=7), device=device, requires_grad=True)
    (ours,) = torch.autograd.grad(norm(x), x)
    (theirs,) = torch.autograd.grad(torch.linalg.vector_norm(x), x)
    assert_close(ours, theirs)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_erf_is_that_of_scipy(dtype):
    x = np.linspace(-4, 4, 33).astype(dtype)
    assert_close(erf(x), scipy.special.erf(x.astype(float)), dtype=dtype)
    assert erf(x).dtype == x.dtype


class Highest:
    """A generator that draws the largest number below 1."""

    def random(self, shape):
        return np.full(shape, np.nextafter(1.0, 0.0))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "float64"])
def test_no_uniform_draw_is_one(dtype):
    like = torch.zeros(3, dtype=getattr(torch, dtype))
    drawn = uniform(like, generator=Highest())
    assert (drawn == 1 - torch.finfo(like.dtype).eps / 2).all()
    assert bernoulli(like, p=1.0, generator=Highest()).all()


def test_erf_stays_on_the_device():
    elsewhere = array_api_strict.Device("device1")
    assert erf(array_api_strict.asarray([0.5], device=elsewhere)).device == elsewhere


def test_a_torch_generator_gives_the_draws_of_torch(device):
    like = torch.zeros(4, 3, device=device)
    for ours, theirs in ((uniform, torch.rand), (normal, torch.randn)):
        first, second = (torch.Generator(device).manual_seed(3) for _ in range(2))
        expected = theirs(4, 3, generator=second, device=device)
        assert torch.equal(ours(like, generator=first), expected)


def test_a_torch_generator_draws_like_the_array_whatever_the_defaults(device):
    like = torch.zeros(4, 3, device=device)
    usual = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    try:
        drawn = [f(like, generator=torch.Generator(device)) for f in (uniform, normal)]
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(usual)
    for values in drawn:
        assert (values.dtype, values.device) == (like.dtype, like.device)


@pytest.mark.parametrize("p", [0.0, 0.3, 0.99, 1.0])
def test_frequencies_are_right_in_half_precision(p):
    like = torch.zeros(200_000, dtype=torch.bfloat16)
    drawn = bernoulli(like, p=p, generator=np.random.default_rng(0))
    assert drawn.dtype == torch.bool
    assert abs(drawn.float().mean().item() - p) < 4 * math.sqrt(p * (1 - p) / 200_000) + 1e-12


def test_the_device_of_an_array(device):
    assert place(torch.ones(2, device=device)).type == device
    assert place(np.ones(2)) == "cpu"
    x = jnp.ones(2)
    assert jnp.zeros(3, device=place(x)).device == x.device


def test_an_array_that_jax_traces_has_no_device_yet():
    assert jax.jit(lambda x: x + jnp.ones(2, device=place(x)))(jnp.ones(2)).tolist() == [2.0, 2.0]


def test_the_library_of_the_arrays():
    assert namespace(np.ones(1), None, 2.0).__name__ == "array_api_compat.numpy"
    assert namespace(np.float64(1.0)).__name__ == "array_api_compat.numpy"
    assert namespace(torch.ones(1), 1, True).__name__ == "array_api_compat.torch"
    assert namespace(array_api_strict.ones(1)).__name__ == "array_api_strict"
    with pytest.raises(TypeError, match="no array given"):
        namespace(1.0, None)
    with pytest.raises(TypeError):
        namespace(np.ones(1), torch.ones(1))


@pytest.mark.parametrize("closed", ["both", "left", "right", "neither"])
@pytest.mark.parametrize("value", [-0.1, 0, 0.5, 1, 1.1, math.nan])
def test_bounds(closed, value):
    inside = 0 < value < 1 or (value == 0 and closed in ("both", "left"))
    if inside or (value == 1 and closed in ("both", "right")):
        check_between("p", value, 0, 1, closed=closed)
        return
    left, right = {"both": "[]", "left": "[)", "right": "(]", "neither": "()"}[closed]
    message = f"p is {value}: it must lie in {left}0, 1{right}"
    with pytest.raises(ValueError, match=re.escape(message)):
        check_between("p", value, 0, 1, closed=closed)


def test_an_array_is_not_compared_with_bounds():
    check_between("p", np.asarray(7.0), 0, 1)
    check_count("n", np.asarray(7.0), 8)


@pytest.mark.parametrize("value", [None, "0.5", [0.5], (0.5,)])
def test_what_is_no_number_is_named(value):
    for check in (check_between, check_count):
        with pytest.raises(TypeError, match=re.escape(f"p is {value!r}: a number is needed")):
            check("p", value, 0, 1)


def test_counts():
    check_count("n", 0)
    check_count("n", np.int64(3), 1, 3)
    for value in (2.0, 2.5, math.inf, math.nan):
        with pytest.raises(TypeError, match=f"n is {value}: an integer is needed"):
            check_count("n", value, 1)
    with pytest.raises(ValueError, match=re.escape("n is 0: it must lie in [1, inf)")):
        check_count("n", 0, 1)
    with pytest.raises(ValueError, match=re.escape("n is 4: it must lie in [1, 3]")):
        check_count("n", 4, 1, 3)


def test_a_power_that_overflows_is_infinite():
    assert power(2.0, 10) == 1024
    assert power(10.0, 308) == 1e308
    assert power(10.0, 309) == power(1e200, 2) == power(0.5, -2000) == math.inf
    with np.errstate(over="ignore"):
        assert power(np.asarray([2.0, 1e200]), 2).tolist() == [4.0, math.inf]
    assert power(torch.tensor([2.0, 1e30]), 2).tolist() == [4.0, math.inf]


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.int32, np.bool_])
def test_numbers_of_numpy_become_pythons(kind):
    one, zero = as_numbers(kind(1), np.zeros((), dtype=kind))
    assert type(one) is type(zero) is type(kind(1).item())
    assert (one, zero) == (1, 0)


@pytest.mark.parametrize(
    "value", [0.5, 3, True, None, np.ones(1), torch.ones(()), jnp.ones(()), "a"], ids=str
)
def test_what_is_no_number_of_numpy_stays(value):
    (found,) = as_numbers(value)
    assert found is value


@pytest.mark.parametrize(
    ("shape", "other"), [((3,), (1,)), ((4, 1), (1, 4)), ((6,), (2, 3)), ((), (1,))]
)
def test_shapes_of_one_size_are_not_equal(shape, other):
    with pytest.raises(ValueError, match=r"x has shape .* but y has shape .*: they must be equal"):
        check_same_shape("x", np.ones(shape), "y", np.ones(other))


@pytest.mark.parametrize(("x", "y", "named"), [([1.0], np.ones(1), "x"), (np.ones(1), [1.0], "y")])
def test_what_has_no_shape_is_named(x, y, named):
    with pytest.raises(TypeError, match=rf"^{named} is list: an array is needed"):
        check_same_shape("x", x, "y", y)


@pytest.mark.parametrize(
    ("shape", "other"), [((3,), (2, 3)), ((2, 1), (2, 3)), ((), (3,)), ((), ())]
)
def test_shapes_that_broadcast(shape, other):
    check_broadcasts("r", np.ones(shape), "x", np.ones(other))


@pytest.mark.parametrize(
    ("shape", "other"), [((2, 3), (3,)), ((3,), (1,)), ((2,), (2, 3)), ((1, 1), (1,))]
)
def test_shapes_that_do_not_broadcast(shape, other):
    with pytest.raises(ValueError, match=r"r has shape .* it must broadcast to the shape .* of x"):
        check_broadcasts("r", np.ones(shape), "x", np.ones(other))


@pytest.mark.parametrize("convert", [np.asarray, torch.as_tensor])
@pytest.mark.parametrize("x", [np.arange(3), np.ones(3, bool), np.ones(3, complex)])
def test_only_real_floating_arrays(x, convert):
    x = convert(x)
    with pytest.raises(TypeError, match=f"x has dtype {x.dtype}: a real floating-point array"):
        check_float("x", x)
    with pytest.raises(TypeError, match=r"x is list: an array is needed"):
        check_float("x", [1.0])


def test_generators_that_do_not_fit():
    with pytest.raises(TypeError, match=r"generator is int: pass numpy\.random.default_rng"):
        uniform(np.zeros(2), generator=0)
    with pytest.raises(TypeError, match=r"torch.Generator but the array is not a torch tensor"):
        normal(np.zeros(2), generator=torch.Generator())


@pytest.mark.parametrize("convert", [np.asarray, torch.as_tensor])
@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int32", "int64"])
def test_ids_are_numbers_of_entries(convert, dtype):
    ids = convert(np.asarray([[0, 2], [1, 2]], dtype=dtype))
    check_ids("ids", ids, 3)
    check_ids("ids", ids, 300)  # beyond 8 bits
    check_ids("ids", ids[:0], 0)
    check_ids("ids", ids[0, 1], 3)
    for wrong in (ids, ids[0, 1]):
        with pytest.raises(ValueError, match=r"^ids holds 2: of 2 entries, ids lie in \[0, 1\]$"):
            check_ids("ids", wrong, 2)
    if "u" not in dtype:
        with pytest.raises(ValueError, match=r"holds -2: of 3 entries"):
            check_ids("ids", -ids, 3)


def test_ids_that_a_compiler_traces_are_not_looked_at():
    ids = torch.tensor([0, 7])

    def function(x):
        check_ids("ids", x, 3)
        return x + 1

    torch.compiler.reset()
    compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
    assert compiled(ids).tolist() == torch.vmap(function)(ids).tolist() == [1, 8]
    assert jax.jit(function)(jnp.asarray([0, 7])).tolist() == [1, 8]
    assert function(ids.to("meta")).device.type == "meta"
    assert function(array_api_strict.asarray([0, 7]))[1] == 8
    with torch._subclasses.FakeTensorMode() as mode:
        assert function(mode.from_tensor(ids)).shape == (2,)
    with pytest.raises(ValueError, match="ids holds 7"):
        function(ids)
