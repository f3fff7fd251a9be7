"""What a reader sees when moving a slider is what Python computes for that value."""

import base64
import importlib
import io
import itertools
import zipfile

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from dlkb.book.draw import style
from dlkb.book.draw.figures import find_figures
from dlkb.book.draw.narrow import stack
from dlkb.book.publish.offline import NAME
from scripts.figures.finetuning import lora
from scripts.figures.gradients import (
    clipping,
    iterated_maps,
    loss_explosion,
    vanishing_exploding,
)
from scripts.figures.initialization import signal_scale, xavier
from scripts.figures.linear_algebra import singular_values, symmetric_matrices
from scripts.figures.optimizers import adam, adamw
from scripts.figures.regularization import dropout, l1_l2, overfitting
from tests.book.draw.test_explorable import points
from tests.site.conftest import ROOT, SEEN


def columns(x, y):
    return np.stack([np.broadcast_to(x, np.shape(y)), y], axis=1).astype(float)


def quadratic(lr, momentum):
    data = loss_explosion.descend(lr, momentum)
    return [data.path, data.path[-1:], columns(np.arange(31), data.loss)]


def scale_and_depth(gain, depth):
    data = signal_scale.tanh_depths(gain, depth)
    layers, found = np.arange(1, depth + 1), []
    for rows, limit in (
        (data.signal, data.expected_signal),
        (data.gradient, data.expected_gradient),
    ):
        low, middle, high = np.percentile(rows, [5, 50, 95], axis=0)
        band = np.concatenate([columns(layers, low), columns(layers, high)[::-1]])
        found += [band, columns(layers, middle), columns(layers, limit)]
    return found


def gain_and_slope(gain, slope):
    data = xavier.through(gain, slope)
    low, middle, high = np.percentile(data.signal, [5, 50, 95], axis=0)
    around = np.concatenate([columns(data.layer, low), columns(data.layer, high)[::-1]])
    expected = columns(data.layer, data.expected)[[0, -1]]
    return [around, columns(data.layer, middle), expected]


def balls(strength):
    found = []
    for p in (1, 2):
        data = l1_l2.ball_data(p, strength)
        found += [data.edge.T, data.contour.T, data.solution[None]]
    return found


def largest_steps(beta1, beta2):
    data = adam.onsets(beta1, beta2)
    k = np.arange(1, len(data.steps) + 1)
    bound = np.asarray([[0, data.bound], [60, data.bound]])
    return [bound, *(columns(k, steps) for steps in data.steps.T)]


def decay_times(lr, weight_decay):
    flat, rising, floor = adamw.laws(lr, weight_decay)
    measured = [adamw.half_life(decoupled, lr, weight_decay) for decoupled in (True, False)]
    curves = (flat, rising, np.full_like(flat, floor), *measured)
    return [columns(adamw.SCALES, curve) for curve in curves]


def box(weight_decay):
    paths = [adamw.descend(decoupled, weight_decay) for decoupled in (True, False)]
    ends = [path[-1:] for path in paths]
    return [adamw.square(weight_decay), *map(adamw.shown, paths), *ends]


def learning_rate(r):
    return [
        columns(np.asarray(lora.RATES), lora.errors(rule, r)[i])
        for i in (0, 1)
        for rule in ("lora", "rslora")
    ]


def transient(lam, c):
    data = singular_values.powers(lam, c)
    return [columns(data.k, y) for y in (data.norm, data.radius)]


def stopping(noise, images):
    data = overfitting.means(noise / 100, int(images))
    steps = np.arange(len(data.val))
    ends = [[[data.best, bottom], [data.best, top]] for bottom, top in ((0.01, 10), (0, 1))]
    curves = (data.train, data.val, data.accuracy)
    return [*(columns(steps, curve) for curve in curves), *map(np.asarray, ends)]


def explore_bands(p, n):
    data = dropout.band_data(p, n)
    bands = [
        np.concatenate(
            [
                columns(data.grid, data.mean - 2 * spread),
                columns(data.grid, data.mean + 2 * spread)[::-1],
            ]
        )
        for spread in (data.mc, data.refit)
    ]
    return [*bands, columns(data.grid, data.mean)]


def weight_scale(scale, skip):
    data = vanishing_exploding.ratios(scale, skip)
    return [columns(data.layers, rows) for rows in (data.expected, *data.medians.values())]


def growth(r):
    data = iterated_maps.growth_data(r)
    curves = (data.at_zero, data.law, data.median)
    return [columns(np.arange(1, iterated_maps.LAYERS + 1), curve) for curve in curves]


def power_growth(correlation):
    norms = symmetric_matrices.growth(correlation).norms
    return [columns(np.arange(21), q) for q in np.quantile(norms, (0.05, 0.95, 0.5), axis=1)]


def when_it_helps(images, units):
    data = dropout.digit_losses(int(images), int(units))
    return [columns(dropout.RATES, losses.mean(1)) for losses in data]


