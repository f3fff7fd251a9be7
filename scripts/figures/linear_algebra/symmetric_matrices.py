"""Figures of the page on symmetric matrices."""

from functools import cache
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dlkb.linear_algebra.symmetric_matrices import (
    log_power_norms,
    power_norm_limit,
    rayleigh_quotient,
)

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
        ax.plot(np.cos(angle), np.sin(angle), color=muted, linewidth=1, linestyle=":")
        ax.plot(*data.image, color="C0")
        if data.eigen.shape[1]:  # of a rotation every direction is singular: nothing to draw
            for x, y in data.singular.T:
                ax.plot([-x, x], [-y, y], color="C2", linewidth=5, alpha=0.5)
        else:
            ax.text(0, 0, "no real\neigenvector", ha="center", va="center")
        for x, y in data.eigen.T:
            ax.plot([-x, x], [-y, y], color="C1")
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


class Growth(NamedTuple):
    """‖W^k‖₂ for k = 0, 1, … over seeds, shape (k + 1, seeds), for three kinds of matrix."""

    symmetric: Matrix
    gaussian: Matrix
    orthogonal: Matrix


@cache
def power_growth_data(*, n: int = 64, k: int = 20, seeds: int = 20) -> Growth:
    """Raise matrices with entries of variance 1/n to powers."""
    G = np.stack([np.random.default_rng(seed).normal(size=(n, n)) for seed in range(seeds)])
    G /= np.sqrt(n)
    symmetric = np.triu(G) + np.triu(G, 1).swapaxes(-1, -2)
    orthogonal = np.linalg.qr(G)[0]
    return Growth(*(np.exp(log_power_norms(W, k=k)) for W in (symmetric, G, orthogonal)))


def power_growth() -> Figure:
    """Draw the growth of powers: median, band over the seeds, and the limit for large n."""
    data = power_growth_data()
    k = np.arange(len(data.symmetric))
    limits = (2.0**k, power_norm_limit(k.astype(float)), np.ones(len(k)))
    names = ("symmetric, 2ᵏ", "not symmetric, γₖ", "orthogonal, 1")
    figure, ax = plt.subplots()
    for i, (norms, limit, name) in enumerate(zip(data, limits, names, strict=True)):
        low, middle, high = np.quantile(norms, (0.05, 0.5, 0.95), axis=1)
        ax.fill_between(k, low, high, color=f"C{i}", alpha=0.25, linewidth=0)
        ax.plot(k, middle, color=f"C{i}", label=name)
        ax.plot(k, limit, color=f"C{i}", linestyle="--", linewidth=1)
    ax.set(yscale="log", xlabel="k", ylabel="‖Wᵏ‖₂", xticks=range(0, 21, 5))
    ax.legend(title="entries of variance 1/n; limit", alignment="left")
    return figure


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
    ax.plot(degrees, R, color="C0")
    for value, (x, y), name in zip(eigenvalues, V.T, ("λ₂", "λ₁"), strict=True):
        at = np.degrees(np.arctan2(y, x)) % 180
        ax.axhline(value, color="C1", linestyle="--", linewidth=1)
        ax.plot(at, value, "o", color="C1")
        ax.annotate(name, (at, value), xytext=(6, 6), textcoords="offset points")
    ax.set(xlabel="angle of v in degrees", ylabel="R(v)", xticks=range(0, 181, 30), ylim=(-1, 2.3))
    return figure
