r"""Symmetric matrices: Rayleigh quotient, spectral theorem, projectors, growth of powers.

No formula here calls `eigh`. That routine reads one triangle of its argument, in JAX the symmetric
part, and never says that the other one differs; eigenpairs come in as arguments and
`spectral_residuals` judges them.
"""

import math
from typing import NamedTuple

from dlkb.arrays import (
    Array,
    check_array,
    check_between,
    check_count,
    check_float,
    check_same_shape,
    device,
    namespace,
    norm,
    widen,
)


def _check_square(name: str, W: Array) -> None:
    check_float(name, W)
    if W.ndim < 2 or W.shape[-2] != W.shape[-1]:
        raise ValueError(
            f"{name} has shape {tuple(W.shape)}: square matrices (..., n, n) are needed; "
            "for a rectangular one use its singular values, or the symmetric W^T W"
        )


def _check_eigenpairs(eigenvalues: Array, eigenvectors: Array) -> None:
    _check_square("eigenvectors", eigenvectors)
    check_float("eigenvalues", eigenvalues)
    if tuple(eigenvalues.shape) != tuple(eigenvectors.shape[:-1]):
        raise ValueError(
            f"eigenvalues has shape {tuple(eigenvalues.shape)} but eigenvectors has shape "
            f"{tuple(eigenvectors.shape)}: one eigenvalue for each column is needed"
        )


def _frobenius(W: Array) -> Array:
    return norm(namespace(W).reshape(W, (*W.shape[:-2], W.shape[-2] * W.shape[-1])), axis=-1)


def symmetric_part(W: Array) -> Array:
    r"""Return the symmetric matrix nearest to `W`.

    $$\operatorname{sym}(\mathbf{W}) = \tfrac12(\mathbf{W} + \mathbf{W}^\top)$$

    It alone enters a quadratic form:
    $\mathbf{v}^\top\mathbf{W}\mathbf{v} = \mathbf{v}^\top\operatorname{sym}(\mathbf{W})\mathbf{v}$.

    Args:
        W: Square matrices, shape (..., n, n).

    Returns:
        An array like `W`, equal to its own transpose.

    Raises:
        ValueError: If `W` is not square.
        TypeError: If `W` is not floating-point.

    Note: Differs from `eigh` of NumPy and torch, which replace one triangle by the mirror image
        of the other; `jax.numpy.linalg.eigh` takes this symmetric part first.

    Example:
        >>> import numpy as np
        >>> symmetric_part(np.asarray([[1.0, 4.0], [0.0, 1.0]]))
        array([[1., 2.],
               [2., 1.]])
    """
    _check_square("W", W)
    xp = namespace(W)
    W_t = xp.matrix_transpose(W)
    # The sum of large entries would overflow, from 32,768 on in float16; small ones are not halved
    # first, since subnormal numbers would be rounded.
    large = (xp.abs(W) > 1) | (xp.abs(W_t) > 1)
    unit = xp.where(large, xp.full_like(W, 0.5), xp.ones_like(W))
    return (unit * W + unit * W_t) / (2 * unit)


def asymmetry(W: Array) -> Array:
    r"""Return the distance of `W` from the symmetric matrices.

    $$\min_{\mathbf{S}=\mathbf{S}^\top}\lVert\mathbf{W}-\mathbf{S}\rVert_F
      = \tfrac12\lVert\mathbf{W}-\mathbf{W}^\top\rVert_F$$

    Args:
        W: Square matrices, shape (..., n, n).

    Returns:
        The distance, shape (...), in the unit of `W`. Divide by ‖W‖_F for a number in [0, 1].

    Raises:
        ValueError: If `W` is not square.
        TypeError: If `W` is not floating-point.

    Example:
        >>> import numpy as np
        >>> round(float(asymmetry(np.asarray([[1.0, 4.0], [0.0, 1.0]]))), 3)
        2.828
    """
    return _frobenius(W - symmetric_part(W))


