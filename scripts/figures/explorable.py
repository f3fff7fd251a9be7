"""What a figure script returns for a figure that the reader moves with sliders."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Polygon


class Slider(NamedTuple):
    """One hyperparameter.

    Attributes:
        label: What it is called, in plain text.
        values: All that it can be.
        start: Index of the value that the static figure shows.
        form: How `str.format` writes a value.
    """

    label: str
    values: Sequence[float]
    start: int
    form: str = "{:g}"


class Explorable(NamedTuple):
    """A figure, and what moves in it.

    Attributes:
        figure: Its axes, with fixed limits, hold all that does not move.
        sliders: One or two.
        moving: Lines (with a line or with round markers, not both) and polygons, in the order
            in which they cover each other. They lie above what does not move.
        show: Takes a value of each slider, moves `moving`, and returns in one sentence what is
            to be seen now.
    """

    figure: Figure
    sliders: tuple[Slider, ...]
    moving: tuple[Line2D | Polygon, ...]
    show: Callable[..., str]
