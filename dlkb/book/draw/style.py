"""The look of every figure: one shared style in a light and a dark variant.

Plain `rcParams`, so that this module needs no matplotlib. Both variants differ in colours
alone; geometry and text are the same.

The line colours were searched for: each stands out from its background by a contrast of at
least 3:1, and all pairs stay apart in OKLab under protanopia, deuteranopia and tritanopia.
`tests/book/draw/test_style.py` holds them to both.
"""

from typing import Any

MAX_WIDTH = 7.2
"""Inches. On a phone of 390 px, 12 pt text in a figure this wide is still 8 px high."""

_SHARED: dict[str, Any] = {
    # Size and text. Outlines of DejaVu Sans, which comes with matplotlib: the same everywhere.
    "figure.figsize": (6.2, 3.6),
    "figure.constrained_layout.use": True,
    "font.family": ["DejaVu Sans"],
    "font.size": 12.0,
    "axes.titlesize": 12.0,
    "axes.labelsize": 12.0,
    "xtick.labelsize": 11.0,
    "ytick.labelsize": 11.0,
    "legend.fontsize": 11.0,
    "figure.titlesize": 13.0,
    "mathtext.fontset": "dejavusans",
    "svg.fonttype": "path",
    # The same bytes for the same drawing.
    "svg.hashsalt": "dlkb",
    # Little ink besides the data.
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "axes.titlelocation": "left",
    "axes.titlepad": 8.0,
    "axes.grid": True,
    "grid.linewidth": 0.6,
    "xtick.major.size": 0.0,
    "ytick.major.size": 0.0,
    "xtick.minor.size": 0.0,
    "ytick.minor.size": 0.0,
    "lines.linewidth": 2.0,
    "lines.solid_capstyle": "round",
    "patch.linewidth": 0.8,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "image.cmap": "cividis",
    # The page shows through; `figure.facecolor` still names its colour, for what must cover.
    "savefig.transparent": True,
}


def _theme(inks: list[str], lines: list[str]) -> dict[str, Any]:
    """Return the shared style in the colours of one theme."""
    ink, muted, rule, page = inks
    return _SHARED | {
        "text.color": ink,
        "axes.labelcolor": ink,
        "axes.titlecolor": ink,
        "xtick.color": rule,
        "ytick.color": rule,
        "xtick.labelcolor": muted,
        "ytick.labelcolor": muted,
        "axes.edgecolor": muted,
        "grid.color": rule,
        "legend.edgecolor": rule,
        "patch.edgecolor": page,
        "hatch.color": muted,
        "lines.color": ink,
        "boxplot.boxprops.color": muted,
        "boxplot.whiskerprops.color": muted,
        "boxplot.capprops.color": muted,
        "boxplot.flierprops.markeredgecolor": muted,
        "figure.facecolor": page,
        "figure.edgecolor": page,
        "axes.facecolor": page,
        "axes3d.xaxis.panecolor": page,
        "axes3d.yaxis.panecolor": page,
        "axes3d.zaxis.panecolor": page,
        "axes.prop_cycle": f"cycler('color', {lines})",
    }


LINES = {
    "light": ["#376acb", "#b4220b", "#286849", "#7c277d", "#98803c", "#1c96bc"],
    "dark": ["#6781f6", "#e86428", "#73c399", "#b473a4", "#fdcc2c", "#70e8fe"],
}
"""The colour cycle `C0` … `C5`: blue, red, green, purple, ochre, cyan, in both themes."""

_INKS = {
    "light": ["#1f2328", "#57606a", "#d8dbdf", "#ffffff"],
    "dark": ["#e2e5ea", "#a3abb8", "#3a3f4a", "#1e2129"],
}
"""Ink, muted ink, rules and the page."""

light = _theme(_INKS["light"], LINES["light"])
dark = _theme(_INKS["dark"], LINES["dark"])

THEMES = {"light": light, "dark": dark}

IN_THE_DARK = dict(zip(_INKS["light"] + LINES["light"], _INKS["dark"] + LINES["dark"], strict=True))
"""What each colour of the light theme is in the dark one."""
