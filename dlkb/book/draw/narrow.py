"""Lay a drawn figure out for phones: its panels in one column, its text as large as before.

The page is about 360 px wide there. A figure of `WIDTH` inches is then shown at 0.85 of its size,
text of 11 pt 12 px high. Runs in a worker process of `figures`.
"""

from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.text import Text

WIDTH = 4.4
"""Inches."""

SMALLEST = 8.9
"""Points: text that is 10 px high on a phone of 390 px, where the page is 358 px wide."""


def stack(figure: Figure) -> None:
    """Move the panels into one column, from left to right and from top to bottom.

    Raises:
        ValueError: For text too small to be read, or that does not fit.
    """
    panels = sorted(
        (ax for ax in figure.axes if ax.get_subplotspec() is not None), key=_row_and_column
    )
    FigureCanvasAgg(figure)  # measures text; that of SVG changes the resolution meanwhile
    figure.set_layout_engine("constrained")
    width, height = figure.get_size_inches()
    if len(panels) > 1:
        _label_again(panels)
        grid = panels[0].get_gridspec()
        assert grid is not None
        each = height / grid.nrows
        if grid.ncols > 1:  # wider now than they were, so they need less height
            each = max(0.75 * each, min(each, 2.0))
        column = GridSpec(len(panels), 1, figure=figure)
        for row, ax in enumerate(panels):
            ax.set_subplotspec(column[row])
        height = each * len(panels)
    figure.set_size_inches(min(width, WIDTH), height)
    for legend in [*figure.legends, *(ax.get_legend() for ax in figure.axes)]:
        if legend is not None:
            _fit(legend, figure)
    figure.draw_without_rendering()
    _check_text(figure)


def _row_and_column(ax: Any) -> tuple[int, int]:
    place = ax.get_subplotspec()
    return place.rowspan.start, place.colspan.start


def _label_again(panels: list[Any]) -> None:
    """Write what a panel left to its neighbour: the labels of an axis that they share."""
    for ax in panels:
        row, column = _row_and_column(ax)
        if not column:
            continue
        ax.tick_params(axis="y", labelleft=True)
        ax.yaxis.get_offset_text().set_visible(True)
        for other in panels:
            beside = _row_and_column(other)[0] == row and other is not ax
            if beside and other in ax.get_shared_y_axes().get_siblings(ax) and not ax.get_ylabel():
                ax.set_ylabel(other.get_ylabel())


def _fit(legend: Any, figure: Any) -> None:
    """Give a legend fewer columns until there is room for it."""
    room = (1 if legend.parent is figure else 0.85) * figure.get_figwidth() * figure.dpi
    while legend._ncols > 1 and legend.get_window_extent().width > room:
        # matplotlib has no public way to lay a legend out again.
        title, names = legend.get_title().get_text(), [t.get_text() for t in legend.get_texts()]
        legend.set_ncols(legend._ncols - 1)
        legend._init_legend_box(legend.legend_handles, names)
        legend._set_loc(legend._loc_real)
        legend.set_title(title or None)


def _check_text(figure: Figure) -> None:
    ticks = {
        label
        for ax in figure.axes
        for axis in (ax.xaxis, ax.yaxis)
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks())
        for label in (tick.label1, tick.label2)
    }
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        words = text.get_text().strip()
        if not words or not text.get_visible():
            continue
        size = float(text.get_fontsize())
        if size < SMALLEST:
            raise ValueError(
                f"'{words}' is {size:g} pt high; under {SMALLEST} pt it cannot be read on a phone"
            )
        box = text.get_window_extent()
        page = figure.bbox
        outside = box.x0 < -2 or box.y0 < -2 or box.x1 > page.x1 + 2 or box.y1 > page.y1 + 2
        if outside and text not in ticks:  # those out of range are kept, but not drawn
            raise ValueError(
                f"'{words}' does not fit on a phone, where the figure is {WIDTH} in wide and "
                f"{figure.get_figheight():.1f} in high: shorten it or break it into lines"
            )
