"""Figures of the page on symmetric matrices."""

from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dlkb.book.draw.kept import kept
from dlkb.linear_algebra.symmetric_matrices import (
    log_power_norms,
    power_norm_limit,
    rayleigh_quotient,
)
from scripts.figures.explorable import Explorable, Slider

Matrix = NDArray[np.float64]


def rotation(degrees: float) -> Matrix:
    """Return the rotation of the plane by an angle."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.asarray([[c, -s], [s, c]])


SYMMETRIC = rotation(30) @ np.diag([1.8, -0.6]) @ rotation(30).T
NORMAL = 1.2 * rotation(40)
GENERAL = np.asarray([[1.0, 1.5], [0.0, 0.5]])


class CircleImage(NamedTuple):
    """What a 2×2 matrix does to the unit circle.

    Attributes:
        image: The points Wv, shape (2, points).
        eigen: λv for the real eigenvectors v, one a column; no column if there is none.
        singular: σu for the left singular vectors u, one a column, longest first.
    """

    image: Matrix
    eigen: Matrix
    singular: Matrix


def circle_image(W: Matrix) -> CircleImage:
    """Compute the image of the unit circle and the axes of the matrix."""
    angle = np.linspace(0, 2 * np.pi, 361)
    eigenvalues, V = np.linalg.eig(W)
    real = np.abs(eigenvalues.imag) < 1e-12
    U, sigma, _ = np.linalg.svd(W)
    return CircleImage(
        W @ np.stack([np.cos(angle), np.sin(angle)]), (V * eigenvalues)[:, real].real, U * sigma
    )


def unit_circle() -> Figure:
    """Draw the image of the circle under a symmetric, a normal and a general matrix."""
    panels = {
        "symmetric": SYMMETRIC,
        "rotation × 1.2": NORMAL,
        "general": GENERAL,
    }
    figure, axes = plt.subplots(1, 3, figsize=(7.2, 3.0), sharex=True, sharey=True)
    angle = np.linspace(0, 2 * np.pi, 361)
    for ax, (title, W) in zip(axes, panels.items(), strict=True):
        data = circle_image(W)
        muted = plt.rcParams["axes.edgecolor"]
        ax.plot(
            np.cos(angle), np.sin(angle), color=muted, linewidth=1, linestyle=":", label="circle"
        )
        ax.plot(*data.image, color="C0", label="image")
        if data.eigen.shape[1]:  # of a rotation every direction is singular: nothing to draw
            for i, (x, y) in enumerate(data.singular.T, 1):
                ax.plot([-x, x], [-y, y], color="C2", linewidth=5, alpha=0.5, gid=f"singular {i}")
        else:
            ax.text(0, 0, "no real\neigenvector", ha="center", va="center")
        for i, (x, y) in enumerate(data.eigen.T, 1):
            ax.plot([-x, x], [-y, y], color="C1", gid=f"eigen {i}")
        ax.set(title=title, aspect="equal", xticks=[-1, 0, 1], yticks=[-1, 0, 1])
    handles = [
        plt.Line2D([], [], color=plt.rcParams["axes.edgecolor"], linewidth=1, linestyle=":"),
        plt.Line2D([], [], color="C0"),
        plt.Line2D([], [], color="C1"),
        plt.Line2D([], [], color="C2", linewidth=5, alpha=0.5),
    ]
    names = ["unit circle", "its image", "λ v", "σ u"]
    figure.legend(handles, names, loc="outside lower center", ncols=4)
    return figure


def unit_circle_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    symmetric, normal, general = (circle_image(W) for W in (SYMMETRIC, NORMAL, GENERAL))
    directions = general.eigen / np.linalg.norm(general.eigen, axis=0)
    angle = np.degrees(np.arccos(abs(directions[:, 0] @ directions[:, 1])))
    away = [
        np.linalg.norm(np.cross(np.append(u, 0), np.append(v, 0)))
        for u in general.singular.T / np.linalg.norm(general.singular, axis=0)[:, None]
        for v in directions.T
    ]
    radii = np.linalg.norm(normal.image, axis=0)
    stretch = np.linalg.norm(general.singular[:, 0])
    largest = np.linalg.norm(general.eigen, axis=0).max()
    lengths = np.linalg.norm(symmetric.eigen, axis=0)
    coincide = bool(
        np.allclose(np.sort(lengths), np.sort(np.linalg.norm(symmetric.singular, axis=0)))
        and abs(symmetric.eigen[:, 0] @ symmetric.eigen[:, 1]) < 1e-9
    )
    return {
        "the image of the unit circle is an ellipse whose half-axes are the eigenvectors": coincide,
        f"Rotation times {radii[0]:.1f}: the image is a larger circle": bool(
            np.allclose(radii, radii[0]) and radii[0] > 1
        ),
        "there is no real eigenvector": normal.eigen.shape[1] == 0,
        f"the eigenvectors meet at {angle:.0f} degrees": True,
        "are not the axes": min(away) > 0.1,
        "Eigenvectors are the axes of the ellipse only in the symmetric panel": coincide
        and min(away) > 0.1,
        f"On the right the largest eigenvalue is {largest:.0f}, "
        f"the largest stretch {stretch:.2f}": True,
    }


class Growth(NamedTuple):
    """‖W^k‖₂ for k = 0, 1, …, K.

    Attributes:
        norms: The norms, a row for each k, a column for each seed.
        orthogonal: Likewise of orthogonal matrices.
    """

    norms: Matrix
    orthogonal: Matrix


N, K, SEEDS = 64, 20, 20
CORRELATIONS = (-1.0, -0.8, -0.5, -0.2, 0.0, 0.2, 0.5, 0.8, 1.0)


@kept
def growth(correlation: float = 1.0) -> Growth:
    """Raise matrices to powers whose entries have variance 1/n and correlate with their mirror."""
    draws = [np.random.default_rng(seed).normal(size=(N, N)) for seed in range(SEEDS)]
    G = np.stack(draws) / np.sqrt(N)
    above, below = np.triu(G, 1), np.tril(G, -1).swapaxes(-1, -2)
    mirrored = correlation * above + np.sqrt(1 - correlation**2) * below
    W = np.triu(G) + mirrored.swapaxes(-1, -2)
    return Growth(*(np.exp(log_power_norms(M, k=K)) for M in (W, np.linalg.qr(G)[0])))


def power_growth() -> Explorable:
    """Draw how powers grow, for any correlation of an entry with its mirror image."""
    k = np.arange(K + 1.0)
    figure, ax = plt.subplots(figsize=(6.2, 3.5))
    middle, low, high = (
        ax.plot([], [], color="C0", linewidth=width, label=label)[0]
        for width, label in ((2.5, "median"), (1, "5 %"), (1, "95 %"))
    )
    for limit, name, color in (
        (2**k, "2ᵏ", "C3"),
        (power_norm_limit(k), "γₖ", "C1"),
        (np.ones_like(k), "orthogonal", "C2"),
    ):
        ax.plot(k, limit, color=color, linestyle="--", linewidth=1, label=name, zorder=1.9)
    ax.set(yscale="log", ylim=(0.5, 1e7), xlim=(0, K), xticks=range(0, K + 1, 5))
    ax.set(xlabel="k", ylabel="‖Wᵏ‖₂")
    handles = [line for line in ax.lines if line not in (low, high)]
    ax.legend(handles=handles, loc="upper left", ncols=2)

    def show(correlation: float) -> str:
        quantiles = np.quantile(growth(correlation).norms, (0.5, 0.05, 0.95), axis=1)
        for line, norms in zip((middle, low, high), quantiles, strict=True):
            line.set_data(k, norms)
        return (
            f"At correlation {correlation:g} the {K}th power has a median norm of "
            f"{quantiles[0, -1]:.1e}; of independent entries, in the limit, "
            f"{power_norm_limit(k)[-1]:.1f}."
        )

    slider = Slider("correlation of wᵢⱼ and wⱼᵢ", CORRELATIONS, len(CORRELATIONS) - 1)
    return Explorable(figure, (slider,), (low, high, middle), show)


def power_growth_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    last = {c: float(np.median(growth(c).norms[-1])) for c in CORRELATIONS}
    limit = float(power_norm_limit(np.asarray(float(K))))
    ratios = np.median(growth().norms[1:] / growth().norms[:-1], axis=1)
    return {
        "Norm of the k-th power of random matrices against k, on a logarithmic axis": bool(
            np.allclose(growth().norms[0], 1)
        ),
        "symmetric, it nearly doubles with each power": bool(
            (ratios > 1.8).all() and (ratios < 2).all()
        ),
        f"to a median of {last[1.0]:.0e} at k = {K}".replace("e+0", "e"): True,
        f"ends at {limit:.1f}": True,
        "of orthogonal ones stays at 1": bool(np.allclose(growth().orthogonal, 1)),
        f"Median and 5–95 % of {SEEDS} seeds, n = {N}, entries of variance 1/n": True,
        "dashed the limits for large n": bool(
            np.isclose(np.median(growth().norms[1]), 2, rtol=0.1)
            and np.isclose(np.median(growth(0.0).norms[2]), 27**0.5 / 2, rtol=0.1)
        ),
        "slide to 0, independent entries, and the powers grow least": min(
            last, key=lambda c: last[c]
        )
        == 0.0,
    }


def rayleigh_data() -> tuple[Matrix, Matrix]:
    """Return angles in degrees and the Rayleigh quotient of `SYMMETRIC` there."""
    degrees = np.linspace(0, 180, 361)
    angle = np.radians(degrees)
    v = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    return degrees, rayleigh_quotient(SYMMETRIC, v)


def rayleigh() -> Figure:
    """Draw the Rayleigh quotient over half a turn, with the eigenvalues as its bounds."""
    degrees, R = rayleigh_data()
    eigenvalues, V = np.linalg.eigh(SYMMETRIC)
    figure, ax = plt.subplots(figsize=(6.2, 3.0))
    ax.plot(degrees, R, color="C0", label="R")
    for value, (x, y), name in zip(eigenvalues, V.T, ("λ₂", "λ₁"), strict=True):
        at = np.degrees(np.arctan2(y, x)) % 180
        ax.axhline(value, color="C1", linestyle="--", linewidth=1, gid=f"bound {name}")
        ax.plot(at, value, "o", color="C1", gid=name)
        ax.annotate(name, (at, value), xytext=(6, 6), textcoords="offset points")
    ax.set(xlabel="angle of v in degrees", ylabel="R(v)", xticks=range(0, 181, 30), ylim=(-1, 2.3))
    return figure


def rayleigh_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    degrees, R = rayleigh_data()
    eigenvalues = np.linalg.eigvalsh(SYMMETRIC)
    touches = bool(np.allclose([R.min(), R.max()], eigenvalues, atol=1e-9))
    slope = np.gradient(R, degrees)
    return {
        "The Rayleigh quotient of a symmetric 2 × 2 matrix over the angle of v": bool(
            np.array_equal(SYMMETRIC, SYMMETRIC.T)
        ),
        "a wave between the smaller eigenvalue, reached at "
        f"{degrees[R.argmin()]:.0f} degrees": touches,
        f"and the larger, reached at {degrees[R.argmax()]:.0f} degrees": touches,
        "R touches its bounds, the two eigenvalues, at the eigenvectors": touches,
        "and is flat there": bool(abs(slope[[R.argmin(), R.argmax()]]).max() < 1e-3),
        "a vector with a small error gives the eigenvalue with a squared error": bool(
            np.isclose((R.max() - R[R.argmax() + 4]) / (R.max() - R[R.argmax() + 2]), 4, rtol=0.01)
        ),
    }
