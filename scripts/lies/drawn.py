"""Falsify each line, bar, point, band and image that a topic's figures draw, one at a time.

The tests of the figures run as they are. Wherever one compares a figure with its data, the
comparison is repeated with each artist falsified: it must fail then.

    python -m scripts.lies.drawn optimizers/adam   # prints JSON, as the last line
"""

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from dlkb.book.draw.figures import figures_of

drawn: Any = importlib.import_module("tests.figures.drawn")
FINDERS = ("_lines", "_bars", "_points", "_bands", "_images")
_DRAWS = drawn.assert_draws

Artist = tuple[str, int, str, int]
"""Of which figure, which panel, which finder, the how many-th."""


def _false(values: np.ndarray) -> np.ndarray:
    """Return values of which one differs by a hundredth."""
    changed = np.array(values, dtype=np.float64)
    finite = np.flatnonzero(np.isfinite(changed))
    if finite.size:
        place = finite[finite.size // 2]
        changed.flat[place] += 0.01 * (1 + abs(changed.flat[place]))
    return changed


class Falsifier:
    """Stands in for `assert_draws` while the tests run, and notes which lies it noticed."""

    def __init__(self) -> None:
        self.noticed: dict[Artist, bool] = {}
        self.names: dict[int, str] = {}  # of figures, by their identity
        self.kept: list[Any] = []  # so that no identity is used twice

    def draws(self, name: str, draw: Callable[[], Any]) -> Callable[[], Any]:
        """Return a function that draws a figure, and remembers its name."""

        def named() -> Any:
            made = draw()
            figure = made if isinstance(made, Figure) else made.figure
            self.names[id(figure)] = name
            self.kept.append(figure)
            return made

        return named

    def assert_draws(self, made: Any, **expected: Any) -> None:
        """Compare a figure with its data, then with each of its artists falsified."""
        _DRAWS(made, **expected)
        figure = made if isinstance(made, Figure) else made.figure
        name = self.names.get(id(figure), "?")
        for panel, ax in enumerate(figure.axes):
            for finder in FINDERS:
                for place in range(len(getattr(drawn, finder)(ax))):
                    artist = (name, panel, finder, place)
                    self.noticed.setdefault(artist, False)
                    if not self.noticed[artist]:
                        self.noticed[artist] = self._notices(made, expected, ax, finder, place)

    def _notices(self, made: Any, expected: Any, ax: Any, finder: str, place: int) -> bool:
        true = getattr(drawn, finder)

        def false(other: Any) -> list[Any]:
            found = true(other)
            if other is ax:
                name, x, values, matters = found[place]
                found[place] = (name, x, [_false(values[0]), *values[1:]], matters)
            return found

        setattr(drawn, finder, false)
        try:
            _DRAWS(made, **expected)
        except AssertionError:
            return True
        finally:
            setattr(drawn, finder, true)
        return False


def falsify(root: Path, stem: str) -> list[tuple[str, bool]]:
    """Return each artist of a topic's figures, and whether a lie about it was noticed.

    Raises:
        SystemExit: If the tests fail without a lie.
    """
    script = importlib.import_module(f"scripts.figures.{stem.replace('/', '.')}")
    lies = Falsifier()
    names = [figure.name for figure in figures_of(root, stem)]
    for name in names:
        setattr(script, name, lies.draws(name, getattr(script, name)))
    drawn.assert_draws = lies.assert_draws
    family, topic = stem.split("/")
    test = root / "tests" / "figures" / family / f"test_{topic}.py"
    if status := pytest.main(["-q", "-p", "no:cacheprovider", f"--rootdir={root}", str(test)]):
        raise SystemExit(f"{test} fails without any lie: status {status}")
    seen = {name for name, *_ in lies.noticed}
    found = [(f"{n}, panel {p}: {f[1:]} {k}", by) for (n, p, f, k), by in lies.noticed.items()]
    return found + [
        (f"{name}, which no test compares", False) for name in names if name not in seen
    ]


if __name__ == "__main__":
    print(f"\n{json.dumps(falsify(Path.cwd(), sys.argv[1]))}")
