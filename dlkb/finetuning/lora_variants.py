"""Variants of LoRA: DoRA, PiSSA, LoRA+, and several adapters in one.

The layout is that of `dlkb.finetuning.lora`: `W` is (out, in), `A` is (r, in), `B` is (out, r).
rsLoRA is a scaling, see `dlkb.finetuning.lora.lora_scaling`.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from dlkb.arrays import Array, check_between, check_count, check_float, device, namespace, norm
from dlkb.finetuning.lora import Factors, _check_factors, merge


class Rates(NamedTuple):
    """Learning rates of the two factors."""

    A: float
    B: float


def row_lengths(M: Array) -> Array:
    r"""Return the Euclidean length of each row.

    $$\ell_i = \sqrt{\textstyle\sum_j M_{ij}^2}$$

    The squares are taken after a division by the largest entry, so that they do not overflow.

    Args:
        M: A matrix, shape (out, in).

    Returns:
        Shape (out,); ∞ where an entry is infinite.

    Raises:
        TypeError: If M is not floating-point.
        ValueError: If M is not a matrix or has no column.

    Example:
        >>> import numpy as np
        >>> row_lengths(np.asarray([[3.0, 4.0], [0.0, 0.0]]))
        array([5., 0.])
    """
    check_float("M", M)
    if M.ndim != 2 or M.shape[1] < 1:
        raise ValueError(f"M has shape {tuple(M.shape)}: it must be (out, in) with in >= 1")
    return norm(M, axis=1)


def dora(W: Array, A: Array, B: Array, magnitude: Array, *, scaling: float) -> Array:
    r"""Return the weight of DoRA: rows of the adapted weight, each brought to a trained length.

    $$\mathbf{V} = \mathbf{W} + s\,\mathbf{B}\mathbf{A}, \qquad
      \mathbf{W}'_i = m_i\,\frac{\mathbf{V}_i}{\|\mathbf{V}_i\|}$$

    Args:
        W: Pretrained weight, shape (out, in).
        A: Down-projection, shape (r, in).
        B: Up-projection, shape (out, r).
        magnitude: The lengths m, shape (out,). They start at those of the rows of W.
        scaling: The factor s.

    Returns:
        Shape (out, in). A row of V that is zero stays zero.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes do not fit.

    Note:
        Rows of a weight of `torch.nn.Linear` are columns of the paper's. The paper and peft keep
        the length of V constant in the backward pass; this formula differentiates it, and
        `dlkb.nn.LoRALinear(dora=True)` detaches it as they do.

    Reference:
        Liu et al., DoRA: Weight-Decomposed Low-Rank Adaptation, 2024.

    Example:
        >>> import numpy as np
        >>> W, A, B = np.asarray([[3.0, 4.0]]), np.ones((1, 2)), np.zeros((1, 1))
        >>> dora(W, A, B, np.asarray([10.0]), scaling=1.0)
        array([[6., 8.]])
    """
    V = merge(W, A, B, scaling=scaling)
    check_float("magnitude", magnitude)
    if tuple(magnitude.shape) != (W.shape[0],):
        raise ValueError(
            f"magnitude has shape {tuple(magnitude.shape)}: it must be ({W.shape[0]},)"
        )
    xp = namespace(V, magnitude)
    lengths = row_lengths(V)
    # The direction first: m divided by the length of a short row would overflow.
    safe = xp.where(lengths > 0, lengths, xp.ones_like(lengths))
    return xp.expand_dims(magnitude, axis=1) * (V / xp.expand_dims(safe, axis=1))


def factorize(M: Array, *, r: int, scaling: float = 1.0) -> Factors:
    r"""Return factors of the matrix of rank r that is nearest to M, balanced.

    $$\mathbf{B} = \mathbf{U}_r\sqrt{\mathbf{S}_r / s}, \quad
      \mathbf{A} = \sqrt{\mathbf{S}_r / s}\,\mathbf{V}_r^\top, \qquad
      s\,\mathbf{B}\mathbf{A} = \mathbf{M}_r$$

    PiSSA starts from these factors of the weight, and freezes what is left, W − sBA.

    Args:
        M: A matrix, shape (out, in).
        r: The rank, at least 1. Above min(out, in) the other rows and columns are zero.
        scaling: The factor s, positive.

    Returns:
        `Factors`, A (r, in) and B (out, r).

    Raises:
        TypeError: If M is not floating-point.
        ValueError: If M is not a matrix, or r or scaling is out of range.

    Note:
        As peft's `init_lora_weights="pissa"`. The signs of singular vectors are those of the
        library, so A and B are determined up to the signs of their pairs if the singular values
        differ; BA is determined if the r-th and the next differ. Needs float32 or float64.

    Reference:
        Meng et al., PiSSA: Principal Singular Values and Singular Vectors Adaptation of Large
        Language Models, 2024.

    Example:
        >>> import numpy as np
        >>> A, B = factorize(np.diag([4.0, 1.0]), r=1)
        >>> np.round(B @ A, 12) + 0.0
        array([[4., 0.],
               [0., 0.]])
    """
    check_float("M", M)
    if M.ndim != 2:
        raise ValueError(f"M has shape {tuple(M.shape)}: it must be a matrix")
    check_count("r", r, 1)
    check_between("scaling", scaling, 0, math.inf, closed="neither")
    xp = namespace(M)
    U, S, Vh = xp.linalg.svd(M, full_matrices=False)
    rank = min(r, *M.shape)
    root = xp.sqrt(S[:rank] / scaling)
    A, B = xp.expand_dims(root, axis=1) * Vh[:rank, :], U[:, :rank] * root
    if rank < r:
        more = {"dtype": M.dtype, "device": device(M)}
        A = xp.concat([A, xp.zeros((r - rank, M.shape[1]), **more)], axis=0)
        B = xp.concat([B, xp.zeros((M.shape[0], r - rank), **more)], axis=1)
    return Factors(A, B)


def stack(adapters: Sequence[Factors], *, weights: Sequence[float]) -> Factors:
    r"""Return one adapter that is a weighted sum of several, exactly.

    $$\sum_k w_k\,\mathbf{B}_k\mathbf{A}_k = \mathbf{B}\mathbf{A}, \qquad
      \mathbf{B} = [w_1\mathbf{B}_1, w_2\mathbf{B}_2, \dots], \quad
      \mathbf{A} = [\mathbf{A}_1; \mathbf{A}_2; \dots]$$

    Args:
        adapters: Factors of one layer; ranks may differ.
        weights: One number an adapter, of any sign. The scaling of an adapter goes in here.

    Returns:
        `Factors` of rank $r_1 + r_2 + \dots$; their scaling is 1.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If there is none, if the numbers of adapters and weights differ, or if shapes
            do not fit.

    Note:
        As `combination_type="cat"` in peft, but for the place of the weights: peft multiplies A.

    Example:
        >>> import numpy as np
        >>> one = Factors(np.ones((1, 2)), np.ones((3, 1)))
        >>> A, B = stack([one, one], weights=[1.0, 0.5])
        >>> (B @ A)[0]
        array([1.5, 1.5])
    """
    if not adapters or len(adapters) != len(weights):
        raise ValueError(
            f"there are {len(adapters)} adapters and {len(weights)} weights: "
            "there must be as many of each, and one at least"
        )
    first = adapters[0]
    for A, B in adapters:
        _check_factors(A, B)
        if A.shape[1] != first.A.shape[1] or B.shape[0] != first.B.shape[0]:
            raise ValueError(
                f"A has shape {tuple(A.shape)} and B has shape {tuple(B.shape)}: all adapters "
                f"must map {first.A.shape[1]} to {first.B.shape[0]}"
            )
    xp = namespace(*(array for pair in adapters for array in pair))
    A = xp.concat([A for A, _ in adapters], axis=0)
    B = xp.concat([w * B for (_, B), w in zip(adapters, weights, strict=True)], axis=1)
    return Factors(A, B)


def lora_plus_rates(lr: float, *, ratio: float = 16.0) -> Rates:
    r"""Return the learning rates of LoRA+: B's is a multiple of A's.

    $$\eta_A = \eta, \qquad \eta_B = \lambda\,\eta$$

    Args:
        lr: The rate η of A, at least 0.
        ratio: λ, at least 1.

    Returns:
        `Rates` for A and B.

    Raises:
        ValueError: If lr or ratio is out of range.

    Reference:
        Hayou et al., LoRA+: Efficient Low Rank Adaptation of Large Models, 2024.

    Example:
        >>> lora_plus_rates(1e-4, ratio=16)
        Rates(A=0.0001, B=0.0016)
    """
    check_between("lr", lr, 0, math.inf, closed="left")
    check_between("ratio", ratio, 1, math.inf, closed="left")
    return Rates(lr, ratio * lr)
