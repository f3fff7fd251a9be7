"""The style: colours that everybody can tell apart, on either page."""

import itertools
import re

import numpy as np
import pytest

from dlkb.book.draw import style

# Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB.
VISION = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}


def linear(colour: str) -> np.ndarray:
    x = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    dim, bright = sorted(0.05 + linear(c) @ [0.2126, 0.7152, 0.0722] for c in (one, other))
    return bright / dim


def oklab(rgb: np.ndarray) -> np.ndarray:
    lms = [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
    lab = [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
    return np.array(lab) @ np.cbrt(np.array(lms) @ rgb)


@pytest.mark.parametrize(("theme", "page"), [("light", "#ffffff"), ("dark", "#1e2129")])
def test_colours_stand_out_from_the_page(theme, page):
    rc = style.THEMES[theme]
    for colour in style.LINES[theme]:
        assert contrast(colour, page) >= 3
        assert colour in rc["axes.prop_cycle"]
    for text in ("text.color", "axes.labelcolor", "xtick.labelcolor", "ytick.labelcolor"):
        assert contrast(rc[text], page) >= 4.5


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("theme", style.THEMES)
def test_colours_differ_for_every_vision(theme, vision):
    seen = [oklab(np.clip(VISION[vision] @ linear(colour), 0, 1)) for colour in style.LINES[theme]]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 0.09


def test_themes_set_the_same_parameters_and_differ_in_colours_alone():
    light, dark = style.light, style.dark
    assert list(light) == list(dark)
    for name in light:
        if light[name] != dark[name]:
            assert re.search("color|panecolor|prop_cycle", name)
