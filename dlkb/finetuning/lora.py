"""Low-rank adaptation: a frozen weight plus the product of two thin trainable factors.

One layout throughout, that of `torch.nn.Linear`: `W` is (out, in), `A` is (r, in), `B` is
(out, r), and samples are rows of `x`.
"""

import math
from typing import Literal, NamedTuple

from dlkb.arrays import (
    Array,
    Generator,
    check_between,
    check_count,
    check_float,
    device,
    namespace,
    normal,
    uniform,
)

Rule = Literal["lora", "rslora", "alpha"]


class Factors(NamedTuple):
    """The trainable factors of one layer: `A` (r, in) and `B` (out, r)."""

    A: Array
    B: Array


class Gradients(NamedTuple):
    """The gradients of a loss in the arguments of `lora` that are not frozen."""

    x: Array
    A: Array
    B: Array


def _check_factors(A: Array, B: Array) -> None:
    check_float("A", A)
    check_float("B", B)
    if A.ndim != 2 or B.ndim != 2 or A.shape[0] != B.shape[1] or A.shape[0] < 1:
        raise ValueError(
            f"A has shape {tuple(A.shape)} and B has shape {tuple(B.shape)}: "
            "they must be (r, in) and (out, r) with one r >= 1"
        )


def _check_layer(W: Array, A: Array, B: Array) -> None:
    _check_factors(A, B)
    check_float("W", W)
    if tuple(W.shape) != (B.shape[0], A.shape[1]):
        raise ValueError(
            f"W has shape {tuple(W.shape)}: it must be (out, in) = "
            f"({B.shape[0]}, {A.shape[1]}) as B {tuple(B.shape)} and A {tuple(A.shape)} say"
        )


def _check_input(x: Array, A: Array) -> None:
    check_float("x", x)
    if x.ndim < 1 or x.shape[-1] != A.shape[1]:
        raise ValueError(
            f"x has shape {tuple(x.shape)}: its last axis must be in = {A.shape[1]}, "
            f"as A {tuple(A.shape)} says"
        )


def lora_branch(x: Array, A: Array, B: Array, *, scaling: float) -> Array:
    r"""Return what the adapter adds to the layer's output.

    $$\Delta\mathbf{y} = s\,(\mathbf{x}\mathbf{A}^\top)\,\mathbf{B}^\top$$

    The brackets matter: through the bottleneck it takes r(in + out) multiplications a row,
    and the (out, in) product is never formed.

    Args:
        x: Inputs, shape (..., in).
        A: Down-projection, shape (r, in).
        B: Up-projection, shape (out, r).
        scaling: The factor s, from `lora_scaling`.

    Returns:
        Shape (..., out).

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes do not fit.

    Example:
        >>> import numpy as np
        >>> x, A, B = np.asarray([1.0, 2.0]), np.ones((1, 2)), np.ones((3, 1))
        >>> lora_branch(x, A, B, scaling=0.5)
        array([1.5, 1.5, 1.5])
    """
    _check_factors(A, B)
    _check_input(x, A)
    xp = namespace(x, A, B)
    return scaling * xp.matmul(xp.matmul(x, xp.matrix_transpose(A)), xp.matrix_transpose(B))


def lora(
    x: Array, W: Array, A: Array, B: Array, *, scaling: float, bias: Array | None = None
) -> Array:
    r"""Apply a linear layer with a low-rank update.

    $$\mathbf{y} = \mathbf{x}\mathbf{W}^\top + \mathbf{b}
      + s\,(\mathbf{x}\mathbf{A}^\top)\,\mathbf{B}^\top$$

    Args:
        x: Inputs, shape (..., in): any number of batch axes, also none or empty ones.
        W: Pretrained weight, shape (out, in). It stays frozen.
        A: Down-projection, shape (r, in).
        B: Up-projection, shape (out, r). While it is zero the layer is the pretrained one.
        scaling: The factor s, from `lora_scaling`.
        bias: Shape (out,), or None.

    Returns:
        Shape (..., out).

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes do not fit.

    Note:
        Differs from the paper, which writes columns, h = W₀x + ΔWx with ΔW = BA scaled by
        α/r; these are the same products with samples as rows.

    Reference:
        Hu et al., LoRA: Low-Rank Adaptation of Large Language Models, ICLR 2022.

    Example:
        >>> import numpy as np
        >>> x, W = np.asarray([[1.0, 2.0]]), np.eye(2)
        >>> lora(x, W, np.ones((1, 2)), np.ones((2, 1)), scaling=2.0)
        array([[7., 8.]])
    """
    _check_layer(W, A, B)
    _check_input(x, A)
    xp = namespace(x, W, A, B, bias)
    y = xp.matmul(x, xp.matrix_transpose(W))
    if bias is not None:
        check_float("bias", bias)
        if tuple(bias.shape) != (W.shape[0],):
            raise ValueError(f"bias has shape {tuple(bias.shape)}: it must be ({W.shape[0]},)")
        y = y + bias
    return y + lora_branch(x, A, B, scaling=scaling)


