"""Measure gradients in any `nn.Module`: by parameter, by layer, and the end-to-end Jacobian.

The model is left as it was: mode, buffers (running statistics included), `.grad` and hooks.
Nothing is detached or cast on the way, so that what is measured is what training would see.
"""

import math
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

from dlkb.arrays import check_between
from dlkb.linear_algebra.singular_values import condition_number


class GradientNorm(NamedTuple):
    """2-norms for one parameter.

    Attributes:
        gradient: Of the gradient; `None` if the loss does not depend on the parameter.
        parameter: Of the parameter itself.
    """

    gradient: float | None
    parameter: float


class SignalNorm(NamedTuple):
    """2-norms for the output of one layer.

    Attributes:
        gradient: Of the loss's gradient with respect to it; `None` if the loss ignores it.
        signal: Of the output itself.
    """

    gradient: float | None
    signal: float


class JacobianSpectrum(NamedTuple):
    """Singular values of a Jacobian.

    Attributes:
        singular_values: Descending, float32 or float64.
        shape: Rows (outputs) and columns (inputs) of the Jacobian.
    """

    singular_values: Tensor
    shape: tuple[int, int]

    @property
    def condition_number(self) -> float:
        """Largest over smallest of the singular values that were computed."""
        return float(condition_number(self.singular_values))


def _norm(x: Tensor) -> float:
    return float(torch.linalg.vector_norm(x.detach(), dtype=torch.float64))


def check_scalar(loss: Tensor) -> None:
    """Raise a ValueError unless the loss is one number that can be differentiated."""
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        what = f"shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
        raise ValueError(f"loss is {what}: a scalar tensor is needed, reduce with .mean()")
    if not loss.requires_grad:
        raise ValueError(
            "loss has no graph: compute it outside torch.no_grad(), from parameters that require "
            "gradients, and before any backward() that frees the graph"
        )


def _gradients(loss: Tensor, at: Iterable[Tensor]) -> list[float | None]:
    found = torch.autograd.grad(loss, list(at), retain_graph=True, allow_unused=True)
    return [None if g is None else _norm(g) for g in found]


def gradient_norms(model: nn.Module, loss: Tensor) -> dict[str, GradientNorm]:
    """Measure the gradient of every parameter that requires one.

    Args:
        model: Any module. A shared parameter is listed once, under its first name.
        loss: A scalar computed by the model. Its graph is kept: `loss.backward()` works after it.

    Returns:
        The norms by parameter name, in the model's order. `.grad` is neither read nor written.

    Raises:
        ValueError: If `loss` is no scalar or has no graph, or no parameter requires a gradient.

    Example:
        >>> model = nn.Linear(2, 1, bias=False)
        >>> _ = nn.init.constant_(model.weight, 0.5)
        >>> norms = gradient_norms(model, model(torch.tensor([3.0, 4.0])).sum())["weight"]
        >>> norms.gradient, round(norms.parameter, 4)
        (5.0, 0.7071)
    """
    check_scalar(loss)
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if not named:
        raise ValueError("model has no parameter that requires a gradient: nothing to measure")
    gradients = _gradients(loss, named.values())
    return {
        name: GradientNorm(g, _norm(p))
        for (name, p), g in zip(named.items(), gradients, strict=True)
    }


def call_on_copies(model: Callable[[Any], Any], x: Any) -> Any:
    """Call a model; what a module does to its buffers happens to copies."""
    if not isinstance(model, nn.Module):
        return model(x)
    return functional_call(model, {name: b.clone() for name, b in model.named_buffers()}, (x,))


@torch.enable_grad()
def signal_norms(
    model: nn.Module, x: Any, loss_fn: Callable[[Any], Tensor]
) -> dict[str, SignalNorm]:
    """Measure signal and gradient at the output of every layer, in the order of the calls.

    Args:
        model: Any module, in the mode in which it is to be measured. Layers are the modules without
            children.
        x: What the model is called with.
        loss_fn: Takes the model's output, returns a scalar.

    Returns:
        The norms by module name; the k-th call of a shared module is "name#k". Outputs that are not
        one floating-point tensor, such as those of an LSTM, are left out.

    Raises:
        ValueError: If the loss is no scalar or has no graph.

    Note:
        Runs one forward pass, which advances the random state where there is dropout. Activations
        with `inplace=True` work: they get a copy.

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 4), nn.Sigmoid(), nn.Linear(4, 1))
        >>> list(signal_norms(model, torch.ones(2, 4), lambda y: y.sum()))
        ['0', '1', '2']
    """
    outputs: dict[str, Tensor] = {}
    sizes: dict[str, float] = {}

    def record(name: str) -> Callable[[nn.Module, Any, Any], Tensor | None]:
        def hook(_: nn.Module, __: Any, output: Any) -> Tensor | None:
            if not (isinstance(output, Tensor) and output.is_floating_point()):
                return None
            if not output.requires_grad:
                return None
            calls = sum(key.split("#")[0] == name for key in outputs)
            key = f"{name}#{calls + 1}" if calls else name
            outputs[key], sizes[key] = output, _norm(output)
            return output.clone()  # what follows may change it in place

        return hook

    with ExitStack() as stack:
        for name, module in model.named_modules():
            if not any(True for _ in module.children()):
                stack.callback(module.register_forward_hook(record(name)).remove)
        loss = loss_fn(call_on_copies(model, x))
    check_scalar(loss)
    gradients = _gradients(loss, outputs.values())
    return {
        key: SignalNorm(g, size) for (key, size), g in zip(sizes.items(), gradients, strict=True)
    }


