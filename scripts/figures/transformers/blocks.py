"""Figures of the page on blocks."""

from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from dlkb.book.draw.kept import kept
from dlkb.experiments.norm_place import gradient_by_layer
from dlkb.experiments.small_gpt import HEADS, draw_gpt, encode, train_gpt
from dlkb.experiments.tokenizers import zen
from dlkb.losses.cross_entropy import cross_entropy
from dlkb.transformers.gpt import gpt
from scripts.figures.explorable import Explorable, Slider
from scripts.figures.labels import label_line

Vector = NDArray[np.float64]

DEPTHS = (2, 4, 8, 16, 24)
TAUGHT, WATCHED = 600, (50, 100, 150)


@kept
def gradients(depth: int, pre_norm: bool) -> Vector:
    """Return the gradient's norm of each block's last matrix, for ten networks."""
    torch.set_num_threads(1)
    found: Vector = gradient_by_layer(depth=depth, pre_norm=pre_norm).numpy()
    return found


def band(rows: Vector) -> Vector:
    """Return the polygon between the least and the largest of ten networks."""
    x = np.arange(1.0, rows.shape[1] + 1)
    low, high = (np.stack([x, edge], axis=1) for edge in (rows.min(0), rows.max(0)))
    return np.concatenate([low, high[::-1]])


def gradient_by_depth() -> Explorable:
    """Draw the gradient of each block, with the norm in both places."""
    figure, ax = plt.subplots(figsize=(6.2, 3.3))
    moving = []
    for name, color in (("post-norm", "C1"), ("pre-norm", "C0")):
        (polygon,) = ax.fill([0, 1, 1], [1, 1, 1], color=color, alpha=0.2, linewidth=0)
        polygon.set_gid(f"{name} range")
        (line,) = ax.plot([], [], color=color, label=f"{name}, median of ten")
        moving += [polygon, line]
    ax.set(
        xlim=(0.5, 24.5),
        yscale="log",
        ylim=(0.03, 10),
        yticks=[0.1, 1, 10],
        xlabel="block, from the first to the last",
        ylabel="norm of the gradient",
    )
    ax.set_yticklabels(["0.1", "1", "10"])
    ax.minorticks_off()
    ax.legend(loc="lower right")

    def show(depth: float) -> str:
        last = []
        for i, pre in enumerate((False, True)):
            rows = gradients(int(depth), pre)
            median = np.median(rows, axis=0)
            moving[2 * i].set_xy(band(rows))
            moving[2 * i + 1].set_data(np.arange(1.0, depth + 1), median)
            last.append(median[-1])
        return f"In the last block: post-norm {last[0]:.2f}, pre-norm {last[1]:.2f}."

    return Explorable(figure, (Slider("blocks", DEPTHS, 4),), tuple(moving), show)


def gradient_by_depth_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    median = {
        (depth, pre): np.median(gradients(depth, pre), axis=0)
        for depth in DEPTHS
        for pre in (False, True)
    }
    pre, post = median[24, True], median[24, False]
    last = [median[depth, True][-1] for depth in DEPTHS]
    other = [median[depth, False][-1] for depth in DEPTHS]
    return {
        "At the start of training, 24 blocks drawn by Xavier's rule": len(pre) == len(post) == 24,
        f"With pre-norm the median gradient falls from {pre[0]:.2f} in the first block to "
        f"{pre[-1]:.2f} in the last": bool(pre[-1] < 0.5 * pre[0]),
        f"With post-norm it is {post[0]:.2f} in the first and {post[-1]:.2f} in the last": bool(
            len(post) == 24
        ),
        "Move the depth: with pre-norm the last block's gradient falls to less than half": (
            last[-1] < 0.5 * last[0]
        ),
        "with post-norm it does not": min(other) > 0.5 * other[0],
    }


class Learning(NamedTuple):
    """A small GPT learns the Zen of Python.

    Attributes:
        loss: Of each step, in nats a letter.
        letters: Loss of the best guess from the letters' frequencies.
        pairs: Loss of the best guess from the letter before.
        held_out: Of a network taught the first `TAUGHT` letters alone, on the others, after each
            step of `WATCHED`.
    """

    loss: Vector
    letters: float
    pairs: float
    held_out: Vector


@kept
def learning() -> Learning:
    """Train on the Zen of Python, and count what needs no network."""
    torch.set_num_threads(1)
    tokens, alphabet = encode(zen())
    model = draw_gpt(vocabulary=len(alphabet))
    loss = np.asarray(list(train_gpt(model, tokens, steps=150)))
    pairs = np.zeros((len(alphabet), len(alphabet)))
    np.add.at(pairs, (tokens[:-1].numpy(), tokens[1:].numpy()), 1)

    def entropy(counts: Vector) -> float:
        seen = counts[counts > 0]
        return float(-np.sum(seen * np.log(seen / seen.sum())))

    total = pairs.sum()
    by_letters, by_pairs = entropy(pairs.sum(0)), sum(entropy(row) for row in pairs)
    return Learning(loss, by_letters / total, by_pairs / total, held_out(tokens, len(alphabet)))


def held_out(tokens: Tensor, vocabulary: int) -> Vector:
    """Teach the beginning of a text, and measure the loss on all pieces of its end."""
    model = draw_gpt(vocabulary=vocabulary)
    length = model.position.shape[0]
    rest = tokens[TAUGHT:]
    pieces = rest[torch.arange(len(rest) - length)[:, None] + torch.arange(length + 1)]
    found = []
    for step, _ in enumerate(train_gpt(model, tokens[:TAUGHT], steps=150), start=1):
        if step in WATCHED:
            with torch.no_grad():
                logits = gpt(pieces[:, :-1], model, heads=HEADS)
                loss = cross_entropy(logits.flatten(0, 1), pieces[:, 1:].flatten())
            found.append(loss.item())
    return np.asarray(found)


def learns() -> Figure:
    """Draw the loss of a small GPT by step."""
    data = learning()
    figure, ax = plt.subplots(figsize=(6.2, 3.0))
    steps = np.arange(1, len(data.loss) + 1)
    (loss,) = ax.plot(steps, data.loss, color="C0")
    label_line(ax, loss, "a GPT of two blocks", 20, offset=(-4, -58))
    for value, name, color in (
        (data.letters, "letters' frequencies", "C2"),
        (data.pairs, "the letter before", "C1"),
    ):
        (line,) = ax.plot([1, len(steps)], [value, value], color=color, linestyle="--")
        label_line(ax, line, name, 1, offset=(0, 4), ha="right")
    ax.set(xlim=(1, 150), ylim=(0.5, 4.3), xlabel="step", ylabel="loss, nats a letter")
    return figure


def learns_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    data = learning()
    ends = float(np.mean(data.loss[-10:]))
    return {
        "The loss of a small GPT on the Zen of Python falls from about 4 to below 1.5": (
            bool(abs(data.loss[0] - 4) < 0.5 and ends < 1.5)
        ),
        "in 150 steps": len(data.loss) == 150,
        f"The letters' frequencies alone give {data.letters:.2f}": data.letters > data.pairs,
        f"the letter before {data.pairs:.2f}": bool(ends < data.pairs),
        "Well below the lower line it uses more than one letter of context": bool(
            ends < data.pairs - 0.3
        ),
        f"It learns by heart: taught only the first {TAUGHT} letters, it gets worse on the others "
        f"from step {WATCHED[0]} to {WATCHED[-1]}": bool(
            (np.diff(data.held_out) > 0).all() and data.held_out[-1] > data.held_out[0] + 0.3
        ),
    }
