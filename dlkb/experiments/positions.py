"""Attention heads that see positions alone, trained on short sequences and measured on long ones.

A head's queries and keys are made of positions, not of tokens, so that its weights are a
function of where query and key stand. It is trained to read a given pattern, and what it reads at
positions and distances that it was not trained on shows what its encoding extends.
"""

from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from dlkb.transformers.attention import attention_weights
from dlkb.transformers.attention_masks import causal_mask
from dlkb.transformers.positional_encoding import alibi, rotary, sinusoidal

Encoding = Literal["none", "learned", "sinusoidal", "rotary", "alibi"]
Pattern = Literal["three back", "recent"]

WIDTH = 32
LONGEST = 512
LAST = 16


class Head(NamedTuple):
    """Heads of several seeds.

    Attributes:
        encoding: What their queries and keys are made of.
        q: What makes queries: a matrix (seeds, WIDTH, WIDTH), or a vector (seeds, 1, WIDTH).
        k: What makes keys, likewise.
        table: Learned encodings, (seeds, LONGEST, WIDTH), of which only trained positions have
            moved; drawn and not read for other encodings.
        slope: Index of the best of eight slopes, for "alibi".
    """

    encoding: Encoding
    q: Tensor
    k: Tensor
    table: Tensor
    slope: int = 0


def weights(
    head: Head,
    length: int,
    *,
    window: int | None = None,
    stretch: float = 1.0,
    last: int | None = None,
) -> Tensor:
    """Return the causal weights of all heads.

    Args:
        head: The heads.
        length: Number of positions, up to LONGEST.
        window: How many keys a query reads at most.
        stretch: Factor of the positions of "sinusoidal" and "rotary".
        last: How many queries there are, up to the last position; `length` by default.

    Returns:
        Shape (seeds, last, length); for "none" and "alibi" the same for all seeds, up to rounding.

    Raises:
        ValueError: If `window` is below 1.

    Example:
        >>> weights(start("rotary", seeds=2), 5).shape
        torch.Size([2, 5, 5])
    """
    at = stretch * torch.arange(length, dtype=torch.float64)
    past = 0 if last is None else length - last
    q, k = head.q, head.k
    mask: Tensor = causal_mask(at[past:, None], at[:, None], past=past, window=window)
    if head.encoding in ("learned", "sinusoidal"):
        fixed: Tensor = sinusoidal(at, width=WIDTH)
        e = head.table[:, :length] if head.encoding == "learned" else fixed
        q, k = e[..., past:, :] @ q, e @ k
    else:
        q, k = q.expand(-1, length - past, -1), k.expand(-1, length, -1)
    if head.encoding == "rotary":
        q, k = rotary(q, at[past:]), rotary(k, at)
    if head.encoding == "alibi":
        heads = at.new_zeros(8, length, 1)
        bias: Tensor = alibi(heads[:, past:], heads, past=past)[head.slope]
        mask = torch.where(mask, bias, -torch.inf)
    found: Tensor = attention_weights(q, k, mask=mask)
    return found


def pattern(name: Pattern, length: int) -> Tensor:
    """Return the weights that a head is to learn.

    "three back" reads the token three positions before; "recent" reads all, with weights that fall
    by a fifth a position. The first rows, which have too few tokens, read what there is.

    Args:
        name: Which pattern.
        length: Number of positions.

    Returns:
        Shape (length, length), each row with the sum 1.

    Example:
        >>> pattern("three back", 5)[4].tolist()
        [0.0, 1.0, 0.0, 0.0, 0.0]
    """
    at = torch.arange(length)
    distance = at[:, None] - at[None, :]
    if name == "three back":
        wanted = (distance == at.clamp(max=3)[:, None]).double()
    else:
        wanted = torch.where(distance >= 0, 0.8 ** distance.clamp(min=0).double(), 0.0)
    return wanted / wanted.sum(-1, keepdim=True)


def start(encoding: Encoding, *, seeds: int = 10) -> Head:
    """Draw heads.

    Args:
        encoding: What their queries and keys are made of.
        seeds: Number of heads.

    Returns:
        Heads that are not trained.

    Example:
        >>> start("learned", seeds=3).table.shape
        torch.Size([3, 512, 32])
    """
    rng = np.random.default_rng(0)
    rows = WIDTH if encoding in ("learned", "sinusoidal") else 1
    q, k = (
        torch.tensor(rng.normal(size=(seeds, rows, WIDTH)) / WIDTH**0.5, requires_grad=True)
        for _ in "qk"
    )
    table = torch.tensor(rng.normal(size=(seeds, LONGEST, WIDTH)))
    return Head(encoding, q, k, table.requires_grad_(encoding == "learned"))


def overlap(
    head: Head, name: Pattern, length: int, *, window: int | None = None, stretch: float = 1.0
) -> Tensor:
    """Return the share of the weights that lies where it should, of the last queries.

    Args:
        head: The heads.
        name: The pattern that they should read.
        length: Number of positions.
        window: As for `weights`.
        stretch: As for `weights`.

    Returns:
        Shape (seeds,), between 0 and 1.

    Example:
        >>> overlap(start("none", seeds=1), "three back", 64).numpy().round(3)
        array([0.018])
    """
    with torch.no_grad():
        last = min(LAST, length)
        found = weights(head, length, window=window, stretch=stretch, last=last)
        least = torch.minimum(found, pattern(name, length)[-last:])
        return least.sum(-1).mean(-1)


def train_head(
    encoding: Encoding, name: Pattern, *, length: int = 32, steps: int = 300, seeds: int = 10
) -> Head:
    """Train heads to read a pattern in sequences of one length, with Adam on the cross entropy.

    A head of "alibi" has nothing to learn but which of eight slopes is best.

    Args:
        encoding: What queries and keys are made of.
        name: The pattern.
        length: Number of positions in training.
        steps: Number of steps.
        seeds: Number of heads.

    Returns:
        The trained heads.

    Example:
        >>> head = train_head("alibi", "recent")
        >>> bool(overlap(head, "recent", 512).min() > 0.9)
        True
    """
    head = start(encoding, seeds=seeds)
    wanted = pattern(name, length)
    if encoding == "alibi":
        each = [head._replace(slope=slope) for slope in range(8)]
        return max(each, key=lambda h: float(overlap(h, name, length).mean()))
    if encoding == "learned":  # what no position reads, stays: the rows in front alone are trained
        whole = head.table.detach()
        head = head._replace(table=whole[:, :length].clone().requires_grad_())
    free = [x for x in (head.q, head.k, head.table) if x.requires_grad]
    optimizer = torch.optim.Adam(free, lr=0.03)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = -(wanted * (weights(head, length) + 1e-9).log()).sum(-1).mean(-1).sum()
        loss.backward()
        optimizer.step()
    if encoding == "learned":
        head = head._replace(table=torch.cat([head.table.detach(), whole[:, length:]], dim=1))
    return head
