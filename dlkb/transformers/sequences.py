"""Sequences as models read them: two texts as BERT packs them, spans as T5 leaves them out."""

from collections.abc import Sequence
from typing import NamedTuple


class Packed(NamedTuple):
    """A pair of texts as one sequence: token ids, and the segment of each."""

    tokens: tuple[int, ...]
    segments: tuple[int, ...]


def pack_pair(first: Sequence[int], second: Sequence[int], *, cls: int, sep: int) -> Packed:
    """Put two texts into one sequence as BERT does: [CLS] first [SEP] second [SEP].

    Args:
        first: Token ids.
        second: Token ids of the text that follows, or of another one.
        cls: Id of the token whose vector says whether the second follows.
        sep: Id of the token that ends a text.

    Returns:
        Token ids and segments: 0 up to the first separator, then 1.

    Reference:
        Devlin et al., NAACL 2019, section 3.

    Example:
        >>> pack_pair([7, 8], [9], cls=1, sep=2)
        Packed(tokens=(1, 7, 8, 2, 9, 2), segments=(0, 0, 0, 0, 1, 1))
    """
    left, right = (cls, *first, sep), (*second, sep)
    return Packed(left + right, (0,) * len(left) + (1,) * len(right))


class Spans(NamedTuple):
    """What an encoder-decoder reads, and what it must write: token ids."""

    inputs: tuple[int, ...]
    targets: tuple[int, ...]


def corrupt_spans(
    tokens: Sequence[int], noise: Sequence[bool], *, sentinels: Sequence[int]
) -> Spans:
    """Replace each run of tokens by one sentinel; the targets say what stood there.

    Args:
        tokens: Token ids.
        noise: For each, whether it is left out.
        sentinels: Ids that occur in no text, at least one more than there are runs.

    Returns:
        Inputs with a sentinel for each run; targets with each sentinel before its run, and one
        more at the end.

    Raises:
        ValueError: If the lengths differ or there are too few sentinels.

    Note:
        Differs from T5's own code, where a text ends with a run and no sentinel follows it: the
        last one here is the figure's. The choice of the runs, 15 % of the tokens in runs of 3 on
        average, and the end-of-sequence tokens are left to the caller.

    Reference:
        Raffel et al., JMLR 2020, figure 2.

    Example:
        >>> noise = [False, True, True, False, True]
        >>> corrupt_spans([5, 6, 7, 8, 9], noise, sentinels=[99, 98, 97])
        Spans(inputs=(5, 99, 8, 98), targets=(99, 6, 7, 98, 9, 97))
    """
    if len(noise) != len(tokens):
        raise ValueError(f"noise has {len(noise)} entries for {len(tokens)} tokens")
    starts = [i for i, n in enumerate(noise) if n and not (i and noise[i - 1])]
    if len(sentinels) <= len(starts):
        raise ValueError(
            f"sentinels has {len(sentinels)} entries: {len(starts) + 1} are needed, "
            "one for each run and one for the end"
        )
    mark = dict(zip(starts, sentinels, strict=False))
    inputs: list[int] = []
    targets: list[int] = []
    for i, (token, left_out) in enumerate(zip(tokens, noise, strict=True)):
        if i in mark:
            inputs.append(mark[i])
            targets.append(mark[i])
        (targets if left_out else inputs).append(token)
    return Spans(tuple(inputs), (*targets, sentinels[len(starts)]))


def restore_spans(spans: Spans, *, sentinels: Sequence[int]) -> tuple[int, ...]:
    """Put the text together again from inputs and targets.

    Args:
        spans: From `corrupt_spans`, or targets that a model wrote.
        sentinels: As given there.

    Returns:
        The token ids; where the targets lack a sentinel, nothing stands for it.

    Example:
        >>> restore_spans(Spans((5, 99, 8), (99, 6, 7, 98)), sentinels=[99, 98])
        (5, 6, 7, 8)
    """
    marks = set(sentinels)
    runs: dict[int, list[int]] = {}
    run: list[int] = []
    for token in spans.targets:
        if token in marks:
            run = runs.setdefault(token, [])
        else:
            run.append(token)
    return tuple(
        found
        for token in spans.inputs
        for found in (runs.get(token, []) if token in marks else [token])
    )
