r"""Diffusion models: how noise is added, what a noisy array is made of, and the step back.

Steps are counted t = 1 … T from the data on. $\bar\alpha_t$ is the share of the data in the
variance of $x_t$; $\bar\alpha_0 = 1$.
"""

from typing import Literal, NamedTuple

from dlkb.arrays import (
    Array,
    as_numbers,
    check_between,
    check_broadcasts,
    check_float,
    check_same_shape,
    namespace,
    widen,
)

Form = Literal["noise", "x0", "velocity"]
"""What a network predicts."""


def _wide(x: Array, *others: tuple[str, Array]) -> tuple[Array, ...]:
    """Check arrays that must have the shape of `x`; return all in the format to compute in."""
    check_float("x", x)
    for name, other in others:
        check_float(name, other)
        check_same_shape(name, other, "x", x)
    return tuple(widen(array) for array in (x, *(other for _, other in others)))


def _share(name: str, share: Array, x: Array, closed: str = "both", *, above: Array = 0) -> Array:
    """Check a share of the data, a number or an array, and return it in the format of `_wide`."""
    low = above if isinstance(above, (int, float)) else 0
    check_between(name, share, low, 1, closed=closed)
    if isinstance(share, (int, float)):
        return share
    check_float(name, share)
    check_broadcasts(name, share, "x", x)
    return widen(share)


def diffuse(x: Array, noise: Array, alpha_bar: Array) -> Array:
    r"""Add the noise of all steps at once.

    $$x_t = \sqrt{\bar\alpha_t}\,x_0 + \sqrt{1 - \bar\alpha_t}\,\epsilon$$

    With $1 - \beta_t$ in the place of $\bar\alpha_t$ and $x_{t-1}$ in that of $x_0$ it is one step.

    Args:
        x: Data x₀, any shape, scaled to a variance near 1.
        noise: ε from N(0, 1), in the shape of `x`.
        alpha_bar: The share of the data in [0, 1], a number, or an array that broadcasts to `x`.

    Returns:
        An array like `x`.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If shapes do not fit, or a number is out of its range.

    Reference:
        Ho, Jain and Abbeel, Denoising Diffusion Probabilistic Models (2020), eq. 4.

    Example:
        >>> import numpy as np
        >>> diffuse(np.asarray([2.0]), np.asarray([1.0]), 0.64)
        array([2.2])
    """
    x0, epsilon = _wide(x, ("noise", noise))
    share = _share("alpha_bar", alpha_bar, x)
    y = share**0.5 * x0 + (1 - share) ** 0.5 * epsilon
    return namespace(x).astype(y, x.dtype, copy=False)


class Parts(NamedTuple):
    """What a noisy array is made of, in the three forms that a network may predict.

    Attributes:
        x0: The data.
        noise: The noise ε.
        velocity: √ᾱ ε − √(1 − ᾱ) x₀.
    """

    x0: Array
    noise: Array
    velocity: Array


def parts(
    x: Array,
    output: Array,
    alpha_bar: Array,
    *,
    predicts: Form = "noise",
) -> Parts:
    r"""Turn what a network predicts into data, noise and velocity.

    $$v = \sqrt{\bar\alpha}\,\epsilon - \sqrt{1-\bar\alpha}\,x_0,\qquad
    x_0 = \sqrt{\bar\alpha}\,x - \sqrt{1-\bar\alpha}\,v,\qquad
    \epsilon = \sqrt{1-\bar\alpha}\,x + \sqrt{\bar\alpha}\,v$$

    Args:
        x: The noisy array, any shape.
        output: What the network made of it, in the same shape.
        alpha_bar: The share of the data, as in `diffuse`; in (0, 1] where noise is predicted, and
            in [0, 1) where the data is.
        predicts: What `output` is.

    Returns:
        All three, each like `x`, that together give `x` back.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If shapes do not fit, a number is out of its range, or `predicts` is unknown.

    Reference:
        Salimans and Ho, Progressive Distillation (2022), appendix D.

    Example:
        >>> import numpy as np
        >>> x = diffuse(np.asarray([2.0]), np.asarray([1.0]), 0.64)
        >>> found = parts(x, np.asarray([1.0]), 0.64, predicts="noise")
        >>> found.x0.round(6), found.velocity.round(6)
        (array([2.]), array([-0.4]))
    """
    wide, out = _wide(x, ("output", output))
    closed = {"noise": "right", "x0": "left"}.get(predicts, "both")
    share = _share("alpha_bar", alpha_bar, x, closed)
    signal, spread = share**0.5, (1 - share) ** 0.5
    if predicts == "noise":
        noise = out
        x0 = (wide - spread * noise) / signal
        velocity = signal * noise - spread * x0
    elif predicts == "x0":
        x0 = out
        noise = (wide - signal * x0) / spread
        velocity = signal * noise - spread * x0
    elif predicts == "velocity":
        velocity = out
        x0 = signal * wide - spread * velocity
        noise = spread * wide + signal * velocity
    else:
        raise ValueError(f'predicts is {predicts!r}: it must be "noise", "x0" or "velocity"')
    xp = namespace(x)
    return Parts(*(xp.astype(part, x.dtype, copy=False) for part in (x0, noise, velocity)))


