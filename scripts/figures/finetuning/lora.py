"""Figures of the page on LoRA."""

from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dlkb.book.draw.kept import kept
from dlkb.experiments.finetuning import Pretrained, Tuned, finetune, pretrained
from dlkb.finetuning.lora import (
    Rule,
    lora_branch,
    lora_init,
    lora_parameters,
    lora_scaling,
    lora_vjp,
)
from scripts.figures.explorable import Explorable, Slider

Array = NDArray[np.float64]

RANKS, RATES, ALPHA, WIDTH = (1, 4, 8, 16), (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1), 16, 32
LABELS = {"lora": "LoRA, α/r", "rslora": "LoRA, α/√r", "full": "full", "head": "head only"}
COLORS = dict(zip(LABELS, ("C0", "C1", "C2", "C3"), strict=True))
STYLES = {"lora": "-", "rslora": "-.", "full": "--", "head": ":"}


@kept
def start() -> Pretrained:
    """Return ten networks that know the upright digits."""
    return pretrained(width=WIDTH)


@kept
def tuned(method: str, r: int | None = None) -> Tuned:
    """Tune them on digits that lie, at all of `RATES`.

    Args:
        method: "full", "head", or a rule of scaling, with the rank r in both hidden layers.
        r: The rank.
    """
    if method in ("full", "head"):
        return finetune(start(), rates=RATES, head_only=method == "head")
    if method == "rslora" and r == 1:
        return tuned("lora", 1)  # the rules agree
    rule: Rule = "lora" if method == "lora" else "rslora"
    return finetune(start(), rates=RATES, r=r, alpha=ALPHA, rule=rule)


def errors(method: str, r: int | None = None) -> Array:
    """Return the mean errors on the new and on the old task at each rate, shape (2, rates)."""
    run = tuned(method, r)
    return np.stack([run.new_error.mean(1), run.old_error.mean(1)])


def best(method: str, r: int | None = None) -> tuple[float, float]:
    """Return the rate with the least mean error on the new task, and that error."""
    new, _ = errors(method, r)
    return RATES[int(new.argmin())], float(new.min())


def learning_rate() -> Explorable:
    """Draw both tasks' errors against the learning rate, for any rank."""
    figure, axes = plt.subplots(1, 2, figsize=(7.2, 3.7), sharey=True)
    moving = []
    for i, (ax, title) in enumerate(zip(axes, ("new task", "old task"), strict=True)):
        for method in ("full", "head"):
            style, color = STYLES[method], COLORS[method]
            ax.plot(RATES, errors(method)[i], style, color=color, label=LABELS[method])
        for method in ("lora", "rslora"):
            style, color = STYLES[method], COLORS[method]
            moving += ax.plot([], [], style, color=color, label=LABELS[method])
        ax.set(title=title, xscale="log", xlabel="learning rate", ylim=(0, 1))
    axes[0].set_ylabel("test error")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)

    def show(value: float) -> str:
        r = int(value)
        curves = [errors(rule, r)[i] for i in (0, 1) for rule in ("lora", "rslora")]
        for line, curve in zip(moving, curves, strict=True):
            line.set_data(RATES, curve)
        found = [best("lora", r), best("rslora", r), best("full")]
        plain, stabilized, full = (f"{error:.2f} at the rate {rate:g}" for rate, error in found)
        return (
            f"Rank {r}: the new task's error is least with α/r {plain}, with α/√r {stabilized}, "
            f"in full {full}."
        )

    return Explorable(figure, (Slider("rank r", RANKS, 2),), tuple(moving), show)


def learning_rate_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    drawn = (("full", None), ("head", None), ("lora", 8), ("rslora", 8))
    new = {method: errors(method, r)[0] for method, r in drawn}
    old = [errors(method, r)[1] for method, r in drawn]
    bests = [best("lora", r) for r in RANKS]
    earlier = new["rslora"] < new["lora"]
    return {
        "on a new task (left) and on the old one (right)": not np.array_equal(
            start().new.x_test, start().old.x_test
        ),
        "the error on the new task falls and rises again, the head's hardly": all(
            0 < new[name].argmin() < len(RATES) - 1 for name in ("full", "lora", "rslora")
        )
        and new["head"][-1] < new["head"].min() + 0.03,
        "LoRA of rank 8 comes below 0.2": best("lora", 8)[1] < 0.19 > best("rslora", 8)[1],
        "full fine-tuning below 0.1": best("full")[1] < 0.095,
        "the head alone stays above 0.2": best("head")[1] > 0.2,
        "with α/√r the curve falls at lower rates": bool(earlier[:3].all()),
        "the error on the old task is higher at 0.1 than at 0.003": all(
            curve[-1] > curve[2] + 0.1 for curve in old
        ),
        "Rank 8 more than halves rank 1's least error": bests[RANKS.index(8)][1]
        < bests[RANKS.index(1)][1] / 2,
        "the best rate under α/r hardly moves": {rate for rate, _ in bests} <= {0.01, 0.03},
        f"Means over ten networks, at α = {ALPHA}": len(start().networks.theta) == 10,
    }


TRADED = (("full", None), ("head", None), ("lora", 4), ("lora", 16))


