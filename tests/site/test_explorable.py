"""What a reader sees when moving a slider is the frame of that value, on every screen."""

import base64
import io
import itertools
import zipfile

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from dlkb.book.draw.narrow import stack
from dlkb.book.publish.offline import NAME
from tests.figures.explored import assert_curves, drawn, svg
from tests.site.conftest import SEEN

# Frames of every figure are compared with Python in tests/figures/test_explored.py. The script
# that plays them is the same for all: seen on one with points and polygons, one with two sliders,
# one with bands on logarithmic axes, one that is folded.
PLAYED = [
    "regularization/l1_l2/balls",
    "gradients/loss_explosion/quadratic",
    "initialization/xavier/gain_and_slope",
    "optimizers/adamw/box",
]
FIRST = PLAYED[0]


@pytest.fixture(autouse=True)
def _keep_style():
    with mpl.rc_context():
        yield
    plt.close("all")


UNFOLD = """block => {
  for (let d = block.closest("details"); d; d = d.parentElement.closest("details")) d.open = true
}"""


def explorable(here, name):
    """Return the figure's block; what folds it is opened."""
    block = here.page.locator(f".explorable:has(img[src*='/{name}-axes-'])")
    block.evaluate(UNFOLD)
    return block


SHOWN = """block => ({
  paths: [...block.querySelectorAll("svg.broad path")].map(path => path.getAttribute("d")),
  sliders: [...block.querySelectorAll("input")].map(input => [
    input.getAttribute("aria-valuetext"), input.value,
    input.parentElement.querySelector(".value").textContent,
  ]),
  reading: block.querySelector(".reading").textContent,
})"""


def assert_shows(block, made, name, indices):
    """Compare curves, sentence and what assistive technology hears with Python's answer."""
    values = [slider.values[i] for slider, i in zip(made.sliders, indices, strict=True)]
    found = block.evaluate(SHOWN)
    assert_curves(name, made, values, found["paths"])
    for slider, index, said in zip(made.sliders, indices, found["sliders"], strict=True):
        written = slider.form.format(slider.values[index])
        assert said == [written, str(index), written]
    assert found["reading"] == made.show(*values)


@pytest.mark.parametrize("name", PLAYED)
def test_every_slider_by_keyboard_shows_what_python_computes(visit, name):
    here, made = visit(), drawn(name)
    here.draw(f"{name.rpartition('/')[0]}/")
    block = explorable(here, name)
    indices = [slider.start for slider in made.sliders]
    assert_shows(block, made, name, indices)
    for i, slider in enumerate(made.sliders):
        control = block.get_by_role("slider", name=slider.label, exact=True)
        control.focus()
        control.press("Home")
        for index in range(len(slider.values)):
            if index:
                control.press("ArrowRight")
            indices[i] = index
            assert_shows(block, made, name, indices)
    assert here.complaints == []
    assert here.strangers == []


WHOLE = """(canvas, source) => {
  canvas.querySelectorAll(":scope > svg").forEach((svg) => svg.remove())
  canvas.querySelectorAll("img").forEach((image) => {
    if (image.offsetWidth) image.src = source
  })
}"""


# A theme is the style's alone: each figure is seen in one on either screen.
@pytest.mark.parametrize(
    ("name", "theme", "width"),
    [
        (name, theme, width)
        for name, themes in zip(PLAYED, (("light", "dark"), ("dark", "light")) * 2, strict=True)
        for theme, width in zip(themes, (1280, 390), strict=True)
    ],
)
def test_it_looks_as_matplotlib_draws_it(visit, name, theme, width):
    here, made = visit(theme, width), drawn(name, theme)
    screen = "broad" if width > 600 else "narrow"
    if screen == "narrow":
        stack(made.figure)
    here.draw(f"{name.rpartition('/')[0]}/")
    block = explorable(here, name)
    indices = []
    for slider, control in zip(made.sliders, block.locator("input").all(), strict=True):
        control.press("ArrowLeft" if slider.start else "ArrowRight")
        indices.append(slider.start - 1 if slider.start else 1)
    block.scroll_into_view_if_needed()
    canvas = block.locator(".canvas")
    canvas.locator(f"img.{screen}[src*='-{theme}']").evaluate(SEEN)
    shown = picture(canvas)
    made.show(*(s.values[i] for s, i in zip(made.sliders, indices, strict=True)))
    data = base64.b64encode(svg(made.figure)).decode()
    canvas.evaluate(WHOLE, f"data:image/svg+xml;base64,{data}#only-{theme}")
    canvas.locator("img >> visible=true").evaluate(SEEN)
    expected = picture(canvas)
    assert shown.shape == expected.shape
    difference = np.abs(shown - expected).max(axis=-1)
    # Without any curve, or with that of another frame, several times as many pixels differ.
    assert (difference > 80).mean() < 0.002