class Gaussian(NamedTuple):
    """A normal distribution.

    Attributes:
        mean: Its mean.
        variance: Its variance, in each entry.
    """

    mean: Array
    variance: Array


def posterior(x: Array, x0: Array, alpha_bar: Array, previous: Array) -> Gaussian:
    r"""Return the distribution of the earlier state, given the noisy one and the data.

    $$\tilde\mu = \frac{\sqrt{\bar\alpha_{t-1}}\,\beta_t}{1-\bar\alpha_t}\,x_0
    + \frac{\sqrt{\alpha_t}\,(1-\bar\alpha_{t-1})}{1-\bar\alpha_t}\,x_t,\qquad
    \tilde\beta_t = \frac{1-\bar\alpha_{t-1}}{1-\bar\alpha_t}\,\beta_t$$

    Here $\alpha_t = \bar\alpha_t/\bar\alpha_{t-1}$ and $\beta_t = 1 - \alpha_t$, also where steps
    are left out.

    Args:
        x: The noisy array $x_t$, any shape.
        x0: The data, in the same shape.
        alpha_bar: $\bar\alpha_t$ in [0, 1), a number, or an array that broadcasts to `x`.
        previous: $\bar\alpha_{t-1}$, or that of the earlier state one goes to, > $\bar\alpha_t$.

    Returns:
        Mean, like `x`, and variance: a number for shares that are numbers, else in the shape of
        the shares and the dtype of `x`.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If shapes do not fit, or a number is out of its range.

    Reference:
        Ho, Jain and Abbeel, Denoising Diffusion Probabilistic Models (2020), eq. 7.

    Example:
        >>> import numpy as np
        >>> x, x0 = np.asarray([3.0]), np.asarray([1.0])
        >>> posterior(x, x0, 0.25, 1.0)  # the last step leads to the data
        Gaussian(mean=array([1.]), variance=0.0)
    """
    state, data = _wide(x, ("x0", x0))
    share = _share("alpha_bar", alpha_bar, x, "left")
    before = _share("previous", previous, x, "right", above=alpha_bar)
    alpha = share / before
    beta = 1 - alpha
    of_data = before**0.5 * beta / (1 - share)
    of_state = alpha**0.5 * (1 - before) / (1 - share)
    mean = of_data * data + of_state * state
    variance = (1 - before) / (1 - share) * beta
    xp = namespace(x)
    if hasattr(variance, "shape"):
        variance = xp.astype(variance, x.dtype, copy=False)
    return Gaussian(xp.astype(mean, x.dtype, copy=False), variance)


def ddpm_step(
    x: Array,
    noise: Array,
    z: Array,
    alpha_bar: Array,
    previous: Array,
    *,
    variance: Literal["posterior", "beta"] = "posterior",
) -> Array:
    r"""Go one step back towards the data, with fresh noise.

    $$x_{t-1} = \frac{1}{\sqrt{\alpha_t}}\Bigl(x_t
    - \frac{\beta_t}{\sqrt{1-\bar\alpha_t}}\,\epsilon\Bigr) + \sigma_t z$$

    The mean is that of `posterior` for the data that the predicted noise leaves.

    Args:
        x: The state $x_t$, any shape.
        noise: The predicted noise ε of all steps so far, not of step t alone; in the same shape.
        z: Fresh noise from N(0, 1), in the same shape. The step to the data ignores it.
        alpha_bar: $\bar\alpha_t$ in (0, 1), a number, or an array that broadcasts to `x`.
        previous: $\bar\alpha_{t-1}$, or that of the earlier state one goes to, > $\bar\alpha_t$.
        variance: $\sigma_t^2$ is "posterior", $\tilde\beta_t$, or "beta", $\beta_t$.

    Returns:
        An array like `x`.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If shapes do not fit, a number is out of its range, or `variance` is unknown.

    Reference:
        Ho, Jain and Abbeel, Denoising Diffusion Probabilistic Models (2020), Algorithm 2.

    Example:
        >>> import numpy as np
        >>> x = diffuse(np.asarray([2.0]), np.asarray([1.0]), 0.64)
        >>> ddpm_step(x, np.asarray([1.0]), np.asarray([5.0]), 0.64, 1.0).round(6)
        array([2.])
    """
    if variance not in ("posterior", "beta"):
        raise ValueError(f'variance is {variance!r}: it must be "posterior" or "beta"')
    state, epsilon, fresh = _wide(x, ("noise", noise), ("z", z))
    share = _share("alpha_bar", alpha_bar, x, "neither")
    before = _share("previous", previous, x, "right", above=alpha_bar)
    alpha = share / before
    beta = 1 - alpha
    mean = (state - beta / (1 - share) ** 0.5 * epsilon) / alpha**0.5
    own = (1 - before) / (1 - share) * beta
    if variance == "beta":  # none in the step to the data, where ᾱ before is 1
        if isinstance(before, (int, float)):
            own = beta * float(before < 1)
        else:
            own = namespace(x).where(before < 1, beta, 0 * beta)
    return namespace(x).astype(mean + own**0.5 * fresh, x.dtype, copy=False)


