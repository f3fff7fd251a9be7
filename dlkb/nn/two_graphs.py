"""A formula and its gradient by hand behind one function: as two graphs, or uncompiled."""

import functools
import inspect
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.forward_ad import unpack_dual

from dlkb._own_code import with_own_code

Graph = Callable[..., Any]
HALF = (torch.float16, torch.bfloat16)


def compiled(
    formula: Graph, vjp: Graph, options: Mapping[str, Any] | None = None
) -> Callable[..., Tensor]:
    """Compile a formula and its gradient apart, so that only the inputs are kept for backward.

    `torch.compile(formula)` lets the compiler choose what to keep. On the CPU it keeps booleans
    where it can, which it writes and reads one at a time, and intermediate results. Here the
    backward pass computes from the inputs again, which costs arithmetic and saves memory.

    Args:
        formula: A formula of this package that returns one array.
        vjp: Its gradient: the same arguments, and `cotangent`.
        options: Keyword arguments of both.

    Returns:
        A function of the formula's arrays, by position; `None` stands for one left out. It
        compiles when it is called first. Gradients are those of `vjp`. The plain formula is
        called, and derived automatically, inside another `torch.compile`, under `torch.func`
        transforms and forward-mode differentiation; the plain `vjp` where the gradient shall
        be differentiated again. Except in the plain formula, autocast is off inside: inputs
        keep their dtype.

    Raises:
        ValueError: If `vjp` lacks an argument of the formula, or either lacks an option.
        TypeError: When called, if there are too few arguments or too many, or if one is no
            tensor: it belongs into `options`.
        NotImplementedError: In the backward pass, if an argument requires a gradient that `vjp`
            does not return.

    Example:
        >>> from dlkb.activations.gelu import gelu, gelu_vjp
        >>> fast = compiled(gelu, gelu_vjp, {"approximate": "tanh"})
        >>> x = torch.tensor([-1.0, 2.0], requires_grad=True)
        >>> fast(x).sum().backward()
        >>> x.grad
        tensor([-0.0830,  1.0861])
    """
    chosen = dict(options or {})
    names = _arrays(formula, chosen)
    _check_arguments(formula, chosen)
    _check_arguments(vjp, [*names, "cotangent", *chosen])

    @functools.cache
    def graphs(*_kinds: tuple[torch.dtype, int] | None) -> tuple[Graph, Graph]:
        return torch.compile(with_own_code(formula)), torch.compile(with_own_code(vjp))

    def call(*inputs: Tensor | None) -> Tensor:
        _check_inputs(names, inputs)
        given = dict(zip(names, inputs, strict=False))
        plain = formula, vjp
        kinds = (None if x is None else (x.dtype, x.ndim) for x in inputs)
        run = plain if _is_transformed() else graphs(*kinds)
        return _call(plain, run, given, chosen)

    return call


def by_hand(
    formula: Graph,
    vjp: Graph,
    arrays: Mapping[str, Tensor | None],
    options: Mapping[str, Any] | None = None,
    *,
    fixed: Mapping[str, Tensor | None] | None = None,
) -> Tensor:
    """Compute a formula whose backward pass is its gradient by hand: only the arrays are kept.

    Derived automatically, a formula keeps the results on the way as well. This is how the modules
    of `dlkb.nn` compute in eager mode; where `compiled` calls the plain formula, so does this.

    Args:
        formula: A formula of this package that returns one array.
        vjp: Its gradient: the same arguments, and `cotangent`.
        arrays: The arguments to derive by, by name, in the order of the gradients.
        options: Keyword arguments of both.
        fixed: Further arrays of both, as labels and masks, which `vjp` does not derive by. Where
            one requires a gradient, all are derived automatically.

    Returns:
        What the formula returns.

    Example:
        >>> from dlkb.activations.gelu import gelu, gelu_vjp
        >>> x = torch.tensor([-1.0, 2.0], requires_grad=True)
        >>> by_hand(gelu, gelu_vjp, {"x": x}, {"approximate": "tanh"}).sum().backward()
        >>> x.grad
        tensor([-0.0830,  1.0861])
    """
    others, chosen = fixed or {}, options or {}
    if any(x is not None and x.requires_grad for x in others.values()):
        return cast(Tensor, formula(**arrays, **others, **chosen))
    return _call((formula, vjp), (formula, vjp), {**arrays, **others}, chosen)