def rayleigh_quotient(W: Array, v: Array) -> Array:
    r"""Return the quadratic form of `W` along the direction `v`.

    $$R(\mathbf{v}) = \frac{\mathbf{v}^\top\mathbf{W}\mathbf{v}}{\mathbf{v}^\top\mathbf{v}}$$

    For a symmetric `W` it lies in $[\lambda_{\min}, \lambda_{\max}]$ and is stationary exactly at
    the eigenvectors.

    Args:
        W: A square matrix, shape (n, n), n ≥ 1. Only its symmetric part matters.
        v: Directions, shape (..., n), of any length but 0.

    Returns:
        The quotients, shape (...). NaN where `v` is the zero vector.

    Raises:
        ValueError: If `W` is not one square matrix, n is 0, or `v` has another last axis.
        TypeError: If an argument is not floating-point.

    Reference: Horn and Johnson, Matrix Analysis (2013), chapter 4.

    Example:
        >>> import numpy as np
        >>> W = np.asarray([[2.0, 1.0], [1.0, 2.0]])
        >>> rayleigh_quotient(W, np.asarray([[1.0, 1.0], [1.0, -1.0], [1.0, 0.0]]))
        array([3., 1., 2.])
    """
    _check_square("W", W)
    check_float("v", v)
    xp = namespace(W, v)
    if W.ndim != 2 or v.ndim < 1 or v.shape[-1] != W.shape[0] or W.shape[0] == 0:
        raise ValueError(
            f"W has shape {tuple(W.shape)} and v has shape {tuple(v.shape)}: "
            "(n, n) and (..., n) with n of at least 1 are needed"
        )
    # The length of v does not matter, but its square would overflow.
    v = v / xp.max(xp.abs(v), axis=-1, keepdims=True)
    return xp.sum(v * xp.matmul(v, W), axis=-1) / xp.sum(v * v, axis=-1)


def rayleigh_quotient_vjp(W: Array, v: Array, cotangent: Array) -> tuple[Array, Array]:
    r"""Return the gradients of `rayleigh_quotient` with respect to `W` and `v`.

    $$\nabla_{\mathbf{W}} R = \frac{\mathbf{v}\mathbf{v}^\top}{\mathbf{v}^\top\mathbf{v}}, \qquad
      \nabla_{\mathbf{v}} R = \frac{2}{\mathbf{v}^\top\mathbf{v}}
      \bigl(\operatorname{sym}(\mathbf{W})\mathbf{v} - R\,\mathbf{v}\bigr)$$

    Args:
        W: A square matrix, shape (n, n).
        v: Directions, shape (..., n), not 0.
        cotangent: The gradient with respect to the quotients, shape (...).

    Returns:
        The gradient for `W`, shape (n, n), summed over the directions, and for `v`, shape
        (..., n). The latter is orthogonal to `v` and 0 at an eigenvector.

    Raises:
        ValueError: As `rayleigh_quotient`, or if `cotangent` does not have its result's shape.
        TypeError: If an argument is not floating-point.

    Example:
        >>> import numpy as np
        >>> W = np.asarray([[2.0, 1.0], [1.0, 2.0]])
        >>> rayleigh_quotient_vjp(W, np.asarray([1.0, 0.0]), np.asarray(1.0))[1]
        array([0., 2.])
    """
    R = rayleigh_quotient(W, v)
    check_float("cotangent", cotangent)
    xp = namespace(W, v, cotangent)
    check_same_shape("cotangent", cotangent, "the quotient", R)
    length = xp.max(xp.abs(v), axis=-1, keepdims=True)
    u = v / length
    scale = cotangent[..., None] / xp.sum(u * u, axis=-1, keepdims=True)
    for_v = 2 * scale * ((xp.matmul(u, symmetric_part(W)) - R[..., None] * u) / length)
    for_W = xp.matmul(
        xp.matrix_transpose(xp.reshape(scale * u, (-1, W.shape[0]))),
        xp.reshape(u, (-1, W.shape[0])),
    )
    return for_W, for_v


class SpectralResiduals(NamedTuple):
    """How far eigenpairs are from the spectral theorem, in Frobenius norms.

    Attributes:
        eigen: ‖WV − VΛ‖, whether the pairs are eigenpairs.
        orthogonality: ‖VᵀV − I‖, whether the eigenvectors are orthonormal.
        reconstruction: ‖VΛVᵀ − W‖, whether they make up all of `W`.
    """

    eigen: Array
    orthogonality: Array
    reconstruction: Array