def ddim_step(
    x: Array, noise: Array, z: Array, alpha_bar: Array, previous: Array, *, eta: float = 0.0
) -> Array:
    r"""Go back towards the data by the predicted noise, with as little fresh noise as wanted.

    $$x_{t-1} = \sqrt{\bar\alpha_{t-1}}\,\hat x_0
    + \sqrt{1 - \bar\alpha_{t-1} - \sigma^2}\,\epsilon + \sigma z,\qquad
    \sigma = \eta\,\sqrt{\tilde\beta_t}$$

    Args:
        x: The state $x_t$, any shape.
        noise: The predicted noise ε, in the same shape.
        z: Fresh noise from N(0, 1), in the same shape; without effect at η = 0.
        alpha_bar: $\bar\alpha_t$ in (0, 1), a number, or an array that broadcasts to `x`. At 0 the
            step for η = 0 is `diffuse` of the predicted data and noise, with `previous`.
        previous: $\bar\alpha$ of any earlier state, > $\bar\alpha_t$; at η = 0 also of a later one,
            > 0, which inverts the step for the same ε.
        eta: η in [0, 1]. At 0 the step is deterministic, at 1 it is `ddpm_step`.

    Returns:
        An array like `x`.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If shapes do not fit, or a number is out of its range.

    Reference:
        Song, Meng and Ermon, Denoising Diffusion Implicit Models (2021), eq. 12 and 16.

    Example:
        >>> import numpy as np
        >>> x0, noise = np.asarray([2.0]), np.asarray([1.0])
        >>> x = diffuse(x0, noise, 0.64)
        >>> ddim_step(x, noise, noise, 0.64, 0.81).round(4)
        array([2.2359])
        >>> diffuse(x0, noise, 0.81).round(4)
        array([2.2359])
    """
    check_between("eta", eta, 0, 1)
    state, epsilon, fresh = _wide(x, ("noise", noise), ("z", z))
    # At ᾱ = 0 noise does not tell the data: `diffuse` of predicted data and noise is the step.
    share = _share("alpha_bar", alpha_bar, x, "neither")
    noisy = isinstance(eta, (int, float)) and eta > 0  # at 0 the way to more noise is open, too
    before = _share("previous", previous, x, "right", above=alpha_bar if noisy else 0)
    x0 = (state - (1 - share) ** 0.5 * epsilon) / share**0.5
    variance = eta**2 * (1 - before) / (1 - share) * (1 - share / before)
    direction = (1 - before - variance) ** 0.5 * epsilon
    y = before**0.5 * x0 + direction + variance**0.5 * fresh
    return namespace(x).astype(y, x.dtype, copy=False)


def guide(conditional: Array, unconditional: Array, *, scale: float) -> Array:
    r"""Push a prediction away from what would be predicted without the condition.

    $$\hat\epsilon = \epsilon_\varnothing + s\,(\epsilon_c - \epsilon_\varnothing)$$

    Args:
        conditional: What is predicted under the condition, any shape: noise, data or velocity.
        unconditional: What is predicted without, in the same shape.
        scale: s. At 1 there is no guidance, at 0 no condition.

    Returns:
        An array like `conditional`.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes differ.

    Note:
        Differs from Ho and Salimans (2022), eq. 6, whose w is s − 1.

    Example:
        >>> import numpy as np
        >>> guide(np.asarray([1.0]), np.asarray([0.5]), scale=3.0)
        array([2.])
    """
    check_float("conditional", conditional)
    check_float("unconditional", unconditional)
    check_same_shape("unconditional", unconditional, "conditional", conditional)
    (scale,) = as_numbers(scale)
    return unconditional + scale * (conditional - unconditional)
