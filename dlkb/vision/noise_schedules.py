r"""Noise schedules of diffusion models: how much each step adds, and what is left of the data.

Steps are counted t = 1 … T from the data on. $\bar\alpha_t$ is the share of the data in the
variance of $x_t$; $\bar\alpha_0 = 1$.
"""

import math

from dlkb.arrays import Array, as_numbers, check_between, check_count, check_float, namespace, widen


def linear_beta(t: Array, *, steps: int, first: float = 1e-4, last: float = 0.02) -> Array:
    r"""Return the variance of the noise that step t adds, on a straight line.

    $$\beta_t = \beta_1 + \frac{t - 1}{T - 1}\,(\beta_T - \beta_1)$$

    Args:
        t: Steps 1 … T, a floating-point array.
        steps: T ≥ 2.
        first: β₁ in (0, 1).
        last: β_T in (0, 1). The defaults are those of the paper for T = 1000.

    Returns:
        An array like `t`.

    Raises:
        TypeError: If `t` is not floating-point.
        ValueError: If a hyperparameter is out of its range.

    Reference:
        Ho, Jain and Abbeel, Denoising Diffusion Probabilistic Models (2020), section 4.

    Example:
        >>> import numpy as np
        >>> linear_beta(np.asarray([1.0, 1000.0]), steps=1000)
        array([0.0001, 0.02  ])
    """
    check_float("t", t)
    check_count("steps", steps, 2)
    check_between("first", first, 0, 1, closed="neither")
    check_between("last", last, 0, 1, closed="neither")
    first, last = as_numbers(first, last)
    return first + (t - 1) / (steps - 1) * (last - first)


def cosine_alpha_bar(t: Array, *, steps: int, offset: float = 0.008) -> Array:
    r"""Return the share of the data after t steps of the cosine schedule.

    $$\bar\alpha_t = \frac{f(t)}{f(0)},\qquad
    f(t) = \cos^2\Bigl(\frac{t/T + s}{1 + s}\cdot\frac\pi2\Bigr)$$

    Args:
        t: Steps 0 … T, a floating-point array.
        steps: T ≥ 1.
        offset: s ≥ 0. It keeps the first steps from being too small.

    Returns:
        An array like `t`, from 1 to 0.

    Raises:
        TypeError: If `t` is not floating-point.
        ValueError: If a hyperparameter is out of its range.

    Reference:
        Nichol and Dhariwal, Improved Denoising Diffusion Probabilistic Models (2021), eq. 17.

    Example:
        >>> import numpy as np
        >>> cosine_alpha_bar(np.asarray([0.0, 50.0, 100.0]), steps=100).round(3)
        array([1.   , 0.494, 0.   ])
    """
    check_float("t", t)
    check_count("steps", steps, 1)
    check_between("offset", offset, 0, math.inf, closed="left")
    (offset,) = as_numbers(offset)
    xp = namespace(t)
    quarter = math.pi / 2 / (1 + offset)
    f = xp.cos((t / steps + offset) * quarter)
    return (f / math.cos(offset * quarter)) ** 2


def cosine_beta(t: Array, *, steps: int, offset: float = 0.008, largest: float = 0.999) -> Array:
    r"""Return the variance of the noise that step t of the cosine schedule adds.

    $$\beta_t = \min\Bigl(1 - \frac{\bar\alpha_t}{\bar\alpha_{t-1}},\; 0.999\Bigr)$$

    Args:
        t: Steps 1 … T, a floating-point array.
        steps: T ≥ 1.
        offset: s ≥ 0 of `cosine_alpha_bar`.
        largest: The bound in (0, 1]. At 1 nothing of the data is left after step T.

    Returns:
        An array like `t`.

    Raises:
        TypeError: If `t` is not floating-point.
        ValueError: If a hyperparameter is out of its range.

    Reference:
        Nichol and Dhariwal, Improved Denoising Diffusion Probabilistic Models (2021), section 3.2.

    Example:
        >>> import numpy as np
        >>> cosine_beta(np.asarray([1.0, 50.0, 100.0]), steps=100).round(4)
        array([6.00e-04, 3.06e-02, 9.99e-01])
    """
    check_float("t", t)
    check_between("largest", largest, 0, 1, closed="right")
    wide = widen(t)
    now = cosine_alpha_bar(wide, steps=steps, offset=offset)
    before = cosine_alpha_bar(wide - 1, steps=steps, offset=offset)
    xp = namespace(t)
    return xp.astype(xp.clip(1 - now / before, max=largest), t.dtype, copy=False)


def alpha_bar(beta: Array) -> Array:
    r"""Return the share of the data in the variance after each step.

    $$\bar\alpha_t = \prod_{s=1}^{t} (1 - \beta_s)$$

    Args:
        beta: Variances of the steps 1 … T in [0, 1], shape (..., T).

    Returns:
        An array like `beta`: $\bar\alpha_1$ … $\bar\alpha_T$.

    Raises:
        TypeError: If `beta` is not floating-point.

    Reference:
        Ho, Jain and Abbeel, Denoising Diffusion Probabilistic Models (2020), section 2.

    Example:
        >>> import numpy as np
        >>> alpha_bar(np.asarray([0.5, 0.5, 1.0]))
        array([0.5 , 0.25, 0.  ])
    """
    check_float("beta", beta)
    xp = namespace(beta)
    product, k = 1 - widen(beta), 1
    while k < beta.shape[-1]:  # product of the last k factors, then of 2k: no call breaks a graph
        product = xp.concat([product[..., :k], product[..., k:] * product[..., :-k]], axis=-1)
        k *= 2
    return xp.astype(product, beta.dtype, copy=False)