def spectral_residuals(W: Array, eigenvalues: Array, eigenvectors: Array) -> SpectralResiduals:
    r"""Measure whether $\mathbf{W} = \mathbf{V}\mathbf{\Lambda}\mathbf{V}^\top$.

    $$\lVert\mathbf{W}\mathbf{V}-\mathbf{V}\mathbf{\Lambda}\rVert_F, \quad
      \lVert\mathbf{V}^\top\mathbf{V}-\mathbf{I}\rVert_F, \quad
      \lVert\mathbf{V}\mathbf{\Lambda}\mathbf{V}^\top-\mathbf{W}\rVert_F$$

    All three are rounding errors if and only if `W` is symmetric and the pairs are right. For a
    matrix that `eigh` symmetrised in silence the first and the third are not.

    Args:
        W: Square matrices, shape (..., n, n).
        eigenvalues: Shape (..., n), in any order.
        eigenvectors: Shape (..., n, n), column i belongs to eigenvalue i.

    Returns:
        Three arrays of shape (...). Compare the first and the third with n·eps·‖W‖_F, the second
        with n·eps.

    Raises:
        ValueError: If `W` is not square or the shapes do not fit.
        TypeError: If an argument is not floating-point.

    Example:
        >>> import numpy as np
        >>> W = np.asarray([[0.0, 2.0], [0.0, 0.0]])  # not symmetric
        >>> found = spectral_residuals(W, *np.linalg.eigh(W))
        >>> [round(float(r), 3) for r in found]
        [2.0, 0.0, 2.0]
    """
    _check_square("W", W)
    check_float("eigenvectors", eigenvectors)
    check_same_shape("eigenvectors", eigenvectors, "W", W)
    _check_eigenpairs(eigenvalues, eigenvectors)
    xp = namespace(W, eigenvalues, eigenvectors)
    V = eigenvectors
    V_t = xp.matrix_transpose(V)
    V_scaled = V * eigenvalues[..., None, :]  # V Λ
    identity = xp.eye(W.shape[-1], dtype=W.dtype, device=device(W))
    return SpectralResiduals(
        _frobenius(xp.matmul(W, V) - V_scaled),
        _frobenius(xp.matmul(V_t, V) - identity),
        _frobenius(xp.matmul(V_scaled, V_t) - W),
    )


def eigenspace_projectors(eigenvalues: Array, eigenvectors: Array, *, tol: float = 1e-6) -> Array:
    r"""Return, for each eigenvalue, the orthogonal projector on its eigenspace.

    $$\mathbf{P}_i = \sum_{j:\,\lvert\lambda_j-\lambda_i\rvert\le\text{tol}}
      \mathbf{v}_j\mathbf{v}_j^\top$$

    Eigenvectors are unique only up to sign, and for a repeated eigenvalue up to a rotation of the
    eigenspace. The projector is unique: compare libraries and runs by it.

    Args:
        eigenvalues: Shape (..., n).
        eigenvectors: Orthonormal columns, shape (..., n, n).
        tol: Eigenvalues closer than this, in their own unit, count as one. At least 0.

    Returns:
        Shape (..., n, n, n): entry i is the projector for eigenvalue i. Its trace is the
        multiplicity. A repeated eigenvalue repeats its projector.

    Raises:
        ValueError: If the shapes do not fit or `tol` is negative.
        TypeError: If an argument is not floating-point.

    Example:
        >>> import numpy as np
        >>> P = eigenspace_projectors(np.asarray([1.0, 1.0, 3.0]), np.eye(3))
        >>> np.linalg.trace(P)
        array([2., 2., 1.])
    """
    _check_eigenpairs(eigenvalues, eigenvectors)
    check_between("tol", tol, 0, float("inf"))
    xp = namespace(eigenvalues, eigenvectors)
    gap = xp.abs(eigenvalues[..., :, None] - eigenvalues[..., None, :])
    same = xp.astype(gap <= tol, eigenvectors.dtype)[..., :, None, :]
    V = eigenvectors[..., None, :, :]
    return xp.matmul(V * same, xp.matrix_transpose(V))