def by_hand_in_float32(
    formula: Graph,
    vjp: Graph,
    arrays: Mapping[str, Tensor],
    options: Mapping[str, Any] | None = None,
) -> Tensor:
    """Compute as `by_hand`, half precision in float32; what is kept is not widened."""
    if not any(x.dtype in HALF for x in arrays.values()):
        return by_hand(formula, vjp, arrays, options)
    return by_hand(_widened(formula), _widened(vjp), arrays, options)


def _widened(function: Graph) -> Graph:
    # As torch's kernels do: in bfloat16 1 + erf keeps two digits, and a tail of none.
    def wide(**arguments: Any) -> Any:
        dtype = next(x.dtype for x in arguments.values() if isinstance(x, Tensor))
        found = function(
            **{name: x.float() if isinstance(x, Tensor) else x for name, x in arguments.items()}
        )
        if isinstance(found, tuple):
            return tuple(x.to(dtype) for x in found)
        return found.to(dtype)

    return wide


def _call(
    plain: tuple[Graph, Graph],
    run: tuple[Graph, Graph],
    arrays: Mapping[str, Tensor | None],
    options: Mapping[str, Any],
) -> Tensor:
    """Call the formula as it is to be run, or plainly where that is transformed in turn."""
    given = [x for x in arrays.values() if x is not None]
    if _is_transformed() or any(unpack_dual(x).tangent is not None for x in given):
        return cast(Tensor, plain[0](**arrays, **options))
    with _no_autocast(given[0]):
        if not (torch.is_grad_enabled() and any(x.requires_grad for x in given)):
            return cast(Tensor, run[0](**arrays, **options))

        def named(inputs: tuple[Tensor | None, ...]) -> dict[str, Any]:
            return {**dict(zip(arrays, inputs, strict=True)), **options}

        return cast(Tensor, TwoGraphs.apply(*run, plain[1], named, *arrays.values()))


class TwoGraphs(torch.autograd.Function):
    """The function whose forward pass is one graph and whose backward pass is another."""

    @staticmethod
    def forward(
        ctx: Any,
        forward: Graph,
        backward: Graph,
        vjp: Graph,
        named: Callable[[tuple[Tensor | None, ...]], dict[str, Any]],
        *inputs: Tensor | None,
    ) -> Tensor:
        """Compute the formula; keep the inputs."""
        ctx.graphs = backward, vjp, named
        ctx.save_for_backward(*inputs)
        return forward(**named(inputs))

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, ...]:
        """Compute the gradients from the inputs; as a formula if they are derived in turn."""
        backward, vjp, named = ctx.graphs
        run = vjp if torch.is_grad_enabled() or _is_transformed() else backward
        with _no_autocast(cotangent):
            found = run(cotangent=cotangent, **named(ctx.saved_tensors))
        gradients = found if isinstance(found, tuple) else (found,)
        wanted = ctx.needs_input_grad[4:]
        for index in range(len(gradients), len(wanted)):
            if wanted[index]:
                raise NotImplementedError(
                    f"{vjp.__name__} returns {len(gradients)} gradients, and argument {index} "
                    "requires one: detach() it"
                )
        padded = (*gradients, *[None] * len(wanted))  # labels, and what was left out
        chosen = (g if want else None for want, g in zip(wanted, padded, strict=False))
        return None, None, None, None, *chosen


def _no_autocast(x: Tensor) -> AbstractContextManager[Any]:
    kind = x.device.type
    available = torch.amp.is_autocast_available(kind)  # not on the meta device
    return torch.autocast(kind, enabled=False) if available else nullcontext()


def _is_transformed() -> bool:
    # What torch.autograd.Function.apply itself asks; compiled code cannot run there. A trace of
    # torch.jit could not be saved with a function in it.
    return (
        torch.compiler.is_compiling()
        or torch._C._are_functorch_transforms_active()
        or torch.jit.is_tracing()
    )


def _arrays(formula: Graph, options: Mapping[str, Any]) -> list[str]:
    parameters = inspect.signature(formula).parameters.values()
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [p.name for p in parameters if p.kind in kinds and p.name not in options]


def _check_arguments(function: Graph, names: Any) -> None:
    unknown = [name for name in names if name not in inspect.signature(function).parameters]
    if unknown:
        raise ValueError(f"{function.__name__} has no argument {', '.join(unknown)}")


def _check_inputs(names: list[str], inputs: tuple[Any, ...]) -> None:
    if not 1 <= len(inputs) <= len(names):
        raise TypeError(f"{len(inputs)} arguments are given: it takes {', '.join(names)}")
    for name, x in zip(names, inputs, strict=False):
        if not isinstance(x, Tensor) and (x is not None or name == names[0]):
            raise TypeError(
                f"{name} is {type(x).__name__}: arguments are tensors, give others in options"
            )
