"""Losses of two parameters with their gradients, and the paths that rules take on them."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dlkb.arrays import Array, check_between
from dlkb.experiments.rules import Rule, Schedule, trajectory

Points = NDArray[np.float64]


class Landscape(NamedTuple):
    """A loss of two parameters.

    Attributes:
        loss: From points, shape (..., 2), to losses, shape (...).
        gradient: From points to gradients, shape (..., 2).
        minimum: A point where the loss is smallest.
    """

    loss: Callable[[Array], Array]
    gradient: Callable[[Array], Array]
    minimum: tuple[float, float]


class Path(NamedTuple):
    """Where a rule went.

    Attributes:
        points: Shape (steps + 1, ..., 2).
        loss: Shape (steps + 1, ...).
        grad_norm: Norm of the true gradient, shape (steps + 1, ...).
    """

    points: Points
    loss: Points
    grad_norm: Points


def bowl(*, condition: float = 10.0, angle: float = 0.0) -> Landscape:
    r"""Return a quadratic with curvatures 1 and κ.

    $$L(\boldsymbol\theta) = \tfrac12\boldsymbol\theta^\top\mathbf{Q}
      \operatorname{diag}(1, \kappa)\,\mathbf{Q}^\top\boldsymbol\theta$$

    With κ = 100 it is a ravine; turned, no coordinate lies along it.

    Args:
        condition: κ > 0, the curvature of the second direction.
        angle: By how much **Q** turns the two directions to the left, in radians.

    Returns:
        The landscape.

    Raises:
        ValueError: If `condition` is not positive.

    Example:
        >>> import numpy as np
        >>> bowl(condition=10.0).gradient(np.asarray([1.0, 1.0]))
        array([ 1., 10.])
    """
    check_between("condition", condition, 0, math.inf, closed="neither")
    c, s = math.cos(angle), math.sin(angle)
    xx, xy, yy = c**2 + condition * s**2, (1 - condition) * c * s, s**2 + condition * c**2
    H = np.asarray([[xx, xy], [xy, yy]])
    return Landscape(lambda p: ((p @ H) * p).sum(-1) / 2, lambda p: p @ H, (0.0, 0.0))


def rosenbrock(*, steepness: float = 100.0) -> Landscape:
    r"""Return Rosenbrock's curved valley.

    $$L(x, y) = (1 - x)^2 + b\,(y - x^2)^2$$

    Args:
        steepness: b > 0.

    Returns:
        The landscape, whose minimum is (1, 1).

    Raises:
        ValueError: If `steepness` is not positive.

    Example:
        >>> import numpy as np
        >>> rosenbrock().loss(np.asarray([[1.0, 1.0], [-1.0, 1.0]]))
        array([0., 4.])
    """
    check_between("steepness", steepness, 0, math.inf, closed="neither")

    def loss(p: Array) -> Array:
        x, y = p[..., 0], p[..., 1]
        return (1 - x) ** 2 + steepness * (y - x**2) ** 2

    def gradient(p: Array) -> Array:
        x, y = p[..., 0], p[..., 1]
        above = 2 * steepness * (y - x**2)
        return np.stack([2 * (x - 1) - 2 * x * above, above], axis=-1)

    return Landscape(loss, gradient, (1.0, 1.0))


def saddle() -> Landscape:
    r"""Return a loss with a saddle at the origin between two minima.

    $$L(x, y) = \tfrac12 x^2 - \tfrac12 y^2 + \tfrac14 y^4$$

    Returns:
        The landscape, whose minima are (0, 1) and (0, −1).

    Example:
        >>> import numpy as np
        >>> saddle().gradient(np.asarray([[0.0, 0.0], [0.0, 1.0], [1.0, 0.5]]))
        array([[ 0.   ,  0.   ],
               [ 0.   ,  0.   ],
               [ 1.   , -0.375]])
    """

    def loss(p: Array) -> Array:
        x, y = p[..., 0], p[..., 1]
        return x**2 / 2 - y**2 / 2 + y**4 / 4

    def gradient(p: Array) -> Array:
        x, y = p[..., 0], p[..., 1]
        return np.stack([x, y**3 - y], axis=-1)

    return Landscape(loss, gradient, (0.0, 1.0))


def descend(
    landscape: Landscape,
    start: Any,
    *,
    rule: Rule | Schedule,
    steps: int,
    noise: float = 0.0,
    seed: int = 0,
) -> Path:
    """Follow a rule from one start or many.

    Args:
        landscape: The loss.
        start: Points, shape (..., 2), an array or nested sequences.
        rule: A rule, or a function from the number of the step to a rule.
        steps: Number of steps ≥ 0.
        noise: Standard deviation of normal noise that is added to every gradient, ≥ 0.
        seed: Decides the noise.

    Returns:
        The path, the start included.

    Raises:
        ValueError: If the last axis of `start` has not two entries, or `noise` or `steps` is
            negative.

    Example:
        >>> from dlkb.experiments.rules import sgd_rule
        >>> rule = sgd_rule(lr=0.1)
        >>> descend(bowl(), (1.0, 1.0), rule=rule, steps=2).points.round(2)
        array([[1.  , 1.  ],
               [0.9 , 0.  ],
               [0.81, 0.  ]])
    """
    start = np.asarray(start, dtype=np.float64)
    if start.shape[-1:] != (2,):
        raise ValueError(f"start has shape {start.shape}: its last axis must have 2 entries")
    check_between("noise", noise, 0, math.inf, closed="left")
    rng = np.random.default_rng(seed)

    def gradient(p: Points, t: int) -> Points:
        return landscape.gradient(p) + noise * rng.normal(size=p.shape)

    points = trajectory(start, gradient, rule=rule, steps=steps)
    norm = np.linalg.norm(landscape.gradient(points), axis=-1)
    return Path(points, landscape.loss(points), norm)
