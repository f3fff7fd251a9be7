"""Draw the figures of one script in every theme. Runs in a worker process of `figures`."""

import importlib
import io
import os
import random
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple
from unittest.mock import patch

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

Says = dict[str, bool]
"""What a figure says: phrases of its alt text and caption, and whether the data agrees."""


class Drawing(NamedTuple):
    """The files of a figure, in the order of `FigureSource.outputs`, and what it says."""

    files: list[bytes]
    says: Says | None


Drawings = dict[str, Drawing | str]
"""By figure, or an error's text. The name "" stands for the whole script."""


def start(root: str) -> None:
    """Make the repository's own modules importable; the pool calls it in each worker."""
    sys.path.insert(0, root)


def draw_script(root: str, stem: str, names: list[str]) -> Drawings:
    """Import a script once and draw the named figures of it."""
    script = str(Path(root) / SCRIPTS / f"{stem}.py")
    try:
        module = importlib.import_module(".".join((*SCRIPTS.parts, *stem.split("/"))))
    except (Exception, SystemExit) as error:
        return {"": _why(error, script)}
    drawings: Drawings = {}
    for name in names:
        try:
            drawings[name] = Drawing(in_every_theme(getattr(module, name)), says_of(module, name))
        except (Exception, SystemExit) as error:
            drawings[name] = _why(error, script)
    return drawings


def says_of(module: ModuleType, name: str) -> Says | None:
    """Ask the function beside a figure's what the figure says; None if there is none."""
    function = getattr(module, f"{name}_says", None)
    if function is None:
        return None
    with _afresh({}):
        says = function()
    if not isinstance(says, dict) or not all(
        isinstance(phrase, str) and type(true).__name__ in ("bool", "bool_")  # NumPy's as well
        for phrase, true in says.items()
    ):
        raise TypeError(f"{name}_says() returned {says!r}, not a dict[str, bool]")
    return {phrase: bool(true) for phrase, true in says.items()}


@contextmanager
def environment_with(changes: dict[str, str]) -> Iterator[None]:
    """Change environment variables for a while: child processes inherit them."""
    before = dict(os.environ)
    os.environ.update(changes)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _afresh(rc: dict[str, Any]) -> Iterator[None]:
    """Start from the same state and leave nothing behind: seeds, style, environment, dtype."""
    import matplotlib as mpl
    import matplotlib.pyplot as plt
    import numpy as np

    default_rng = np.random.default_rng

    def seeded(seed: Any = None) -> np.random.Generator:
        if seed is None:
            raise ValueError("default_rng() without a seed: is it random? Give it a seed")
        return default_rng(seed)

    random.seed(0)
    np.random.seed(0)
    torch = sys.modules.get("torch")
    if torch:
        torch.manual_seed(0)
        dtype = torch.get_default_dtype()
    with (
        mpl.rc_context(),
        np.errstate(),
        warnings.catch_warnings(),
        environment_with({}),
        patch.object(np.random, "default_rng", seeded),
    ):
        mpl.rcdefaults()
        mpl.rcParams.update(rc)
        warnings.simplefilter("error")
        try:
            yield
        finally:
            plt.close("all")
            if torch:
                torch.set_default_dtype(dtype)


_COLOUR = re.compile(rb"#[0-9a-f]{6}\b")


def without_colours(svg: bytes) -> bytes:
    """Drop colours, bitmaps, and the ids that are made from them."""
    svg = _COLOUR.sub(b"", re.sub(rb"base64,[^\"]*", b"", svg))
    return re.sub(rb"\b(?:image|[a-z])[0-9a-f]{10}\b", b"", svg)


class _Drawn(NamedTuple):
    """A figure in one theme; `frames` if it is explorable, `axes` then without what moves."""

    whole: bytes
    axes: bytes | None
    narrow: bytes
    frames: Any


def in_every_theme(function: Callable[[], Any]) -> list[bytes]:
    """Return the files of a figure, in the order of `FigureSource.outputs`.

    Drawing takes most of the time. A figure whose colours are all the theme's is drawn once.
    """
    light = render(function, style.light)
    dark = _in_the_dark(light) or _drawn_again(function, light)
    files = [svg for pair in zip(light[:3], dark[:3], strict=True) for svg in pair if svg]
    if light.frames is None:
        return files
    from dlkb.book.draw import frames

    return [*files, frames.serialize(light.frames, dark.frames)]


def _drawn_again(function: Callable[[], Any], light: _Drawn) -> _Drawn:
    dark = render(function, style.dark)
    for one, other in zip(light[:3], dark[:3], strict=True):
        if one and other and without_colours(one) != without_colours(other):
            raise ValueError("the themes differ in more than colours: is it random?")
    return dark


def _in_the_dark(drawn: _Drawn) -> _Drawn | None:
    """Exchange the colours of a drawing; None if it has others than those of the light theme.

    White is the page. What a colour map, a mixture or a bitmap would be in the dark, only drawing
    tells.
    """
    svgs = [svg for svg in drawn[:3] if svg is not None]
    curves = [] if drawn.frames is None else drawn.frames.curves
    found = {colour.decode() for svg in svgs for colour in _COLOUR.findall(svg)}
    found |= {curve["colour"] for curve in curves}
    if not found <= style.IN_THE_DARK.keys() or any(b"base64," in svg for svg in svgs):
        return None
    dark = [curve | {"colour": style.IN_THE_DARK[curve["colour"]]} for curve in curves]
    return _Drawn(
        _COLOUR.sub(_exchanged, drawn.whole),
        drawn.axes and _COLOUR.sub(_exchanged, drawn.axes),
        _COLOUR.sub(_exchanged, drawn.narrow),
        drawn.frames and drawn.frames._replace(curves=dark),
    )


def _exchanged(colour: re.Match[bytes]) -> bytes:
    return style.IN_THE_DARK[colour[0].decode()].encode()


def render(function: Callable[[], Any], rc: dict[str, Any]) -> _Drawn:
    """Draw a figure in one theme."""
    from dlkb.book.draw import frames, narrow

    with _afresh(rc):
        drawn = function()
        if type(drawn).__name__ != "Explorable":
            whole = _svg(drawn)
            narrow.stack(drawn)
            return _Drawn(whole, None, _svg(drawn), None)
        drawn.show(*(slider.values[slider.start] for slider in drawn.sliders))
        whole = _svg(drawn.figure)
        found = frames.collect(drawn)
        for curve in drawn.moving:
            curve.set_visible(False)
        axes = _svg(drawn.figure)
        narrow.stack(drawn.figure)
        stacked = _svg(drawn.figure)
        return _Drawn(whole, axes, stacked, found._replace(narrow=frames.boxes(drawn)))


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
