r"""Learning-rate schedules: the factor of the peak learning rate at each step.

`step` counts the updates that were made before, 0 at the first. `torch.optim.lr_scheduler.LambdaLR`
counts alike; `dlkb.optim.lr_lambda` makes its argument of a schedule.
"""

import math

from dlkb.arrays import Array, check_between, check_float, namespace


def _check(step: Array, warmup: float = 0) -> None:
    check_float("step", step)
    check_between("warmup", warmup, 0, math.inf, closed="left")


def _check_total(total: float, warmup: float, end: float) -> None:
    check_between("end", end, 0, 1)
    check_between("total", total, 0, math.inf, closed="neither")
    check_between("warmup", warmup, 0, total, closed="left")


def _share(step: Array, first: float, last: float) -> Array:
    """Return which share of the way from one step to another is done, in [0, 1]."""
    length = last - first
    # Without way, the end is reached at once; the division by 1 is not looked at.
    done = (step - first) / (length + (length == 0))
    xp = namespace(step)
    return xp.where(step < last, xp.clip(done, 0.0, 1.0), 1.0)


def warm_up(step: Array, *, warmup: float, start: float = 0.0) -> Array:
    r"""Rise linearly to 1, then stay.

    $$a + (1 - a)\,\min\left(1, \frac{t}{w}\right)$$

    Args:
        step: Number of updates made before, t ≥ 0, a floating-point array.
        warmup: Number of steps w ≥ 0; 0 for none.
        start: Factor a of the first update, in [0, 1].

    Returns:
        Factors like `step`.

    Raises:
        TypeError: If `step` is not floating-point.
        ValueError: If a hyperparameter is out of its range.

    Note:
        Equals `torch.optim.lr_scheduler.LinearLR` with `end_factor=1` for `start` above 0, which
        that demands. With `start=0` the first update does nothing, as in Transformers. Differs
        from warm-ups by (t + 1) / w, which are `warmup = w − 1`, `start = 1 / w`.

    Reference:
        Goyal et al., Accurate, Large Minibatch SGD, 2017.

    Example:
        >>> import numpy as np
        >>> warm_up(np.asarray([0.0, 1.0, 4.0, 9.0]), warmup=4)
        array([0.  , 0.25, 1.  , 1.  ])
    """
    _check(step, warmup)
    check_between("start", start, 0, 1)
    return start + (1 - start) * _share(step, 0, warmup)


def step_decay(step: Array, *, every: float, gamma: float = 0.1) -> Array:
    r"""Multiply by γ every so many steps.

    $$\gamma^{\lfloor t/n \rfloor}$$

    Args:
        step: Number of updates made before, t ≥ 0, a floating-point array.
        every: Number of steps n > 0 on each level.
        gamma: Factor γ in (0, 1].

    Returns:
        Factors like `step`.

    Raises:
        TypeError: If `step` is not floating-point.
        ValueError: If a hyperparameter is out of its range.

    Note:
        Equals `torch.optim.lr_scheduler.StepLR`.

    Example:
        >>> import numpy as np
        >>> step_decay(np.asarray([0.0, 9.0, 10.0]), every=10, gamma=0.5)
        array([1. , 1. , 0.5])
    """
    _check(step)
    check_between("every", every, 0, math.inf, closed="neither")
    check_between("gamma", gamma, 0, 1, closed="right")
    return gamma ** namespace(step).floor(step / every)


def exponential(step: Array, *, gamma: float) -> Array:
    r"""Multiply by γ every step.

    $$\gamma^t$$

    Args:
        step: Number of updates made before, t ≥ 0, a floating-point array.
        gamma: Factor γ in (0, 1].

    Returns:
        Factors like `step`.

    Raises:
        TypeError: If `step` is not floating-point.
        ValueError: If `gamma` is out of its range.

    Note:
        Equals `torch.optim.lr_scheduler.ExponentialLR`.

    Example:
        >>> import numpy as np
        >>> exponential(np.asarray([0.0, 1.0, 2.0]), gamma=0.5)
        array([1.  , 0.5 , 0.25])
    """
    _check(step)
    check_between("gamma", gamma, 0, 1, closed="right")
    return gamma**step


