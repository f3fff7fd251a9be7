"""Every formula, on every array library, in every dtype, eager and compiled: one value."""

import importlib
from pathlib import Path

import array_api_strict
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from tests.cases import Case, formula_name, leaves, map_arrays
from tests.close import assert_close, dtype_name
from tests.conditions import (
    FACTORS,
    batched,
    excused,
    keeps_batches_apart,
    meets_extreme,
    one_entry,
    option_problems,
    refuses_one_entry,
    scalings,
    undecided,
)

# The newest standard that the formulas keep to; the newest that array-api-strict knows is later.
array_api_strict.set_array_api_strict_flags(api_version="2024.12")

HERE = Path(__file__).parent


def all_cases() -> list[Case]:
    found = []
    for path in sorted(HERE.rglob("test_*.py")):
        if path != Path(__file__) and "from tests.cases import" in path.read_text():
            name = ".".join(("tests", *path.relative_to(HERE).with_suffix("").parts))
            found += importlib.import_module(name).CASES
    return found


CASES = all_cases()
DRAWS = [c for c in CASES if "generator" in c.make(np.random.default_rng(0))[1]]
PURE = [c for c in CASES if c not in DRAWS]


def on_torch(dtype: torch.dtype, device: str = "cpu"):
    def convert(x):
        x = torch.as_tensor(np.asarray(x), device=device)
        return x.to(dtype) if x.is_floating_point() else x

    return convert


def strided(x):
    """Return the same values in memory that is not contiguous."""
    x = torch.as_tensor(np.asarray(x))
    return torch.repeat_interleave(x, 2, dim=-1)[..., ::2] if x.ndim else x


LIBRARIES = {
    "numpy-float32": lambda x: x.astype(np.float32) if x.dtype.kind == "f" else x,
    "numpy-float16": lambda x: x.astype(np.float16) if x.dtype.kind == "f" else x,
    "strict-float64": array_api_strict.asarray,
    "jax-float64": jnp.asarray,
    "torch-float64": torch.as_tensor,
    "torch-float32": on_torch(torch.float32),
    "torch-float16": on_torch(torch.float16),
    "torch-bfloat16": on_torch(torch.bfloat16),
    "torch-strided": strided,
}


def call(case: Case, convert=lambda x: x, wrap=lambda f: f):
    args, keywords = map_arrays(convert, case.make(np.random.default_rng(0)))
    return wrap(case.function)(*args, **keywords)


# One call does not pay for fast code: XLA compiles in a third of the time without it.
QUICK = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
    "xla_cpu_use_fusion_emitters": False,
}


def jitted(function):
    """Compile a call with `jax.jit`: arrays are traced, whatever else is given is constant."""

    def run(*args, **keywords):
        arrays = []
        map_arrays(arrays.append, (args, keywords))

        def pure(traced):
            left = iter(traced)
            args_, keywords_ = map_arrays(lambda _: next(left), (args, keywords))
            return function(*args_, **keywords_)

        return jax.jit(pure, compiler_options=QUICK)(arrays)

    return run


def assert_same(case: Case, actual, expected, dtype: str) -> None:
    actual, expected = leaves(actual), leaves(expected)
    assert len(actual) == len(expected)
    for a, e in zip(actual, expected, strict=True):
        if hasattr(e, "dtype") and e.dtype.kind == "f" and hasattr(a, "dtype"):
            assert dtype_name(a) == dtype, f"result is {dtype_name(a)}, arguments are {dtype}"
        assert_close(a, e, dtype=dtype, scale=case.scale)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_one_value_on_every_library(case):
    expected = call(case)
    for library, convert in LIBRARIES.items():
        dtype = {"torch-strided": "float64"}.get(library, library.rsplit("-", 1)[-1])
        if dtype in ("float16", "bfloat16") and not case.half:
            continue
        # JAX compiles each operation by itself otherwise, which takes five times as long.
        wrap = jitted if library.startswith("jax") else lambda f: f
        try:
            assert_same(case, call(case, convert, wrap), expected, dtype)
        except Exception as error:
            error.add_note(f"on {library}")
            raise


