"""Figures of the page on which axes share a mean."""

from functools import cache

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dlkb.normalization.norm_axes import group_norm_vjp, standardize, standardize_vjp
from scripts.figures.explorable import Explorable, Slider
from scripts.figures.labels import label_line

Array = NDArray[np.float64]

EXAMPLES, CHANNELS, PLACES = 3, 6, 4
KINDS = (
    "batch norm",
    "layer norm, C·H·W",
    "layer norm, C",
    "group norm, G = 1",
    "group norm, G = 2",
    "group norm, G = 3",
    "group norm, G = 6",
    "instance norm",
)


class Kind(float):
    """The number of a kind of normalization, which a slider writes as its name."""

    def __format__(self, form: str) -> str:
        """Return the name."""
        return KINDS[int(self)]


@cache
def shared(kind: int, channel: int) -> Array:
    """Return which numbers of `(examples, channels, places)` share statistics with one.

    It is the second example's, in this channel, at the second place. Those that share a mean
    with it have a gradient in its output.
    """
    x = np.random.default_rng(0).normal(size=(EXAMPLES, CHANNELS, PLACES))
    one = np.zeros_like(x)
    one[1, channel - 1, 1] = 1.0
    name = KINDS[kind]
    if name.startswith("group"):
        grad = group_norm_vjp(x, one, num_groups=int(name[-1])).x
    else:
        axes = {
            "batch norm": (0, 2),
            "layer norm, C·H·W": (1, 2),
            "layer norm, C": (1,),
            "instance norm": (2,),
        }
        grad = standardize_vjp(x, one, axis=axes[name])
    return np.asarray(grad) != 0


def dots(mask: Array) -> tuple[Array, Array]:
    """Return where the numbers of a mask stand: examples side by side, channels upwards."""
    example, channel, place = np.nonzero(mask)
    return np.asarray(example * (PLACES + 1.5) + place), np.asarray(channel + 1.0)


def axes_shared() -> Explorable:
    """Draw three small images, and which of their numbers share a mean with a marked one."""
    figure, ax = plt.subplots(figsize=(6.6, 3.3))
    everything = np.ones((EXAMPLES, CHANNELS, PLACES), dtype=bool)
    muted = plt.rcParams["grid.color"]
    ax.plot(*dots(everything), color=muted, marker="o", ms=9, ls="", gid="all")
    (same,) = ax.plot([], [], color="C0", marker="o", ms=11, ls="", gid="same")
    (marked,) = ax.plot([], [], color="C1", marker="o", ms=6, ls="", gid="marked")
    middles = [n * (PLACES + 1.5) + 1.5 for n in range(EXAMPLES)]
    ax.set_xticks(middles, [f"example {n + 1}" for n in range(EXAMPLES)])
    ax.set(ylabel="channel", yticks=range(1, CHANNELS + 1), ylim=(0.4, CHANNELS + 0.6))
    ax.set(xlim=(-0.8, middles[-1] + 2.3))
    ax.grid(visible=False)

    def show(kind: float, channel: float) -> str:
        mask = shared(int(kind), int(channel))
        same.set_data(*dots(mask))
        one = np.zeros_like(mask)
        one[1, int(channel) - 1, 1] = True
        marked.set_data(*dots(one))
        examples, channels, _ = (len(set(found)) for found in np.nonzero(mask))
        return (
            f"In {KINDS[int(kind)]}: {mask.sum()} numbers share a mean: those of {examples} "
            f"{'example' if examples == 1 else 'examples'} and {channels} "
            f"{'channel' if channels == 1 else 'channels'}."
        )

    kinds = tuple(Kind(k) for k in range(len(KINDS)))
    sliders = (
        Slider("normalization", kinds, 4, "{}"),
        Slider("channel", tuple(range(1, CHANNELS + 1)), 1, "{:.0f}"),
    )
    return Explorable(figure, sliders, (same, marked), show)


def axes_shared_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    two = shared(KINDS.index("group norm, G = 2"), 2)
    everywhere = [c + 1 for c in range(CHANNELS)]

    def alike(first: str, second: str) -> bool:
        a, b = KINDS.index(first), KINDS.index(second)
        return all(np.array_equal(shared(a, c), shared(b, c)) for c in everywhere)

    return {
        "Three images of six channels as grids of dots": two.shape[:2] == (3, 6),
        "in the second image, 12 dots of channels 1 to 3 share a mean with a marked one": bool(
            two.sum() == 12 and two[1, :3].all()
        ),
        "Which numbers share a mean and a spread with the marked one, here under group norm of "
        "two groups": bool(two[1, 1, 1]),
        "One group is layer norm over the image": alike("group norm, G = 1", "layer norm, C·H·W"),
        "one group per channel is instance norm": alike("group norm, G = 6", "instance norm"),
    }


BATCHES = (2, 4, 8, 16, 32, 64)


@cache
def mates_data(places: int) -> Array:
    """Return how far an output moves when the rest of the batch is drawn anew, by batch size."""
    rng, moved = np.random.default_rng(0), []
    for size in BATCHES:
        mine = rng.normal(size=(400, 1, places))
        outputs = []
        for _ in range(2):
            batch = np.concatenate([mine, rng.normal(size=(400, size - 1, places))], axis=1)
            outputs.append(np.asarray(standardize(batch, axis=(1, 2)))[:, 0])
        moved.append(np.abs(outputs[0] - outputs[1]).mean())
    return np.asarray(moved)


def batch_mates() -> Figure:
    """Draw how much an output of batch norm depends on the other examples."""
    figure, ax = plt.subplots(figsize=(6.2, 3.4))
    for k, (places, at, dy) in enumerate(((1, 2, 8), (64, 2, 8))):
        (line,) = ax.loglog(BATCHES, mates_data(places), color=f"C{k}", marker="o", ms=4)
        label_line(ax, line, f"{places} {'place' if places == 1 else 'places'}", at, offset=(4, dy))
    ax.set(xlabel="batch size", ylabel="change of an output", xticks=BATCHES, ylim=(0.01, 1))
    ax.set_xticklabels([str(n) for n in BATCHES])
    ax.minorticks_off()
    return figure


def batch_mates_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    few, many = mates_data(1), mates_data(64)
    slopes = [np.polyfit(np.log(BATCHES[1:]), np.log(y[1:]), 1)[0] for y in (few, many)]
    return {
        "Two falling lines, that of 64 places below that of 1 place": bool(
            (np.diff(few[1:]) < 0).all() and (np.diff(many) < 0).all() and (many < few).all()
        ),
        "How far an output of batch norm moves when the other examples are drawn anew, for "
        "independent normal numbers": bool(few[-1] > 0),
        f"From a batch of {BATCHES[1]} on, it falls about like one over the root of the "
        "numbers that share a mean": bool(all(abs(slope + 0.5) < 0.1 for slope in slopes)),
    }
