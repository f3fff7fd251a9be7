"""Look for what commonly goes wrong in training, on the reader's own model and batch.

Forward, backward and one step of the optimizer are computed; weights, buffers, `.grad`, hooks, the
optimizer and the random state are left as they were. The limits are rules of thumb: a finding
says where to look, and no finding does not say that all is well.
"""

import copy
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dlkb.nn._calls import call_on_copies, check_scalar, parameter_gradients, refuse_unseen, whole

RATIO = 1e4
"""Between the gradients of the first and the last weight matrix, by root mean square."""
DEAD = 0.5
"""Share of the units in front of a layer that are 0 for each example."""
STEP = (1e-6, 0.1)
"""Length of a step by the length of the weights, least and greatest."""
HIGH = 2.0
"""Loss by the loss of equal outputs."""
INPUT = 10.0
"""Root mean square of the inputs."""
ROUNDING = 0.01
"""Of probabilities that are summed; in bfloat16 it is up to 0.004."""
EXAMPLES = 16
"""Fewer say nothing about dead units."""

_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True)
class Finding:
    """Something to look at.

    Attributes:
        name: What it is, the same words each time.
        detail: Where, and the numbers.
        advice: What to do about it.
    """

    name: str
    detail: str
    advice: str


@dataclass(frozen=True)
class Weights:
    """A weight matrix or kernel, measured.

    Attributes:
        name: Of the parameter.
        size: Root mean square of its entries.
        gradient: Root mean square of its gradient; `None` if the loss does not depend on it.
        step: Length of the optimizer's step by that of the weights; `None` without an optimizer,
            for what it does not hold, and for weights that are all 0.
    """

    name: str
    size: float
    gradient: float | None
    step: float | None


