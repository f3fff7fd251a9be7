r"""Singular values: gain, operator norm, volume, powers, and the spectrum of a product.

The operator norm comes from products with $\mathbf{W}$ and $\mathbf{W}^\top$ alone
(`power_iteration`), the spectral radius from norms of powers (`spectral_radius_bounds`): neither
needs eigenvectors of a non-symmetric matrix, of which there may be too few for a basis.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
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
from dlkb.linear_algebra.symmetric_matrices import log_power_norms


def _check_matrix(name: str, W: Array) -> None:
    check_float(name, W)
    if W.ndim < 2 or 0 in W.shape[-2:]:
        raise ValueError(
            f"{name} has shape {tuple(W.shape)}: (..., m, n) with m and n of at least 1 is needed"
        )


def _check_product(W: Array, v: Array) -> None:
    _check_matrix("W", W)
    check_float("v", v)
    if v.ndim < 1 or v.shape[-1] != W.shape[-1]:
        raise ValueError(
            f"W has shape {tuple(W.shape)} and v has shape {tuple(v.shape)}: "
            "(..., m, n) and (..., n) are needed"
        )


def _check_spectrum(singular_values: Array) -> None:
    check_float("singular_values", singular_values)
    if singular_values.ndim < 1 or singular_values.shape[-1] == 0:
        raise ValueError(
            f"singular_values has shape {tuple(singular_values.shape)}: "
            "(..., r) with r of at least 1 is needed"
        )


def _apply(W: Array, v: Array) -> Array:
    return namespace(W, v).matmul(W, v[..., None])[..., 0]


def _log(x: Array) -> Array:
    """Return log(x) with log(0) = −∞, and no warning."""
    xp = namespace(x)
    return xp.where(x == 0, xp.full_like(x, -xp.inf), xp.log(xp.where(x == 0, 1 + x, x)))


def _unit(x: Array) -> tuple[Array, Array]:
    """Split vectors into length and direction; the zero vector keeps direction 0."""
    xp = namespace(x)
    length = norm(x, axis=-1, keepdims=True)
    return length[..., 0], x / xp.where(length == 0, 1.0, length)


def gain(W: Array, v: Array) -> Array:
    r"""Return by how much `W` changes the length of `v`.

    $$g(\mathbf{v}) = \frac{\lVert\mathbf{W}\mathbf{v}\rVert_2}{\lVert\mathbf{v}\rVert_2}, \qquad
      \sigma_{\min} \le g(\mathbf{v}) \le \sigma_{\max}$$

    Args:
        W: Matrices, shape (..., m, n).
        v: Directions, shape (..., n), of any length but 0. Batch axes broadcast with those of `W`.

    Returns:
        The gains, shape (...). The lower bound needs m ≥ n: a wide matrix has a null space.

    Raises:
        ValueError: If `W` is empty or the shapes do not fit.
        TypeError: If an argument is not floating-point.

    Example:
        >>> import numpy as np
        >>> gain(np.asarray([[1.0, 100.0], [0.0, 1.0]]), np.eye(2)).round(3)
        array([  1.   , 100.005])
    """
    _check_product(W, v)
    return _unit(_apply(W, _unit(v)[1]))[0]


class SingularTriplet(NamedTuple):
    """A singular value with its vectors: Wv = σu and Wᵀu = σv.

    Attributes:
        sigma: Shape (...).
        u: Left, on the side of the output, shape (..., m).
        v: Right, on the side of the input, shape (..., n).
    """

    sigma: Array
    u: Array
    v: Array


def power_iteration(W: Array, v: Array, *, steps: int) -> SingularTriplet:
    r"""Return the largest singular value by repeated products with `W` and its transpose.

    $$\mathbf{u} \leftarrow \frac{\mathbf{W}\mathbf{v}}{\lVert\mathbf{W}\mathbf{v}\rVert_2}, \qquad
      \mathbf{v} \leftarrow
      \frac{\mathbf{W}^\top\mathbf{u}}{\lVert\mathbf{W}^\top\mathbf{u}\rVert_2}, \qquad
      \sigma = \lVert\mathbf{W}\mathbf{v}\rVert_2$$

    Args:
        W: Matrices, shape (..., m, n).
        v: Starting vectors, shape (..., n); drawn at random, or kept from the last training step.
        steps: Number of rounds, at least 0.

    Returns:
        The triplet. `sigma` exceeds the largest singular value by rounding only; its relative error
        falls like $(\sigma_2/\sigma_1)^{4\,\text{steps}}$, that of the vectors like the root of it.

    Raises:
        ValueError: If `W` is empty, the shapes do not fit, or `steps` is negative.
        TypeError: If an argument is not floating-point.

    Note:
        Differs from `torch.nn.utils.parametrizations.spectral_norm`, which keeps both vectors, does
        one round each forward pass in training mode, and divides the weight by $\mathbf{u}^\top
        \mathbf{W}\mathbf{v}$.

    Reference:
        Miyato, Kataoka, Koyama and Yoshida, Spectral normalization for generative adversarial
        networks (2018).

    Example:
        >>> import numpy as np
        >>> W = np.diag([3.0, -5.0, 1.0])
        >>> found = power_iteration(W, np.ones(3), steps=20)
        >>> round(float(found.sigma), 6), abs(found.v).round(3)
        (5.0, array([0., 1., 0.]))
    """
    _check_product(W, v)
    check_count("steps", steps, 0)
    W_t = namespace(W).matrix_transpose(W)
    v = _unit(v)[1]
    for _ in range(steps):
        u = _unit(_apply(W, v))[1]
        v = _unit(_apply(W_t, u))[1]
    sigma, u = _unit(_apply(W, v))
    return SingularTriplet(sigma, u, v)


def spectral_norm_vjp(u: Array, v: Array, cotangent: Array) -> Array:
    r"""Return the gradient of a singular value with respect to the matrix.

    $$\nabla_{\mathbf{W}}\,\sigma = \mathbf{u}\mathbf{v}^\top$$

    Args:
        u: Unit left singular vectors, shape (..., m).
        v: Unit right singular vectors, shape (..., n).
        cotangent: The gradient with respect to the singular values, shape (...).

    Returns:
        Shape (..., m, n), of rank 1. Where the singular value is repeated or 0 it has no
        derivative; of the largest this is then one subgradient of many.

    Raises:
        ValueError: If the shapes do not fit.
        TypeError: If an argument is not floating-point.

    Example:
        >>> import numpy as np
        >>> u, v = np.asarray([0.0, 1.0]), np.asarray([0.6, 0.8])
        >>> spectral_norm_vjp(u, v, np.asarray(2.0))
        array([[0. , 0. ],
               [1.2, 1.6]])
    """
    xp = namespace(u, v, cotangent)
    for name, x in (("u", u), ("v", v), ("cotangent", cotangent)):
        check_float(name, x)
    if u.ndim < 1 or v.ndim < 1:
        raise ValueError("u and v need an axis: (..., m) and (..., n)")
    check_same_shape("cotangent", cotangent, "sigma", xp.sum(u, axis=-1))
    check_same_shape("the batch of v", xp.sum(v, axis=-1), "that of u", cotangent)
    return cotangent[..., None, None] * u[..., :, None] * v[..., None, :]


def condition_number(singular_values: Array) -> Array:
    r"""Return the ratio of the largest to the smallest singular value.

    $$\kappa = \frac{\sigma_{\max}}{\sigma_{\min}}$$

    Args:
        singular_values: Shape (..., r), at least 0, in any order.

    Returns:
        Shape (...), at least 1; 1 only for multiples of matrices with orthonormal rows or columns,
        ∞ where a singular value is 0.

    Raises:
        ValueError: If there is no singular value.
        TypeError: If the argument is not floating-point.

    Example:
        >>> import numpy as np
        >>> condition_number(np.asarray([[10.0, 0.01], [3.0, 3.0], [1.0, 0.0]]))
        array([1000.,    1.,   inf])
    """
    _check_spectrum(singular_values)
    xp = namespace(singular_values)
    low, high = (f(singular_values, axis=-1) for f in (xp.min, xp.max))
    ratio = high / xp.where(low == 0, xp.ones_like(low), low)
    return xp.where(low == 0, xp.full_like(low, xp.inf), ratio)


def log_volume(singular_values: Array) -> Array:
    r"""Return the logarithm of the factor by which a matrix changes volume.

    $$\log\lvert\det\mathbf{W}\rvert = \sum_{i=1}^n \log\sigma_i$$

    Args:
        singular_values: All of them, shape (..., r), at least 0.

    Returns:
        Shape (...); −∞ if a singular value is 0. The sum of logarithms neither overflows nor
        underflows; the determinant of a default `nn.Linear` does, of width 100 in float32, of 1024
        in float64.

    Raises:
        ValueError: If there is no singular value.
        TypeError: If the argument is not floating-point.

    Note:
        Defined for rectangular matrices too, as the volume factor on the row space; a determinant
        is not. Differs from `slogdet` by the sign, which singular values do not know.

    Example:
        >>> import numpy as np
        >>> many = np.full(1000, 0.25)  # the determinant underflows
        >>> round(float(log_volume(many)), 3)
        -1386.294
    """
    _check_spectrum(singular_values)
    return namespace(singular_values).sum(_log(singular_values), axis=-1)


def spectral_radius_bounds(W: Array, *, doublings: int) -> Array:
    r"""Return upper bounds of the spectral radius that fall towards it.

    $$b_j = \lVert\mathbf{W}^{2^j}\rVert_2^{1/2^j}, \qquad
      b_0 \ge b_1 \ge \dots \ge \lim_{j\to\infty} b_j = \rho(\mathbf{W})$$

    Gelfand's formula along the powers of two. Squaring makes k = 2ʲ cost j products; each power is
    divided by its norm, so that nothing overflows.

    Args:
        W: Square matrices, shape (..., n, n).
        doublings: The last j, at least 0.

    Returns:
        Shape (doublings + 1, ...), b_0 = σ_max first. For a defective matrix the relative error is
        of order $j\,2^{-j}$, for normal matrices every entry is ρ. For a nilpotent one the
        entries become 0, or stall near the rounding errors' own radius; so may those of
        a defective block of n rows, of coupling c, where (n − 1)(`doublings` + log₂ |c/λ|) is
        above 500 in float64, above 60 in float32: there λᵏ underflows beside (kc/λ)ⁿ⁻¹λᵏ.

    Raises:
        ValueError: If `W` is not square or is empty, or `doublings` is negative.
        TypeError: If `W` is not floating-point.

    Note:
        Needs a singular value decomposition: float32 or float64.

    Reference:
        Horn and Johnson, Matrix Analysis (2013), chapter 5.

    Example:
        >>> import numpy as np
        >>> W = np.asarray([[0.5, 10.0], [0.0, 0.5]])
        >>> bounds = spectral_radius_bounds(W, doublings=10)
        >>> bounds[[0, 5, 10]].round(3)
        array([10.025,  0.612,  0.505])
    """
    check_count("doublings", doublings, 0)
    log_bound = log_power_norms(W, k=1)[1, ...]
    xp = namespace(W)
    found, power = [log_bound], W
    for j in range(1, doublings + 1):
        size = xp.linalg.svdvals(power)[..., 0]
        power = power / xp.where(size == 0, xp.ones_like(size), size)[..., None, None]
        power = xp.matmul(power, power)
        # log‖W^2k‖ / 2k = log‖W^k‖ / k + log‖(W^k / ‖W^k‖)²‖ / 2k
        log_ratio = _log(xp.linalg.svdvals(power)[..., 0])
        log_bound = log_bound + log_ratio / 2.0 ** min(j, 100)  # else 2ʲ leaves the dtype
        found.append(log_bound)
    return xp.exp(xp.stack(found))


def jordan_power_norm(k: Array, *, lam: float, c: float) -> Array:
    r"""Return the norm of a power of the defective matrix with rows (λ, c) and (0, λ).

    $$\lVert\mathbf{A}^k\rVert_2 = \tfrac12\left(k\lvert c\rvert\lambda^{k-1}
      + \sqrt{k^2c^2\lambda^{2k-2} + 4\lambda^{2k}}\right)$$

    Args:
        k: Exponents, any shape, at least 0.
        lam: The double eigenvalue, λ > 0, which is the spectral radius.
        c: The entry above the diagonal, which no eigenvalue knows.

    Returns:
        An array like `k`. For λ < 1 it rises while $k < 1/\lvert\log\lambda\rvert$, if c is
        large, and decays like $k\lambda^k$ in the end.

    Raises:
        ValueError: If `lam` is not positive.
        TypeError: If `k` is not floating-point.

    Example:
        >>> import numpy as np
        >>> k = np.asarray([0.0, 1.0, 10.0, 200.0])
        >>> jordan_power_norm(k, lam=0.9, c=10.0).round(2)
        array([ 1.  , 10.08, 38.75,  0.  ])
    """
    check_float("k", k)
    check_between("lam", lam, 0, math.inf, closed="neither")
    lam, c = as_numbers(lam, c)
    xp = namespace(k)
    # λ^k comes out of the root: its square would underflow first.
    half = k * (abs(c) / lam / 2)
    return xp.exp(k * math.log(lam)) * (half + xp.hypot(half, xp.ones_like(k)))


def log_product_spectrum(factors: Sequence[Array], *, sweeps: int = 8) -> Array:
    r"""Return the logarithms of the singular values of a product, the small ones included.

    $$\log\sigma_i(\mathbf{W}_L\cdots\mathbf{W}_1), \qquad i = 1, \dots, r$$

    The product is never formed: multiplied out, it rounds away every singular value below
    $10^{-16}\sigma_{\max}$ and may overflow. A sweep replaces it, factor by factor, by
    $\mathbf{Q}\,\mathbf{R}_L\cdots\mathbf{R}_1$; the next one does the same to the transpose.

    Args:
        factors: The matrices, the one applied first first; shapes (..., n_l, n_{l-1}).
        sweeps: Number of sweeps, at least 2.

    Returns:
        Shape (..., r), descending; r is the smallest of all widths. For a value of 0: −∞ if every
        zero stays exact, as with factors that are all diagonal; else, as a rule, rounding far
        below the largest. The relative error of $\sigma_i$ falls like
        $(\sigma_{i+1}/\sigma_i)^{2\,\text{sweeps}}$ and its counterpart at i − 1: small where
        depth has driven the values apart; with 8 sweeps the largest is mostly a tenth or two at
        width 64, from 2 to 32 layers. Where condition numbers stay below 1e12 multiply out, else
        raise `sweeps`. Not reliable where late factors undo early ones. The sum is log|det| after
        any number of sweeps.

    Raises:
        ValueError: If there is no factor, two do not fit, one is empty, or `sweeps` is below 2.
        TypeError: If a factor is not floating-point.

    Note:
        Needs a QR decomposition: float32 or float64.

    Reference:
        Stewart, A new algorithm for the SVD of a long product of matrices and the stability of
        products (1997).

    Example:
        >>> import numpy as np
        >>> layers = [np.diag([10.0, 0.01])] * 200  # their product underflows to 0
        >>> log_product_spectrum(layers) / np.log(10)
        array([ 200., -400.])
    """
    check_count("sweeps", sweeps, 2)
    if not len(factors):
        raise ValueError("factors is empty: at least one matrix is needed")
    for W in factors:
        _check_matrix("a factor", W)
    for first, second in pairwise(factors):
        if second.shape[-1] != first.shape[-2]:
            raise ValueError(
                f"a factor of shape {tuple(second.shape)} follows one of {tuple(first.shape)}: "
                "its columns must match the rows of the one applied before it"
            )
    xp = namespace(*factors)
    triangles = list(factors)
    for _ in range(sweeps):
        Q, R = xp.linalg.qr(triangles[0])
        found = [R]
        for W in triangles[1:]:
            Q, R = xp.linalg.qr(xp.matmul(W, Q))
            found.append(R)
        triangles = [xp.matrix_transpose(R) for R in found[::-1]]
    total = sum(_log(xp.abs(xp.linalg.diagonal(R))) for R in triangles)
    return xp.sort(total, axis=-1, descending=True)


class Edges(NamedTuple):
    """The smallest and the largest singular value of a large random matrix."""

    low: float
    high: float


def gaussian_edges(rows: int, columns: int, *, std: float) -> Edges:
    r"""Return between which bounds the singular values of a large random matrix lie.

    $$\sigma_{\min},\ \sigma_{\max} \to s\,\bigl\lvert\sqrt m \mp \sqrt n\bigr\rvert$$

    For Gaussian entries, or others of one distribution with mean 0 and a finite fourth moment.

    Args:
        rows: m ≥ 1.
        columns: n ≥ 1.
        std: Standard deviation s ≥ 0 of the independent entries.

    Returns:
        Both edges, of the min(m, n) singular values. For m = n and s = 1/√n they are 0 and 2.

    Raises:
        ValueError: If an argument is out of its range.

    Reference:
        Marchenko and Pastur (1967); Davidson and Szarek (2001) for Gaussian entries.

    Example:
        >>> gaussian_edges(400, 100, std=0.1)
        Edges(low=1.0, high=3.0)
    """
    check_between("rows", rows, 1, math.inf, closed="left")
    check_between("columns", columns, 1, math.inf, closed="left")
    check_between("std", std, 0, math.inf)
    return Edges(std * abs(rows**0.5 - columns**0.5), std * (rows**0.5 + columns**0.5))


def gaussian_lyapunov_exponents(n: int, *, std: float) -> tuple[float, ...]:
    r"""Return the growth rates of the singular values of a product of Gaussian matrices.

    $$\lambda_i = \lim_{L\to\infty}\frac1L\log\sigma_i(\mathbf{W}_L\cdots\mathbf{W}_1)
      = \log s + \tfrac12\Bigl(\log 2 + \psi\bigl(\tfrac{n-i+1}{2}\bigr)\Bigr)$$

    Exact for every n, with ψ the digamma function.

    Args:
        n: Rows and columns of each matrix, at least 1.
        std: Standard deviation s > 0 of the independent Gaussian entries.

    Returns:
        n rates, descending. With $s = 1/\sqrt n$ the first is about $-1/(2n)$, the last
        about $-\tfrac12\log n - 0.64$.

    Raises:
        ValueError: If `n` is below 1 or `std` is not positive.

    Reference:
        Newman, The distribution of Lyapunov exponents: exact results for random matrices (1986).

    Example:
        >>> [round(v, 3) for v in gaussian_lyapunov_exponents(4, std=0.5)]
        [-0.135, -0.328, -0.635, -1.328]
    """
    check_count("n", n, 1)
    check_between("std", std, 0, math.inf, closed="neither")
    euler_gamma = 0.57721566490153286
    # ψ(1/2), ψ(1), then ψ(x + 1) = ψ(x) + 1/x.
    digamma = [-euler_gamma - 2 * math.log(2), -euler_gamma]
    for k in range(1, n - 1):
        digamma.append(digamma[k - 1] + 2 / k)
    return tuple(math.log(std) + (math.log(2) + psi) / 2 for psi in digamma[:n][::-1])
