"""The few things that formulas need and the Python array API standard lacks.

A formula asks `namespace()` for the array library of its arguments and writes the equation
with it. Random draws take an explicit generator. The `check_*` functions raise errors that
name the argument, what it was, and what would be accepted.
"""

import math
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import array_api_compat

Array = Any
"""An array of any library that follows the array API standard: NumPy, PyTorch, JAX, …"""

Generator = Any
"""`numpy.random.Generator`, or `torch.Generator` where the array is a torch tensor."""


def _is_torch(x: Array) -> bool:
    # Neither an import of torch nor a look into `sys.modules`: under `torch.compile` the latter
    # becomes a guard on all modules, and fails while one is imported.
    return hasattr(type(x), "__torch_function__")


def namespace(*arrays: Array) -> ModuleType:
    """Return the array-API namespace that all `arrays` share.

    Tensors are recognised before the compatibility layer is asked, because its cached
    look-up makes `torch.compile` warn.

    Args:
        *arrays: One array or more, all of one library. Python scalars and `None` are ignored.

    Returns:
        The module whose functions work on these arrays.

    Raises:
        TypeError: If no argument is an array, or two libraries are mixed.

    Example:
        >>> import numpy as np
        >>> namespace(np.ones(2)).__name__
        'array_api_compat.numpy'
    """
    # One plain loop: `torch.compile` traces comprehensions and generators call by call.
    tensors = others = False
    for x in arrays:
        if hasattr(type(x), "__torch_function__"):  # as `_is_torch`, without a call to trace
            tensors = True
        # type, not isinstance: NumPy's float64 scalars, to which 0-d results decay, are floats too.
        elif x is not None and type(x) not in (bool, int, float, complex):
            others = True
    if others:
        return array_api_compat.array_namespace(*arrays)
    if not tensors:
        raise TypeError("no array given: pass at least one NumPy, torch, JAX or array-API array")
    from array_api_compat import torch as torch_namespace

    return torch_namespace


def device(x: Array) -> Any:
    """Return the device of an array, for what a formula makes beside it.

    Args:
        x: An array of any shape.

    Returns:
        Its device; None, which stands for the default, while `jax.jit` traces the formula.

    Example:
        >>> import numpy as np
        >>> device(np.ones(2))
        'cpu'
    """
    return getattr(x, "device", None)


def _draw(like: Array, generator: Generator, method: str) -> Array:
    check_float("like", like)
    xp = namespace(like)
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(generator, torch.Generator):
        if not _is_torch(like):
            raise TypeError("generator is a torch.Generator but the array is not a torch tensor")
        draw = {"random": torch.rand, "standard_normal": torch.randn}[method]
        return draw(like.shape, generator=generator, dtype=like.dtype, device=device(like))
    if not hasattr(generator, method):
        raise TypeError(
            f"generator is {type(generator).__name__}: pass numpy.random.default_rng(seed), "
            "or a torch.Generator together with torch tensors"
        )
    values = getattr(generator, method)(tuple(like.shape))
    drawn = xp.asarray(values, dtype=like.dtype, device=device(like))
    if method == "random":  # drawn in float64: what is closest to 1 would round up to it
        drawn = xp.clip(drawn, max=1 - float(xp.finfo(like.dtype).eps) / 2)
    return drawn


def uniform(like: Array, *, generator: Generator) -> Array:
    """Draw from U[0, 1) with the shape, dtype and device of `like`.

    A `numpy.random.Generator` serves every library and gives the same draws in each;
    a `torch.Generator` draws on the tensor's own device.

    Args:
        like: A floating-point array of any shape.
        generator: The source of randomness; it advances.

    Returns:
        An array like `like`.

    Raises:
        TypeError: If `like` is not floating-point, or `generator` does not fit it.

    Example:
        >>> import numpy as np
        >>> uniform(np.zeros(3), generator=np.random.default_rng(0)).round(3)
        array([0.637, 0.27 , 0.041])
    """
    return _draw(like, generator, "random")


def normal(like: Array, *, generator: Generator) -> Array:
    """Draw from N(0, 1) with the shape, dtype and device of `like`.

    Args:
        like: A floating-point array of any shape.
        generator: The source of randomness, as in `uniform`.

    Returns:
        An array like `like`.

    Raises:
        TypeError: If `like` is not floating-point, or `generator` does not fit it.

    Example:
        >>> import numpy as np
        >>> normal(np.zeros(3), generator=np.random.default_rng(0)).round(3)
        array([ 0.126, -0.132,  0.64 ])
    """
    return _draw(like, generator, "standard_normal")


