"""Figures of the page on perplexity."""

import math
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dlkb.book.draw.kept import kept
from dlkb.losses.perplexity import per_unit, sliding_windows
from scripts.figures.explorable import Explorable, Slider

Vector = NDArray[np.float64]

VOCABULARY, ALPHA = 50, 0.05
"""Tokens of the source, and how evenly a text uses them: its shares come from a Dirichlet law."""
LONGEST = 64


@kept
def loss_by_context() -> Vector:
    r"""Return the expected loss of the best model, by the tokens that it has seen before.

    Each text has token shares of its own. After c tokens, n of them v, the best guess for v is
    (n + α) / (c + Vα), and n follows the beta-binomial law. So the mean over texts is a sum.
    """
    rest = (VOCABULARY - 1) * ALPHA
    losses = []
    for c in range(LONGEST):
        loss = 0.0
        for n in range(c + 1):
            log_share = (
                math.lgamma(c + 1) - math.lgamma(n + 1) - math.lgamma(c - n + 1)
                + math.lgamma(n + ALPHA) + math.lgamma(c - n + rest)
                - math.lgamma(c + ALPHA + rest)
                - math.lgamma(ALPHA) - math.lgamma(rest) + math.lgamma(ALPHA + rest)
            )  # fmt: skip
            guess = (n + ALPHA) / (c + VOCABULARY * ALPHA)
            loss -= VOCABULARY * math.exp(log_share) * guess * math.log(guess)
        losses.append(loss)
    return np.asarray(losses)


class Windows(NamedTuple):
    """A text, scored through windows.

    Attributes:
        position: Of the scored tokens, from 1.
        perplexity: Of each, as the exponential of its mean loss.
        whole: Perplexity of the whole text.
        cost: Tokens computed for each token of the text.
    """

    position: Vector
    perplexity: Vector
    whole: float
    cost: float


def stride_of(window: int, share: float) -> int:
    """Return the stride that is a share of the window, and leaves one token of context."""
    return min(max(round(share * window), 1), window - 1)


def windows(window: int, share: float, *, length: int = 1024) -> Windows:
    """Score a text of the source through windows."""
    pieces = sliding_windows(length, window=window, stride=stride_of(window, share))
    context = np.concatenate([np.arange(p.first, p.stop) - p.start for p in pieces])
    loss = loss_by_context()[context]
    return Windows(
        np.arange(1.0, length),
        np.exp(loss),
        float(np.exp(loss.mean())),
        sum(p.stop - p.start for p in pieces) / length,
    )


SHARES = (0.125, 0.25, 0.5, 0.75, 1.0)
SHOWN = 96


def windows_and_stride() -> Explorable:
    """Draw perplexity by position, and of the text against the cost, for windows and strides."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 2.7), sharey=True)
    (positions,) = left.plot([], [], color="C0", linewidth=1.3, label="token")
    (whole,) = left.plot([], [], color="C3", linestyle="--", label="text")
    (curve,) = right.plot([], [], color="C3", label="strides")
    (here,) = right.plot([], [], "o", color="C1", label="this stride")
    left.set(
        xlim=(0, SHOWN),
        yscale="log",
        ylim=(5, 60),
        yticks=[5, 10, 20, 50],
        xlabel="position",
        title="perplexity",
    )
    left.set_yticklabels(["5", "10", "20", "50"])
    left.minorticks_off()
    left.legend(loc="upper right", ncols=2)
    right.set(xlim=(0, 9), xlabel="tokens computed per token", title="the text's perplexity")

    def show(window: float, share: float) -> str:
        size = int(window)
        data = windows(size, share)
        positions.set_data(data.position[: SHOWN - 1], data.perplexity[: SHOWN - 1])
        whole.set_data([0, SHOWN], [data.whole, data.whole])
        curve.set_data(*strides(size))
        here.set_data([data.cost], [data.whole])
        return (
            f"Stride {stride_of(size, share)}: perplexity {data.whole:.2f}, "
            f"at {data.cost:.1f} tokens computed per token."
        )

    sliders = (
        Slider("window", (8, 16, 32, 64), 1),
        Slider("stride / window", SHARES, 4),
    )
    return Explorable(figure, sliders, (whole, positions, curve, here), show)


def strides(window: int) -> tuple[Vector, Vector]:
    """Return cost and perplexity for all shares."""
    found = [windows(window, share) for share in SHARES]
    return np.asarray([d.cost for d in found]), np.asarray([d.whole for d in found])


def windows_and_stride_says() -> dict[str, bool]:
    """Return what alt text and caption say of the first frame, and whether it is so."""
    wide = windows(16, 1.0)
    half = windows(16, 0.5)
    saw = wide.perplexity[: SHOWN - 1]
    jumps = np.flatnonzero(np.diff(saw) > 10)
    return {
        f"Perplexity by position in a text falls within each window of 16 and jumps up "
        f"where the next one begins, {wide.whole:.2f} for the text": bool(
            len(jumps) >= 5 and set(np.diff(jumps)) == {stride_of(16, 1.0)}
        ),
        f"At right half a window of stride gives {half.whole:.2f} for twice the computation": bool(
            abs(half.cost - 2) < 0.05 and half.whole < wide.whole
        ),
        "The model is the same": windows(16, 0.5).position.size == wide.position.size,
        "only its context differs: the smaller the stride, the lower the perplexity here": bool(
            all((np.diff(strides(w)[1]) > 0).all() for w in (8, 16, 32, 64))
        ),
    }


SIZES = np.linspace(1, 8, 57)
"""Bytes a token."""
BITS = (0.7, 0.9, 1.1)


def by_tokenizer() -> Vector:
    """Return the perplexity a token, a row for each of `BITS`, for tokens of each of `SIZES`."""
    return np.stack([per_unit(2.0**bits, tokens=1.0, units=1.0 / SIZES) for bits in BITS])


def tokenizers() -> Figure:
    """Draw perplexity against the length of a token, at equal bits per byte."""
    figure, ax = plt.subplots(figsize=(6.2, 3.2))
    curves = list(zip(BITS, by_tokenizer(), ("C2", "C0", "C1"), strict=True))
    for bits, ppl, color in reversed(curves):
        ax.plot(SIZES, ppl, color=color, label=f"{bits} bits per byte")
    ax.set(xlim=(1, 8), yscale="log", ylim=(1, 500), yticks=[1, 10, 100])
    ax.set_yticklabels(["1", "10", "100"])
    ax.set(xlabel="bytes a token", ylabel="perplexity")
    ax.legend(loc="upper left")
    return figure


def tokenizers_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    found = by_tokenizer()
    at = {size: int(np.abs(SIZES - size).argmin()) for size in (3, 5)}
    best, _, worst = found
    return {
        f"At 0.9 bits per byte perplexity is {found[1, at[3]]:.1f} for tokens of 3 bytes": True,
        f"{found[1, at[5]]:.1f} for tokens of 5": bool(SIZES[at[3]] == 3 and SIZES[at[5]] == 5),
        "The best of three models has a higher perplexity with tokens of 5 bytes than the worst "
        "with tokens of 3": bool(best[at[5]] > worst[at[3]]),
    }
