"""A formula and its gradient by hand, compiled as two graphs behind one function."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.autograd.forward_ad import unpack_dual

Graph = Callable[..., Any]


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
        be differentiated again. Autocast is off inside: inputs keep their dtype.

    Raises:
        ValueError: If `vjp` lacks an argument of the formula, or either lacks an option.
        TypeError: When called, if an argument is no tensor: it belongs into `options`.

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
    forward, backward = torch.compile(formula), torch.compile(vjp)

    def named(inputs: tuple[Tensor | None, ...]) -> dict[str, Any]:
        return dict(zip(names, inputs, strict=False)) | chosen

    def call(*inputs: Tensor | None) -> Tensor:
        _check_inputs(names, inputs)
        arguments = named(inputs)
        given = [x for x in inputs if x is not None]
        if _is_transformed() or any(unpack_dual(x).tangent is not None for x in given):
            return formula(**arguments)
        with torch.autocast(given[0].device.type, enabled=False):
            if torch.is_grad_enabled() and any(x.requires_grad for x in given):
                return TwoGraphs.apply(forward, backward, vjp, named, *inputs)
            return forward(**arguments)

    return call


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
        with torch.autocast(cotangent.device.type, enabled=False):
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


def _is_transformed() -> bool:
    # What torch.autograd.Function.apply itself asks; compiled code cannot run there.
    return torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active()


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