def bernoulli(like: Array, *, p: float, generator: Generator) -> Array:
    """Draw True with probability `p` in the shape and on the device of `like`.

    Args:
        like: A floating-point array of any shape.
        p: The probability of True, in [0, 1].
        generator: The source of randomness, as in `uniform`.

    Returns:
        A boolean array. The draw is made in float32 at least: bfloat16 has 8 bits of
        significand and would bias `p`.

    Raises:
        TypeError: If `like` is not floating-point, or `generator` does not fit it.
        ValueError: If `p` is outside [0, 1].

    Example:
        >>> import numpy as np
        >>> bernoulli(np.zeros(4), p=0.5, generator=np.random.default_rng(0))
        array([False,  True,  True,  True])
    """
    check_between("p", p, 0, 1)
    check_float("like", like)
    return uniform(widen(like), generator=generator) < p


def wide_dtype(x: Array) -> Any:
    """Return the dtype that `widen` gives an array, without looking at its values.

    Args:
        x: A real array of any shape.

    Returns:
        The dtype of `x`, or float32 in its library if that is half precision or no float.

    Example:
        >>> import numpy as np
        >>> np.dtype(wide_dtype(np.ones(2, dtype=np.float16)))
        dtype('float32')
    """
    xp = namespace(x)
    is_wide = _is_real_floating(x) and xp.finfo(x.dtype).bits >= 32
    return x.dtype if is_wide else xp.float32


def widen(x: Array) -> Array:
    """Return the array in float32 if it is in half precision, or no float; else as it is.

    Sums overflow float16, whose largest number is 65504, and bfloat16 keeps two or three digits.

    Args:
        x: A real array of any shape.

    Returns:
        An array in float32 or float64; integers beyond 2²⁴ are rounded.

    Example:
        >>> import numpy as np
        >>> widen(np.ones(2, dtype=np.float16)).dtype, widen(np.ones(2)).dtype
        (dtype('float32'), dtype('float64'))
    """
    return namespace(x).astype(x, wide_dtype(x), copy=False)


def as_numbers(*values: Any) -> tuple[Any, ...]:
    """Return NumPy's scalars and 0-d arrays as Python numbers, anything else as it is.

    For hyperparameters: NumPy multiplies a float32 array by `np.float64(0.9)` in float64, by 0.9
    in float32. Without this, a state would be twice as wide after the first step.

    Args:
        *values: Hyperparameters: numbers, arrays of any library, None.

    Returns:
        As many values.

    Example:
        >>> import numpy as np
        >>> as_numbers(np.float64(0.5), 0.5, np.ones(1))
        (0.5, 0.5, array([1.]))
    """
    # NumPy's types alone have this attribute, also where the compiler looks on.
    numpys = [hasattr(type(x), "__array_interface__") and x.ndim == 0 for x in values]
    return tuple(x.item() if n else x for x, n in zip(values, numpys, strict=True))


def power(base: Any, exponent: Any) -> Any:
    r"""Return a power, ∞ where it overflows: Python's numbers raise there, arrays do not.

    $$b^e$$

    Args:
        base: b ≥ 0, a number or an array.
        exponent: e, a number or an array.

    Returns:
        A number or an array.

    Example:
        >>> power(2.0, 3), power(2.0, 5000)
        (8.0, inf)
    """
    try:
        return base**exponent
    except OverflowError:
        return math.inf


def norm(x: Array, *, ord: float = 2.0, axis: int | None = None, keepdims: bool = False) -> Array:
    r"""Return the length of vectors, also where the squares of their entries overflow.

    $$\lVert\mathbf{x}\rVert_p = s\,\Bigl(\sum_i \lvert x_i/s\rvert^p\Bigr)^{1/p}, \qquad
      s = \max_i\lvert x_i\rvert$$

    Args:
        x: A floating-point array.
        ord: p > 0, or `math.inf` for the largest modulus.
        axis: The axis of the entries; None takes all entries for one vector.
        keepdims: Whether the axis stays, with length 1.

    Returns:
        The lengths; ∞ where an entry is infinite, NaN where one is NaN, 0 where there is none.

    Raises:
        TypeError: If `x` is not floating-point.

    Example:
        >>> import numpy as np
        >>> norm(np.asarray([[3e200, 4e200], [0.0, 0.0]]), axis=1)
        array([5.e+200, 0.e+000])
    """
    check_float("x", x)
    xp, wide = namespace(x), widen(x)
    if 0 in x.shape:
        return xp.sum(xp.abs(x), axis=axis, keepdims=keepdims)
    size = xp.max(xp.abs(wide), axis=axis, keepdims=True)
    safe = xp.where((size == 0) | xp.isinf(size), 1.0, size)
    length = safe * xp.linalg.vector_norm(wide / safe, ord=ord, axis=axis, keepdims=True)
    length = xp.astype(length, x.dtype, copy=False)
    if keepdims:
        return length
    return xp.reshape(length, ()) if axis is None else xp.squeeze(length, axis=axis)


