"""Figures of the page on training memory."""

from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from dlkb.backpropagation.training_memory import (
    best_segment,
    block_bytes,
    checkpoint_bytes,
    state_bytes,
)
from dlkb.book.draw.kept import kept
from dlkb.experiments.transformer import Block
from dlkb.nn import peak_memory, saved_memory
from scripts.figures.explorable import Explorable, Slider
from scripts.figures.labels import label_line

Array = NDArray[np.float64]
GPU = 80.0
"""Gigabytes of a large accelerator."""
SEQUENCES = 2 ** np.arange(8, 18)
SHAPES = {0.3: (1024, 16, 24), 1.2: (2048, 16, 24), 6.4: (4096, 32, 32)}
"""Width, heads and depth, by parameters of the blocks in billions: sizes of GPT-3."""
BATCHES = (1, 2, 4, 8, 16)
START = (1, 2)


class Fit(NamedTuple):
    """Gigabytes of a training step by length of the sequences."""

    state: float
    kept: Array
    fused: Array
    checkpointed: Array


@kept
def fit_data(size: float, batch: int) -> Fit:
    """Compute state and activations of a stack of blocks in half precision, with Adam."""
    hidden, heads, depth = SHAPES[size]
    parameters = depth * 12 * hidden**2
    state = state_bytes(parameters, weight=2, gradient=2, optimizer=12).total / 1e9
    rows = []
    for sequence in SEQUENCES:
        block = block_bytes(int(sequence), hidden=hidden, heads=heads, batch=batch)
        fused = block.total - block.scores
        each = depth * block.norms / 2 + fused
        rows.append([depth * block.total, depth * fused, each])
    kept, fused, each = state + np.asarray(rows).T / 1e9
    return Fit(state, kept, fused, each)


def longest(gigabytes: Array) -> int:
    """Return the longest of the sequences that fits."""
    fits = gigabytes <= GPU
    return int(SEQUENCES[fits][-1]) if fits.any() else 0


def what_fits() -> Explorable:
    """Draw the memory of a step against the length of the sequences, for three ways to keep."""
    figure, ax = plt.subplots(figsize=(6.8, 3.8))
    names = ("all kept", "fused attention", "fused, a checkpoint each block", "state alone")
    lines = [
        ax.plot([], [], color=color, ls=style, label=name)[0]
        for name, color, style in zip(
            names, ("C1", "C0", "C2", "C3"), ("-", "-", "-", ":"), strict=True
        )
    ]
    edge = float(SEQUENCES[0]), float(SEQUENCES[-1])
    ax.plot(edge, [GPU, GPU], color=plt.rcParams["axes.edgecolor"], ls="--", lw=1, gid="GPU")
    ax.annotate("80 GB", (edge[0], GPU), xytext=(4, 4), textcoords="offset points")
    ax.set(xscale="log", yscale="log", xlim=edge, ylim=(5, 2e5))
    ax.set_xscale("log", base=2)
    ax.set(xlabel="tokens of a sequence, s", ylabel="memory in GB")
    ax.set_xticks(SEQUENCES[::2], [str(s) for s in SEQUENCES[::2]])
    ax.legend(loc="upper left")

    def show(size: float, batch: float) -> str:
        data = fit_data(size, int(batch))
        flat = np.full(len(SEQUENCES), data.state)
        rows = (data.kept, data.fused, data.checkpointed, flat)
        for line, row in zip(lines, rows, strict=True):
            line.set_data(SEQUENCES, row)
        fits = [longest(row) for row in rows[:3]]
        return (
            f"{size} billion parameters take {data.state:.0f} GB of state. With sequences by "
            f"{batch:g}, 80 GB hold {fits[0]} tokens if all is kept, {fits[1]} with fused "
            f"attention, {fits[2]} with checkpoints."
        )

    sliders = (
        Slider("billions of parameters", tuple(SHAPES), START[0]),
        Slider("sequences at a time", BATCHES, START[1]),
    )
    return Explorable(figure, sliders, tuple(lines), show)