def lora_vjp(
    x: Array, W: Array, A: Array, B: Array, cotangent: Array, *, scaling: float
) -> Gradients:
    r"""Return the gradients of `lora` in x, A and B; W is frozen and has none.

    With $\mathbf{G}$ the gradient in the output, rows being samples,

    $$\nabla_{\mathbf{x}} = \mathbf{G}\mathbf{W} + s\,\mathbf{G}\mathbf{B}\mathbf{A},\quad
      \nabla_{\mathbf{A}} = s\,(\mathbf{G}\mathbf{B})^\top\mathbf{x},\quad
      \nabla_{\mathbf{B}} = s\,\mathbf{G}^\top(\mathbf{x}\mathbf{A}^\top)$$

    Args:
        x: Inputs, shape (..., in).
        W: Frozen weight, shape (out, in).
        A: Down-projection, shape (r, in).
        B: Up-projection, shape (out, r).
        cotangent: Gradient of the loss in the output, shape (..., out).
        scaling: The factor s.

    Returns:
        `Gradients` with the shapes of x, A and B; those of A and B are summed over the batch.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes do not fit.

    Example:
        >>> import numpy as np
        >>> x, W = np.ones((1, 2)), np.eye(2)
        >>> A, B = np.ones((1, 2)), np.zeros((2, 1))
        >>> gradients = lora_vjp(x, W, A, B, np.ones((1, 2)), scaling=1.0)
        >>> gradients.A, gradients.B.T      # B = 0: A waits, B moves first
        (array([[0., 0.]]), array([[2., 2.]]))
    """
    _check_layer(W, A, B)
    _check_input(x, A)
    check_float("cotangent", cotangent)
    if tuple(cotangent.shape) != (*x.shape[:-1], W.shape[0]):
        raise ValueError(
            f"cotangent has shape {tuple(cotangent.shape)}: it must be that of the output, "
            f"{(*x.shape[:-1], W.shape[0])}"
        )
    xp = namespace(x, W, A, B, cotangent)
    n = math.prod(x.shape[:-1])
    rows, G = xp.reshape(x, (n, A.shape[1])), xp.reshape(cotangent, (n, B.shape[0]))
    GB = xp.matmul(G, B)
    return Gradients(
        x=xp.reshape(xp.matmul(G, W) + scaling * xp.matmul(GB, A), x.shape),
        A=scaling * xp.matmul(xp.matrix_transpose(GB), rows),
        B=scaling * xp.matmul(xp.matrix_transpose(G), xp.matmul(rows, xp.matrix_transpose(A))),
    )


def lora_scaling(alpha: float, r: int, *, rule: Rule = "lora") -> float:
    r"""Return the factor s in front of the update.

    $$s = \frac{\alpha}{r}\ \text{(lora)},\qquad s = \frac{\alpha}{\sqrt{r}}\ \text{(rslora)},
      \qquad s = \alpha\ \text{(alpha)}$$

    Args:
        alpha: The numerator α, positive.
        r: The rank, at least 1.
        rule: "lora" as in the paper, loralib and peft; "rslora" as in peft with
            `use_rslora=True`; "alpha" for code that leaves r out.

    Returns:
        The scaling, a Python float.

    Raises:
        ValueError: If alpha or r is out of range, or the rule is unknown.

    Reference:
        Hu et al., 2022, for α/r; Kalajdzievski, A Rank Stabilization Scaling Factor for
        Fine-Tuning with LoRA, 2023, for α/√r.

    Example:
        >>> [lora_scaling(16, 4, rule=rule) for rule in ("lora", "rslora", "alpha")]
        [4.0, 8.0, 16.0]
    """
    check_between("alpha", alpha, 0, math.inf, closed="neither")
    check_count("r", r, 1)
    if rule not in ("lora", "rslora", "alpha"):
        raise ValueError(f'rule is {rule!r}: it must be "lora", "rslora" or "alpha"')
    return alpha / {"lora": r, "rslora": r**0.5, "alpha": 1.0}[rule]