@dataclass(frozen=True)
class Checkup:
    """What `check_model` found; print it.

    Attributes:
        loss: Of the batch.
        chance: The loss of equal outputs, where a softmax over classes is trained: of K classes
            ln K for a mean.
        weights: The trainable weight matrices and kernels, in the model's order.
        findings: What to look at, the most urgent first.
    """

    loss: float
    chance: float | None
    weights: tuple[Weights, ...]
    findings: tuple[Finding, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the findings."""
        return tuple(finding.name for finding in self.findings)

    def __str__(self) -> str:
        chance = "" if self.chance is None else f" (equal outputs: {self.chance:.3g})"
        rows = [f"loss {self.loss:.3g}{chance}"]
        width = max([len(w.name) for w in self.weights], default=0)
        if self.weights:
            rows.append(f"{'':{width}}  weights  gradient  step/weights")
        for w in self.weights:
            cells = (f"{w.size:7.1e}", _cell(w.gradient), f"{_cell(w.step):>12}")
            rows.append(f"{w.name:{width}}  {'  '.join(cells)}")
        for f in self.findings:
            rows += [f"! {f.name}: {f.detail}", f"  {f.advice}"]
        return "\n".join(rows if self.findings else [*rows, "nothing conspicuous"])


def _cell(value: float | None) -> str:
    return f"{'–':>8}" if value is None else f"{value:8.1e}"


def _rms(x: Tensor) -> float:
    x = x.detach().abs() if x.is_complex() else x.detach()
    return float(whole(x.double().square().mean().sqrt())) if x.numel() else 0.0


def _dense(gradient: Tensor | None) -> Tensor | None:
    """Return the gradient as an array, also that of `nn.Embedding(sparse=True)`."""
    return gradient.to_dense() if gradient is not None and gradient.is_sparse else gradient


def _listed(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


@torch.enable_grad()
def check_model(
    model: nn.Module,
    batch: tuple[Any, Any],
    loss: Callable[[Any, Any], Tensor],
    *,
    optimizer: torch.optim.Optimizer | None = None,
    keywords: Mapping[str, Any] | None = None,
) -> Checkup:
    """Check a model on one batch, as it would be trained.

    Args:
        model: Any module, called with the inputs; in the mode in which it is trained. Compiled
            modules run uncompiled, a DDP module without communication; under FSDP2 all ranks must
            call.
        batch: Inputs and targets. A tuple of inputs holds several arguments. At least 16 examples,
            for dead units to be told from rare ones.
        loss: Called with the model's output and the targets, returns a scalar:
            `torch.nn.functional.cross_entropy`, or a function of your own.
        optimizer: Also compare its next step with the weights, and its parameters with the model's.
            Its `step` must need no closure.
        keywords: Keyword arguments of the model's call.

    Returns:
        The measurements and what is conspicuous about them.

    Raises:
        ValueError: If the loss is no scalar or has no graph.
        TypeError: If the model holds a ScriptModule, or is a `FullyShardedDataParallel` (FSDP1).

    Example:
        >>> _ = torch.manual_seed(0)
        >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3), nn.Softmax(-1))
        >>> batch = torch.randn(32, 4), torch.randint(3, (32,))
        >>> check_model(model, batch, nn.CrossEntropyLoss()).names
        ('softmax before cross_entropy',)
    """
    refuse_unseen(model)
    x, target = batch
    dead: dict[str, float] = {}
    with _same_random_state(model), ExitStack() as stack:
        for name, module in model.named_modules():
            if isinstance(module, _LAYERS):
                counter = _counter(name, dead)
                handle = module.register_forward_pre_hook(counter, with_kwargs=True)
                stack.callback(handle.remove)
        output = call_on_copies(model, x, keywords)
        value = loss(output, target)
    check_scalar(value)
    level = float(value.detach())
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    found = parameter_gradients(model, value, named.values())
    with _same_random_state(model):
        steps = _steps(optimizer, dict(zip(named.values(), found, strict=True)))
    gradients = {name: _dense(g) for name, g in zip(named, found, strict=True)}
    weights = tuple(
        Weights(name, _rms(p), None if (g := gradients[name]) is None else _rms(g), steps.get(p))
        for name, p in named.items()
        if p.ndim > 1
    )
    with _same_random_state(model):
        classes = _classes(output, target, level, loss)
        equal = None if classes is None else loss(torch.zeros_like(output), target)
        broadcast = _broadcasts(output, target, loss)
    chance = None if equal is None else float(equal.detach())
    findings = [
        *_broken(x, level, gradients),
        *_overflown(named, gradients, steps),
        *_misused(model, output, target, classes, broadcast),
        *_forgotten(model, gradients, optimizer),
        *_sizes(x, level, chance, weights, dead),
    ]
    return Checkup(level, chance, weights, tuple(findings))


def _same_random_state(model: nn.Module) -> AbstractContextManager[None]:
    """Put back afterwards what dropout draws, on the CPU and where the model is."""
    on = {p.device.index for p in model.parameters() if p.device.type == "cuda"}
    return torch.random.fork_rng(devices=sorted(on))


def _counter(name: str, dead: dict[str, float]) -> Callable[[nn.Module, Any, Any], None]:
    """Return a hook that notes which share of what enters a layer is 0 for each example."""

    def hook(module: nn.Module, inputs: Any, keywords: Any) -> None:
        h = inputs[0] if inputs else keywords["input"]
        # Not the data, whose border may well be black, nor a single example.
        if not h.requires_grad or h.ndim < 2:
            return
        places = 0 if isinstance(module, nn.Linear) else len(module.kernel_size)
        units = h.detach().movedim(-1 - places, -1).flatten(0, -2)
        if len(units) >= EXAMPLES:
            dead[name] = float((units == 0).all(0).double().mean())

    return hook


def _steps(
    optimizer: torch.optim.Optimizer | None, gradients: dict[nn.Parameter, Tensor | None]
) -> dict[Tensor, float]:
    """Return the length of the next step by that of the weights, from a step of a copy.

    Of weights that are zero only a step that is not finite is told.
    """
    if optimizer is None:
        return {}
    trial = copy.deepcopy(optimizer)
    pairs = [
        (p, q)
        for group, copied in zip(optimizer.param_groups, trial.param_groups, strict=True)
        for p, q in zip(group["params"], copied["params"], strict=True)
    ]
    for p, q in pairs:
        q.grad = gradients.get(p)
    trial.step()
    sizes = [(p, _rms(q - p), _rms(p)) for p, q in pairs]
    return {p: step / (size or 1) for p, step, size in sizes if size or not math.isfinite(step)}


def _classes(
    output: Any, target: Any, value: float, loss: Callable[[Any, Any], Tensor]
) -> int | None:
    """Return the axis of the loss's softmax: a number for each place, added along it, cancels."""
    if not (isinstance(output, Tensor) and isinstance(target, Tensor) and output.ndim > 1):
        return None
    if target.is_floating_point() or not math.isfinite(value):
        return None
    near = max(1e-3, 4 * torch.finfo(output.dtype).eps)
    start, unit = output.detach(), 1.0
    try:
        if bool(((start >= 0) & (start <= 1)).all()):  # a loss of probabilities takes no others
            start, unit = start / 4, 1 / 8
            value = float(loss(start, target).detach())
        for axis in sorted({1, output.ndim - 1}):  # of images, and of texts
            sides = [1 if k in (0, axis) else n for k, n in enumerate(output.shape)]
            shift = 1 + 4 * (torch.arange(math.prod(sides)) % 2).reshape(sides).to(output)
            shifted = float(loss(start + unit * shift, target).detach())
            if output.shape[axis] > 1 and math.isclose(shifted, value, rel_tol=near, abs_tol=near):
                return axis
    except Exception:  # it refuses other outputs, and says so in a way of its own
        return None
    return None