def erf(x: Array) -> Array:
    r"""Return the error function, elementwise.

    $$\operatorname{erf}(x) = \frac{2}{\sqrt\pi}\int_0^x e^{-t^2}\,dt$$

    The standard has no erf. Torch and JAX bring their own; elsewhere it is `math.erf`, mapped
    over the entries.

    Args:
        x: A floating-point array of any shape.

    Returns:
        An array like `x`, entries in [−1, 1].

    Raises:
        TypeError: If `x` is not floating-point.

    Example:
        >>> import numpy as np
        >>> erf(np.asarray([0.0, 1.0])).round(3)
        array([0.   , 0.843])
    """
    check_float("x", x)
    xp = namespace(x)
    if _is_torch(x):
        return sys.modules["torch"].erf(x)
    if array_api_compat.is_jax_array(x):
        return sys.modules["jax"].scipy.special.erf(x)
    flat = [math.erf(float(value)) for value in xp.reshape(x, (-1,))]
    return xp.reshape(xp.asarray(flat, dtype=x.dtype, device=device(x)), x.shape)


def stop_gradient(x: Array) -> Array:
    """Return the same values, which automatic differentiation takes for constants.

    For what a result does not depend on: the scale in whose units an intermediate result is
    computed, say. To differentiate that would cost time and add rounding.

    Args:
        x: An array of any shape.

    Returns:
        An array like `x`.

    Example:
        >>> import numpy as np
        >>> stop_gradient(np.ones(2))
        array([1., 1.])
    """
    if _is_torch(x):
        return x.detach()
    if array_api_compat.is_jax_array(x):
        return sys.modules["jax"].lax.stop_gradient(x)
    return x


def check_array(name: str, x: Array) -> None:
    """Raise unless `x` is an array of a library that the formulas run on.

    Raises:
        TypeError: Naming the argument and its type.

    Example:
        >>> check_array("theta", [1.0])
        Traceback (most recent call last):
        TypeError: theta is list: an array is needed (NumPy, torch, JAX, array API)
    """
    if not (_is_torch(x) or array_api_compat.is_array_api_obj(x)):
        raise TypeError(
            f"{name} is {type(x).__name__}: an array is needed (NumPy, torch, JAX, array API)"
        )


def _is_real_floating(x: Array) -> bool:
    # Of what torch.compile traces of a formula, `isdtype` was a ninth: its own kinds, one by one.
    if _is_torch(x):
        return bool(x.dtype.is_floating_point)
    return bool(namespace(x).isdtype(x.dtype, "real floating"))


def check_float(name: str, x: Array) -> None:
    """Raise unless `x` is a real floating-point array.

    Raises:
        TypeError: Naming the argument, its dtype and the remedy.

    Example:
        >>> import numpy as np
        >>> check_float("theta", np.arange(3))
        Traceback (most recent call last):
        TypeError: theta has dtype int64: a real floating-point array is needed, cast it first
    """
    check_array(name, x)
    if not _is_real_floating(x):
        raise TypeError(
            f"{name} has dtype {x.dtype}: a real floating-point array is needed, cast it first"
        )


def check_same_shape(name: str, x: Array, other_name: str, other: Array) -> None:
    """Raise unless two arrays have one shape.

    Raises:
        TypeError: Naming what is no array.
        ValueError: Naming both arguments and both shapes.

    Example:
        >>> import numpy as np
        >>> check_same_shape("grad", np.ones(3), "theta", np.ones(2))
        Traceback (most recent call last):
        ValueError: grad has shape (3,) but theta has shape (2,): they must be equal
    """
    for label, array in ((name, x), (other_name, other)):
        if not hasattr(array, "shape"):
            check_array(label, array)
    if tuple(x.shape) != tuple(other.shape):
        raise ValueError(
            f"{name} has shape {tuple(x.shape)} but {other_name} has shape "
            f"{tuple(other.shape)}: they must be equal"
        )


def broadcast_shape(one: Sequence[int], other: Sequence[int]) -> tuple[int, ...] | None:
    """Return the shape to which arrays of two shapes broadcast, None if they do not.

    Example:
        >>> broadcast_shape((2, 1), (3,)), broadcast_shape((2,), (3,))
        ((2, 3), None)
    """
    axes = max(len(one), len(other))
    first, second = ((1,) * (axes - len(shape)) + tuple(shape) for shape in (one, other))
    pairs = list(zip(first, second, strict=True))
    if not all(n == m or 1 in (n, m) for n, m in pairs):
        return None
    return tuple(m if n == 1 else n for n, m in pairs)


