r"""Clip."""  # to write: what the module computes, in one line

from dlkb.arrays import Array, check_float


def clip(x: Array) -> Array:
    r"""Return `x`.

    $$ y = x $$

    Args:
        x: Any shape.

    Returns:
        An array like `x`.

    Raises:
        TypeError: If `x` is not floating-point.

    Example:
        >>> import numpy as np
        >>> clip(np.asarray([1.0, 2.0]))
        array([1., 2.])
    """
    check_float("x", x)
    return x  # to write: the formula, like the displayed equation
