"""The variant for phones."""

import matplotlib as mpl
import matplotlib.pyplot as plt

from dlkb.book.draw import narrow, style
from tests.book.draw.test_figures import HEAD

PANELS = (
    HEAD
    + """
def panels() -> Figure:
    figure, axes = plt.subplots(1, 3, figsize=(7.2, 3.2), sharey=True)
    for ax in axes:
        ax.plot([0, 1], [0, 1], label="a long name for a line")
    for i in range(3):
        axes[2].plot([0, 1], [1, i], label=f"a long name for line {i}")
    axes[0].set_ylabel("height")
    figure.legend(*axes[2].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure
"""
)


def drawn_here(source: str, name: str):
    names = {}
    exec(source, names)
    with mpl.rc_context(style.light):
        return names[name]()


def test_panels_stand_in_one_column_and_each_has_its_labels():
    figure = drawn_here(PANELS, "panels")
    narrow.stack(figure)
    boxes = [ax.get_window_extent() for ax in figure.axes]
    assert len({round(box.x0) for box in boxes}) == 1
    assert boxes[0].y0 > boxes[1].y1 > boxes[1].y0 > boxes[2].y1
    assert figure.get_figwidth() == narrow.WIDTH
    assert [ax.get_ylabel() for ax in figure.axes] == ["height"] * 3
    assert all(ax.yaxis.get_tick_params()["labelleft"] for ax in figure.axes)
    (legend,) = figure.legends
    assert legend.get_window_extent().width <= figure.bbox.width
    assert legend.get_texts()[0].get_text() == "a long name for a line"
    assert legend._ncols == 1
    assert legend.get_window_extent().y1 < boxes[2].y0
    plt.close(figure)


def test_one_panel_keeps_its_height_and_its_text():
    figure, ax = plt.subplots(figsize=(6.2, 3.6))
    ax.set_title("one", fontsize=narrow.SMALLEST)
    narrow.stack(figure)
    assert tuple(figure.get_size_inches()) == (narrow.WIDTH, 3.6)
    plt.close(figure)


def test_the_width_makes_text_of_the_smallest_size_ten_pixels_high_on_a_phone():
    shown = 358 / (narrow.WIDTH * 96)
    assert 10 <= narrow.SMALLEST * 96 / 72 * shown < 10.2
