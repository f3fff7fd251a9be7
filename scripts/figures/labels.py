"""Names that stand beside what they name, in its colour, in the place of a legend."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.text import Annotation


def label_line(
    ax: Axes,
    line: Line2D,
    text: str,
    at: int,
    *,
    offset: tuple[float, float] = (0, 6),
    ha: str = "left",
) -> Annotation:
    """Write the name of a line beside one of its points, and make it the line's label.

    Args:
        ax: The panel.
        line: It is called `text` from now on, for tests too.
        text: Its name.
        at: Index of the point; −1 is the last.
        offset: From the point, in points.
        ha: Which side of the text is at the point: left, center or right.
    """
    line.set_label(text)
    x, y = np.asarray(line.get_xydata())[at]
    return ax.annotate(
        text,
        (x, y),
        xytext=offset,
        textcoords="offset points",
        color=line.get_color(),
        ha=ha,
    )