@pytest.mark.parametrize("case", CASES, ids=str)
def test_defaults_do_not_matter(case):
    """Whatever a formula makes has the dtype and device of its arguments, not the defaults."""
    expected, usual = call(case), torch.get_default_dtype()
    for dtype, default in (("float32", torch.float64), ("float64", torch.float16)):
        convert = on_torch(getattr(torch, dtype), "cpu")
        torch.set_default_dtype(default)
        torch.set_default_device("meta")  # holds no values: whatever is made there fails
        try:
            result = call(case, convert)
        finally:
            torch.set_default_device(None)
            torch.set_default_dtype(usual)
        assert_same(case, result, expected, dtype)


STEPS = [
    case
    for case in CASES
    if case.function.__module__.startswith("dlkb.optimizers.")
    and {"theta", "x"} & case.arguments().keys()
]


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.asarray])
@pytest.mark.parametrize("case", STEPS, ids=str)
def test_numbers_of_numpy_widen_no_state(case, kind):
    def take(number):
        def given(value):
            if isinstance(value, tuple) and not hasattr(value, "_fields"):
                return tuple(map(given, value))
            return number(value) if type(value) is float else value

        arguments = map_arrays(LIBRARIES["numpy-float32"], case.arguments())
        return leaves(case.call({name: given(value) for name, value in arguments.items()}))

    for found, expected in zip(take(kind), take(lambda x: float(kind(x))), strict=True):
        assert np.asarray(found).dtype == np.asarray(expected).dtype
        np.testing.assert_array_equal(found, expected)


EXTREMES = [
    (case, dtype)
    for case in CASES
    for dtype in FACTORS
    if (case.half or dtype == "float64") and scalings(case, dtype)
]


@pytest.mark.parametrize(("case", "dtype"), EXTREMES, ids=str)
def test_extreme_values(case, dtype):
    """What fits into a format is computed in it, also where squares of its values do not fit."""
    problems, compared = [], 0
    for name, factors in scalings(case, dtype).items():
        if undecided(case, name):
            continue
        try:
            compared += meets_extreme(case, factors, dtype)
        except AssertionError as error:
            if not excused(case, name):
                problems.append(f"{name}: {error}")
        else:
            if excused(case, name):
                problems.append(f"{name}: holds, take it out of unless=")
    assert not problems, "\n".join(problems)
    assert compared or dtype in case.unless, f"nothing fits: fixed=, or unless={{{dtype!r}: why}}"


@pytest.mark.parametrize("case", [c for c in PURE if batched(c)], ids=str)
def test_batches(case):
    keeps_batches_apart(case)


@pytest.mark.parametrize("case", [c for c in CASES if any(one_entry(c))], ids=str)
def test_shapes_that_should_be_equal(case):
    refuses_one_entry(case)


@pytest.mark.parametrize("function", dict.fromkeys(c.function for c in CASES), ids=formula_name)
def test_options(function):
    """Every option is given in some case, every value of a flag or choice, and has an effect."""
    assert not option_problems(function, [c for c in CASES if c.function is function])


@pytest.mark.parametrize("case", CASES, ids=str)
def test_arguments_are_not_mutated(case):
    args = case.make(np.random.default_rng(0))
    frozen = map_arrays(lambda x: (x.setflags(write=False), x)[1], args)
    case.function(*frozen[0], **frozen[1])


@pytest.fixture
def untimed(monkeypatch):
    """Leave out that the compiler times its guards with cold caches, an eighth of its time."""
    monkeypatch.setattr("torch._dynamo.guards.profile_guard_manager", lambda *_: 0.0)


@pytest.mark.usefixtures("untimed")
@pytest.mark.parametrize("case", PURE, ids=str)
def test_compiles_without_a_graph_break(case, device):
    """Traced in bfloat16 where the case has it: the way there is the longer one."""
    dtype = "bfloat16" if case.half else "float64"
    torch.compiler.reset()
    compiled = call(
        case,
        on_torch(getattr(torch, dtype), device),
        lambda f: torch.compile(f, fullgraph=True, backend="eager"),
    )
    assert_same(case, compiled, call(case), dtype)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_runs_on_the_chosen_device(case, device):
    result = call(case, on_torch(torch.float32, device))
    for leaf in leaves(result):
        assert not isinstance(leaf, torch.Tensor) or leaf.device.type == device
    assert_same(case, result, call(case), "float32")
