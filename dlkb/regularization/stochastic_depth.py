r"""Stochastic depth: skip whole residual branches at random while training.

`p` is the probability of *dropping* a branch, as in torchvision; the paper states the
probability of survival, 1 − p. `keep` is a boolean mask of shape `(batch,)`, or `()` where one draw
decides for the whole batch.
"""

from dlkb.arrays import (
    Array,
    Generator,
    bernoulli,
    check_between,
    check_count,
    check_float,
    check_same_shape,
    device,
    namespace,
)
from dlkb.regularization.dropout import Moments, dropout, dropout_moments


def _check_mask(keep: Array, name: str, x: Array) -> None:
    check_float(name, x)
    if tuple(keep.shape) not in ((), tuple(x.shape[:1])):
        raise ValueError(
            f"keep has shape {tuple(keep.shape)} and {name} has shape {tuple(x.shape)}: "
            "keep must be () or hold one entry an example"
        )


def survivors(like: Array, *, p: float, mode: str = "row", generator: Generator) -> Array:
    r"""Draw which examples keep a branch.

    $$k_b \sim \operatorname{Bernoulli}(1 - p)$$

    Args:
        like: A floating-point array, `(batch, ...)`; the mask has its device.
        p: Probability of dropping, in [0, 1].
        mode: "row" draws for each example, "batch" once for all, as the paper does.
        generator: `numpy.random.Generator`, or `torch.Generator` with tensors; it advances.

    Returns:
        A boolean array, `(batch,)` or, in the mode "batch", `()`.

    Raises:
        TypeError: If `like` is not floating-point, or `generator` does not fit it.
        ValueError: If `p` is outside [0, 1], `mode` is neither, or `like` has no axis.

    Reference:
        Huang et al., Deep Networks with Stochastic Depth, ECCV 2016, section 3.

    Example:
        >>> import numpy as np
        >>> survivors(np.zeros((4, 8)), p=0.5, generator=np.random.default_rng(0))
        array([False,  True,  True,  True])
    """
    check_float("like", like)
    if mode not in ("row", "batch"):
        raise ValueError(f"mode is {mode!r}: it must be 'row' or 'batch'")
    if like.ndim == 0:
        raise ValueError("like has shape (): an axis of examples is needed")
    check_between("p", p, 0, 1)
    shape = like.shape[:1] if mode == "row" else ()
    one = namespace(like).zeros(shape, dtype=like.dtype, device=device(like))
    return bernoulli(one, p=1 - p, generator=generator)


def stochastic_depth(branch: Array, keep: Array, *, p: float) -> Array:
    r"""Drop the branches that do not survive, and rescale the rest.

    $$z_b = \frac{k_b}{1 - p}\,\mathbf{f}_b$$

    The result is added to the shortcut: $\mathbf{h} + \mathbf{z}$.

    Args:
        branch: Outputs $\mathbf{f}$ of the residual branch, `(batch, ...)`.
        keep: Boolean, `(batch,)` or `()`: whether the branch survives.
        p: Probability with which `keep` was drawn False, in [0, 1].

    Returns:
        An array like `branch`. Where the branch is dropped it is 0, also for a NaN or ∞ in it.

    Raises:
        TypeError: If `branch` is not floating-point, or `keep` not boolean.
        ValueError: If `p` is outside [0, 1], or `keep` has another shape.

    Note:
        Differs from the paper, which leaves the branch as it is while training and multiplies
        it by 1 − p at test time; the means are equal if the branch's last layer takes the factor.

    Reference:
        Huang et al., Deep Networks with Stochastic Depth, ECCV 2016, section 3.

    Example:
        >>> import numpy as np
        >>> stochastic_depth(np.ones((2, 3)), np.asarray([True, False]), p=0.75)
        array([[4., 4., 4.],
               [0., 0., 0.]])
    """
    _check_mask(keep, "branch", branch)
    column = (*keep.shape, *(1,) * (branch.ndim - keep.ndim))
    return dropout(branch, namespace(branch, keep).reshape(keep, column), p=p)


def stochastic_depth_vjp(keep: Array, cotangent: Array, *, p: float) -> Array:
    r"""Pull a gradient back through `stochastic_depth`, which is its own transpose.

    $$\frac{\partial L}{\partial \mathbf{f}_b} = \frac{k_b}{1 - p}\,
      \frac{\partial L}{\partial \mathbf{z}_b}$$

    Args:
        keep: The mask of the forward pass.
        cotangent: Gradient with respect to the output, in its shape.
        p: As in the forward pass.

    Returns:
        The gradient with respect to the branch: 0 for a dropped one, whose weights do not learn.

    Raises:
        TypeError: If `cotangent` is not floating-point, or `keep` not boolean.
        ValueError: As `stochastic_depth`.

    Example:
        >>> import numpy as np
        >>> stochastic_depth_vjp(np.asarray([True, False]), np.ones(2), p=0.75)
        array([4., 0.])
    """
    _check_mask(keep, "cotangent", cotangent)
    return stochastic_depth(cotangent, keep, p=p)