def _broadcasts(output: Any, target: Any, loss: Callable[[Any, Any], Tensor]) -> bool:
    """Whether the loss pairs entries of output and target that do not belong together."""
    if not (isinstance(output, Tensor) and isinstance(target, Tensor)):
        return False
    if output.shape == target.shape or target.ndim == 0:  # one aim for the whole batch is meant
        return False
    try:
        torch.broadcast_shapes(output.shape, target.shape)
    except RuntimeError:  # the loss has parts of them in hand, say a mean and a variance
        return False
    try:
        if output.numel() == target.numel():
            return any(_is_table(output, aim, loss) for aim in _aims(output, target))
        return target.is_floating_point() and _is_repeated(output, target, loss)
    except Exception:  # it needs the shape as it is, and says so in a way of its own
        return False


def _told(loss: Callable[[Any, Any], Tensor], *calls: tuple[Tensor, Tensor]) -> bool:
    """Whether two calls of a loss are finite and differ by more than rounding."""
    with warnings.catch_warnings(action="ignore"):  # of shapes that only this check made
        one, other = (float(loss(*call).detach()) for call in calls)
    near = max(1e-5, 4 * torch.finfo(calls[0][0].dtype).eps)
    alike = math.isclose(one, other, rel_tol=near, abs_tol=1e-6)
    return math.isfinite(one) and math.isfinite(other) and not alike


def _aims(output: Tensor, target: Tensor) -> Iterator[Tensor]:
    yield target
    if target.is_floating_point():  # they may be equal, or too large
        yield torch.linspace(0.25, 0.75, output.numel()).to(target).reshape(target.shape)


def _is_table(output: Tensor, target: Tensor, loss: Callable[[Any, Any], Tensor]) -> bool:
    """Whether outputs in the target's shape change the loss, and those in reverse do not."""
    # Outputs rise with the targets: equal ones, as of a network that has learnt the mean, tell
    # nothing, and ones in another order little in a large batch.
    order = target.detach().flatten().argsort().argsort()
    rising = torch.linspace(0.25, 0.75, output.numel()).to(output)[order]
    table, paired, turned = (
        (x.reshape(shape), target)
        for x, shape in (
            (rising, output.shape),
            (rising, target.shape),
            (1 - rising, output.shape),
        )
    )
    return _told(loss, table, paired) and not _told(loss, table, turned)


def _is_repeated(output: Tensor, target: Tensor, loss: Callable[[Any, Any], Tensor]) -> bool:
    """Whether a target counts, and several outputs for it count alike.

    Quantiles, or a mean and a variance, do not.
    """
    sides = (1,) * (output.ndim - target.ndim) + target.shape[max(0, target.ndim - output.ndim) :]
    axes = [k for k, n in enumerate(sides) if n < output.shape[k]]
    several = [n if k in axes else 1 for k, n in enumerate(output.shape)]
    ramp = torch.linspace(0.25, 0.75, math.prod(several)).to(output).reshape(several)
    one, turned = (x.expand_as(output) for x in (ramp, ramp.flip(axes)))
    counts = _told(loss, (one, target), (one, torch.zeros_like(target)))
    return counts and not _told(loss, (one, target), (turned, target))


def _broken(x: Any, value: float, gradients: dict[str, Tensor | None]) -> Iterator[Finding]:
    if isinstance(x, Tensor) and not bool(x.isfinite().all()):
        count = int((~x.isfinite()).sum())
        yield Finding("inputs are not finite", f"{count} entries", "clean the data")
    if not math.isfinite(value):
        advice = "look for a logarithm or a quotient of 0, an overflow, a step that was too long"
        yield Finding("loss is not finite", f"it is {value}", advice)
    bad = [name for name, g in gradients.items() if g is not None and not bool(g.isfinite().all())]
    if bad:
        advice = "run backward() under torch.autograd.detect_anomaly() to find the operation"
        yield Finding("gradients are not finite", _listed(bad), advice)


def _overflown(
    named: Mapping[str, nn.Parameter],
    gradients: dict[str, Tensor | None],
    steps: dict[Tensor, float],
) -> Iterator[Finding]:
    """Yield the steps that are not finite though the gradients are."""
    bad = [
        name
        for name, p in named.items()
        if (g := gradients[name]) is not None
        and bool(g.isfinite().all())
        and not math.isfinite(steps.get(p, 0.0))
    ]
    if bad:
        advice = (
            "ε that float16 rounds to 0 (raise it, or use float32), or NaN in the optimizer's state"
        )
        yield Finding("steps are not finite", _listed(bad), advice)


