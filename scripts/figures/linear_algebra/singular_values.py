"""Figures of the page on singular values."""

from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dlkb.book.draw.kept import kept
from dlkb.linear_algebra.singular_values import (
    gaussian_lyapunov_exponents,
    jordan_power_norm,
    log_product_spectrum,
)
from scripts.figures.explorable import Explorable, Slider

Matrix = NDArray[np.float64]

COUPLINGS = (0.0, 0.1, 1.0, 10.0)
RADII = (0.5, 0.8, 0.9, 0.95)
OFFSET = {"textcoords": "offset points"}


class Powers(NamedTuple):
    """Powers of the matrix with rows (λ, c) and (0, λ).

    Attributes:
        k: Exponents 0, 1, …
        norm: Norms of the powers.
        radius: What the eigenvalues say, λᵏ.
    """

    k: Matrix
    norm: Matrix
    radius: Matrix


def powers(lam: float = 0.9, c: float = 10.0) -> Powers:
    """Compute the norms of 120 powers."""
    k = np.arange(0.0, 121.0)
    return Powers(k, jordan_power_norm(k, lam=lam, c=c), lam**k)


def transient() -> Explorable:
    """Draw growth and decay of the powers of a matrix, for any double eigenvalue and coupling."""
    figure, ax = plt.subplots(figsize=(6.2, 3.4))
    (norm,) = ax.plot([], [], color="C1", label="norm of Aᵏ")
    (radius,) = ax.plot([], [], color="C0", linestyle="--", label="λᵏ")
    ax.set(yscale="log", xlabel="k", ylim=(1e-4, 1e3), xlim=(0, 120))
    ax.legend(title="A = (λ  c; 0  λ)", loc="upper right")

    def show(lam: float, c: float) -> str:
        data = powers(lam, c)
        norm.set_data(data.k, data.norm)
        radius.set_data(data.k, data.radius)
        top = data.norm.argmax()
        return (
            f"Both eigenvalues are {lam:g}. The norm is largest at k = {top}: "
            f"{data.norm[top]:.2f}, where λᵏ is {data.radius[top]:.2g}."
        )

    return Explorable(
        figure, (Slider("λ", RADII, 2), Slider("c", COUPLINGS, 3)), (norm, radius), show
    )


def transient_says() -> dict[str, bool]:
    """Return what alt text and caption say of the start, and whether it is so."""
    data = powers()
    top = data.norm.argmax()
    late = data.norm[1:] / data.norm[:-1]
    return {
        "Norm of the k-th power of a matrix whose two eigenvalues are 0.9, logarithmic": bool(
            np.allclose(data.radius, 0.9**data.k)
        ),
        f"It rises from {data.norm[0]:.0f} to {data.norm[top]:.0f} near k = {top}": bool(
            9 <= top <= 10
        ),
        f"and is still above 1 at k = {np.flatnonzero(data.norm > 1)[-1]}": bool(data.norm[-1] < 1),
        "λᵏ falls from the start": bool((np.diff(data.radius) < 0).all()),
        "Eigenvalues fix the slope in the end": bool(abs(late[-1] / 0.9 - 1) < 0.01),
        "the coupling c, which they do not see, how far the norm rises before": bool(
            np.all(np.diff([powers(c=c).norm.max() for c in COUPLINGS[1:]]) > 0)
        ),
    }


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


SUPERSCRIPT = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


@kept
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


def band(values: Matrix) -> Matrix:
    """Return the quantiles 5, 50 and 95 % over seeds, shape (3, depths)."""
    return np.quantile(values, (0.05, 0.5, 0.95), axis=1)


def product_spectrum() -> Figure:
    """Draw all singular values of a product against depth, the bound and the volume."""
    data = spectra_data()
    figure, ax = plt.subplots()
    scale = np.log(10)
    for i, rate in enumerate(data.rates):
        values = data.spectrum[..., i] / scale
        low, middle, high = band(values)
        name = f"band {i + 1}"
        ax.fill_between(data.depth, low, high, color="C0", alpha=0.15, linewidth=0).set_gid(name)
        first = i == 0
        (line,) = ax.plot(
            data.depth, middle, color="C0", label="σᵢ of the product" if first else ""
        )
        (slope,) = ax.plot(data.depth, rate * data.depth / scale, "--", color="C0", linewidth=1)
        slope.set_label("exact slopes" if first else "")
        if not first:
            line.set_gid(f"σ{i + 1}")
            slope.set_gid(f"slope {i + 1}")
    bound = np.median(data.bound, axis=1) / scale
    volume = np.median(np.mean(data.spectrum, axis=-1), axis=1) / scale
    ax.plot(data.depth, bound, color="C1", label="product of the norms")
    ax.plot(data.depth, volume, color="C2", label="|det|^(1/n)")
    ax.set(xlabel="number of factors", ylabel="log₁₀", ylim=(-60, 20), xlim=(4, 60))
    ax.legend(loc="lower left")
    return figure