def what_fits_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    size, batch = tuple(SHAPES)[START[0]], BATCHES[START[1]]
    data = fit_data(size, batch)
    kept, fused, checkpointed = (longest(row) for row in data[1:])
    slope = np.log2((data.kept - data.state)[1:] / (data.kept - data.state)[:-1])[-1]
    words = 50_000  # of which the loss keeps the logarithms of their probabilities, in float32
    loss = 4 * batch * checkpointed * words / 1e9
    thin = np.log2((data.fused - data.state)[1:] / (data.fused - data.state)[:-1])
    return {
        f"Memory of a training step of {size} billion parameters and {batch} sequences": True,
        f"With all kept {kept} tokens fit into 80 GB": True,
        f"with fused attention {fused}": kept < fused,
        f"with a checkpoint for each block {checkpointed}": fused < checkpointed,
        "Kept scores grow with the square of the sequence": bool(abs(slope - 2) < 0.05),
        "all else in proportion to it": bool(np.allclose(thin, 1)),
        "The state does not depend on it": len({fit_data(size, b).state for b in BATCHES}) == 1,
        f"the loss over {words:,} words would add {loss:.0f} GB at {checkpointed} tokens": True,
    }


class Measured(NamedTuple):
    """Mebibytes kept, measured and counted, along one axis."""

    at: Array
    kept: Array
    counted: Array


def _keeps(sequence: int, batch: int, depth: int, fused: bool) -> tuple[float, float]:
    """Return what a stack of blocks keeps in float32, measured and counted."""
    hidden, heads = 32, 4
    stack = nn.Sequential(*(Block(hidden, heads, fused=fused) for _ in range(depth)))
    saved = saved_memory(stack, torch.zeros(batch, sequence, hidden))
    block = block_bytes(
        sequence, hidden=hidden, heads=heads, batch=batch, itemsize=4, dropout=False
    )
    counted = depth * (block.total - (block.scores if fused else 0))
    return (saved.inputs + saved.activations) / 2**20, counted / 2**20


@kept
def measured_data() -> dict[str, Measured]:
    """Measure blocks against batch, depth and sequence, the last with scores kept or fused."""
    few, many = np.asarray([1, 2, 4, 6, 8]), np.asarray([16, 32, 64, 128, 256, 512])
    found = {
        "batch": (few, [_keeps(64, int(n), 2, False) for n in few]),
        "depth": (few, [_keeps(64, 4, int(n), False) for n in few]),
        "kept": (many, [_keeps(int(n), 1, 1, False) for n in many]),
        "fused": (many, [_keeps(int(n), 1, 1, True) for n in many]),
    }
    return {
        name: Measured(at.astype(float), *np.asarray(rows).T) for name, (at, rows) in found.items()
    }


def measured() -> Figure:
    """Draw what transformer blocks keep, measured (dots) and counted (lines)."""
    data = measured_data()
    figure, axes = plt.subplots(1, 3, figsize=(7.2, 2.8))
    for ax, name in zip(axes, ("batch", "depth"), strict=False):
        row = data[name]
        ax.plot(row.at, row.counted, color="C1", gid="counted")
        ax.plot(row.at, row.kept, "o", color="C1", gid="measured")
        ax.set(xlim=(0, 8.5), ylim=(0, None), xlabel=name, xticks=range(0, 9, 2))
    axes[0].set_ylabel("kept, MiB")
    for name, color, text in (("kept", "C1", "scores kept"), ("fused", "C0", "fused")):
        row = data[name]
        (line,) = axes[2].loglog(row.at, row.counted, color=color)
        axes[2].loglog(row.at, row.kept, "o", color=color, gid=f"measured {name}")
        place = (-4, 8) if name == "kept" else (4, -14)
        label_line(axes[2], line, text, 4, offset=place, ha="right" if name == "kept" else "left")
    axes[2].set_xscale("log", base=2)
    axes[2].set(xlabel="tokens")
    axes[2].set_xticks(data["kept"].at[::2], [f"{s:g}" for s in data["kept"].at[::2]])
    return figure


def measured_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    data = measured_data()
    gaps = [abs(row.kept / row.counted - 1).max() for row in data.values()]
    ends = {name: np.log2(row.kept[-1] / row.kept[-2]) for name, row in data.items()}
    straight = "grow in proportion to the batch and to the depth"
    return {
        f"The bytes that transformer blocks keep {straight}": all(
            np.allclose(data[name].kept / data[name].at, data[name].kept[0] / data[name].at[0])
            for name in ("batch", "depth")
        ),
        "with the sequence they bend up to its square where scores are kept": bool(
            ends["kept"] > 1.7
        ),
        "and stay in proportion where attention is fused": bool(abs(ends["fused"] - 1) < 0.01),
        f"Dots are measured, lines counted; they agree to {100 * max(gaps):.0f} %": True,
    }