def picture(locator) -> np.ndarray:
    image = Image.open(io.BytesIO(locator.screenshot(animations="disabled")))
    return np.asarray(image.convert("RGB"), dtype=float)


@pytest.mark.parametrize("name", PLAYED)
def test_without_script_the_figure_stands_and_the_sliders_are_gone(visit, name):
    here, made = visit(javascript=False), drawn(name)
    here.go(f"{name.rpartition('/')[0]}/")
    block = explorable(here, name)
    for screen, width in (("broad", 1280), ("narrow", 390)):
        here.page.set_viewport_size({"width": width, "height": 900})
        block.scroll_into_view_if_needed()  # far from the screen nothing is laid out
        block.locator(f"img.{screen}[src*='-light']").wait_for()
        assert_shows(block, made, name, [slider.start for slider in made.sliders])
        assert block.locator(f"svg.{screen} path:visible").count() >= 1
        assert not block.locator(".controls").is_visible()
        assert block.locator(".reading").is_visible()
        overlay = block.locator(f".canvas > svg.{screen}").bounding_box()
        image = block.locator(f"img.{screen}[src*='-light']").bounding_box()
        assert all(abs(overlay[side] - image[side]) < 1 for side in overlay)


@pytest.mark.parametrize("name", PLAYED)
def test_on_a_phone_sliders_are_wide_and_the_page_does_not_jump(visit, name):
    here = visit(width=390)
    here.draw(f"{name.rpartition('/')[0]}/")
    block = explorable(here, name)
    block.locator("img:visible").first.evaluate(SEEN)  # a folded one is fetched only now
    places = set()
    for control in block.locator("input").all():
        assert control.bounding_box()["width"] > 250
        assert control.bounding_box()["height"] >= 24
        control.press("Home")
        for _ in range(int(control.get_attribute("max"))):
            control.press("ArrowRight")
            places.add(block.evaluate("e => e.getBoundingClientRect().height"))
    assert max(places) - min(places) < 0.1  # browsers lay out in 64ths of a pixel


def test_what_is_shown_is_announced(visit):
    here = visit()
    here.draw(f"{FIRST.rpartition('/')[0]}/")
    block = explorable(here, FIRST)
    reading = block.locator(".reading")
    assert reading.get_attribute("aria-live") == "polite"
    assert block.locator(".canvas > svg[aria-hidden=true]").count() == 2
    tree = block.aria_snapshot()
    assert 'slider "strength λ"' in tree
    assert "one is exactly zero" in tree


def test_it_works_after_instant_navigation(visit):
    here, made = visit(), drawn(FIRST)
    here.go("regularization/dropout/")
    here.page.evaluate("window.stayed = true")
    here.page.locator("nav a[href$='l1_l2/']").first.click()
    here.page.wait_for_url("**/l1_l2/")
    block = explorable(here, FIRST)
    here.page.locator(".explorable[data-alive]").first.wait_for()
    block.locator("input").press("End")
    assert_shows(block, made, FIRST, [len(made.sliders[0].values) - 1])
    assert here.page.evaluate("window.stayed") is True
    assert here.complaints == []


def test_it_works_from_a_file(browser, built, tmp_path):
    with zipfile.ZipFile(built / NAME) as archive:
        archive.extractall(tmp_path)
    page, made = browser.new_page(), drawn(FIRST)
    page.goto((tmp_path / "dlkb/regularization/l1_l2/index.html").as_uri())
    page.locator(".explorable[data-alive]").wait_for()
    page.locator(".explorable input").press("Home")
    assert_shows(page.locator(".explorable"), made, FIRST, [0])
    assert page.locator("button.copy").count() > 5  # the other script lives as well
    page.close()


def test_the_script_is_small(built):
    assert (built / "assets/explore.js").stat().st_size < 6000


def test_search_does_not_find_frames(built):
    index = (built / "search/texts.js").read_text()
    assert "one is exactly zero. L2: θ" in (built / "regularization/l1_l2/index.html").read_text()
    assert index.count("one is exactly zero. L2: θ") <= 1  # the sentence of the first frame
    assert not any(
        f"{a}l{b}" in index for a, b in itertools.product(("0", "1", "2"), ("1-", "2-", "3-"))
    )
