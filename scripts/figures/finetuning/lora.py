"""Figures of the page on LoRA."""

from functools import cache
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn.functional import cross_entropy

from dlkb.finetuning.lora import (
    Rule,
    lora_branch,
    lora_init,
    lora_parameters,
    lora_scaling,
    lora_vjp,
    low_rank,
)
from dlkb.nn import add_lora, trainable_parameters
from scripts.figures.explorable import Explorable, Slider

Array = NDArray[np.float64]


class Block(NamedTuple):
    """A matrix drawn to scale: left and bottom edge, columns and rows."""

    name: str
    x: float
    y: float
    columns: int
    rows: int


IN, OUT, R = 36, 24, 3


def shape_blocks(n_in: int, n_out: int, r: int, gap: float = 14.0) -> list[Block]:
    """Place W, B, A and the update BA in one row; the height of each is its number of rows."""
    W = Block("W", 0, 0, n_in, n_out)
    B = Block("B", n_in + gap, 0, r, n_out)
    A = Block("A", B.x + r + gap, (n_out - r) / 2, n_in, r)
    return [W, B, A, Block("W + sBA", A.x + n_in + gap, 0, n_in, n_out)]


def shapes() -> Figure:
    """Draw the shapes of the frozen weight, the factors and the merged weight."""
    figure, ax = plt.subplots(figsize=(7.2, 2.5))
    W, B, A, merged = blocks = shape_blocks(IN, OUT, R)
    for block, color in zip(blocks, ("C2", "C1", "C1", "C0"), strict=True):
        corner = (block.x, block.y)
        alpha = {"W": 0.25, "W + sBA": 0.45}.get(block.name, 0.9)
        ax.add_patch(Rectangle(corner, block.columns, block.rows, color=color, alpha=alpha, lw=0))
    middle = OUT / 2
    ax.text(W.x + IN / 2, middle, "$W$\nfrozen", ha="center", va="center")
    ax.text(merged.x + IN / 2, middle, "$W + s\\,BA$\nmerged", ha="center", va="center")
    signs = ((W.x + IN, B.x, "$+\\;s$"), (B.x + R, A.x, "·"), (A.x + IN, merged.x, "="))
    for left, right, sign in signs:
        ax.text((left + right) / 2, middle, sign, ha="center", va="center")
    ax.text(B.x + R / 2, OUT + 2, "$B$: out × r", ha="center", va="bottom")
    ax.text(A.x + IN / 2, A.y + R + 2, "$A$: r × in", ha="center", va="bottom")
    ax.text(W.x + IN / 2, OUT + 2, "out × in", ha="center", va="bottom")
    ax.text(merged.x + IN / 2, OUT + 2, "out × in", ha="center", va="bottom")
    ax.set(xlim=(-2, merged.x + IN + 2), ylim=(-2, OUT + 9), aspect="equal")
    ax.axis("off")
    return figure


SEEDS, RANKS, ALPHA = 10, (1, 2, 4, 8, 16), 16
CUTS = (*range(1, 17), 20, 24, 32, 48, 64)
"""Ranks to which the full update is cut."""
LAYERS = (0, 2)
"""The hidden layers of the network, 64 by 64 both; layer 4 is its head."""


def network() -> nn.Sequential:
    """Return a network from 64 pixels to 10 digits."""
    wide = (nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU())
    return nn.Sequential(*wide, nn.Linear(64, 10))


def twins(models: list[nn.Sequential]) -> list[nn.Sequential]:
    """Return copies."""
    copies = [network() for _ in models]
    for copy, model in zip(copies, models, strict=True):
        copy.load_state_dict(model.state_dict())
    return copies


