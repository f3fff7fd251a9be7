"""Figures of the page on backpropagation."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Polygon
from numpy.typing import NDArray

from dlkb.backpropagation.convolution import conv, conv_input_vjp
from dlkb.backpropagation.gradient_check import best_step, complex_step, difference
from scripts.figures.explorable import Explorable, Slider

Vector = NDArray[np.float64]

X, Y, DECAY = 2.0, 1.0, 0.2
WEIGHTS = {"w₁": 0.5, "w₂": -1.2}


class Node(NamedTuple):
    """A number of the graph: where it stands, what it is, and what it is made of.

    Attributes:
        place: Column and row of its box.
        text: How it is computed.
        parents: What it is computed from, each with the slope along that edge, from all values.
    """

    place: tuple[float, float]
    text: str
    parents: dict[str, Callable[[dict[str, float]], float]]


GRAPH = {
    "x": Node((0, 1), "input", {}),
    "w₁": Node((1, 2.9), "weight", {}),
    "w₂": Node((3, 1.95), "weight", {}),
    "z": Node((1, 1), "w₁x", {"w₁": lambda v: X}),
    "h": Node((2, 1), "tanh z", {"z": lambda v: 1 - v["h"] ** 2}),
    "o": Node((3, 1), "w₂h", {"w₂": lambda v: v["h"], "h": lambda v: v["w₂"]}),
    "ℓ": Node((4, 1), "½(o−y)²", {"o": lambda v: v["o"] - Y}),
    "s": Node(
        (5, 2.9),
        "½λ‖w‖²",
        {"w₁": lambda v: DECAY * v["w₁"], "w₂": lambda v: DECAY * v["w₂"]},
    ),
    "J": Node((5, 1), "ℓ+s", {"ℓ": lambda v: 1.0, "s": lambda v: 1.0}),
}
FORWARD = ("z", "h", "o", "ℓ", "s", "J")
BACKWARD = ("J", "s", "ℓ", "o", "h", "z")
STEPS = 1 + len(FORWARD) + 1 + len(BACKWARD)
START = 10

Edge = tuple[str, str]


class Sweep(NamedTuple):
    """What is known after some steps.

    Attributes:
        values: Of each number that is computed, or given.
        grads: Of each number whose sum is complete.
        passed: The gradient that went along each edge so far, from parent to child.
        active: The edges of the last step.
    """

    values: dict[str, float]
    grads: dict[str, float]
    passed: dict[Edge, float]
    active: list[Edge]


def compute(w1: Any) -> Any:
    """Return J as a function of the first weight."""
    o = WEIGHTS["w₂"] * np.tanh(w1 * X)
    return 0.5 * (o - Y) ** 2 + 0.5 * DECAY * (w1 * w1 + WEIGHTS["w₂"] ** 2)


def sweep(step: int) -> Sweep:
    """Take so many steps: the forward pass, a gradient of 1 for J, and the backward pass."""
    rules: dict[str, Callable[[dict[str, float]], float]] = {
        "z": lambda v: v["w₁"] * X,
        "h": lambda v: math.tanh(v["z"]),
        "o": lambda v: v["w₂"] * v["h"],
        "ℓ": lambda v: 0.5 * (v["o"] - Y) ** 2,
        "s": lambda v: 0.5 * DECAY * (v["w₁"] ** 2 + v["w₂"] ** 2),
        "J": lambda v: v["ℓ"] + v["s"],
    }
    values = {"x": X, **WEIGHTS}
    active: list[Edge] = []
    for name in FORWARD[:step]:
        values[name] = rules[name](values)
        active = [(parent, name) for parent in GRAPH[name].parents]
        active += [("x", "z")] if name == "z" else []
    children = {name: [c for c, node in GRAPH.items() if name in node.parents] for name in GRAPH}
    grads: dict[str, float] = {}
    passed: dict[Edge, float] = {}
    if step > len(FORWARD):
        grads["J"], active = 1.0, []
    for name in BACKWARD[: max(step - len(FORWARD) - 1, 0)]:
        active = [(parent, name) for parent in GRAPH[name].parents]
        for parent, slope in GRAPH[name].parents.items():
            passed[parent, name] = grads[name] * slope(values)
            terms = [passed.get((parent, child)) for child in children[parent]]
            if None not in terms:
                grads[parent] = sum(term for term in terms if term is not None)
    return Sweep(values, grads, passed, active)


WIDE, HIGH = 0.33, 0.22
"""Half of a box, and the height of one of its cells."""


def tile(name: str, row: int, *, shown: bool) -> Vector:
    """Return the corners of what covers a cell; where the number is shown, a line below it."""
    x, y = GRAPH[name].place
    bottom = y - row * HIGH
    top = bottom + (0.02 if shown else HIGH)
    return np.asarray(
        [(x - WIDE, bottom), (x + WIDE, bottom), (x + WIDE, top), (x - WIDE, top)], dtype=float
    )


def ends(edge: Edge) -> Vector:
    """Return where an edge leaves its parent and reaches its child."""
    (x0, y0), (x1, y1) = (GRAPH[name].place for name in edge)
    if x0 == x1:
        return np.asarray([(x0, y0 - HIGH - 0.27), (x1, y1 + HIGH + 0.2)])
    return np.asarray([(x0 + WIDE, y0), (x1 - WIDE, y1)])


def covers(step: int) -> list[Vector]:
    """Return the tiles, cell by cell: values in the upper row, gradients in the lower."""
    now = sweep(step)
    found = [tile(name, 0, shown=name in now.values) for name in FORWARD]
    return found + [tile(name, 1, shown=name in now.grads) for name in GRAPH if name != "x"]


def arrows(step: int) -> list[Vector]:
    """Return the edges that the last step used: two for values, two for gradients."""
    active = [ends(edge) for edge in sweep(step).active]
    nothing = [np.asarray([GRAPH["J"].place], dtype=float)] * 2
    padded = (active + nothing)[:2]
    return [*padded, *nothing] if step <= len(FORWARD) else [*nothing, *padded]


def tell(step: int) -> str:
    """Say what the last step did."""
    now = sweep(step)
    if step == 0:
        return "Only the input and the weights are known."
    if step <= len(FORWARD):
        name = FORWARD[step - 1]
        return f"Forward: {name} = {GRAPH[name].text} = {written(now.values[name])}."
    if step == len(FORWARD) + 1:
        return "The gradient of J by itself is 1."
    name = BACKWARD[step - len(FORWARD) - 2]
    parts = []
    for parent, slope in GRAPH[name].parents.items():
        s, passed = slope(now.values), now.passed[parent, name]
        part = f"{parent} gets {written(now.grads[name])} · {written(s)} = {written(passed)}"
        others = [v for (p, c), v in now.passed.items() if p == parent and c != name]
        if others:
            part += f", with {written(others[0])} from s together {written(now.grads[parent])}"
        elif parent not in now.grads:
            part += " and waits for a second term"
        parts.append(part)
    return f"Back from {name}: {'; '.join(parts)}."


def written(value: float) -> str:
    """Write a number with two decimals and a true minus."""
    return f"{value:.2f}".replace("-", "−")


def graph() -> Explorable:
    """Draw the graph of a small network, to be stepped through forward and back."""
    figure, ax = plt.subplots(figsize=(7.2, 3.7))
    ax.set(xlim=(-0.5, 5.5), ylim=(0.45, 3.5))
    ax.set_axis_off()
    done = sweep(STEPS - 1)
    muted = mpl.rcParams["axes.edgecolor"]
    for name, node in GRAPH.items():
        x, y = node.place
        ax.text(x, y + HIGH + 0.06, name, ha="center", weight="bold")
        ax.text(x, y - HIGH - 0.17, node.text, ha="center", color=muted, size=9.5)
        number = {"ha": "center", "va": "center", "size": 10}
        ax.text(x, y + HIGH / 2, written(done.values[name]), color="C0", **number)
        if name != "x":
            ax.text(x, y - HIGH / 2, written(done.grads[name]), color="C1", **number)
    for child, node in GRAPH.items():
        for parent in [*node.parents, *(["x"] if child == "z" else [])]:
            ax.plot(
                *ends((parent, child)).T,
                color=muted,
                linewidth=0.8,
                zorder=1,
                label=f"{parent} → {child}",
            )
    ax.text(-0.45, 2.15, "value", color="C0", size=11)
    ax.text(-0.45, 1.9, "gradient", color="C1", size=11)
    cover = mpl.rcParams["grid.color"]
    tiles = [Polygon(corners, color=cover, linewidth=0, zorder=5) for corners in covers(0)]
    for patch in tiles:
        ax.add_patch(patch)
    edges = [ax.plot([], [], color=color, linewidth=3)[0] for color in ("C0", "C0", "C1", "C1")]

    def show(step: float) -> str:
        for patch, corners in zip(tiles, covers(int(step)), strict=True):
            patch.set_xy(corners)
        for line, points in zip(edges, arrows(int(step)), strict=True):
            line.set_data(*points.T)
        return tell(int(step))

    return Explorable(figure, (Slider("step", range(STEPS), START),), (*edges, *tiles), show)


def graph_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    now, done = sweep(START), sweep(STEPS - 1)
    slope = complex_step(compute, np.asarray(WEIGHTS["w₁"]), np.asarray(1.0))
    return {
        "The graph of a small network": list(GRAPH["J"].parents) == ["ℓ", "s"],
        "All values are shown": len(now.values) == len(GRAPH),
        "gradients so far of J, ℓ, s and o": set(now.grads) == {"J", "ℓ", "s", "o"},
        "Step through it": STEPS > 1,
        "values go right, gradients come back": len(done.grads) == len(GRAPH) - 1,
        "each edge multiplies by its slope": bool(np.isclose(done.grads["w₁"], slope)),
        "w₁ and w₂ feed two numbers each, so their gradients are sums": all(
            sum(name in node.parents for node in GRAPH.values()) == 2 for name in WEIGHTS
        ),
    }


POWERS = np.arange(1, 60)
BITS = {32: np.float32, 64: np.float64}
FLOOR = 1e-17
"""The lower end of the axis: an error of zero is drawn there."""


class Errors(NamedTuple):
    """Relative errors of a derivative, for each step.

    Attributes:
        step: The steps h, powers of two.
        forward: Of the forward difference.
        central: Of the central difference.
        complex: Of the complex step.
    """

    step: Vector
    forward: Vector
    central: Vector
    complex: Vector


def errors(bits: int = 64) -> Errors:
    """Differentiate J by w₁ in one precision."""
    dtype = BITS[bits]
    w, v = np.asarray(WEIGHTS["w₁"], dtype=dtype), np.asarray(1.0, dtype=dtype)
    exact = sweep(STEPS - 1).grads["w₁"]
    steps: Vector = 2.0 ** -POWERS.astype(np.float64)

    def in_dtype(w: Vector) -> Vector:
        kind = np.result_type(dtype, np.complex64) if np.iscomplexobj(w) else dtype
        return np.asarray(compute(w), dtype=kind)

    def error(slope: Callable[[float], Any]) -> Vector:
        found = np.asarray([slope(float(h)) for h in steps], dtype=np.float64)
        return np.maximum(np.abs(found / exact - 1), FLOOR)

    return Errors(
        steps,
        error(lambda h: difference(in_dtype, w, v, step=h, scheme="forward")),
        error(lambda h: difference(in_dtype, w, v, step=h)),
        error(lambda h: complex_step(in_dtype, w, v, step=h)),
    )


def step_size() -> Explorable:
    """Draw the error of three ways to differentiate, against the step."""
    figure, ax = plt.subplots(figsize=(6.2, 3.6))
    names = ("forward difference", "central difference", "complex step")
    lines = [ax.plot([], [], color=f"C{i}", label=name)[0] for i, name in enumerate(names)]
    ax.set(
        xscale="log", yscale="log", xlim=(1e-18, 1), ylim=(FLOOR, 10),
        xlabel="step h", ylabel="relative error",
    )  # fmt: skip
    ax.legend(loc="lower left", bbox_to_anchor=(0, 0.1))

    def show(bits: float) -> str:
        data = errors(int(bits))
        for line, values in zip(lines, data[1:], strict=True):
            line.set_data(data.step, values)
        best = [f"{data.step[y.argmin()]:.0e}" for y in data[1:3]]
        return (
            f"Least error: forward {data.forward.min():.0e} at h = {best[0]}, "
            f"central {data.central.min():.0e} at h = {best[1]}, complex step below "
            f"{data.complex[-20:].max() * 2:.0e} for small h."
        )

    return Explorable(figure, (Slider("bits", tuple(BITS), 1),), tuple(lines), show)


def step_size_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    data, single = errors(64), errors(32)
    near = slice(*np.searchsorted(POWERS, [3, 10]))  # truncation rules there
    orders = [
        np.polyfit(np.log(data.step[near]), np.log(y[near]), 1)[0]
        for y in (data.forward, data.central)
    ]
    return {
        "The relative error of a slope against the step, in float64": bool(
            np.allclose(data.step, 2.0 ** -POWERS.astype(np.float64))
        ),
        "falls with the step, to its first power for the forward difference": bool(
            abs(orders[0] - 1) < 0.1
        ),
        "to its second for the central one": bool(abs(orders[1] - 2) < 0.1),
        "rounding takes over": bool((data.central[-5:] > 0.1).all()),
        "For small steps the complex step stays at the last digit": bool(
            (data.complex[-30:] < 1e-15).all()
        ),
        "The V of a difference quotient in float64": 64 in BITS,
        "best near 1e-8 for forward and 1e-5 for central": bool(
            1e-9 < data.step[data.forward.argmin()] < 1e-7
            and 1e-6 < data.step[data.central.argmin()] < 1e-4
            and 1e-6 < best_step() < 1e-5
        ),
        "In float32 no step shown is good to 6 digits": bool(
            min(single.forward.min(), single.central.min()) > 1e-6
        ),
    }


KERNEL = np.asarray([3.0, -1.0, 2.0])
SIZE, STRIDE = 7, 2


def matrices() -> tuple[Vector, Vector]:
    """Return the matrix of a strided convolution, and that of its input gradient."""
    W = KERNEL[None, None]
    forward = conv(np.eye(SIZE)[:, None], W, stride=STRIDE)[:, 0].T
    eye = np.eye(len(forward))[:, None]
    return forward, conv_input_vjp(W, eye, size=(SIZE,), stride=STRIDE)[:, 0].T


def conv_matrices() -> Figure:
    """Draw both matrices, each entry with its number."""
    figure, axes = plt.subplots(1, 2, figsize=(7.2, 3.6))
    limit = np.abs(KERNEL).max()
    names = ("convolution: x → y", "gradient: ȳ → x̄")
    for ax, matrix, name in zip(axes, matrices(), names, strict=True):
        draw_matrix(ax, matrix, limit)
        ax.images[0].set_label(name)
        ax.set_title(name)
    return figure


def draw_matrix(ax: Axes, matrix: Vector, limit: float) -> None:
    """Draw a matrix as squares, with the entries that are not zero."""
    page = mpl.rcParams["figure.facecolor"]
    tints = LinearSegmentedColormap.from_list("tints", ["C1", page, "C0"])
    ax.imshow(matrix, cmap=tints, vmin=-2 * limit, vmax=2 * limit)  # pale: numbers stand on it
    for (i, j), value in np.ndenumerate(matrix):
        if value:
            ax.text(j, i, f"{value:g}".replace("-", "−"), ha="center", va="center")
    ax.set_xticks(np.arange(matrix.shape[1] + 1) - 0.5, labels=[])
    ax.set_yticks(np.arange(matrix.shape[0] + 1) - 0.5, labels=[])
    ax.grid(linewidth=1)
    ax.set_axisbelow(False)
    for side in ax.spines.values():
        side.set_visible(False)


def conv_matrices_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    forward, back = matrices()
    rows = [row[row != 0] for row in forward]
    columns = [column[column != 0] for column in back.T]
    return {
        "Two matrices": forward.ndim == back.ndim == 2,
        f"Left a convolution with stride {STRIDE}": forward.shape == (3, SIZE),
        "Each row holds the kernel 3, −1, 2": all((row == KERNEL).all() for row in rows),
        "two places further right than the row above": bool(
            (np.diff([np.flatnonzero(row)[0] for row in forward]) == STRIDE).all()
        ),
        "Right its transpose": bool((back == forward.T).all()),
        "each column holds the kernel": all((c == KERNEL).all() for c in columns),
        "The rows of the transpose read the kernel backwards, in two phases": bool(
            (back[2][back[2] != 0] == KERNEL[::-2]).all() and (back[3][back[3] != 0] == -1).all()
        ),
        "A convolution with stride 2 is a matrix": bool(STRIDE == 2),
        "its input gradient is the transpose": bool((back == forward.T).all()),
        "not the inverse": bool(not np.allclose(back @ forward, np.eye(SIZE))),
    }
