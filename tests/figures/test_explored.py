"""Each frame of each explorable figure, as the page holds it, is what Python computes."""

import itertools
import json
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

from dlkb.book.draw.figures import OUTPUT, find_figures
from tests.figures.explored import COMPUTED, assert_curves, drawn

ROOT = Path(__file__).parents[2]
EXPLORABLE = [figure for figure in find_figures(ROOT) if figure.explorable]


@pytest.fixture(autouse=True)
def _keep_style():
    with mpl.rc_context():
        yield
    plt.close("all")


def test_each_is_computed():
    assert {str(figure) for figure in EXPLORABLE} == set(COMPUTED)


@pytest.mark.parametrize("name", COMPUTED)
def test_frames_are_what_python_computes(name):
    path, made = ROOT / OUTPUT / f"{name}.json", drawn(name)
    assert path.is_file(), "draw the figures first: dlkb figures"
    frames = json.loads(path.read_text())
    assert len(path.read_bytes()) <= 60_000
    assert [s["label"] for s in frames["sliders"]] == [s.label for s in made.sliders]
    for slider, held in zip(made.sliders, frames["sliders"], strict=True):
        assert held["values"] == [slider.form.format(value) for value in slider.values]
        assert held["start"] == slider.start
    cases = list(itertools.product(*(slider.values for slider in made.sliders)))
    assert len(cases) == len(frames["rows"])
    # The build makes all frames in one way: a dozen of them, spread over the sliders, will do.
    some = sorted({round(i) for i in np.linspace(0, len(cases) - 1, 12)})
    for values, (sentence, *paths) in ((cases[i], frames["rows"][i]) for i in some):
        assert_curves(name, made, values, paths)
        assert sentence == made.show(*values)


def test_a_frame_of_other_values_is_told_apart():
    name = "optimizers/adamw/box"
    made = drawn(name)
    rows = json.loads((ROOT / OUTPUT / f"{name}.json").read_text())["rows"]
    with pytest.raises(AssertionError):
        assert_curves(name, made, [made.sliders[0].values[1]], rows[0][1:])