def fit(models: list[nn.Sequential], X: Tensor, y: Tensor, *, steps: int) -> None:
    """Train one network a seed, side by side, with Adam on all examples."""
    parameters, _ = stack_module_state(models)
    optimizer = torch.optim.Adam([p for p in parameters.values() if p.requires_grad], lr=0.01)

    def logits(own: dict[str, Tensor], x: Tensor) -> Tensor:
        return functional_call(models[0], own, (x,))

    for _ in range(steps):
        optimizer.zero_grad()
        scores = vmap(logits)(parameters, X)
        (len(models) * cross_entropy(scores.flatten(0, 1), y.flatten())).backward()
        optimizer.step()
    with torch.no_grad():
        for i, model in enumerate(models):
            for name, p in model.named_parameters():
                p.copy_(parameters[name][i])


class Run(NamedTuple):
    """One way to fine-tune: its trainable parameters, and the test errors of each seed."""

    parameters: int
    target: Array
    source: Array


class Finetuning(NamedTuple):
    """Digits upright (source) and lying (target): errors, and the updates of full fine-tuning.

    Attributes:
        before: Before the fine-tuning.
        head: With a new head alone.
        full: All of the network.
        lora: For each of `RANKS`.
        truncated: Errors of full fine-tuning with its update cut to each rank of `CUTS`.
        singular: Singular values of the update, shape (seeds, layers, 64).
    """

    before: Run
    head: Run
    full: Run
    lora: list[Run]
    truncated: list[Array]
    singular: Array


@cache
def finetuning_data() -> Finetuning:
    """Pretrain on upright digits, fine-tune on 300 digits turned by 90 degrees."""
    features, labels = load_digits(return_X_y=True)
    orders = [np.random.default_rng(seed).permutation(len(labels)) for seed in range(SEEDS)]
    chosen = torch.tensor(np.stack(orders))
    upright = torch.tensor(features / 16, dtype=torch.float32)
    lying = torch.rot90(upright.reshape(-1, 8, 8), 1, (1, 2)).reshape(-1, 64)
    upright, lying, y = upright[chosen], lying[chosen], torch.tensor(labels)[chosen]
    source, target, test = slice(0, 700), slice(700, 1000), slice(1000, None)
    torch.manual_seed(0)
    base = [network() for _ in range(SEEDS)]
    fit(base, upright[:, source], y[:, source], steps=60)

    def errors(models: list[nn.Sequential], X: Tensor) -> Array:
        with torch.no_grad():
            guesses = torch.stack([m(x).argmax(-1) for m, x in zip(models, X, strict=True)])
        return (guesses != y[:, test]).double().mean(1).numpy()

    def run(models: list[nn.Sequential]) -> Run:
        trainable = trainable_parameters(models[0]).trainable
        return Run(trainable, errors(models, lying[:, test]), errors(models, upright[:, test]))

    def tuned(models: list[nn.Sequential]) -> Run:
        fit(models, lying[:, target], y[:, target], steps=200)
        return run(models)

    head = twins(base)
    for model in head:
        model.requires_grad_(False)[4].requires_grad_(True)
    adapted = [twins(base) for _ in RANKS]
    for models, r in zip(adapted, RANKS, strict=True):
        for model in models:
            add_lora(model, [str(layer) for layer in LAYERS], r=r, alpha=ALPHA)
    full = twins(base)
    full_run = tuned(full)
    truncated, updates = [], []
    for r in CUTS:
        cut = twins(full)
        for old, new in zip(base, cut, strict=True):
            for layer in LAYERS:
                W, W0 = new[layer].weight.data, old[layer].weight.data
                W.copy_(W0 + low_rank(W - W0, r=r))
        truncated.append(errors(cut, lying[:, test]))
    for old, new in zip(base, full, strict=True):
        updates.append([(new[layer].weight - old[layer].weight).detach() for layer in LAYERS])
    singular = torch.stack([torch.linalg.svdvals(torch.stack(pair)) for pair in updates])
    return Finetuning(
        before=run(base),
        head=tuned(head),
        full=full_run,
        lora=[tuned(models) for models in adapted],
        truncated=truncated,
        singular=singular.double().numpy(),
    )


