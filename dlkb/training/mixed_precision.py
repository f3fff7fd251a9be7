"""Mixed precision: dynamic loss scaling, master weights, and what a training state weighs."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from dlkb.arrays import (
    Array,
    check_between,
    check_count,
    check_float,
    check_same_shape,
    device,
    namespace,
    wide_dtype,
    widen,
)
from dlkb.training.float_formats import FloatFormat, round_to


class LossScale(NamedTuple):
    """What dynamic loss scaling remembers between steps.

    Attributes:
        scale: S > 0, the factor of the loss: a 0-d floating-point array.
        good: How many steps in a row had finite gradients since the scale last changed, a 0-d
            int32 array.
    """

    scale: Array
    good: Array


def loss_scale_init(like: Array, *, init_scale: float = 2.0**16) -> LossScale:
    r"""Return the state before the first step.

    $$S_0 = 2^{16}, \qquad n_0 = 0$$

    Args:
        like: An array of the library and device that are wanted, floating-point.
        init_scale: S₀ > 0. Too large costs a few skipped steps, too small many growth intervals.

    Returns:
        A scale in float32 at least, and a count of zero.

    Raises:
        TypeError: If `like` is not floating-point.
        ValueError: If `init_scale` is not positive.

    Example:
        >>> import numpy as np
        >>> loss_scale_init(np.ones(3)).scale
        array(65536.)
    """
    check_float("like", like)
    check_between("init_scale", init_scale, 0, math.inf, closed="neither")
    xp = namespace(like)
    return LossScale(
        xp.full((), init_scale, dtype=wide_dtype(like), device=device(like)),
        xp.zeros((), dtype=xp.int32, device=device(like)),
    )


def unscale(grads: Sequence[Array], scale: Array) -> tuple[tuple[Array, ...], Array]:
    r"""Divide gradients by the scale of their loss, and say whether all of them are finite.

    $$g = \frac{\tilde g}{S}$$

    Args:
        grads: Gradients of the scaled loss, one or more, of any shapes.
        scale: S > 0, a 0-d array.

    Returns:
        The gradients, each in its dtype, divided in float32 at least; and a 0-d boolean array:
        whether a step may be made. Where it is false, the step is skipped.

    Raises:
        TypeError: If a gradient is not floating-point.
        ValueError: If there is none.

    Note:
        Differs from `GradScaler` in the product with the rounded 1/S, which is this quotient
        where S is a power of two, and in float16 gradients, which that refuses.

    Example:
        >>> import numpy as np
        >>> scale = np.asarray(4.0)
        >>> (g,), finite = unscale([np.asarray([8.0, np.inf])], scale)
        >>> g, bool(finite)
        (array([ 2., inf]), False)
    """
    if not grads:
        raise ValueError("grads is empty: pass at least one gradient")
    for i, grad in enumerate(grads):
        check_float(f"grads[{i}]", grad)
    xp = namespace(*grads)
    found, finite = [], xp.asarray(True, device=device(grads[0]))
    for grad in grads:
        wide = widen(grad)
        quotient = wide / xp.astype(scale, wide.dtype, copy=False)
        found.append(xp.astype(quotient, grad.dtype, copy=False))
        finite = xp.logical_and(finite, xp.all(xp.isfinite(grad)))
    return tuple(found), finite


def loss_scale_update(
    state: LossScale,
    finite: Array,
    *,
    growth_factor: float = 2.0,
    backoff_factor: float = 0.5,
    growth_interval: int = 2000,
) -> LossScale:
    r"""Shrink the scale after an overflow, and let it grow after many steps without one.

    $$S_{t+1} = S_t\, b^{\,o}\, g^{\,(1-o)\,q}$$

    where o is 1 after an overflow, else 0, and q is 1 if this was the last of n good steps.

    Args:
        state: Before the step.
        finite: Whether its gradients were finite, a 0-d boolean array.
        growth_factor: g > 1.
        backoff_factor: b in (0, 1).
        growth_interval: n ≥ 1, an integer: good steps in a row after which the scale grows.

    Returns:
        The state for the next step. A scale that would become infinite stays.

    Raises:
        ValueError: If a hyperparameter is out of its range.

    Reference:
        `torch._amp_update_scale_`, with which it agrees, up to rounding where a factor is no
        power of two.

    Example:
        >>> import numpy as np
        >>> state = loss_scale_init(np.ones(1))
        >>> good, bad = np.asarray(True), np.asarray(False)
        >>> float(loss_scale_update(state, bad).scale)
        32768.0
        >>> float(loss_scale_update(state, good, growth_interval=1).scale)
        131072.0
    """
    check_between("growth_factor", growth_factor, 1, math.inf, closed="neither")
    check_between("backoff_factor", backoff_factor, 0, 1, closed="neither")
    check_between("growth_interval", growth_interval, 1, math.inf, closed="left")
    if isinstance(growth_interval, float) and growth_interval % 1:
        raise ValueError(
            f"growth_interval is {growth_interval}: a count of steps never meets it, round it"
        )
    scale, good = state
    xp = namespace(scale)
    good = xp.where(finite, good + 1, xp.zeros_like(good))
    full = good == growth_interval
    grown = scale * growth_factor
    grown = xp.where(xp.isfinite(grown), grown, scale)
    new = xp.where(finite, xp.where(full, grown, scale), scale * backoff_factor)
    return LossScale(
        xp.astype(new, scale.dtype, copy=False),
        xp.astype(xp.where(full, xp.zeros_like(good), good), state.good.dtype, copy=False),
    )


def skipped_share(*, growth_interval: int = 2000) -> float:
    r"""Return the share of steps that loss scaling skips once it has found its scale.

    $$\frac{1}{n+1}$$

    With factors 2 and ½ and gradients of one size, each growth is one too many: a step is
    skipped, the scale halved, and n good steps follow.

    Args:
        growth_interval: n ≥ 1.

    Returns:
        The share in (0, ½].

    Raises:
        ValueError: If `growth_interval` is below 1.

    Example:
        >>> round(skipped_share(), 5)
        0.0005
    """
    check_between("growth_interval", growth_interval, 1, math.inf, closed="left")
    return 1 / (growth_interval + 1)


def lost(theta: Array, step: Array, *, to: FloatFormat) -> Array:
    r"""Say where a step leaves a parameter as it was, since the sum is rounded.

    $$\operatorname{round}(\theta + \Delta) = \theta, \qquad \Delta \ne 0$$

    It is so for |Δ| below half of the spacing at θ (a quarter of it, towards zero from a power
    of two above the smallest normal number). Master weights add the steps up in a finer format.

    Args:
        theta: Parameters that are numbers of the format, in a dtype with more digits.
        step: What is added to them, in the same shape.
        to: The format.

    Returns:
        Booleans in the same shape; false where the step is zero.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If shapes differ, or as `limits` of the format.

    Example:
        >>> import numpy as np
        >>> from dlkb.training.float_formats import BFLOAT16
        >>> lost(np.ones(2), np.asarray([1e-3, 1e-2]), to=BFLOAT16)
        array([ True, False])
    """
    check_float("theta", theta)
    check_float("step", step)
    check_same_shape("step", step, "theta", theta)
    return (round_to(theta + step, to=to) == theta) & (step != 0)


def zero_bytes(
    params: float,
    *,
    stage: int = 0,
    processes: int = 1,
    param_bytes: int = 2,
    grad_bytes: int = 2,
    state_bytes: int = 12,
) -> float:
    r"""Return what parameters, gradients and optimizer weigh in each process under ZeRO.

    $$\Psi\left(\frac{B_p}{N_3} + \frac{B_g}{N_2} + \frac{B_s}{N_1}\right)$$

    where $N_i$ is the number of processes N if the stage is i or higher, else 1.

    Args:
        params: Ψ ≥ 0, number of parameters.
        stage: 0 for plain data parallelism, 1 to share the state of the optimizer out, 2 the
            gradients, too, 3 the parameters, too.
        processes: N ≥ 1.
        param_bytes: Of a parameter that computes.
        grad_bytes: Of a gradient.
        state_bytes: Of what the optimizer keeps for a parameter: 12 is a float32 master copy and
            Adam's two moments, 8 the moments alone.

    Returns:
        Bytes, without activations, buffers and what is gathered for the time being.

    Raises:
        ValueError: If an argument is out of its range.

    Reference:
        Rajbhandari et al. (2020).

    Example:
        >>> [zero_bytes(7.5e9, stage=s, processes=64) / 1e9 for s in (0, 3)]
        [120.0, 1.875]
    """
    check_between("params", params, 0, math.inf, closed="left")
    check_count("stage", stage, 0, 3)
    check_count("processes", processes, 1)
    parts = (state_bytes, grad_bytes, param_bytes)  # what stages 1, 2 and 3 share out
    share = [size / processes if stage > i else size for i, size in enumerate(parts)]
    return params * sum(share)