def spectral_function(values: Array, eigenvectors: Array) -> Array:
    r"""Apply a scalar function to a symmetric matrix through its eigenvalues.

    $$f(\mathbf{W}) = \mathbf{V}\operatorname{diag}(f(\lambda_1),\dots,f(\lambda_n))
      \mathbf{V}^\top$$

    Args:
        values: $f(\lambda_i)$, shape (..., n).
        eigenvectors: Orthonormal columns, shape (..., n, n).

    Returns:
        Shape (..., n, n). It does not depend on which orthonormal eigenvectors were chosen.

    Raises:
        ValueError: If the shapes do not fit.
        TypeError: If an argument is not floating-point.

    Example:
        >>> import numpy as np
        >>> lam, V = np.linalg.eigh(np.asarray([[5.0, 4.0], [4.0, 5.0]]))
        >>> spectral_function(np.sqrt(lam), V)
        array([[2., 1.],
               [1., 2.]])
    """
    _check_eigenpairs(values, eigenvectors)
    xp = namespace(values, eigenvectors)
    return xp.matmul(eigenvectors * values[..., None, :], xp.matrix_transpose(eigenvectors))


def spectral_function_vjp(
    eigenvalues: Array, eigenvectors: Array, values: Array, derivatives: Array, cotangent: Array
) -> Array:
    r"""Return the gradient of `spectral_function` with respect to the matrix (Daleckii–Krein).

    $$\nabla_{\mathbf{W}} = \mathbf{V}\bigl(\mathbf{F}\circ
      \mathbf{V}^\top\operatorname{sym}(\mathbf{G})\mathbf{V}\bigr)\mathbf{V}^\top, \qquad
      F_{ij} = \begin{cases}
      \dfrac{f(\lambda_i)-f(\lambda_j)}{\lambda_i-\lambda_j} & \lambda_i \ne \lambda_j \\
      f'(\lambda_i) & \lambda_i = \lambda_j \end{cases}$$

    Finite at repeated eigenvalues, where backpropagation through `eigh` divides by
    $\lambda_i-\lambda_j = 0$.

    Args:
        eigenvalues: $\lambda_i$, shape (..., n).
        eigenvectors: Orthonormal columns, shape (..., n, n).
        values: $f(\lambda_i)$, shape (..., n).
        derivatives: $f'(\lambda_i)$, shape (..., n).
        cotangent: $\mathbf{G}$, the gradient with respect to the result, shape (..., n, n).

    Returns:
        Shape (..., n, n), symmetric.

    Raises:
        ValueError: If the shapes do not fit.
        TypeError: If an argument is not floating-point.

    Note: Differs from the equation where a gap is below $\sqrt{\text{eps}}\,\lVert\lambda\rVert$,
        or quotient and mean of both derivatives agree up to rounding, and both derivatives differ
        by less than the quotient's rounding: there their mean keeps digits that the quotient
        loses. (Of log or root, small eigenvalues may be near for λ, not for f.) Values are taken
        to be right to eps of their own size: give expm1, not exp − 1.

    Reference: Higham, Functions of Matrices (2008), chapter 3.

    Example:
        >>> import numpy as np
        >>> lam, V = np.ones(2), np.eye(2)  # W = I, f = exp: all eigenvalues equal
        >>> G = np.asarray([[1.0, 0.0], [0.0, 0.0]])
        >>> spectral_function_vjp(lam, V, np.exp(lam), np.exp(lam), G).round(3)
        array([[2.718, 0.   ],
               [0.   , 0.   ]])
    """
    _check_eigenpairs(eigenvalues, eigenvectors)
    named = {"values": values, "derivatives": derivatives, "cotangent": cotangent}
    for name, array in named.items():
        check_float(name, array)
    xp = namespace(eigenvalues, eigenvectors, *named.values())
    check_same_shape("values", values, "eigenvalues", eigenvalues)
    check_same_shape("derivatives", derivatives, "eigenvalues", eigenvalues)
    check_same_shape("cotangent", cotangent, "eigenvectors", eigenvectors)
    gap = eigenvalues[..., :, None] - eigenvalues[..., None, :]
    size = norm(eigenvalues, axis=-1, keepdims=True)[..., None]
    close = xp.abs(gap) <= xp.finfo(gap.dtype).eps ** 0.5 * size
    slope = (derivatives[..., :, None] + derivatives[..., None, :]) / 2
    bend = xp.abs(derivatives[..., :, None] - derivatives[..., None, :])
    rise = values[..., :, None] - values[..., None, :]
    rounding = xp.abs(values)[..., :, None] + xp.abs(values)[..., None, :]
    rounding = xp.finfo(gap.dtype).eps * rounding
    # exp near 0 rises by less than its rounding, between eigenvalues of any ratio.
    close = close | (xp.abs(slope * gap - rise) <= 2 * rounding)
    close = (gap == 0) | (close & (xp.abs(gap) * bend <= rounding))
    F = xp.where(close, slope, rise / xp.where(close, xp.ones_like(gap), gap))
    V = eigenvectors
    V_t = xp.matrix_transpose(V)
    inner = F * xp.matmul(V_t, xp.matmul(symmetric_part(cotangent), V))
    return xp.matmul(V, xp.matmul(inner, V_t))