def _band(ax: Axes, x: Array, values: list[Array], style: str, color: str, label: str) -> None:
    """Draw the mean over seeds and the range of all seeds."""
    rows = np.stack(values)
    ax.plot(x, rows.mean(1), style, color=color, label=label)
    ax.fill_between(x, rows.min(1), rows.max(1), color=color, alpha=0.2, lw=0)


def rank_error() -> Figure:
    """Draw the test errors on the new and on the old task against the rank."""
    data, ranks = finetuning_data(), np.asarray(RANKS, dtype=float)
    figure, axes = plt.subplots(1, 2, figsize=(7.2, 3.9), sharex=True)
    ends = ranks[[0, -1]]
    for ax, task in zip(axes, ("target", "source"), strict=True):
        lora = [getattr(run, task) for run in data.lora]
        _band(ax, ranks, lora, "o-", "C0", "LoRA")
        for name, color, style in (("full", "C1", "--"), ("head", "C2", ":")):
            values = getattr(getattr(data, name), task)
            label = {"full": "full fine-tuning", "head": "head only"}[name]
            _band(ax, ends, [values, values], style, color, label)
    axes[0].plot(
        ranks,
        np.stack([data.truncated[CUTS.index(r)] for r in RANKS]).mean(1),
        color="C3",
        marker="s",
        ls="-.",
        label="full, its update cut to rank r",
    )
    before = data.before.source.mean()
    axes[1].axhline(before, color=plt.rcParams["axes.edgecolor"], lw=1)
    axes[1].text(16, before + 0.02, "before", ha="right", color=plt.rcParams["axes.edgecolor"])
    axes[0].set(title="new task: lying digits", ylabel="test error", ylim=(0, 1))
    axes[1].set(title="old task: upright digits", ylim=(0, 1))
    for ax in axes:
        ax.set(xscale="log", xlabel="rank r", xticks=ranks, xticklabels=map(str, RANKS))
        ax.minorticks_off()
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def singular_values() -> Figure:
    """Draw the singular values of what full fine-tuning adds to the two hidden layers."""
    figure, ax = plt.subplots()
    index = np.arange(1.0, 65)
    values = finetuning_data().singular
    for layer, (color, name) in enumerate((("C0", "first layer"), ("C1", "second layer"))):
        _band(ax, index, list(values[:, layer].T), "-", color, name)
    for r in RANKS:
        ax.axvline(r, lw=0.8, ls=":", color=plt.rcParams["axes.edgecolor"])
    ax.set(xlabel="index", ylabel="singular value of the update", xlim=(0, 65), ylim=(0, None))
    ax.legend()
    return figure


class Cut(NamedTuple):
    """The update of full fine-tuning, cut to one rank; means over seeds and hidden layers.

    Attributes:
        kept: Singular values that are kept, largest first.
        left: Norm of what is cut off over the norm of the update.
        error: Test error on the new task.
        parameters: Of the factors in both layers.
    """

    kept: Array
    left: float
    error: float
    parameters: int


def cut_data(r: int) -> Cut:
    """Cut the update to rank r, one of `CUTS`."""
    data = finetuning_data()
    squares = data.singular**2
    left = np.sqrt(squares[..., r:].sum(-1) / squares.sum(-1)).mean()
    error = data.truncated[CUTS.index(r)].mean()
    parameters = len(LAYERS) * lora_parameters(64, 64, r=r)
    return Cut(data.singular.mean((0, 1))[:r], float(left), float(error), parameters)