def linear(step: Array, *, total: float, warmup: float = 0, end: float = 0.0) -> Array:
    r"""Warm up, then fall linearly, then stay.

    $$e + (1 - e)\left(1 - \frac{t - w}{T - w}\right), \qquad w \le t \le T$$

    Args:
        step: Number of updates made before, t ≥ 0, a floating-point array.
        total: Step T > w at which the end is reached.
        warmup: Steps w ≥ 0 of `warm_up` before.
        end: Factor e at the end, in [0, 1].

    Returns:
        Factors like `step`.

    Raises:
        TypeError: If `step` is not floating-point.
        ValueError: If a hyperparameter is out of its range.

    Note:
        Equals Transformers' `get_linear_schedule_with_warmup`, and without warm-up
        `torch.optim.lr_scheduler.LinearLR` from 1.

    Example:
        >>> import numpy as np
        >>> linear(np.asarray([1.0, 2.0, 6.0, 10.0]), total=10, warmup=2)
        array([0.5, 1. , 0.5, 0. ])
    """
    _check(step, warmup)
    _check_total(total, warmup, end)
    falling = end + (1 - end) * (1 - _share(step, warmup, total))
    return namespace(step).where(step < warmup, warm_up(step, warmup=warmup), falling)


def cosine(step: Array, *, total: float, warmup: float = 0, end: float = 0.0) -> Array:
    r"""Warm up, then fall along half a period of the cosine, then stay.

    $$e + \frac{1 - e}{2}\left(1 + \cos\left(\pi\,\frac{t - w}{T - w}\right)\right),
    \qquad w \le t \le T$$

    Args:
        step: Number of updates made before, t ≥ 0, a floating-point array.
        total: Step T > w at which the end is reached.
        warmup: Steps w ≥ 0 of `warm_up` before.
        end: Factor e at the end, in [0, 1].

    Returns:
        Factors like `step`.

    Raises:
        TypeError: If `step` is not floating-point.
        ValueError: If a hyperparameter is out of its range.

    Note:
        Equals Transformers' `get_cosine_schedule_with_warmup`, up to T. Differs after T from
        that, and from `torch.optim.lr_scheduler.CosineAnnealingLR`, which rises again.

    Reference:
        Loshchilov and Hutter, SGDR, 2017.

    Example:
        >>> import numpy as np
        >>> cosine(np.asarray([0.0, 5.0, 10.0, 11.0]), total=10).round(3)
        array([1. , 0.5, 0. , 0. ])
    """
    _check(step, warmup)
    _check_total(total, warmup, end)
    xp = namespace(step)
    falling = end + (1 - end) * (1 + xp.cos(math.pi * _share(step, warmup, total))) / 2
    return xp.where(step < warmup, warm_up(step, warmup=warmup), falling)


def inverse_root(step: Array, *, warmup: float) -> Array:
    r"""Warm up, then fall with the root of the step.

    $$\min\left(\frac{t}{w}, \sqrt{\frac{w}{t}}\right)$$

    Args:
        step: Number of updates made before, t ≥ 0, a floating-point array.
        warmup: Steps w > 0 until the peak.

    Returns:
        Factors like `step`.

    Raises:
        TypeError: If `step` is not floating-point.
        ValueError: If `warmup` is not positive.

    Note:
        Equals Transformers' `get_inverse_sqrt_schedule`. Differs from the Transformer's paper,
        which counts t from 1 and has the peak 1 / √(d w).

    Reference:
        Vaswani et al., Attention Is All You Need, 2017.

    Example:
        >>> import numpy as np
        >>> inverse_root(np.asarray([0.0, 50.0, 100.0, 400.0]), warmup=100)
        array([0. , 0.5, 1. , 0.5])
    """
    _check(step, warmup)
    check_between("warmup", warmup, 0, math.inf, closed="neither")
    xp = namespace(step)
    falling = xp.sqrt(warmup / xp.where(step < warmup, warmup, step))
    return xp.where(step < warmup, step / warmup, falling)