def trade_off() -> Figure:
    """Draw the errors on both tasks, one curve a method through all learning rates."""
    figure, ax = plt.subplots(figsize=(5.6, 3.9))
    for (method, r), color in zip(TRADED, ("C2", "C3", "C4", "C0"), strict=True):
        label = f"LoRA, r = {r}" if r else LABELS[method]
        ax.plot(*errors(method, r), marker="o", ms=4, color=color, label=label)
    ax.set(xlabel="test error, new task", ylabel="test error, old task", xlim=(0, 1), ylim=(0, 1))
    ax.legend()
    return figure


def trade_off_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    full, lora = (tuned(*TRADED[i]) for i in (0, 3))
    slow, fast, top = (RATES.index(rate) for rate in (0.001, 0.003, 0.01))
    third = [run.new_error[i].mean() for run, i in ((full, slow), (lora, fast))]
    close = 0.2 < min(third) < max(third) < 0.45
    as_small = full.new_error[fast].mean() < lora.new_error[top].mean() + 0.02
    return {
        "through all learning rates": all(errors(*p).shape == (2, len(RATES)) for p in TRADED),
        "All end near the top": all(errors(*pair)[1, -1] > 0.75 for pair in TRADED),
        "With about a third of errors on the new task": bool(close),
        "LoRA of rank 16 has less than 0.4 on the old": lora.old_error[fast].mean() < 0.4,
        "full fine-tuning more": full.old_error[slow].mean() > 0.4,
        "At an error near a third on the new task LoRA forgets less in most networks": bool(
            close and (lora.old_error[fast] < full.old_error[slow]).mean() > 0.5
        ),
        "near its least it forgets more than full fine-tuning at as small an error": bool(
            lora.new_error[top].mean() < best("lora", 16)[1] + 0.05
            and as_small
            and full.old_error[fast].mean() < lora.old_error[top].mean() - 0.03
        ),
    }


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
        alpha = {"W": 0.25, "W + sBA": 0.45}.get(block.name, 0.9)
        shape = {"height": block.rows, "width": block.columns, "bottom": block.y, "align": "edge"}
        ax.bar([block.x], **shape, color=color, alpha=alpha, lw=0, label=block.name)
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


def shapes_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    W, B, A, merged = shape_blocks(IN, OUT, R)
    trained = B.columns * B.rows + A.columns * A.rows
    return {
        "a wide frozen matrix W": W.columns > W.rows,
        "a tall thin matrix B": B.columns * 4 < B.rows,
        "a flat thin matrix A": A.rows * 4 < A.columns,
        "a merged matrix of the shape of W": (merged.columns, merged.rows) == (W.columns, W.rows),
        f"in = {W.columns}, out = {W.rows}, r = {A.rows}": A.rows == B.columns,
        f"r(in + out) = {trained} of in · out = {W.columns * W.rows}": trained
        == lora_parameters(W.columns, W.rows, r=A.rows),
    }


SCALING_RANKS = (1, 4, 16, 64, 256)
RULES: tuple[Rule, ...] = ("lora", "rslora", "alpha")
REGIMES = ("independent factors", "one SGD step", "one Adam step")


DRAWS = 100


@kept
def scaling_data(width: int = 256, seeds: int = DRAWS) -> dict[tuple[str, str], Array]:
    """Return the size of the branch's output by regime and rule, one value for each rank.

    One input, one gradient in the output, α = 16; root mean square over outputs, mean over seeds.
    SGD starts from B = 0 with rate 1; the first step of Adam moves every entry of B by the same
    amount, here 1.
    """
    W, shape = np.zeros((width, width)), (seeds, len(SCALING_RANKS))
    sizes = {(regime, rule): np.zeros(shape) for regime in REGIMES for rule in RULES}
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
                    sizes[regime, rule][seed, i] = np.sqrt(np.mean(output**2))
    return {key: value.mean(0) for key, value in sizes.items()}


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


def scalings_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    data = scaling_data()
    slopes = {
        key: np.polyfit(np.log(SCALING_RANKS), np.log(sizes), 1)[0] for key, sizes in data.items()
    }

    def near(regime: str, *wanted: float) -> bool:
        found = [slopes[regime, rule] for rule in RULES]
        return bool(np.allclose(found, wanted, atol=0.07))

    independent, sgd, adam = REGIMES
    return {
        f"against rank from {SCALING_RANKS[0]} to {SCALING_RANKS[-1]}": True,
        "Independent factors: α/r falls, α/√r is flat, α grows": near(independent, -0.5, 0, 0.5),
        "One SGD step: α/r falls steeply, α/√r is flat, α grows steeply": near(sgd, -1, 0, 1),
        "One Adam step: α/r is flat, α/√r grows, α grows steeply": near(adam, 0, 0.5, 1),
        f"at α = {ALPHA}, relative to rank 1": all(
            np.isclose(data[regime, rule][0], data[regime, "lora"][0])
            for regime in REGIMES
            for rule in RULES
        ),
        f"mean over {DRAWS} draws of one input": DRAWS >= 10,
        "The flat line is α/√r under gradient descent": near(sgd, -1, 0, 1),
        "and α/r in Adam's first step": near(adam, 0, 0.5, 1),
    }