class Segments(NamedTuple):
    """Peak of a step in arrays of one layer's input, by layers of a segment."""

    at: Array
    measured: Array
    counted: Array
    along: Array
    curve: Array
    inner: float
    plain: float


class Segmented(nn.Module):
    """Layers in checkpointed segments of equal length."""

    def __init__(self, layers: list[nn.Module], length: int) -> None:
        super().__init__()
        parts = (layers[i : i + length] for i in range(0, len(layers), length))
        self.parts = nn.ModuleList(nn.Sequential(*part) for part in parts)

    def forward(self, x: Tensor) -> Tensor:
        """Return the output of the last layer."""
        for part in self.parts:
            x = checkpoint(part, x, use_reentrant=False)
        return x


DEPTH = 64


@kept
def segments_data(kind: str) -> Segments:
    """Measure the peak of a step for segments of several lengths."""
    if kind == "tanh":
        x = torch.zeros(1024, 8)
        layers = [nn.Sequential(nn.Linear(8, 8), nn.Tanh()) for _ in range(DEPTH)]
    else:
        x = torch.zeros(32, 32, 16)
        layers = [Block(16, 2, fused=True) for _ in range(DEPTH)]

    def peak(model: nn.Module) -> float:
        model.zero_grad()
        return peak_memory(lambda: model(x).sum().backward()) / x.nbytes

    at = np.asarray([2.0**i for i in range(7)])
    one, two = (saved_memory(nn.Sequential(*layers[:n]), x).activations for n in (1, 2))
    inner = (two - one) / x.nbytes  # of a layer among others: tanh shares its output with the next
    along = np.geomspace(1, DEPTH, 61)
    counted, curve = (
        checkpoint_bytes(k, depth=DEPTH, boundary=1, inner=inner) for k in (at, along)
    )
    found = [peak(Segmented(layers, int(k))) for k in at]
    plain = peak(nn.Sequential(*layers))
    return Segments(at, np.asarray(found), counted, along, curve, inner, plain)


def segments() -> Figure:
    """Draw the peak of a checkpointed step against the length of its segments."""
    figure, ax = plt.subplots(figsize=(6.2, 3.6))
    rows = (("blocks", "C1", "transformer blocks"), ("tanh", "C0", "linear layers with tanh"))
    for kind, color, text in rows:
        data = segments_data(kind)
        (line,) = ax.loglog(data.along, data.curve, color=color)
        ax.loglog(data.at, data.measured, "o", color=color, gid=f"measured {kind}")
        place = (-6, 10) if kind == "blocks" else (0, -18)
        label_line(ax, line, text, 30, offset=place, ha="right" if kind == "blocks" else "center")
    ax.set(ylim=(8, 2000), xlabel="layers of a segment, k", ylabel="peak, in inputs of a layer")
    ax.set_xscale("log", base=2)
    ax.set_xticks(data.at, [f"{k:g}" for k in data.at])
    return figure


def segments_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    tanh, blocks = segments_data("tanh"), segments_data("blocks")
    best = [data.at[data.measured.argmin()] for data in (tanh, blocks)]
    roots = [best_segment(DEPTH, boundary=1, inner=data.inner) for data in (tanh, blocks)]
    return {
        f"The peak of {DEPTH} layers is least for segments of {best[0]:.0f} layers with tanh": True,
        f"of {best[1]:.0f} transformer blocks": bool(best[1] < best[0]),
        "Dots are measured, lines are the equation, at most a tenth apart": bool(
            max(abs(data.measured / data.counted - 1).max() for data in (tanh, blocks)) < 0.1
        ),
        f"A block keeps {blocks.inner:.1f} times its input": True,
        f"so its best segment is √(64/{blocks.inner:.1f}) = {roots[1]:.1f}": True,
        f"not √64 = {roots[0]:.0f}": bool(tanh.inner == 1),
    }