def lora_init(W: Array, *, r: int, generator: Generator, std: float | None = None) -> Factors:
    r"""Draw the factors for a weight: A random, B zero, so that nothing changes at first.

    $$A_{ij} \sim U\!\left(-\tfrac{1}{\sqrt{\text{in}}}, \tfrac{1}{\sqrt{\text{in}}}\right)
      \quad\text{or}\quad A_{ij} \sim N(0, \sigma^2), \qquad \mathbf{B} = \mathbf{0}$$

    Args:
        W: The weight to adapt, shape (out, in); only its shape, dtype and device are used.
        r: The rank, at least 1. Above min(in, out) it adds parameters but no rank.
        generator: The source of randomness.
        std: None for the uniform law, σ for the Gaussian of the paper.

    Returns:
        `Factors` in the dtype and on the device of W.

    Raises:
        TypeError: If W is not floating-point.
        ValueError: If W is not a matrix or has no column, or r or std is out of range.

    Note:
        The uniform law is what loralib and peft call `kaiming_uniform_(a=sqrt(5))`; its
        standard deviation is 1/√(3·in). The paper leaves σ open; peft's "gaussian" takes
        σ = 1/r.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> A, B = lora_init(np.zeros((3, 4)), r=2, generator=rng)
        >>> A.shape, B.shape, float(abs(A).max()) < 0.5, float(abs(B).max())
        ((2, 4), (3, 2), True, 0.0)
    """
    check_float("W", W)
    if W.ndim != 2 or W.shape[1] < 1:
        raise ValueError(f"W has shape {tuple(W.shape)}: it must be (out, in) with in >= 1")
    check_count("r", r, 1)
    xp = namespace(W)
    out_features, in_features = W.shape
    A = xp.zeros((r, in_features), dtype=W.dtype, device=device(W))
    if std is None:
        A = (2 * uniform(A, generator=generator) - 1) / math.sqrt(in_features)
    else:
        check_between("std", std, 0, math.inf, closed="neither")
        A = std * normal(A, generator=generator)
    return Factors(A, xp.zeros((out_features, r), dtype=W.dtype, device=device(W)))


def merge(W: Array, A: Array, B: Array, *, scaling: float) -> Array:
    r"""Return the one weight that does what W and its adapter do together.

    $$\mathbf{W}' = \mathbf{W} + s\,\mathbf{B}\mathbf{A}$$

    Args:
        W: Weight, shape (out, in).
        A: Down-projection, shape (r, in).
        B: Up-projection, shape (out, r).
        scaling: The factor s.

    Returns:
        Shape (out, in).

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes do not fit.

    Example:
        >>> import numpy as np
        >>> W, A, B = np.zeros((2, 2)), np.asarray([[1.0, 2.0]]), np.ones((2, 1))
        >>> merge(W, A, B, scaling=0.5)
        array([[0.5, 1. ],
               [0.5, 1. ]])
    """
    _check_layer(W, A, B)
    xp = namespace(W, A, B)
    return W + xp.matmul(scaling * B, A)  # B has far fewer entries than B A


def unmerge(W: Array, A: Array, B: Array, *, scaling: float) -> Array:
    r"""Take the adapter out of a merged weight, up to rounding.

    $$\mathbf{W} = \mathbf{W}' - s\,\mathbf{B}\mathbf{A}$$

    Args:
        W: Merged weight, shape (out, in).
        A: Down-projection, shape (r, in).
        B: Up-projection, shape (out, r).
        scaling: The factor s.

    Returns:
        Shape (out, in).

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes do not fit.

    Note:
        The sum was rounded when merging, so subtracting does not give the old bits back: the
        error is an ulp of W', which in bfloat16 is up to 0.8 % of its size. Keep the old weight
        where that matters, as `dlkb.nn.LoRALinear` does.

    Example:
        >>> import numpy as np
        >>> W, A, B = np.eye(2), np.ones((1, 2)), np.ones((2, 1))
        >>> unmerge(merge(W, A, B, scaling=0.5), A, B, scaling=0.5)
        array([[1., 0.],
               [0., 1.]])
    """
    return merge(W, A, B, scaling=-scaling)