def block_moments(shortcut: Array, branch: Array, *, p: float) -> Moments:
    r"""Return mean and variance of a block's output over the draws, entry by entry.

    $$\mathbb{E}[h + z] = h + f, \qquad \operatorname{Var}[h + z] = \frac{p}{1 - p}\,f^2$$

    Args:
        shortcut: h, any shape.
        branch: f, in the same shape.
        p: Probability of dropping, in [0, 1).

    Returns:
        Two arrays like `branch`.

    Raises:
        TypeError: If an array is not floating-point.
        ValueError: If the shapes differ, or `p` is outside [0, 1).

    Note:
        Differs from a branch that is not rescaled, where they are h + (1 − p)f and p(1 − p)f².

    Example:
        >>> import numpy as np
        >>> block_moments(np.asarray([1.0]), np.asarray([2.0]), p=0.5)
        Moments(mean=array([3.]), variance=array([4.]))
    """
    check_float("shortcut", shortcut)
    check_float("branch", branch)
    check_same_shape("shortcut", shortcut, "branch", branch)
    mean, variance = dropout_moments(branch, p=p)
    return Moments(shortcut + mean, variance)


def linear_survival(block: Array, *, blocks: int, last: float = 0.5) -> Array:
    r"""Return the paper's probability of survival, which falls linearly with depth.

    $$q_i = 1 - \frac{i}{L}\,(1 - q_L)$$

    Args:
        block: i, numbers of blocks counted from 1; a floating-point array of any shape.
        blocks: L ≥ 1, how many residual blocks there are.
        last: q_L, the survival of the last, in [0, 1].

    Returns:
        An array like `block`. The probability of dropping, `p`, is one minus it.

    Raises:
        TypeError: If `block` is not floating-point.
        ValueError: If `blocks` is below 1, or `last` outside [0, 1].

    Note:
        Differs from Swin, ConvNeXt and Transformers, where the first block is never dropped:
        p rises from 0 to its largest value in L − 1 steps.

    Reference:
        Huang et al., Deep Networks with Stochastic Depth, ECCV 2016, section 3.

    Example:
        >>> import numpy as np
        >>> linear_survival(np.asarray([1.0, 2.0, 3.0, 4.0]), blocks=4)
        array([0.875, 0.75 , 0.625, 0.5  ])
    """
    check_float("block", block)
    check_count("blocks", blocks, 1)
    check_between("last", last, 0, 1)
    return 1 - block / blocks * (1 - last)


def depth_moments(survival: Array) -> Moments:
    r"""Return mean and variance of the number of blocks that survive, drawn independently.

    $$\mathbb{E}[D] = \sum_i q_i, \qquad
      \operatorname{Var}[D] = \sum_i q_i\,(1 - q_i)$$

    Args:
        survival: q, `(..., blocks)`, entries in [0, 1].

    Returns:
        Two arrays `(...)`.

    Raises:
        TypeError: If `survival` is not floating-point.

    Reference:
        Huang et al., Deep Networks with Stochastic Depth, ECCV 2016, section 3.

    Example:
        >>> import numpy as np
        >>> q = linear_survival(np.arange(1.0, 55.0), blocks=54)
        >>> depth_moments(q).mean.round(2)
        np.float64(40.25)
    """
    check_float("survival", survival)
    xp = namespace(survival)
    return Moments(xp.sum(survival, axis=-1), xp.sum(survival * (1 - survival), axis=-1))


def depth_distribution(survival: Array) -> Array:
    r"""Return the distribution of the number of blocks that survive, drawn independently.

    $$P_i(d) = (1 - q_i)\,P_{i - 1}(d) + q_i\,P_{i - 1}(d - 1), \qquad
      P_0(0) = 1$$

    Args:
        survival: q, `(..., blocks)`, entries in [0, 1].

    Returns:
        P_L(0) … P_L(L), `(..., blocks + 1)`.

    Raises:
        TypeError: If `survival` is not floating-point.
        ValueError: If it has no axis.

    Example:
        >>> import numpy as np
        >>> depth_distribution(np.asarray([1.0, 0.5]))
        array([0. , 0.5, 0.5])
    """
    check_float("survival", survival)
    if survival.ndim == 0:
        raise ValueError("survival has shape (): an axis of blocks is needed")
    xp = namespace(survival)
    none = xp.zeros_like(survival[..., :0])
    share = xp.ones_like(xp.sum(none, axis=-1, keepdims=True))
    for block in range(survival.shape[-1]):
        q = survival[..., block : block + 1]
        zero = xp.zeros_like(q)
        dropped = xp.concat([(1 - q) * share, zero], axis=-1)
        share = dropped + xp.concat([zero, q * share], axis=-1)
    return share
