"""Figures of the page on singular values."""

from functools import cache
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dlkb.linear_algebra.singular_values import (
    gaussian_lyapunov_exponents,
    jordan_power_norm,
    log_product_spectrum,
)

Matrix = NDArray[np.float64]

COUPLINGS = (0.0, 0.1, 1.0, 10.0)
RADIUS = 0.9


def transient_data() -> tuple[Matrix, Matrix]:
    """Return exponents k, and the norms of the k-th powers for each coupling, one row each."""
    k = np.arange(0.0, 121.0)
    return k, np.stack([jordan_power_norm(k, lam=RADIUS, c=c) for c in COUPLINGS])


def transient() -> Figure:
    """Draw the growth and decay of powers of matrices with the same eigenvalues."""
    k, norms = transient_data()
    figure, ax = plt.subplots()
    for i, (c, norm) in enumerate(zip(COUPLINGS, norms, strict=True)):
        ax.plot(k, norm, color=f"C{i}", label=f"c = {c:g}")
    ax.axvline(-1 / np.log(RADIUS), color=plt.rcParams["axes.edgecolor"], linestyle=":")
    ax.annotate("k = 1 / |log 0.9|", (-1 / np.log(RADIUS), 2e-4), xytext=(5, 0), **OFFSET)
    ax.set(yscale="log", xlabel="k", ylabel="‖Aᵏ‖₂", ylim=(1e-4, 200), xlim=(0, 120))
    ax.legend(title="A = (0.9  c; 0  0.9)", ncols=2)
    return figure


OFFSET = {"textcoords": "offset points"}


class Spectra(NamedTuple):
    """What products of Gaussian matrices do, against depth, as natural logarithms.

    Attributes:
        depth: Number of factors, shape (depths,).
        spectrum: All singular values, shape (depths, seeds, n), largest first.
        formed: The same from the product multiplied out in float64.
        bound: The sum of the logarithms of the norms of the factors, shape (depths, seeds).
        rates: The exact slopes, shape (n,).
    """

    depth: Matrix
    spectrum: Matrix
    formed: Matrix
    bound: Matrix
    rates: Matrix


@cache
def spectra_data(*, n: int = 8, deepest: int = 60, seeds: int = 20) -> Spectra:
    """Multiply independent matrices with entries of variance 1/n, for several depths."""
    factors = np.stack(
        [
            np.random.default_rng(seed).normal(size=(deepest, n, n)) / n**0.5
            for seed in range(seeds)
        ],
        axis=1,
    )
    depth = np.arange(4, deepest + 1, 4)
    spectrum = [log_product_spectrum(list(factors[:d])) for d in depth]
    formed, product = [], np.eye(n)
    for d, W in enumerate(factors, start=1):
        product = W @ product
        if d in depth:
            formed.append(np.log(np.linalg.svd(product)[1]))
    norms = np.cumsum(np.log(np.linalg.svd(factors)[1][..., 0]), axis=0)
    rates = np.asarray(gaussian_lyapunov_exponents(n, std=n**-0.5))
    return Spectra(
        depth.astype(float), np.stack(spectrum), np.stack(formed), norms[depth - 1], rates
    )


def product_spectrum() -> Figure:
    """Draw all singular values of a product against depth, the bound and the volume."""
    data = spectra_data()
    figure, ax = plt.subplots()
    scale = np.log(10)
    for i, rate in enumerate(data.rates):
        values = data.spectrum[..., i] / scale
        low, middle, high = np.quantile(values, (0.05, 0.5, 0.95), axis=1)
        ax.fill_between(data.depth, low, high, color="C0", alpha=0.15, linewidth=0)
        ax.plot(data.depth, middle, color="C0", label="σᵢ of the product" if i == 0 else None)
        ax.plot(
            data.depth,
            rate * data.depth / scale,
            color="C0",
            linestyle="--",
            linewidth=1,
            label="exact slopes" if i == 0 else None,
        )
    bound = np.median(data.bound, axis=1) / scale
    volume = np.median(np.mean(data.spectrum, axis=-1), axis=1) / scale
    ax.plot(data.depth, bound, color="C1", label="product of the norms")
    ax.plot(data.depth, volume, color="C2", label="|det|^(1/n)")
    ax.set(xlabel="number of factors", ylabel="log₁₀", ylim=(-60, 20), xlim=(4, 60))
    ax.legend(loc="lower left")
    return figure


def lost_digits() -> Figure:
    """Draw the condition number of a product: multiplied out, and factor by factor."""
    data = spectra_data()
    figure, ax = plt.subplots(figsize=(6.2, 3.0))
    for i, (values, name) in enumerate(
        [(data.spectrum, "factor by factor"), (data.formed, "multiplied out in float64")]
    ):
        ratio = (values[..., 0] - values[..., -1]) / np.log(10)
        low, middle, high = np.quantile(ratio, (0.05, 0.5, 0.95), axis=1)
        ax.fill_between(data.depth, low, high, color=f"C{i}", alpha=0.25, linewidth=0)
        ax.plot(data.depth, middle, color=f"C{i}", label=name)
    ax.axhline(-np.log10(np.finfo(float).eps), color=plt.rcParams["axes.edgecolor"], linestyle=":")
    ax.annotate("1 / eps", (60, 15.7), xytext=(-4, -12), ha="right", **OFFSET)
    ax.set(xlabel="number of factors", ylabel="log₁₀ of σ₁ / σₙ", xlim=(4, 60))
    ax.legend()
    return figure