def departure_from_normality(W: Array, eigenvalues: Array) -> Array:
    r"""Return Henrici's departure from normality.

    $$\operatorname{dep}(\mathbf{W})
      = \left(\lVert\mathbf{W}\rVert_F^2 - \sum_i\lvert\lambda_i\rvert^2\right)^{1/2}
      = \left(\sum_i\sigma_i^2 - \sum_i\lvert\lambda_i\rvert^2\right)^{1/2}$$

    It is 0 if and only if $\mathbf{W}\mathbf{W}^\top = \mathbf{W}^\top\mathbf{W}$: for symmetric,
    skew-symmetric and orthogonal matrices, and every other with an orthonormal eigenbasis.

    Args:
        W: Square matrices, shape (..., n, n).
        eigenvalues: All of them, real or complex, shape (..., n).

    Returns:
        Shape (...), in the unit of `W`. A normal matrix gives 0 or a few times
        $\sqrt{\text{eps}}\,\lVert\mathbf{W}\rVert_F$, because two equal squares are subtracted.

    Raises:
        ValueError: If `W` is not square or the shapes do not fit.
        TypeError: If `W` is not floating-point.

    Note: The standard has eigenvalues of a general matrix from 2025.12 on only, hence the second
        argument.

    Reference: Henrici (1962), Numerische Mathematik 4.

    Example:
        >>> import numpy as np
        >>> W = np.asarray([[0.0, 100.0], [0.0, 0.0]])
        >>> float(departure_from_normality(W, np.linalg.eigvals(W)))
        100.0
    """
    _check_square("W", W)
    check_array("eigenvalues", eigenvalues)
    xp = namespace(W, eigenvalues)
    if tuple(eigenvalues.shape) != tuple(W.shape[:-1]):
        raise ValueError(
            f"eigenvalues has shape {tuple(eigenvalues.shape)} but W has shape "
            f"{tuple(W.shape)}: all n eigenvalues of each matrix are needed"
        )
    # In units of ‖W‖, whose square would overflow first: 1 − Σ(|λ| / ‖W‖)².
    size = _frobenius(W)
    safe = xp.where(size == 0, 1.0, size)
    moduli = xp.astype(xp.abs(eigenvalues), W.dtype) / safe[..., None]
    difference = 1 - xp.sum(moduli * moduli, axis=-1)
    return size * xp.sqrt(xp.where(difference < 0, 0.0, difference))


def log_power_norms(W: Array, *, k: int) -> Array:
    r"""Return the logarithm of the spectral norm of the first powers of `W`.

    $$\log\lVert\mathbf{W}^j\rVert_2, \qquad j = 0, 1, \dots, k$$

    Each power is divided by its norm and the logarithms are added, so that nothing overflows.

    Args:
        W: Square matrices, shape (..., n, n).
        k: The last exponent, at least 0.

    Returns:
        Shape (k + 1, ...); −∞ once a power is zero. By Gelfand's formula entry k divided by k
        tends to $\log\rho(\mathbf{W})$; for a normal `W` it is equal to it.

    Raises:
        ValueError: If `W` is not square or is empty, or `k` is negative.
        TypeError: If `W` is not floating-point.

    Note: Needs a singular value decomposition: float32 or float64.

    Example:
        >>> import numpy as np
        >>> np.exp(log_power_norms(np.asarray([[0.0, 9.0], [1.0, 0.0]]), k=4))
        array([ 1.,  9.,  9., 81., 81.])
    """
    _check_square("W", W)
    check_count("k", k, 0)
    xp = namespace(W)
    if W.shape[-1] == 0:
        raise ValueError(f"W has shape {tuple(W.shape)}: at least one row is needed")
    power = xp.eye(W.shape[-1], dtype=W.dtype, device=device(W))
    log_norm = xp.zeros(W.shape[:-2], dtype=W.dtype, device=device(W))
    found = [log_norm]
    for _ in range(k):
        power = xp.matmul(W, power)
        size = xp.linalg.svdvals(power)[..., 0]
        safe = xp.where(size == 0, xp.ones_like(size), size)
        log_norm = log_norm + xp.where(size == 0, xp.full_like(size, -xp.inf), xp.log(safe))
        power = power / safe[..., None, None]
        found.append(log_norm)
    return xp.stack(found)