def rank() -> Explorable:
    """Draw what the best update of any rank keeps of full fine-tuning, and its test error."""
    data = finetuning_data()
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 3.9))
    muted = plt.rcParams["axes.edgecolor"]
    index = np.arange(1, 65)
    left.plot(index, data.singular.mean((0, 1)), color=muted, lw=1)
    left.set(title="singular values of the update", xlim=(0, 65), ylim=(0, 6), xlabel="index")
    means = np.stack(data.truncated).mean(1)
    right.plot(CUTS, means, color="C3", lw=1, label="full, cut to rank r")
    trained = [run.target.mean() for run in data.lora]
    right.plot(RANKS, trained, "o", color="C0", ms=5, label="LoRA, trained")
    right.axhline(data.full.target.mean(), color="C1", ls="--", lw=1, label="full")
    right.set(title="test error", xscale="log", xlim=(0.9, 72), ylim=(0, 1), xlabel="rank r")
    right.set(xticks=[1, 4, 16, 64], xticklabels=["1", "4", "16", "64"])
    right.minorticks_off()
    figure.legend(*right.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    (kept,) = left.fill([1], [1], color="C3", alpha=0.35, linewidth=0)
    (here,) = right.plot([], [], "o", color="C3", ms=9)

    def show(value: float) -> str:
        r = int(value)
        cut = cut_data(r)
        top = np.stack([index[:r], cut.kept], axis=1)
        kept.set_xy(np.concatenate([[[0, 0], [0, cut.kept[0]]], top, [[r, 0]]]))
        here.set_data([r], [cut.error])
        text = (
            f"Rank {r}: {cut.parameters:,} numbers in the factors, 8,192 in the two matrices. Cut "
            f"to it, the full update lacks {cut.left:.0%} of its norm, test error {cut.error:.2f}"
        )
        if r in RANKS:
            return f"{text}; trained at this rank, LoRA has {trained[RANKS.index(r)]:.2f}."
        return f"{text}."

    return Explorable(figure, (Slider("rank r", CUTS, 3),), (kept, here), show)


SCALING_RANKS = (1, 4, 16, 64, 256)
RULES: tuple[Rule, ...] = ("lora", "rslora", "alpha")
REGIMES = ("independent factors", "one SGD step", "one Adam step")


def scaling_data(width: int = 256, seeds: int = 20) -> dict[tuple[str, str], Array]:
    """Return the size of the branch's output by regime and rule, one value for each rank.

    One input, one gradient in the output, α = 16; root mean square over outputs and seeds. SGD
    starts from B = 0 with rate 1; the first step of Adam moves every entry of B by the same
    amount, here 1.
    """
    W, shape = np.zeros((width, width)), (seeds, len(SCALING_RANKS))
    squares = {(regime, rule): np.zeros(shape) for regime in REGIMES for rule in RULES}
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        x, gradient = rng.normal(size=(1, width)), rng.normal(size=(1, width))
        for i, r in enumerate(SCALING_RANKS):
            A, zero = lora_init(W, r=r, generator=rng)
            noise = rng.normal(size=zero.shape)
            for rule in RULES:
                s = lora_scaling(ALPHA, r, rule=rule)
                down = -lora_vjp(x, W, A, zero, gradient, scaling=s).B
                for regime, B in zip(REGIMES, (noise, down, np.sign(down)), strict=True):
                    output = lora_branch(x, A, B, scaling=s)
                    squares[regime, rule][seed, i] = np.mean(output**2)
    return {key: np.sqrt(value.mean(0)) for key, value in squares.items()}


def scalings() -> Figure:
    """Draw the size of the branch's output against the rank, at fixed α."""
    figure, axes = plt.subplots(1, 3, figsize=(7.2, 3.3), sharey=True)
    labels = {"lora": "α/r", "rslora": "α/√r", "alpha": "α"}
    styles = zip(RULES, ("o", "s", "^"), ("C0", "C1", "C2"), strict=True)
    data = scaling_data()
    for rule, marker, color in styles:
        for ax, regime in zip(axes, REGIMES, strict=True):
            sizes = data[regime, rule]
            label = labels[rule]
            ax.plot(SCALING_RANKS, sizes / sizes[0], marker=marker, color=color, label=label)
    for ax, regime in zip(axes, REGIMES, strict=True):
        ax.set(title=regime, xlabel="rank r", xscale="log", yscale="log")
        ax.set(xticks=SCALING_RANKS[::2], xticklabels=map(str, SCALING_RANKS[::2]))
        ax.minorticks_off()
    axes[0].set_ylabel("output, relative to r = 1")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure
