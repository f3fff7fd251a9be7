"""Muon: the nearest orthogonal matrix to a momentum, by matrix products alone."""

import math
from typing import NamedTuple

from dlkb.arrays import (
    Array,
    as_numbers,
    check_between,
    check_count,
    check_float,
    check_same_shape,
    namespace,
    norm,
)

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of Jordan et al. (2024): chosen for a steep start, not for convergence to 1."""


class MuonState(NamedTuple):
    """What Muon remembers between steps.

    Attributes:
        m: Moving average of the gradient, in the shape of the parameters.
    """

    m: Array


def newton_schulz(
    x: Array,
    *,
    steps: int = 5,
    coefficients: tuple[float, float, float] = COEFFICIENTS,
    eps: float = 1e-7,
) -> Array:
    r"""Push the singular values of a matrix, but for 0, towards 1; singular vectors stay.

    $$\mathbf{X}_0 = \frac{\mathbf{X}}{\lVert\mathbf{X}\rVert_F + \epsilon},\qquad
    \mathbf{X}_{k+1} = a\,\mathbf{X}_k + b\,(\mathbf{X}_k\mathbf{X}_k^\top)\,\mathbf{X}_k
      + c\,(\mathbf{X}_k\mathbf{X}_k^\top)^2\,\mathbf{X}_k$$

    A singular value goes through the polynomial $a\sigma + b\sigma^3 + c\sigma^5$ each time.

    Args:
        x: Matrices (..., m, n), floating-point.
        steps: How many times, k ≥ 0.
        coefficients: (a, b, c). The defaults bring σ from 0.01 on into about [0.7, 1.1] in five
            steps; those of Newton and Schulz, (1.5, −0.5, 0), converge to 1, slowly for small σ.
        eps: ε ≥ 0, added to the Frobenius norm: a zero matrix stays zero.

    Returns:
        Matrices like `x`.

    Raises:
        TypeError: If `x` is not floating-point.
        ValueError: If `x` has fewer than two axes, or a number is out of its range.

    Note:
        Differs from torch.optim.Muon, which computes in bfloat16 whatever the dtype, and takes
        the larger of norm and ε.

    Reference:
        Jordan et al., Muon (2024).

    Example:
        >>> import numpy as np
        >>> x = np.asarray([[0.0, 3.0], [-1.0, 0.0]])
        >>> newton_schulz(x, steps=30, coefficients=(1.5, -0.5, 0.0)).round(3)
        array([[ 0.,  1.],
               [-1.,  0.]])
    """
    check_float("x", x)
    if x.ndim < 2:
        raise ValueError(f"x has shape {tuple(x.shape)}: matrices (..., m, n) are needed")
    check_count("steps", steps, 0)
    eps, a, b, c = as_numbers(eps, *coefficients)
    check_between("eps", eps, 0, math.inf, closed="left")
    xp = namespace(x)
    tall = x.shape[-2] > x.shape[-1]
    if tall:  # the products X Xᵀ are those of the shorter side
        x = xp.matrix_transpose(x)
    x = x / (_frobenius(x) + eps)
    for _ in range(steps):
        gram = x @ xp.matrix_transpose(x)
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    return xp.matrix_transpose(x) if tall else x


def muon_init(theta: Array) -> MuonState:
    r"""Return Muon's state before the first step.

    $$\mathbf{M}_0 = 0$$

    Args:
        theta: Matrices (..., m, n), floating-point.

    Returns:
        Zeros like `theta`.

    Raises:
        TypeError: If `theta` is not floating-point.

    Example:
        >>> import numpy as np
        >>> muon_init(np.ones((1, 2))).m
        array([[0., 0.]])
    """
    check_float("theta", theta)
    return MuonState(m=namespace(theta).zeros_like(theta))


def muon(
    theta: Array,
    grad: Array,
    state: MuonState,
    *,
    lr: float = 1e-3,
    weight_decay: float = 0.1,
    momentum: float = 0.95,
    nesterov: bool = True,
    steps: int = 5,
    coefficients: tuple[float, float, float] = COEFFICIENTS,
    eps: float = 1e-7,
) -> tuple[Array, MuonState]:
    r"""Take one step of Muon with matrices (m, n).

    $$\begin{aligned}
    \mathbf{M}_t &= \mu\,\mathbf{M}_{t-1} + (1-\mu)\,\mathbf{G}_t \\
    \mathbf{\Theta}_t &= (1-\eta\lambda)\,\mathbf{\Theta}_{t-1} - \eta\,\sqrt{\max(1, m/n)}\;
      \operatorname{NS}\bigl(\mu\,\mathbf{M}_t + (1-\mu)\,\mathbf{G}_t\bigr)
    \end{aligned}$$

    Without `nesterov` it is NS(Mₜ). NS is `newton_schulz`.

    Args:
        theta: Weights (..., m, n) of layers that map n entries to m, floating-point.
        grad: Gradient of the loss, in the shape and dtype of `theta`.
        state: From `muon_init`, or from the step before.
        lr: Learning rate η ≥ 0: times √max(1, m/n) about the singular values of a step.
        weight_decay: λ ≥ 0, decoupled: a step multiplies the parameters by 1 − ηλ.
        momentum: μ in [0, 1).
        nesterov: Whether the step looks ahead.
        steps: Of `newton_schulz`.
        coefficients: Of `newton_schulz`.
        eps: Of `newton_schulz`.

    Returns:
        The new parameters and the new state, in the dtypes of the old ones.

    Raises:
        TypeError: If `theta` or `grad` is not floating-point, or their dtypes differ.
        ValueError: If shapes differ or are no matrices, or a hyperparameter is out of its range.

    Note:
        Differs from Jordan's first version, whose momentum is a sum, not an average: up to ε the
        step is the same. The factor √max(1, m/n) is theirs and torch's default; Liu et al. (2025)
        take 0.2 √max(m, n).

    Reference:
        Jordan et al., Muon (2024).

    Example:
        >>> import numpy as np
        >>> theta, grad = np.zeros((2, 2)), np.asarray([[100.0, 0.0], [0.0, 1.0]])
        >>> options = {"coefficients": (1.5, -0.5, 0.0), "steps": 30}
        >>> muon(theta, grad, muon_init(theta), lr=0.1, **options)[0].round(4)
        array([[-0.1,  0. ],
               [ 0. , -0.1]])
    """
    check_float("theta", theta)
    check_float("grad", grad)
    check_same_shape("grad", grad, "theta", theta)
    check_same_shape("state.m", state.m, "theta", theta)
    if grad.dtype != theta.dtype:
        raise TypeError(f"grad has dtype {grad.dtype} but theta has {theta.dtype}: cast one")
    lr, weight_decay, momentum = as_numbers(lr, weight_decay, momentum)
    check_between("lr", lr, 0, math.inf, closed="left")
    check_between("weight_decay", weight_decay, 0, math.inf, closed="left")
    check_between("momentum", momentum, 0, 1, closed="left")
    if theta.ndim < 2:
        raise ValueError(f"theta has shape {tuple(theta.shape)}: matrices (..., m, n) are needed")
    m = momentum * state.m + (1 - momentum) * grad
    ahead = momentum * m + (1 - momentum) * grad if nesterov else m
    step = newton_schulz(ahead, steps=steps, coefficients=coefficients, eps=eps)
    rows, columns = theta.shape[-2:]
    step = max(1.0, rows / max(1, columns)) ** 0.5 * step
    new = (1 - lr * weight_decay) * theta - lr * step
    return namespace(theta).astype(new, theta.dtype, copy=False), MuonState(m)


def _frobenius(x: Array) -> Array:
    """Return the norms of matrices (..., m, n) as (..., 1, 1)."""
    xp = namespace(x)
    flat = xp.reshape(x, (*x.shape[:-2], x.shape[-2] * x.shape[-1]))
    return norm(flat, axis=-1, keepdims=True)[..., None]
