"""Model selection: how to split data for a choice, and how much the best score flatters."""

import math
from collections.abc import Hashable, Sequence
from typing import NamedTuple

from dlkb.arrays import check_between, check_count


class Fold(NamedTuple):
    """Numbers of the examples to train on, and of those to score on.

    Attributes:
        train: In ascending order.
        test: In ascending order, none of them in `train`.
    """

    train: tuple[int, ...]
    test: tuple[int, ...]


def _folds(number: Sequence[int], folds: int) -> tuple[Fold, ...]:
    """Return the folds of examples of which the fold is known by number."""
    return tuple(
        Fold(
            tuple(i for i, f in enumerate(number) if f != fold),
            tuple(i for i, f in enumerate(number) if f == fold),
        )
        for fold in range(folds)
    )


def k_fold(examples: int, *, folds: int = 5) -> tuple[Fold, ...]:
    r"""Return K folds of successive examples: each is scored once, and trained on K − 1 times.

    $$n_k = \left\lfloor\frac nK\right\rfloor + [k < n \bmod K],\qquad k = 0 \dots K - 1$$

    Args:
        examples: n ≥ K, shuffled before unless their order has a meaning.
        folds: K ≥ 2. The first n mod K folds hold one example more.

    Returns:
        The folds.

    Raises:
        ValueError: If an argument is out of its range.

    Note:
        Like `sklearn.model_selection.KFold`, which does not shuffle either, unless told to.

    Example:
        >>> [fold.test for fold in k_fold(5, folds=3)]
        [(0, 1), (2, 3), (4,)]
    """
    check_count("folds", folds, 2)
    check_count("examples", examples, folds)
    size, larger = divmod(examples, folds)
    sizes = [size + (fold < larger) for fold in range(folds)]
    return _folds([fold for fold, n in enumerate(sizes) for _ in range(n)], folds)


def grouped_folds(groups: Sequence[Hashable], *, folds: int = 5) -> tuple[Fold, ...]:
    """Return K folds none of which shares a group with what it is trained on.

    The largest group that is left goes to the fold that is smallest.

    Args:
        groups: Of each example: the patient, document, video, … that it comes from.
        folds: K ≥ 2, at most as many as there are groups.

    Returns:
        The folds, of sizes as even as this rule makes them.

    Raises:
        ValueError: If there are fewer groups than folds, or fewer folds than two.

    Note:
        Like `sklearn.model_selection.GroupKFold`, but for the order of groups of one size.

    Example:
        >>> [fold.test for fold in grouped_folds("aabcc", folds=2)]
        [(0, 1, 2), (3, 4)]
    """
    check_count("folds", folds, 2)
    if hasattr(groups, "tolist"):  # two entries of a tensor are never one key
        groups = groups.tolist()
    sizes: dict[Hashable, int] = {}
    for group in groups:
        sizes[group] = sizes.get(group, 0) + 1
    if len(sizes) < folds:
        raise ValueError(f"groups holds {len(sizes)} groups: {folds} folds need as many at least")
    held, fold_of = [0] * folds, {}
    for group in sorted(sizes, key=lambda g: -sizes[g]):
        fold_of[group] = held.index(min(held))
        held[fold_of[group]] += sizes[group]
    return _folds([fold_of[group] for group in groups], folds)


def ordered_folds(examples: int, *, folds: int = 5, gap: int = 0) -> tuple[Fold, ...]:
    r"""Return K folds of ordered examples, each scored by what came before it.

    $$s = \left\lfloor\frac{n}{K + 1}\right\rfloor$$

    Args:
        examples: n, in the order of time.
        folds: K ≥ 2, of s examples each: the last K s. What comes before the first is trained on.
        gap: How many examples are left out between the two parts, as many as a target looks ahead.

    Returns:
        The folds. Their training parts grow.

    Raises:
        ValueError: If an argument is out of its range, or the first fold has nothing to train on.

    Note:
        Like `sklearn.model_selection.TimeSeriesSplit`.

    Example:
        >>> ordered_folds(7, folds=2, gap=1)
        (Fold(train=(0, 1), test=(3, 4)), Fold(train=(0, 1, 2, 3), test=(5, 6)))
    """
    check_count("folds", folds, 2)
    check_count("examples", examples, folds + 1)
    size = examples // (folds + 1)
    first = examples - folds * size
    check_count("gap", gap, 0, first - 1)
    starts = range(first, examples, size)
    return tuple(Fold(tuple(range(s - gap)), tuple(range(s, s + size))) for s in starts)


def expected_best(*, models: int, examples: int, accuracy: float = 0.5) -> float:
    r"""Return the expected accuracy of the best of m models that are equally good in truth.

    $$E = \frac1n\sum_{k=0}^{n-1}\bigl(1 - F_k^m\bigr),\qquad
    F_k = \sum_{j=0}^{k}\binom nj a^j (1-a)^{n-j}$$

    Args:
        models: m ≥ 1, whose mistakes are independent.
        examples: n ≥ 1, on which each model, fixed before, is scored once. Scores of folds, whose
            models share training examples, may scatter more.
        accuracy: a in (0, 1): what each scores on new data.

    Returns:
        The expected best of the m scores. What it exceeds a by is the optimism of the choice.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> round(expected_best(models=1000, examples=100), 3)
        0.661
    """
    check_count("models", models, 1)
    check_count("examples", examples, 1)
    check_between("accuracy", accuracy, 0, 1, closed="neither")
    n, above, total = examples, 0.0, 0.0
    odds = math.log(accuracy), math.log1p(-accuracy)
    for k in range(n, 0, -1):  # from the top, where F is so near 1 that 1 − F would lose its digits
        log_choices = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
        above += math.exp(log_choices + k * odds[0] + (n - k) * odds[1])
        total += -math.expm1(models * math.log1p(-above)) if above < 1 else 1.0
    return total / n


def optimism_bound(*, models: int, sigma: float) -> float:
    r"""Return by how much the expected best of m noisy scores exceeds the best true one at most.

    $$b = \sigma\sqrt{2\log m}$$

    Args:
        models: m ≥ 1. Their scores may be dependent.
        sigma: σ ≥ 0 such that E[exp(λ X)] ≤ exp(λ² σ² / 2) for the error X of each score and any
            λ: a Gaussian error's standard deviation. For the accuracy of a fixed model on n
            independent examples 1/(2 √n) will do, by Hoeffding's lemma; its standard deviation may
            be too small. Of folds, whose models share training examples, it need not do.

    Returns:
        The bound, which grows without limit, but slowly.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> round(optimism_bound(models=1000, sigma=0.05), 3)
        0.186
    """
    check_count("models", models, 1)
    check_between("sigma", sigma, 0, math.inf, closed="left")
    return sigma * math.sqrt(2 * math.log(models))