def check_broadcasts(name: str, x: Array, other_name: str, other: Array) -> None:
    """Raise unless one array can be repeated to the shape of another, which stays as it is.

    Raises:
        ValueError: Naming both arguments and both shapes.

    Example:
        >>> import numpy as np
        >>> check_broadcasts("r", np.ones((2, 3)), "x", np.ones(3))
        Traceback (most recent call last):
        ValueError: r has shape (2, 3): it must broadcast to the shape (3,) of x
    """
    if broadcast_shape(x.shape, other.shape) != tuple(other.shape):
        raise ValueError(
            f"{name} has shape {tuple(x.shape)}: it must broadcast to the shape "
            f"{tuple(other.shape)} of {other_name}"
        )


def check_between(name: str, value: Any, low: float, high: float, *, closed: str = "both") -> None:
    """Raise unless a scalar lies between two bounds.

    Args:
        name: The argument's name, for the message.
        value: A Python number; NaN never passes. A 0-d array is not looked at, since that
            would force a device to synchronise and a compiler to break its graph.
        low: Lower bound.
        high: Upper bound.
        closed: Which bounds belong to the interval: "both", "left", "right" or "neither".

    Raises:
        TypeError: Naming the argument, if it is no number: None, text, or a sequence.
        ValueError: Naming the argument, its value and the interval.

    Example:
        >>> check_between("p", 1.5, 0, 1)
        Traceback (most recent call last):
        ValueError: p is 1.5: it must lie in [0, 1]
    """
    if not isinstance(value, (int, float)):
        if value is None or isinstance(value, (str, list, tuple)):
            raise TypeError(f"{name} is {value!r}: a number is needed")
        return
    above = low <= value if closed in ("both", "left") else low < value
    below = value <= high if closed in ("both", "right") else value < high
    if not (above and below):
        left = "[" if closed in ("both", "left") else "("
        right = "]" if closed in ("both", "right") else ")"
        raise ValueError(f"{name} is {value}: it must lie in {left}{low}, {high}{right}")


def check_count(name: str, value: Any, low: int = 0, high: float = math.inf) -> None:
    """Raise unless a scalar is an integer between two bounds.

    Args:
        name: The argument's name, for the message.
        value: An integer; what is no Python number is left alone, as by `check_between`.
        low: The least that is accepted.
        high: The most that is accepted.

    Raises:
        TypeError: Naming the argument, if it is no integer.
        ValueError: Naming the argument, its value and the interval.

    Example:
        >>> check_count("batch", 2.5, 1)
        Traceback (most recent call last):
        TypeError: batch is 2.5: an integer is needed
    """
    if isinstance(value, float):
        raise TypeError(f"{name} is {value}: an integer is needed")
    check_between(name, value, low, high, closed="left" if high == math.inf else "both")


def check_ids(name: str, ids: Array, size: int) -> None:
    """Raise unless integers are numbers of entries, counted from 0, where a look costs nothing.

    Looked at are NumPy's arrays and torch's on the CPU. On an accelerator a look would wait for
    the device, and within `torch.compile`, `torch.vmap` and `jax.jit` there are no values. There,
    and for JAX's arrays, an id is what the library makes of it: negative ones may count from the
    end; those beyond give NaN in JAX, in torch an error or, on an accelerator, a failed device.

    Args:
        name: The argument's name, for the message.
        ids: Integers of any shape.
        size: How many entries there are.

    Raises:
        ValueError: Naming the argument, the first id that is wrong, and the range.

    Example:
        >>> import numpy as np
        >>> check_ids("tokens", np.asarray([2, -1, 3]), 3)
        Traceback (most recent call last):
        ValueError: tokens holds -1: of 3 entries, ids lie in [0, 2]
    """
    if not _at_hand(ids):
        return
    xp = namespace(ids)
    wide = xp.astype(ids, xp.int64)  # torch cannot compare 8 bits with 300
    wrong = (wide < 0) | (wide >= size)
    if xp.any(wrong):
        raise ValueError(
            f"{name} holds {ids[wrong][0].item()}: of {size} entries, ids lie in [0, {size - 1}]"
        )


def _at_hand(x: Array) -> bool:
    """Whether the values of an array lie in memory, and nothing traces what is done with them."""
    if not _is_torch(x):
        return array_api_compat.is_numpy_array(x)
    torch = sys.modules["torch"]
    if torch.compiler.is_compiling() or type(x) is not torch.Tensor or x.device.type != "cpu":
        return False
    return not torch._C._functorch.is_functorch_wrapped_tensor(x)
