"""Draw the figures of one script in every theme. Runs in a worker process of `figures`."""

import importlib
import io
import random
import re
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from dlkb.book.draw import style

SCRIPTS = Path("scripts/figures")

# One thread a worker: two workers do not fight for the cores, and sums keep their order.
ENVIRONMENT = {
    "MPLBACKEND": "svg",
    "PYTHONHASHSEED": "0",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
}

Drawings = dict[str, list[bytes] | str]
"""By figure: its files, or an error's text. The name "" stands for the whole script."""


def start(root: str) -> None:
    """Make the repository's own modules importable; the pool calls it in each worker."""
    sys.path.insert(0, root)


def draw_script(root: str, stem: str, names: list[str]) -> Drawings:
    """Import a script once and draw the named figures of it."""
    import matplotlib.pyplot as plt

    script = str(Path(root) / SCRIPTS / f"{stem}.py")
    try:
        module = importlib.import_module(".".join((*SCRIPTS.parts, *stem.split("/"))))
    except (Exception, SystemExit) as error:
        return {"": _why(error, script)}
    drawings: Drawings = {}
    for name in names:
        try:
            drawings[name] = _in_every_theme(getattr(module, name))
        except (Exception, SystemExit) as error:
            drawings[name] = _why(error, script)
        finally:
            plt.close("all")
    return drawings


def without_colours(svg: bytes) -> bytes:
    """Drop colours, bitmaps, and the ids that are made from them."""
    svg = re.sub(rb"base64,[^\"]*", b"", svg)
    return re.sub(rb"#[0-9a-f]{6}\b|\b(?:image|[a-z])[0-9a-f]{10}\b", b"", svg)


class _Drawn(NamedTuple):
    """A figure in one theme; without what moves, and its frames, if it is explorable."""

    svg: bytes
    axes: bytes | None = None
    frames: Any = None


def _in_every_theme(function: Callable[[], Any]) -> list[bytes]:
    """Return the files of a figure, in the order of `FigureSource.outputs`."""
    drawn = [_render(function, rc) for rc in style.THEMES.values()]
    files = [one.svg for one in drawn]
    axes = [one.axes for one in drawn if one.axes is not None]
    for variants in (files, axes):
        if len({without_colours(svg) for svg in variants}) > 1:
            raise ValueError("the themes differ in more than colours: is it random?")
    if not axes:
        return files
    from dlkb.book.draw import frames

    return [*files, *axes, frames.serialize(*(one.frames for one in drawn))]


def _render(function: Callable[[], Any], rc: dict[str, Any]) -> _Drawn:
    import matplotlib as mpl
    import numpy as np

    random.seed(0)
    np.random.seed(0)
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)
    with mpl.rc_context(), warnings.catch_warnings():
        mpl.rcdefaults()
        mpl.rcParams.update(rc)
        warnings.simplefilter("error")
        drawn = function()
        if type(drawn).__name__ != "Explorable":
            return _Drawn(_svg(drawn))
        from dlkb.book.draw import frames

        drawn.show(*(slider.values[slider.start] for slider in drawn.sliders))
        svg = _svg(drawn.figure)
        found = frames.collect(drawn)
        for curve in drawn.moving:
            curve.set_visible(False)
        return _Drawn(svg, _svg(drawn.figure), found)


def _svg(figure: Any) -> bytes:
    from matplotlib.figure import Figure

    if not isinstance(figure, Figure):
        raise TypeError(f"returned {figure!r}, not a matplotlib Figure")
    if figure.get_figwidth() > style.MAX_WIDTH:
        raise ValueError(
            f"is {figure.get_figwidth():g} in wide; over {style.MAX_WIDTH} in "
            "its text cannot be read on a phone"
        )
    file = io.BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return file.getvalue()


def _why(error: BaseException, script: str) -> str:
    """Format an error from the script's first line on, without the frames before it."""
    trace = error.__traceback__
    while trace and trace.tb_frame.f_code.co_filename != script:
        trace = trace.tb_next
    return "".join(traceback.format_exception(error.with_traceback(trace or error.__traceback__)))