def _rows(y: Tensor, x: Tensor) -> Tensor:
    rows = []
    for i in range(y.numel()):
        (row,) = torch.autograd.grad(y.reshape(-1)[i], x, retain_graph=True)
        rows.append(row.reshape(-1))
    return torch.stack(rows)


def _largest(y: Tensor, x: Tensor, count: int, steps: int) -> Tensor:
    """Iterate on a subspace with products Jv and Jᵀu, both by backpropagation."""
    u = torch.zeros_like(y, requires_grad=True)
    (back,) = torch.autograd.grad(y, x, u, create_graph=True)  # Jᵀu, linear in u

    def products(of: Tensor, at: Tensor, columns: Tensor) -> Tensor:
        found = [
            torch.autograd.grad(of, at, c.to(of.dtype).reshape(of.shape), retain_graph=True)[0]
            for c in columns.T
        ]
        return torch.stack([f.reshape(-1) for f in found], dim=1).to(columns.dtype)

    wide = torch.float64 if x.dtype == torch.float64 else torch.float32
    generator = torch.Generator().manual_seed(0)
    V = torch.randn(x.numel(), count, generator=generator, dtype=wide).to(x.device)
    for _ in range(steps):
        U = torch.linalg.qr(products(back, u, V)).Q
        V = torch.linalg.qr(products(y, x, U)).Q
    return torch.linalg.svdvals(products(back, u, V))


@torch.enable_grad()
def jacobian_singular_values(
    model: Callable[[Tensor], Tensor], x: Tensor, *, count: int | None = None, steps: int = 30
) -> JacobianSpectrum:
    """Measure the end-to-end Jacobian of a model at an input.

    Outputs and inputs are flattened, batch included: pass one example, as a batch of one, for the
    Jacobian of one example.

    Args:
        model: Any module, in the mode in which it is to be measured, or any function of one tensor,
            such as `lambda e: llm(inputs_embeds=e).logits[:, -1]`.
        x: The input, floating-point.
        count: Compute only the largest so many, by subspace iteration with products: 2 · count ·
            steps backward passes, and no Jacobian in memory. All of them by default, from one
            backward pass for each output.
        steps: Rounds of that iteration.

    Returns:
        The singular values and the shape of the Jacobian.

    Raises:
        TypeError: If `x` is not floating-point or the model does not return one tensor.
        ValueError: If the output does not depend on `x`, the Jacobian has entries that are not
            finite, or `count` is out of range.

    Note:
        `count` differentiates twice; attention kernels that cannot must be switched to the "math"
        backend. Runs one forward pass, which advances the random state where there is dropout.

    Example:
        >>> model = nn.Linear(3, 2, bias=False)
        >>> model.weight.data = torch.tensor([[3.0, 0.0, 0.0], [0.0, 0.5, 0.0]])
        >>> jacobian_singular_values(model, torch.zeros(1, 3))
        JacobianSpectrum(singular_values=tensor([3.0000, 0.5000]), shape=(2, 3))
    """
    if not (isinstance(x, Tensor) and x.is_floating_point()):
        what = x.dtype if isinstance(x, Tensor) else type(x).__name__
        raise TypeError(
            f"x is {what}: a floating-point tensor is needed; for token ids pass embeddings"
        )
    x = x.detach().clone().requires_grad_()
    y = call_on_copies(model, x.clone())  # a first layer that works in place may not change a leaf
    if not isinstance(y, Tensor):
        raise TypeError(
            f"model returns {type(y).__name__}: one tensor is needed, choose it with a lambda"
        )
    shape = (y.numel(), x.numel())
    if not y.requires_grad or 0 in shape:
        raise ValueError(
            f"the output, {shape[0]} numbers, does not depend on x, {shape[1]} numbers"
        )
    if count is None:
        J = _rows(y, x)
        bad = int((~torch.isfinite(J)).sum())
        if bad:
            raise ValueError(
                f"{bad} entries of the Jacobian are not finite: the signal overflowed, measure "
                "fewer layers or in float64"
            )
        sigma = torch.linalg.svdvals(J if J.dtype == torch.float64 else J.float())
    else:
        check_between("count", count, 1, min(shape))
        check_between("steps", steps, 1, math.inf)
        sigma = _largest(y, x, count, steps)
    return JacobianSpectrum(sigma.detach(), shape)