def one_cycle(
    step: Array,
    *,
    total: float,
    pct_start: float = 0.3,
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
) -> Array:
    r"""Rise along a cosine from a small rate to the peak, then fall to a far smaller one.

    $$u + \frac{v - u}{2}\,(1 - \cos\pi s)$$

    In the first phase, up to the peak at step p T − 1, u = 1/d and v = 1; in the second, up to the
    last step T − 1, u = 1 and v = 1/(d f). The share of the phase that is done is s.

    Args:
        step: Number of updates made before, t ≥ 0, a floating-point array.
        total: Number T of updates, with p T > 1.
        pct_start: Share p of the steps that rise, in (0, 1).
        div_factor: d ≥ 1, the peak over the first rate.
        final_div_factor: f ≥ 1, the first rate over the last.

    Returns:
        Factors like `step`.

    Raises:
        TypeError: If `step` is not floating-point.
        ValueError: If a hyperparameter is out of its range.

    Note:
        Equals `torch.optim.lr_scheduler.OneCycleLR` relative to `max_lr`, up to T − 1. At T that
        rises, after T it raises an error; this stays. Without its cycle of the momentum.

    Reference:
        Smith and Topin, Super-Convergence, 2018.

    Example:
        >>> import numpy as np
        >>> one_cycle(np.asarray([0.0, 29.0, 99.0]), total=100).round(5)
        array([0.04, 1.  , 0.  ])
    """
    _check(step)
    check_between("pct_start", pct_start, 0, 1, closed="neither")
    check_between("total", total, 1 / pct_start, math.inf, closed="neither")
    check_between("div_factor", div_factor, 1, math.inf, closed="left")
    check_between("final_div_factor", final_div_factor, 1, math.inf, closed="left")
    xp = namespace(step)
    peak = pct_start * total - 1
    up = (1 - xp.cos(math.pi * _share(step, 0, peak))) / 2
    down = (1 + xp.cos(math.pi * _share(step, peak, total - 1))) / 2
    first, last = 1 / div_factor, 1 / div_factor / final_div_factor
    return xp.where(step < peak, first + (1 - first) * up, last + (1 - last) * down)


def warmup_stable_decay(
    step: Array, *, total: float, decay: float, warmup: float = 0, shape: str = "linear"
) -> Array:
    r"""Warm up, stay at the peak, and fall to 0 over the last steps.

    $$1 - s, \quad\text{or}\quad 1 - \sqrt{s}, \qquad s = \frac{t - (T - c)}{c}$$

    Args:
        step: Number of updates made before, t ≥ 0, a floating-point array.
        total: Step T > w at which 0 is reached.
        decay: Number c ≥ 0 of steps that fall, with w + c ≤ T.
        warmup: Steps w ≥ 0 of `warm_up` before.
        shape: "linear" for 1 − s, "root" for 1 − √s.

    Returns:
        Factors like `step`.

    Raises:
        TypeError: If `step` is not floating-point.
        ValueError: If a hyperparameter is out of its range, or there is no such shape.

    Note:
        Equals Transformers' `get_wsd_schedule` with `decay_type` "linear" or "1-sqrt".

    Reference:
        Hägele et al., Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations,
        2024.

    Example:
        >>> import numpy as np
        >>> step = np.asarray([5.0, 10.0, 80.0, 90.0, 100.0])
        >>> warmup_stable_decay(step, total=100, decay=20, warmup=10)
        array([0.5, 1. , 1. , 0.5, 0. ])
    """
    _check(step, warmup)
    _check_total(total, warmup, 0.0)
    check_between("decay", decay, 0, total - warmup)
    if shape not in ("linear", "root"):
        raise ValueError(f'shape is {shape!r}: it must be "linear" or "root"')
    share = _share(step, total - decay, total)
    fallen = share if shape == "linear" else namespace(step).sqrt(share)
    return warm_up(step, warmup=warmup) * (1 - fallen)
