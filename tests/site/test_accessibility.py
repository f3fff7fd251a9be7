"""axe-core finds nothing; the keyboard reaches everything; paper gets a clean page."""

from pathlib import Path

import axe_playwright_python
import pytest

from tests.site.test_site import ADDRESSES, PAGES, SHOWN, TOPICS, address

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()

# A page has thousands of pieces of text in some thirty looks. Contrast depends on the look alone:
# one visible piece of each is marked, and asked about.
MARK_LOOKS = """() => {
  const seen = new Set()
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement
    if (!walker.currentNode.data.trim() || !element.checkVisibility()) continue
    const look = [getComputedStyle(element).fontSize, getComputedStyle(element).fontWeight]
    look.push(getComputedStyle(element).color)
    for (let e = element; e; e = e.parentElement) {
      const { backgroundColor, backgroundImage, opacity } = getComputedStyle(e)
      if (opacity != 1) look.push(opacity)
      if (backgroundColor != "rgba(0, 0, 0, 0)") look.push(backgroundColor)
      if (backgroundImage != "none") look.push(backgroundImage)
    }
    const key = look.join()
    if (!seen.has(key)) element.dataset.look = seen.add(key).size
  }
  return seen.size
}"""
ALL_THAT_SCROLLS_HAS_A_TAB_STOP = """() =>
  [...document.querySelectorAll(".equation .eq-body, .md-typeset__scrollwrap, .highlight code")]
    .every((box) => box.tabIndex == 0 || box.scrollWidth <= box.clientWidth)
"""
COLOURS = ["color-contrast", "link-in-text-block"]
EVERYTHING_ELSE = {"rules": {rule: {"enabled": False} for rule in COLOURS}}


def findings(page, where: str, options: dict) -> list[str]:
    """Return what axe-core finds wrong, one line an element."""
    found = page.evaluate(
        f"options => axe.run({where}, {{...options, resultTypes: ['violations']}})", options
    )
    return [
        f"{rule['id']}: {node['html'][:200]}"
        for rule in found["violations"]
        for node in rule["nodes"]
    ]


def opened(here, path: str):
    """Open a page with all that is folded unfolded, and axe-core in it."""
    here.draw(path)
    here.page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    here.page.wait_for_function(ALL_THAT_SCROLLS_HAS_A_TAB_STOP)
    here.page.evaluate(AXE)
    return here.page


# The dark theme has other colours, which the template gives: a page of each kind has them all.
DARK = ["", "claims/", "symptoms/", "benchmarks/", *map(address, SHOWN)]
LOOKS = [("light", path) for path in ADDRESSES] + [("dark", path) for path in DARK]


@pytest.mark.parametrize(("theme", "path"), LOOKS)
def test_axe_finds_nothing(visit, path, theme):
    page = opened(visit(theme), path)
    assert page.evaluate(MARK_LOOKS) >= 5
    assert findings(page, "'[data-look]'", {"runOnly": COLOURS}) == []
    # The dark theme has other colours, other pictures and the other switch, and nothing else.
    where = {"light": "document", "dark": "'article img, header'"}[theme]
    assert findings(page, where, EVERYTHING_ELSE) == []


def test_axe_would_find_a_fault_of_colour_and_one_of_markup(visit):
    page = opened(visit(), "")
    page.evaluate("""() => {
      const faults = document.createElement("p")
      faults.innerHTML = '<span style="color: #eee">pale</span><img src="assets/logo.svg">'
      document.querySelector("article").append(faults)
    }""")
    page.evaluate(MARK_LOOKS)
    assert any("pale" in f for f in findings(page, "'[data-look]'", {"runOnly": COLOURS}))
    assert any("image-alt" in f for f in findings(page, "document", EVERYTHING_ELSE))


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