def low_rank(M: Array, *, r: int) -> Array:
    r"""Return the matrix of rank r that is nearest to M.

    $$\mathbf{M}_r = \sum_{i \le r} \sigma_i \mathbf{u}_i \mathbf{v}_i^\top, \qquad
      \|\mathbf{M} - \mathbf{M}_r\|_F^2 = \sum_{i > r} \sigma_i^2$$

    No adapter of rank r comes nearer to an update M than this.

    Args:
        M: A matrix, shape (m, n).
        r: The rank, at least 1; from min(m, n) on, M itself.

    Returns:
        Shape (m, n).

    Raises:
        TypeError: If M is not floating-point.
        ValueError: If M is not a matrix or r is below 1.

    Note:
        Needs a singular value decomposition: float32 or float64.

    Reference:
        Eckart and Young, The approximation of one matrix by another of lower rank, 1936.

    Example:
        >>> import numpy as np
        >>> low_rank(np.diag(np.asarray([3.0, 2.0, 1.0])), r=1)
        array([[3., 0., 0.],
               [0., 0., 0.],
               [0., 0., 0.]])
    """
    check_float("M", M)
    if M.ndim != 2:
        raise ValueError(f"M has shape {tuple(M.shape)}: it must be a matrix")
    check_count("r", r, 1)
    xp = namespace(M)
    r = min(r, *M.shape)
    U, S, Vh = xp.linalg.svd(M, full_matrices=False)
    return xp.matmul(U[:, :r] * S[:r], Vh[:r, :])


def lora_parameters(in_features: int, out_features: int, *, r: int) -> int:
    r"""Count the trainable parameters of one adapted layer.

    $$r\,(\text{in} + \text{out})$$

    This is below the in · out of the layer itself if r < in·out / (in + out), for a square
    layer half its width.

    Args:
        in_features: Width of the input, at least 1.
        out_features: Width of the output, at least 1.
        r: The rank, at least 1.

    Returns:
        The number of entries of A and B.

    Raises:
        ValueError: If a size is below 1.

    Example:
        >>> lora_parameters(768, 768, r=8), 768 * 768
        (12288, 589824)
    """
    for name, size in (("in_features", in_features), ("out_features", out_features), ("r", r)):
        check_between(name, size, 1, math.inf, closed="left")
    return r * (in_features + out_features)


def forward_macs(in_features: int, out_features: int, *, r: int | None = None) -> int:
    r"""Count the multiply-accumulates of a forward pass, for one row of input.

    $$\text{in}\cdot\text{out} + r\,(\text{in} + \text{out})$$

    Args:
        in_features: Width of the input.
        out_features: Width of the output.
        r: The rank of an adapter that is not merged. None for a plain layer, which is also
            what a merged one is.

    Returns:
        The count.

    Raises:
        ValueError: If a size is below 1.

    Example:
        >>> round(forward_macs(768, 768, r=8) / forward_macs(768, 768), 4)
        1.0208
    """
    extra = lora_parameters(in_features, out_features, r=1 if r is None else r)
    return in_features * out_features + (0 if r is None else extra)


def training_macs(in_features: int, out_features: int, *, r: int | None = None) -> int:
    r"""Count the multiply-accumulates of a forward and a backward pass, for one row.

    $$3\,\text{in}\cdot\text{out}\ \text{(full)}, \qquad
      2\,\text{in}\cdot\text{out} + 3r\,(\text{in} + \text{out})\ \text{(LoRA)}$$

    Full fine-tuning pays for the output, the input's gradient and the weight's gradient.
    LoRA saves the last for W and pays all three for both factors: a third at most.

    Args:
        in_features: Width of the input.
        out_features: Width of the output.
        r: The rank. None for full fine-tuning.

    Returns:
        The count, the input's gradient included.

    Raises:
        ValueError: If a size is below 1.

    Example:
        >>> training_macs(768, 768, r=8) / training_macs(768, 768)
        0.6875
    """
    if r is None:
        return 3 * forward_macs(in_features, out_features)
    factors = lora_parameters(in_features, out_features, r=r)
    return 2 * forward_macs(in_features, out_features) + 3 * factors


def training_bytes(parameters: int, *, moments: int = 2, itemsize: int = 4) -> int:
    r"""Count the bytes that training keeps for its parameters, besides the parameters.

    $$(1 + \text{moments}) \cdot \text{itemsize} \cdot \text{parameters}$$

    Args:
        parameters: How many are trainable, at least 0.
        moments: Arrays in the optimizer's state: 2 for Adam, 1 for momentum, 0 for SGD.
        itemsize: Bytes a number: 4 in float32.

    Returns:
        The bytes of gradients and optimizer state. Activations are not in it.

    Raises:
        ValueError: If an argument is negative, or `itemsize` below 1.

    Example:
        >>> factors = lora_parameters(768, 768, r=8)
        >>> training_bytes(768 * 768) / training_bytes(factors)
        48.0
    """
    check_count("parameters", parameters, 0)
    check_count("moments", moments, 0)
    check_count("itemsize", itemsize, 1)
    return (1 + moments) * itemsize * parameters
