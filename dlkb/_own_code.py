"""A function of which the compiler keeps kernels apart from those of its like."""

from collections.abc import Callable
from types import FunctionType
from typing import Any


def with_own_code(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a copy with a code object of its own.

    Of one code object `torch.compile` keeps eight kernels (`torch._dynamo.config.recompile_limit`);
    what comes after runs uncompiled. So what is compiled for many dtypes, numbers of axes or
    options has a copy for each. What is no function of Python is returned as it is.
    """
    if not isinstance(function, FunctionType):
        return function
    copy = FunctionType(
        function.__code__.replace(),
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    return copy