def power_norm_limit(k: Array) -> Array:
    r"""Return the limit of the spectral norm of a power of a large matrix of i.i.d. entries.

    $$\gamma_k = \sqrt{\frac{(k+1)^{k+1}}{k^k}}
      = \lim_{n\to\infty}\lVert\mathbf{W}^k\rVert_2, \qquad
      w_{ij}\ \text{i.i.d.},\ \mathbb{E}w_{ij}=0,\ \mathbb{E}w_{ij}^2=\tfrac1n$$

    Needs a fourth moment: $\mathbb{E}w_{ij}^4$ of order $1/n^2$. It grows like $\sqrt{e(k+1)}$, not
    exponentially. A symmetric matrix with the same entries on and above the diagonal has the limit
    $2^k$, an orthogonal one has norm 1.

    Args:
        k: Exponents of any shape, real and at least 0.

    Returns:
        An array like `k`; 1 at k = 0.

    Raises:
        TypeError: If `k` is not floating-point.

    Reference: Xiang, Chen and Zhang (2026), arXiv:2606.14450; for the distribution of all singular
        values Alexeev, Götze and Tikhomirov (2010), arXiv:1012.2743.

    Example:
        >>> import numpy as np
        >>> power_norm_limit(np.asarray([0.0, 1.0, 20.0])).round(3)
        array([1.   , 2.   , 7.465])
    """
    check_float("k", k)
    xp = namespace(k)
    # (k + 1)^(k + 1) / k^k = (k + 1)(1 + 1/k)^k: the difference of k log k and its like cancels.
    # Below the normal numbers 1/k may overflow, and k log(1 + 1/k) is lost beside 1.
    safe = xp.where(k <= float(xp.finfo(k.dtype).smallest_normal), 1.0, k)
    return xp.exp((xp.log(k + 1) + k * xp.log1p(1 / safe)) / 2)


def effective_rank(singular_values: Array) -> Array:
    r"""Return the effective rank: the exponential of the entropy of the spectrum.

    $$\operatorname{erank} = \exp\Bigl(-\sum_i p_i\log p_i\Bigr), \qquad
      p_i = \frac{\sigma_i}{\sum_j\sigma_j}$$

    It is unchanged by $\mathbf{W}\to c\,\mathbf{W}$: size and redundancy are different things.

    Args:
        singular_values: Shape (..., n), at least 0; $\lvert\lambda_i\rvert$ of a symmetric matrix.

    Returns:
        Shape (...), between 1 and n; 0 for the zero matrix.

    Raises:
        TypeError: If the argument is not floating-point.
        ValueError: If the argument has no axis.

    Reference: Roy and Vetterli (2007), The effective rank, EUSIPCO.

    Example:
        >>> import numpy as np
        >>> effective_rank(np.asarray([[10.0, 10.0, 10.0], [1.0, 0.0, 0.0]]))
        array([3., 1.])
    """
    check_float("singular_values", singular_values)
    if singular_values.ndim < 1:
        raise ValueError("singular_values has shape (): an axis of singular values is needed")
    xp = namespace(singular_values)
    share = widen(singular_values)
    largest = norm(share, ord=math.inf, axis=-1, keepdims=True)
    share = share / xp.where(largest == 0, xp.ones_like(largest), largest)  # or the sum overflows
    total = xp.sum(share, axis=-1, keepdims=True)
    p = share / xp.where(total == 0, xp.ones_like(total), total)
    surprise = -xp.log(xp.where(p == 0, xp.ones_like(p), p))  # 0 log 0 = 0
    rank = xp.exp(xp.sum(p * surprise, axis=-1))
    rank = xp.where(total[..., 0] == 0, xp.zeros_like(rank), rank)
    return xp.astype(rank, singular_values.dtype, copy=False)
