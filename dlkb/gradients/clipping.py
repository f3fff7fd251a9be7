r"""Gradient clipping: by the norm of all gradients, by that of each, by value, and how not to."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from dlkb.arrays import Array, check_between, check_float, check_same_shape, namespace, norm


class Clipped(NamedTuple):
    """Gradients after clipping, and their norm before.

    Attributes:
        grads: Arrays like those that came in, in their order.
        norm: A 0-d array. Log it: the clipped gradients do not show how large a spike was.
    """

    grads: tuple[Array, ...]
    norm: Array


def _check_list(name: str, arrays: Sequence[Array]) -> None:
    if hasattr(arrays, "shape"):  # else its rows would count as arrays
        raise TypeError(f"{name} is one array: a list of arrays is needed, pass [{name}]")


def global_norm(grads: Sequence[Array], *, norm_type: float = 2.0) -> Array:
    r"""Return the norm of several arrays as if they were one long vector.

    $$\lVert\mathbf{g}\rVert_p = \left(\sum_k \lVert\mathbf{g}_k\rVert_p^p\right)^{1/p}$$

    Args:
        grads: At least one array, any shapes.
        norm_type: p > 0, may be `math.inf`.

    Returns:
        A 0-d array. Infinite or NaN if an entry is; infinite if the sum of powers overflows: for
        p = 2 a norm above 1.8e19 in float32.

    Raises:
        TypeError: If an array is not floating-point, or stands alone, not in a list.
        ValueError: If there is no array, or `norm_type` is not positive.

    Note:
        Differs from torch, which also takes p ≤ 0. With p = 0 it counts nonzero arrays, not
        entries.

    Example:
        >>> import numpy as np
        >>> float(global_norm([np.asarray([3.0, 0.0]), np.asarray([[4.0]])]))
        5.0
    """
    check_between("norm_type", norm_type, 0, math.inf, closed="right")
    _check_list("grads", grads)
    if not grads:
        raise ValueError("grads is empty: at least one array is needed")
    for k, grad in enumerate(grads):
        check_float(f"grads[{k}]", grad)
    xp = namespace(*grads)
    norms = [
        # The sum of no entries is 0; the maximum norm of none is an error in torch.
        xp.linalg.vector_norm(grad, ord=norm_type) if 0 not in grad.shape else xp.sum(grad)
        for grad in grads
    ]
    return xp.linalg.vector_norm(xp.stack(norms), ord=norm_type)


def clip_factor(norm: Array, *, max_norm: float, eps: float = 1e-6) -> Array:
    r"""Return the factor that brings a norm down to a threshold, and never up to it.

    $$c = \min\Bigl(1,\ \frac{t}{\lVert\mathbf{g}\rVert + \epsilon}\Bigr)$$

    Args:
        norm: Norms ≥ 0, any shape.
        max_norm: Threshold t ≥ 0; `math.inf` clips no finite norm.
        eps: ε ≥ 0, against division by 0. The clipped norm falls short of t by less than it.

    Returns:
        An array like `norm`, in [0, 1]: 0 for an infinite norm, NaN for NaN, and where norm and
        threshold are both infinite, or both 0 and ε, too.

    Raises:
        TypeError: If `norm` is not floating-point.
        ValueError: If `max_norm` or `eps` is negative.

    Note:
        Differs from the paper, Keras and optax, which have no ε. It is torch's.

    Reference:
        Pascanu, Mikolov and Bengio, On the difficulty of training recurrent neural networks
        (2013), Algorithm 1.

    Example:
        >>> import numpy as np
        >>> clip_factor(np.asarray([0.0, 0.5, 2.0, np.inf]), max_norm=1.0).round(3)
        array([1. , 1. , 0.5, 0. ])
    """
    check_float("norm", norm)
    check_between("max_norm", max_norm, 0, math.inf)
    check_between("eps", eps, 0, math.inf)
    return namespace(norm).clip(max_norm / (norm + eps), max=1.0)


def clip_by_global_norm(
    grads: Sequence[Array], *, max_norm: float, norm_type: float = 2.0, eps: float = 1e-6
) -> Clipped:
    r"""Scale all gradients by one factor, so that their joint norm is at most a threshold.

    $$\mathbf{g}_k \leftarrow c\,\mathbf{g}_k, \qquad
      c = \min\Bigl(1,\ \frac{t}{\lVert\mathbf{g}\rVert_p + \epsilon}\Bigr)$$

    The direction of the long vector stays; a NaN anywhere makes all entries NaN, an infinity
    makes all finite entries 0, or NaN where `max_norm` is infinite.

    Args:
        grads: At least one array, any shapes.
        max_norm: Threshold t ≥ 0.
        norm_type: p > 0, may be `math.inf`.
        eps: ε ≥ 0.

    Returns:
        The gradients in their dtypes, and the norm before clipping.

    Raises:
        TypeError: If an array is not floating-point, or stands alone, not in a list.
        ValueError: If there is no array, or a hyperparameter is out of its range.

    Reference:
        Pascanu, Mikolov and Bengio, On the difficulty of training recurrent neural networks
        (2013), Algorithm 1.

    Example:
        >>> import numpy as np
        >>> grads = [np.asarray([3.0, 0.0])]
        >>> grads, norm = clip_by_global_norm(grads, max_norm=1.0)
        >>> grads[0].round(3), norm.round(3)
        (array([1., 0.]), np.float64(3.0))
    """
    norm = global_norm(grads, norm_type=norm_type)
    factor = clip_factor(norm, max_norm=max_norm, eps=eps)
    xp = namespace(norm)
    return Clipped(tuple(grad * xp.astype(factor, grad.dtype) for grad in grads), norm)


def clip_each_by_norm(
    grads: Sequence[Array], *, max_norm: float, norm_type: float = 2.0, eps: float = 1e-6
) -> tuple[Array, ...]:
    r"""Scale each gradient by a factor of its own, so that no norm exceeds a threshold.

    $$\mathbf{g}_k \leftarrow
      \min\Bigl(1,\ \frac{t}{\lVert\mathbf{g}_k\rVert_p + \epsilon}\Bigr)\,\mathbf{g}_k$$

    A spike in one parameter leaves the others alone, but the ratio between parameters, hence the
    direction of the step, changes. The joint norm of K arrays can reach $\sqrt{K}\,t$ (p = 2).

    Args:
        grads: Arrays of any shapes, one or more.
        max_norm: Threshold t ≥ 0 of each.
        norm_type: p > 0, may be `math.inf`.
        eps: ε ≥ 0.

    Returns:
        The gradients in their dtypes.

    Raises:
        TypeError: If an array is not floating-point, or stands alone, not in a list.
        ValueError: If a hyperparameter is out of its range.

    Note:
        Differs from Keras's `clipnorm`, which is this rule, only in ε.

    Example:
        >>> import numpy as np
        >>> grads = [np.asarray([3.0, 4.0]), np.asarray([0.1])]
        >>> [grad.round(3) for grad in clip_each_by_norm(grads, max_norm=1.0)]
        [array([0.6, 0.8]), array([0.1])]
    """
    _check_list("grads", grads)
    for k, grad in enumerate(grads):
        check_float(f"grads[{k}]", grad)
    return tuple(
        clip_by_global_norm((grad,), max_norm=max_norm, norm_type=norm_type, eps=eps).grads[0]
        for grad in grads
    )


def clip_by_value(grad: Array, *, clip_value: float) -> Array:
    r"""Limit each entry to an interval around 0.

    $$g_i \leftarrow \max(-t,\ \min(t,\ g_i))$$

    Args:
        grad: Any shape.
        clip_value: t ≥ 0.

    Returns:
        An array like `grad`; infinities become ±t, NaN stays.

    Raises:
        TypeError: If `grad` is not floating-point.
        ValueError: If `clip_value` is negative.

    Note:
        Changes the direction: the cosine to the gradient can fall to nearly $1/\sqrt{n}$ for n
        entries, but never below. Differs from `clip_by_global_norm(norm_type=math.inf)`, which
        keeps the direction.

    Example:
        >>> import numpy as np
        >>> clip_by_value(np.asarray([0.5, -3.0, np.inf]), clip_value=1.0)
        array([ 0.5, -1. ,  1. ])
    """
    check_float("grad", grad)
    check_between("clip_value", clip_value, 0, math.inf)
    xp = namespace(grad)
    # where, not clip: NaN stays NaN without a second look, and a compiler makes one loop of it.
    return xp.where(grad > clip_value, clip_value, xp.where(grad < -clip_value, -clip_value, grad))


def clip_by_value_vjp(grad: Array, cotangent: Array, *, clip_value: float) -> Array:
    r"""Return the gradient of `clip_by_value`, which is also that of hard tanh.

    $$\frac{\partial L}{\partial g_i} = \begin{cases} c_i & -t \le g_i \le t \\ 0 &
      \lvert g_i\rvert > t \end{cases}$$

    Args:
        grad: As for `clip_by_value`.
        cotangent: c, the gradient of the output, in the shape of `grad`.
        clip_value: t ≥ 0.

    Returns:
        An array like `cotangent`. At the two kinks |g| = t, where the derivative jumps, it is c;
        where g is NaN, too, which `clip_by_value` passes on.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If `clip_value` is negative, or the shapes differ.

    Note:
        Differs from `torch.nn.functional.hardtanh`, whose gradient at the kinks is 0.

    Example:
        >>> import numpy as np
        >>> g = np.asarray([0.5, -3.0, 1.0])
        >>> clip_by_value_vjp(g, np.ones(3), clip_value=1.0)
        array([1., 0., 1.])
    """
    check_float("grad", grad)
    check_float("cotangent", cotangent)
    check_same_shape("cotangent", cotangent, "grad", grad)
    check_between("clip_value", clip_value, 0, math.inf)
    xp = namespace(grad, cotangent)
    beyond = (grad > clip_value) | (grad < -clip_value)
    return xp.where(beyond, xp.zeros_like(cotangent), cotangent)


def shrink_when_large(grad: Array, *, threshold: float, factor: float) -> Array:
    r"""Multiply a gradient by a constant if it is too long: the notes' rule. Not for use.

    $$\mathbf{g} \leftarrow \begin{cases} \varepsilon\,\mathbf{g} & \lVert\mathbf{g}\rVert > t \\
      \mathbf{g} & \lVert\mathbf{g}\rVert \le t \end{cases}$$

    For ε > 0 the result is unbounded. At the threshold its length jumps from t to εt.

    Args:
        grad: Any shape, at least one axis.
        threshold: t ≥ 0.
        factor: ε ≥ 0.

    Returns:
        An array like `grad`.

    Raises:
        TypeError: If `grad` is not floating-point.
        ValueError: If `threshold` or `factor` is negative.

    Example:
        >>> import numpy as np
        >>> shrink_when_large(np.asarray([0.0, 300.0]), threshold=1.0, factor=0.01)
        array([0., 3.])
    """
    check_float("grad", grad)
    check_between("threshold", threshold, 0, math.inf)
    check_between("factor", factor, 0, math.inf)
    xp = namespace(grad)
    return xp.where(xp.linalg.vector_norm(grad) > threshold, factor * grad, grad)


def cosine(a: Sequence[Array], b: Sequence[Array]) -> Array:
    r"""Return the cosine between two lists of arrays, each read as one long vector.

    $$\cos(\mathbf{a},\mathbf{b}) = \sum_k \frac{\langle\mathbf{a}_k,\mathbf{b}_k\rangle}
      {\lVert\mathbf{a}\rVert\,\lVert\mathbf{b}\rVert}$$

    Args:
        a: Arrays, not all zero.
        b: Arrays of the same shapes, not all zero.

    Returns:
        A 0-d array in [−1, 1], up to rounding.

    Raises:
        TypeError: If an array is not floating-point, or stands alone, not in a list.
        ValueError: If the lists are empty or differ in length, or two arrays in shape.

    Example:
        >>> import numpy as np
        >>> a, b = [np.asarray([3.0, 4.0])], [np.asarray([1.0, 1.0])]
        >>> float(cosine(a, b).round(3))
        0.99
    """
    _check_list("a", a)
    _check_list("b", b)
    if len(a) != len(b):
        raise ValueError(f"a has {len(a)} arrays but b has {len(b)}: they must be equal")
    for k, (x, y) in enumerate(zip(a, b, strict=True)):
        check_float(f"a[{k}]", x)
        check_float(f"b[{k}]", y)
        check_same_shape(f"a[{k}]", x, f"b[{k}]", y)
    if not a:
        raise ValueError("a is empty: at least one array is needed")
    xp = namespace(*a, *b)
    norm_a, norm_b = (norm(xp.stack([norm(x) for x in arrays])) for arrays in (a, b))
    # Each factor is scaled first: the product of the lengths would overflow.
    terms = [xp.sum((x / norm_a) * (y / norm_b)) for x, y in zip(a, b, strict=True)]
    return xp.sum(xp.stack(terms))


def adam_recovery_steps(spike: Array, *, beta2: float = 0.999, fraction: float = 0.5) -> Array:
    r"""Return for how many steps one large gradient keeps Adam's steps small.

    $$n = \frac{1}{-\ln\beta_2}\,\ln\frac{(1-\beta_2)(K^2-1)}{\varphi^{-2}-1}$$

    After gradients of size 1 comes one of size K, then 1 again. From then on
    $v = 1 + (1-\beta_2)(K^2-1)\beta_2^n$, and the step is $\eta/\sqrt{v}$ once the first moment has
    forgotten the spike, which takes a few times 1/(1−β₁) steps.

    Args:
        spike: K > 1, size of the spike in units of the usual gradient, any shape.
        beta2: β₂ in (0, 1).
        fraction: φ in (0, 1), the part of the usual step that counts as recovered.

    Returns:
        Steps, like `spike`. Negative if the step does not fall to the part φ.

    Raises:
        TypeError: If `spike` is not floating-point.
        ValueError: If `beta2` or `fraction` is outside (0, 1).

    Reference:
        Derived and checked on the page.

    Example:
        >>> import numpy as np
        >>> adam_recovery_steps(np.asarray([10.0, 100.0, 1000.0])).round()
        array([-3410.,  1203.,  5806.])
    """
    check_float("spike", spike)
    check_between("beta2", beta2, 0, 1, closed="neither")
    check_between("fraction", fraction, 0, 1, closed="neither")
    xp = namespace(spike)
    # (K − 1)(K + 1), since K² overflows first in half precision.
    excess = xp.log(spike - 1) + xp.log(spike + 1)
    scale = math.log((1 - beta2) / (fraction**-2 - 1))
    return (excess + scale) / -math.log(beta2)