def _misused(
    model: nn.Module, output: Any, target: Any, classes: int | None, broadcast: bool
) -> Iterator[Finding]:
    """Yield calls that run and do not mean what was meant."""
    if not model.training:
        advice = "call model.train(): dropout is off, batch normalization uses old statistics"
        yield Finding("model is in eval mode", "training is False", advice)
    if not (isinstance(output, Tensor) and isinstance(target, Tensor)):
        return
    if classes is not None:
        rows = output.detach().double()
        if bool((rows >= 0).all()) and bool(((rows.sum(classes) - 1).abs() < ROUNDING).all()):
            advice = "give the loss the outputs before the softmax: it takes one itself"
            yield Finding("softmax before cross_entropy", "the outputs sum to 1", advice)
    if broadcast:
        advice = "make them equal, with squeeze(-1) or unsqueeze(-1): else they are broadcast"
        detail = f"{tuple(output.shape)} and {tuple(target.shape)}"
        yield Finding("output and target differ in shape", detail, advice)


def _forgotten(
    model: nn.Module,
    gradients: dict[str, Tensor | None],
    optimizer: torch.optim.Optimizer | None,
) -> Iterator[Finding]:
    """Yield parameters that are not trained, or by something else than this batch."""
    params = dict(model.named_parameters())
    old = [name for name, g in gradients.items() if _is_other(_dense(params[name].grad), g)]
    if old:
        advice = "call optimizer.zero_grad() before each backward(), unless you accumulate"
        yield Finding("gradients of another batch are left", _listed(old), advice)
    frozen = [name for name, p in params.items() if not p.requires_grad]
    if frozen:
        advice = "nothing to do if that is meant; else requires_grad_(True)"
        yield Finding("parameters are frozen", _listed(frozen), advice)
    unused = [name for name, g in gradients.items() if g is None]
    if unused:
        advice = "is the layer called, and is nothing detached or under no_grad() behind it?"
        yield Finding("parameters do not enter the loss", _listed(unused), advice)
    if optimizer is None:
        return
    held = {p for group in optimizer.param_groups for p in group["params"]}
    if missing := [name for name in gradients if params[name] not in held]:
        advice = "make the optimizer after the layers, from all their parameters"
        yield Finding("parameters are not in the optimizer", _listed(missing), advice)


def _is_other(left: Tensor | None, own: Tensor | None) -> bool:
    """Whether a gradient is there that this batch does not explain."""
    if left is None or not bool(left.any()):
        return False
    return own is None or _rms(left - own) > 0.01 * _rms(own)


def _sizes(
    x: Any, value: float, chance: float | None, weights: tuple[Weights, ...], dead: dict[str, float]
) -> Iterator[Finding]:
    if isinstance(x, Tensor) and x.is_floating_point() and (size := _rms(x)) > INPUT:
        advice = "scale the inputs to a standard deviation near 1"
        yield Finding("inputs are large", f"their root mean square is {size:.3g}", advice)
    if chance is not None and value > HIGH * chance:
        advice = "before training, too large weights or inputs; later, a step that was too long"
        detail = f"{value:.3g}, against {chance:.3g} for equal outputs"
        yield Finding("loss is above chance", detail, advice)
    zeros = any(w.size == 0 for w in weights)  # behind them gradients are 0, for one step
    sized = [
        w
        for w in weights
        if w.gradient is not None and math.isfinite(w.gradient) and (w.gradient or not zeros)
    ]
    if len(sized) > 1:
        first, last = (w.gradient or 0.0 for w in (sized[0], sized[-1]))
        detail = f"{sized[0].name} has {first:.1e}, {sized[-1].name} has {last:.1e}"
        if first * RATIO < last:
            advice = "another activation or initialization, normalization, skips"
            yield Finding("gradients vanish", detail, advice)
        if first > RATIO * last:
            advice = "a smaller initialization, normalization, clipping for single spikes"
            yield Finding("gradients explode", detail, advice)
    if many := [f"{name} gets {share:.0%}" for name, share in dead.items() if share > DEAD]:
        advice = "0 for each example: a smaller step, another initialization, a leaky ReLU"
        yield Finding("units are dead", _listed(many), advice)
    stepped = [w for w in weights if w.step is not None and math.isfinite(w.step) and w.gradient]
    if long := [f"{w.name} {w.step:.1e}" for w in stepped if (w.step or 0) > STEP[1]]:
        yield Finding("steps are long", _listed(long), "a smaller learning rate, or a warm-up")
    if short := [f"{w.name} {w.step:.1e}" for w in stepped if (w.step or 0) < STEP[0]]:
        yield Finding("steps are short", _listed(short), "a larger learning rate")
