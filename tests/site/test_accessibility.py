"""axe-core finds nothing; the keyboard reaches everything; paper gets a clean page."""

import pytest

from tests.site.axe import CONTRAST, EVERYTHING_ELSE, LEAN, SAMPLES, findings, lay_out, unfolded
from tests.site.test_site import PAGES, SHOWN, TOPICS, address


# In the light theme each page is looked at (test_pages.py). The dark one has other colours, which
# the template gives, other pictures and the other switch: a page of each kind has them all.
@pytest.mark.parametrize("path", ["", "claims/", "symptoms/", "benchmarks/", *map(address, SHOWN)])
def test_axe_finds_nothing_in_the_dark(visit, path):
    here = visit("dark")
    here.draw(path)
    lay_out(here.page)
    page = unfolded(here.page)
    assert findings(page, EVERYTHING_ELSE, "'article img, header'") == []
    assert page.evaluate(SAMPLES) >= 25
    assert findings(page, CONTRAST) == []


def test_axe_would_find_a_fault_of_colour_and_one_of_markup(visit):
    here = visit()
    here.draw("")
    lay_out(here.page)
    page = unfolded(here.page)
    page.evaluate("""() => {
      const faults = document.createElement("p")
      faults.innerHTML = '<span style="color: #eee">pale</span><img src="assets/logo.svg">'
        + '<span style="background: #222"><b style="color: #333">dim</b></span>'
        + '<span style="opacity: 0.3">faint</span>'
      document.querySelector("article").append(faults)
    }""")
    page.evaluate(LEAN)
    assert any("image-alt" in f for f in findings(page, EVERYTHING_ELSE))
    page.evaluate(SAMPLES)
    found = [f.partition("sample: ")[2].partition("<")[0] for f in findings(page, CONTRAST)]
    assert sorted(found) == ["dim", "faint", "pale"]


def focus_by_tab(page, selector: str, limit: int = 400) -> None:
    """Press Tab until the focus is on an element of a kind, and visible."""
    for _ in range(limit):
        page.keyboard.press("Tab")
        if page.evaluate("s => document.activeElement.matches(s)", selector):
            outline = page.evaluate("""() => {
              const focused = document.activeElement
              return [focused, focused.nextElementSibling].some((element) => {
                const { outlineStyle, boxShadow } = getComputedStyle(element)
                return outlineStyle != "none" || boxShadow != "none"
              })
            }""")
            assert outline, f"{selector} has focus, and nothing shows it"
            return
    raise AssertionError(f"Tab does not reach {selector}")


def test_keyboard_switches_the_theme(visit):
    here = visit("light")
    here.go("")
    focus_by_tab(here.page, "[data-md-component=palette] input, [data-md-component=palette] label")
    here.page.keyboard.press("Enter")
    here.page.wait_for_selector("body[data-md-color-scheme=slate]")


def test_keyboard_opens_what_is_folded_and_copies(visit):
    here = visit()
    stem = next(p.stem for p in PAGES if p.is_topic and "/// details" in p.text)
    here.go(address(stem))
    focus_by_tab(here.page, "button.copy")
    assert len(here.copy(lambda: here.page.keyboard.press("Enter"))) > 5
    here.page.locator("article details").last.evaluate("d => d.previousElementSibling.focus()")
    here.page.evaluate("document.querySelector('#exercises').tabIndex = -1")
    here.page.evaluate("document.querySelector('#exercises').focus()")
    focus_by_tab(here.page, "article details:not([open]) > summary")
    here.page.keyboard.press("Enter")
    assert here.page.evaluate("document.activeElement.parentElement.open") is True


def test_keyboard_filters_the_ledger(visit):
    here = visit()
    here.go("claims/")
    everything = here.page.locator("li.claim:visible").count()
    focus_by_tab(here.page, "input[name=verdict]")
    here.page.keyboard.press("ArrowRight")
    assert 0 < here.page.locator("li.claim:visible").count() < everything


def test_keyboard_searches(visit):
    here = visit()
    here.go("")
    here.page.keyboard.press("/")
    here.page.keyboard.type(TOPICS[0].split("/")[1].replace("_", " "))
    here.page.locator("dialog.search a").first.wait_for()
    here.page.keyboard.press("ArrowDown")
    assert here.page.evaluate("document.activeElement.matches('dialog.search li:first-child a')")
    here.page.keyboard.type("n")  # goes on with the query, and turns no page
    assert here.page.evaluate("document.activeElement.value").endswith("n")
    here.page.keyboard.press("Backspace")
    here.page.keyboard.press("ArrowDown")
    here.page.keyboard.press("Enter")
    here.page.wait_for_url(f"**/{TOPICS[0].split('/')[0]}/**")


def test_keyboard_skips_to_the_content(visit):
    here = visit()
    here.go(address(TOPICS[0]))
    here.page.keyboard.press("Tab")
    assert here.page.evaluate("document.activeElement.matches('.md-skip')")


@pytest.mark.parametrize("stem", SHOWN)
def test_paper_gets_a_clean_page(visit, stem):
    here = visit("dark")
    here.draw(address(stem))
    here.page.emulate_media(media="print", color_scheme="dark")
    frame = (
        ".md-header, .md-sidebar, .md-footer, dialog.search, .copy, .about, .headerlink, .md-top"
    )
    assert here.page.locator(f":is({frame}):visible").count() == 0
    assert here.page.locator("article img[src*='-dark.svg']:visible").count() == 0
    light = here.page.locator("article img.broad[src*='-light.svg']")
    assert light.count() == here.page.locator("article img[src*='-light.svg']:visible").count() > 0
    assert here.page.locator("article details > :not(summary):visible").count() > 0
    ink = here.page.evaluate(
        "getComputedStyle(document.querySelector('article #the-idea ~ p')).color"
    )
    assert ink == "rgb(0, 0, 0)"
    paper = here.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper in ("rgb(255, 255, 255)", "rgba(0, 0, 0, 0)")
    pdf = here.page.pdf()
    assert pdf.count(b"/Type /Page\n") + pdf.count(b"/Type /Page ") > 1