def product_spectrum_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    data = spectra_data()
    middle = np.median(data.spectrum, axis=1) / np.log(10)
    bound = np.median(data.bound, axis=1)[-1] / np.log(10)
    volume = np.median(data.spectrum.mean(-1), axis=1)[-1] / np.log(10)
    last = f"{-middle[-1, -1]:.0f}".translate(SUPERSCRIPT)
    falls = np.diff(data.spectrum[[0, -1]], axis=0) < 0
    slopes = (data.spectrum[-1] - data.spectrum[4]).mean(0) / (data.depth[-1] - data.depth[4])
    return {
        "The eight singular values of a product against the number of factors, logarithmic, "
        f"median and band over {data.spectrum.shape[1]} seeds": data.spectrum.shape[2] == 8,
        "Eight lines fan out downwards along their dashed exact slopes": bool(
            np.allclose(slopes, data.rates, atol=0.1) and falls[..., 1:].all()
        ),
        f"the first nearly flat, the last to 10⁻{last} at {data.depth[-1]:.0f} factors": bool(
            abs(middle[-1, 0]) < 3
        ),
        f"The product of the norms rises to 10{f'{bound:.0f}'.translate(SUPERSCRIPT)}": True,
        "The n-th root of the determinant runs inside the fan": bool(
            middle[-1, -1] < volume < middle[-1, 0]
        ),
        "Products of Gaussian matrices, n = 8, variance 1/n": bool(
            np.allclose(data.rates, gaussian_lyapunov_exponents(8, std=8**-0.5))
        ),
        "Neither the product of the norms nor the determinant shows the spread": bool(
            bound > 13 and -16 < volume < -14
        ),
    }


def lost_digits() -> Figure:
    """Draw the condition number of a product: multiplied out, and factor by factor."""
    data = spectra_data()
    figure, ax = plt.subplots(figsize=(6.2, 3.0))
    for i, (values, name) in enumerate(
        [(data.spectrum, "factor by factor"), (data.formed, "multiplied out in float64")]
    ):
        ratio = (values[..., 0] - values[..., -1]) / np.log(10)
        low, middle, high = band(ratio)
        shade = ax.fill_between(data.depth, low, high, color=f"C{i}", alpha=0.25, linewidth=0)
        shade.set_gid(f"band of {name}")
        ax.plot(data.depth, middle, color=f"C{i}", label=name)
    ax.axhline(-np.log10(np.finfo(float).eps), color=plt.rcParams["axes.edgecolor"], linestyle=":")
    ax.annotate("1 / eps", (60, 15.7), xytext=(-4, -12), ha="right", **OFFSET)
    ax.set(xlabel="number of factors", ylabel="log₁₀ of σ₁ / σₙ", xlim=(4, 60))
    ax.legend()
    return figure


def lost_digits_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    data = spectra_data()
    exact, formed = (
        np.median(v[..., 0] - v[..., -1], axis=1) / np.log(10) for v in (data.spectrum, data.formed)
    )
    early, late = data.depth <= 16, data.depth >= 28
    return {
        "Ratio of the largest to the smallest singular value of products of 8 × 8 Gaussian "
        "matrices against depth, logarithmic": data.rates.shape == (8,),
        "Up to 16 factors both curves agree": bool(
            np.allclose(exact[early], formed[early], atol=0.1)
        ),
        "From 28 on the product multiplied out stays within a factor of ten of 10¹⁷": bool(
            (abs(formed[late] - 17) < 1).all()
        ),
        f"while the true ratio rises to 10{f'{exact[-1]:.0f}'.translate(SUPERSCRIPT)}": True,
        "In float64 these products keep no singular value far below eps times the largest": bool(
            (formed < 18).all()
        ),
        "what is reported in its place is rounding": bool((exact[late] > formed[late] + 1).all()),
    }