def adam_spike(spike, beta2):
    shown = clipping.SHOWN
    return [
        columns(shown, clipping.spike_data(spike, beta2, clip=clip)[shown - 1])
        for clip in (False, True)
    ]


COMPUTED = {
    "finetuning/lora/learning_rate": learning_rate,
    "gradients/iterated_maps/growth": growth,
    "gradients/clipping/adam_spike": adam_spike,
    "gradients/loss_explosion/quadratic": quadratic,
    "gradients/vanishing_exploding/weight_scale": weight_scale,
    "initialization/signal_scale/scale_and_depth": scale_and_depth,
    "initialization/xavier/gain_and_slope": gain_and_slope,
    "linear_algebra/singular_values/transient": transient,
    "linear_algebra/symmetric_matrices/power_growth": power_growth,
    "optimizers/adam/largest_steps": largest_steps,
    "optimizers/adamw/box": box,
    "optimizers/adamw/decay_times": decay_times,
    "regularization/dropout/explore_bands": explore_bands,
    "regularization/dropout/when_it_helps": when_it_helps,
    "regularization/l1_l2/balls": balls,
    "regularization/overfitting/stopping": stopping,
}
EXPLORABLE = [figure for figure in find_figures(ROOT) if figure.explorable]
FIRST = "regularization/l1_l2/balls"


def test_there_are_five_and_each_is_tested():
    assert len(EXPLORABLE) >= 5
    assert {str(figure) for figure in EXPLORABLE} == set(COMPUTED)


def svg(figure: Figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="svg")
    return file.getvalue()


def drawn(name: str, theme: str = "light"):
    """Return the figure as its script makes it, laid out."""
    stem, _, function = name.rpartition("/")
    module = importlib.import_module(f"scripts.figures.{stem.replace('/', '.')}")
    mpl.rcdefaults()
    mpl.rcParams.update(style.THEMES[theme])
    made = getattr(module, function)()
    made.show(*(slider.values[slider.start] for slider in made.sliders))
    svg(made.figure)
    made.figure.set_layout_engine("none")  # laid out again, axes of fixed aspect would move
    return made


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
    height = made.figure.get_figheight() * 720
    found = block.evaluate(SHOWN)
    paths = found["paths"]
    computed = COMPUTED[name](*values)
    assert len(paths) == len(computed) == len(made.moving)
    for path, curve, data in zip(paths, made.moving, computed, strict=True):
        shown = points(path)
        with np.errstate(divide="ignore"):
            pixels = curve.axes.transData.transform(data)
        expected = pixels * 720 / made.figure.dpi
        expected[:, 1] = height - expected[:, 1]
        # A polygon may repeat its first point to close itself; what is far outside is cut off.
        far = 5e4
        shown, expected = np.clip(shown[: len(data)], -far, far), np.clip(expected, -far, far)
        np.testing.assert_allclose(shown, expected, atol=0.51)
    for slider, index, said in zip(made.sliders, indices, found["sliders"], strict=True):
        written = slider.form.format(slider.values[index])
        assert said == [written, str(index), written]
    assert found["reading"] == made.show(*values)


@pytest.mark.parametrize("name", COMPUTED)
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


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 1280), ("dark", 390)])
@pytest.mark.parametrize("name", COMPUTED)
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


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", COMPUTED)
def test_without_script_the_figure_stands_and_the_sliders_are_gone(visit, name, width):
    here, made = visit(width=width, javascript=False), drawn(name)
    here.go(f"{name.rpartition('/')[0]}/")
    block = explorable(here, name)
    screen = "broad" if width > 600 else "narrow"
    assert block.locator(f"img.{screen}[src*='-light']").is_visible()
    assert_shows(block, made, name, [slider.start for slider in made.sliders])
    assert block.locator(f"svg.{screen} path:visible").count() >= 1
    assert not block.locator(".controls").is_visible()
    assert block.locator(".reading").is_visible()
    overlay = block.locator(f".canvas > svg.{screen}").bounding_box()
    image = block.locator(f"img.{screen}[src*='-light']").bounding_box()
    assert all(abs(overlay[side] - image[side]) < 1 for side in overlay)


@pytest.mark.parametrize("name", COMPUTED)
def test_on_a_phone_sliders_are_wide_and_the_page_does_not_jump(visit, name):
    here = visit(width=390)
    here.draw(f"{name.rpartition('/')[0]}/")
    block = explorable(here, name)
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


def test_scripts_and_frames_are_small(built):
    assert (built / "assets/explore.js").stat().st_size < 6000
    for figure in EXPLORABLE:
        assert (built / f"assets/figures/{figure}.json").stat().st_size <= 60_000


def test_search_does_not_find_frames(built):
    index = (built / "search/texts.js").read_text()
    assert "one is exactly zero. L2: θ" in (built / "regularization/l1_l2/index.html").read_text()
    assert index.count("one is exactly zero. L2: θ") <= 1  # the sentence of the first frame
    assert not any(
        f"{a}l{b}" in index for a, b in itertools.product(("0", "1", "2"), ("1-", "2-", "3-"))
    )
