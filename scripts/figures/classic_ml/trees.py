"""Figures of the page on Trees."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray


def overview_data() -> NDArray[np.float64]:
    """Compute what the figure shows."""  # to write: with the formula
    return np.linspace(0.0, 1.0, 3)


def overview() -> Figure:
    """Draw the first picture of the page."""  # to write: or an Explorable, with sliders
    figure, ax = plt.subplots(figsize=(6.2, 3.6))
    ax.plot(overview_data(), color="C0")
    ax.set(xlabel="x", ylabel="y")
    return figure


def overview_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    data = overview_data()
    straight = bool(np.allclose(np.diff(data, 2), 0))
    return {
        "A straight line": straight,
        "from zero to one": bool(data[0] == 0 and data[-1] == 1),
    }
