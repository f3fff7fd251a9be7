"""The best predictor of the data behind a noisy array, where the data's law is known."""

import math

from dlkb.arrays import Array, check_between, check_broadcasts, check_float, namespace, widen
from dlkb.losses.cross_entropy import softmax


def mixture_x0(x: Array, centres: Array, alpha_bar: Array, *, variance: float = 0.0) -> Array:
    r"""Return the best guess of the data, where the data is drawn around known centres.

    $$\mathbb{E}[x_0 \mid x] = \sum_i w_i\Bigl(c_i
    + \frac{\sqrt{\bar\alpha}\,\nu}{D}\,(x - \sqrt{\bar\alpha}\,c_i)\Bigr),\qquad
    w \propto \exp\Bigl(-\frac{\lVert x - \sqrt{\bar\alpha}\,c_i\rVert^2}{2D}\Bigr),\qquad
    D = \bar\alpha\,\nu + 1 - \bar\alpha$$

    One centre makes the data Gaussian. With no variance the data are the centres: a training set,
    of which this is the perfect predictor, and a copying machine.

    Args:
        x: Noisy arrays, shape (..., d).
        centres: cᵢ, equally likely, shape (n, d), n ≥ 1.
        alpha_bar: The share of the data in [0, 1), a number, or an array that broadcasts to `x`
            with one entry along its last axis.
        variance: ν ≥ 0, of each entry around its centre.

    Returns:
        An array like `x`.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If shapes do not fit, or a number is out of its range.

    Example:
        >>> import numpy as np
        >>> centres = np.asarray([[-1.0], [1.0]])
        >>> mixture_x0(np.asarray([[0.0], [0.4]]), centres, 0.5).round(3)
        array([[0.   ],
               [0.512]])
    """
    check_float("x", x)
    check_float("centres", centres)
    check_between("alpha_bar", alpha_bar, 0, 1, closed="left")
    check_between("variance", variance, 0, math.inf, closed="left")
    if centres.ndim != 2 or x.ndim < 1 or centres.shape[1] != x.shape[-1] or not centres.shape[0]:
        raise ValueError(
            f"centres has shape {tuple(centres.shape)}: (n, d), n ≥ 1, with d of x, of shape "
            f"{tuple(x.shape)}, is needed"
        )
    xp = namespace(x, centres)
    share = alpha_bar
    if hasattr(share, "shape"):
        check_float("alpha_bar", share)
        check_broadcasts("alpha_bar", share, "x", x[..., :1])
        share = widen(share)[..., None, :] if share.ndim > 0 else widen(share)
    signal, spread = share**0.5, share * variance + 1 - share
    gap = widen(x)[..., None, :] - signal * widen(centres)
    logits = -xp.sum(gap * gap / (2 * spread), axis=-1)
    guess = widen(centres) + signal * variance / spread * gap
    mean = xp.sum(softmax(logits)[..., None] * guess, axis=-2)
    return xp.astype(mean, x.dtype, copy=False)
