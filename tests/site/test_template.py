"""What the template adds in the browser, seen on one page: notes, folds, copied math, contents."""

import pytest

from tests.site.test_site import PAGES, TOPICS, address

PAGE = next(page for page in PAGES if page.stem == "optimizers/adam")
CLAIM = next(c for c in PAGE.claims if any(f.runnable for f in c.fences))

OPEN_NOTES = "[...document.querySelectorAll(':popover-open')].map(note => note.id)"
COPY = """async (selectors) => {
  const [first, last] = selectors.map((s) => document.querySelector(s))
  const range = document.createRange()
  range.setStartBefore(first)
  range.setEndAfter(last)
  getSelection().removeAllRanges()
  getSelection().addRange(range)
  document.execCommand("copy")
  return navigator.clipboard.readText()
}"""
# How many columns of code fit into each block, without its strip for buttons.
COLUMNS = """() => [...document.querySelectorAll(".language-pycon.highlight:not(.doc *) code")].map(
  (code) => {
    const ruler = document.createElement("span")
    ruler.textContent = "m".repeat(100)
    code.append(ruler)
    const width = ruler.getBoundingClientRect().width / 100
    ruler.remove()
    const style = getComputedStyle(code)
    const padding = parseFloat(style.paddingLeft) + parseFloat(style.paddingRight)
    const button = code.closest(".highlight").querySelector(".copy").getBoundingClientRect()
    const covered = button.left < code.getBoundingClientRect().right - 1
    return covered ? 0 : (code.clientWidth - padding) / width
  })"""
MARKED = """async () => {
  const wrong = []
  const headings = [...document.querySelectorAll("article :is(h2, h3)[id]:not(.doc-heading)")]
  let stops = 0
  for (let y = 0; y < document.documentElement.scrollHeight - innerHeight; y += 400) {
    scrollTo(0, y)
    const above = (limit) => headings.filter(
      (h) => h.checkVisibility() && h.getBoundingClientRect().top < limit).at(-1)?.id
    let marked, expected
    for (const end = performance.now() + 120; performance.now() < end; ) {
      await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))
      const active = [...document.querySelectorAll(".md-nav--secondary .md-nav__link--active")]
      marked = active.length ? decodeURIComponent(active.at(-1).hash.slice(1)) : undefined
      expected = [above(60), above(110)]
      if (expected.includes(marked)) break
    }
    stops += 1
    if (!expected.includes(marked)) wrong.push([y, marked, expected[0]])
  }
  return [stops, wrong]
}"""


@pytest.fixture
def here(visit):
    visited = visit()
    visited.draw(address(PAGE.stem))
    return visited


def test_the_link_of_a_claim_opens_its_evidence(here):
    evidence = here.page.locator(f"#{CLAIM.id} > details.evidence")
    assert evidence.get_attribute("open") is None
    here.page.evaluate("id => { location.hash = id }", CLAIM.id)
    evidence.locator("code").first.wait_for()
    assert here.page.locator("details.evidence[open]").count() == 1
    evidence.evaluate("box => { box.open = false }")
    here.page.locator(f"#{CLAIM.id} .claim-link").click()  # the hash is the same as before
    evidence.locator("code").first.wait_for()


def test_a_note_opens_by_keyboard_and_closes_when_the_focus_is_gone(here):
    mark = here.page.locator(".eq-more.tested").first
    note = mark.get_attribute("popovertarget")
    mark.focus()
    here.page.keyboard.press("Tab")
    here.page.keyboard.press("Shift+Tab")
    here.page.wait_for_function(f"{OPEN_NOTES}.length == 1")
    assert here.page.evaluate(OPEN_NOTES) == [note]
    here.page.keyboard.press("Escape")
    assert here.page.evaluate(OPEN_NOTES) == []


def test_a_note_that_is_left_by_escape_stays_closed(here):
    errors = []
    here.page.on("pageerror", lambda error: errors.append(str(error)))
    here.page.locator(".eq-more.tested").first.focus()
    here.page.keyboard.press("Enter")
    here.page.wait_for_function(f"{OPEN_NOTES}.length == 1")
    here.page.keyboard.press("Tab")  # to the button in the note
    here.page.keyboard.press("Escape")  # which gives the focus back
    here.page.wait_for_function("document.activeElement.matches('.eq-more.tested')")
    assert here.page.evaluate(OPEN_NOTES) == []
    assert errors == []


def test_a_note_gives_the_tex(here):
    here.page.locator(".eq-more.tested").first.click()
    button = here.page.locator(":popover-open .copy-tex")
    tex = here.page.locator(".equation math").first.get_attribute("data-tex")
    assert here.copy(button.click) == tex


def test_a_letter_explains_itself_on_hover_and_on_tap(here):
    letter = here.page.locator(".equation [data-symbol]").first
    for act in (letter.hover, letter.click):
        act()
        note = here.page.locator(".word-note:popover-open")
        note.wait_for()
        row = here.page.locator(".equation [data-row='0']").first
        assert note.text_content() == row.text_content()
        here.page.mouse.move(2, 2)
        note.wait_for(state="hidden")


def test_copied_text_holds_tex(here):
    equation = here.page.locator(".equation:has(.eq-number)").first
    name = equation.get_attribute("id")
    text = here.page.evaluate(COPY, [f"#{name}", f"#{name} ~ p:has(math)"])
    tex = equation.locator("math").first.get_attribute("data-tex")
    assert f"$${tex} \\tag{{1}}$$" in text
    inline = here.page.locator(f"#{name} ~ p:has(math) math").first.get_attribute("data-tex")
    assert f"${inline}$" in text
    assert "Copy TeX" not in text
    assert "✓" not in text


@pytest.mark.parametrize("width", [1280, 1920])
def test_76_columns_of_code_are_seen_and_no_button_covers_them(visit, width):
    here = visit(width=width)
    here.draw(address(PAGE.stem))
    here.page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    columns = here.page.evaluate(COLUMNS)
    assert len(columns) > 10
    assert min(columns) >= 76


@pytest.mark.parametrize("stem", TOPICS[::15])
def test_the_contents_mark_where_the_reader_is(visit, stem):
    here = visit()
    here.draw(address(stem))
    assert here.page.locator(".md-nav--secondary a[href*='#dlkb.']").count() == 0
    stops, wrong = here.page.evaluate(MARKED)
    assert stops > 10
    assert len(wrong) <= 0.05 * stops, wrong


def test_paper_shows_evidence_but_not_the_reference(here):
    here.page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    here.page.emulate_media(media="print")
    assert here.page.locator("details.evidence .highlight:visible").count() > 0
    assert here.page.locator("details.reference > .doc:visible").count() == 0
    assert here.page.locator(".eq-more:visible").count() == 0
