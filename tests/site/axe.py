"""What axe-core finds wrong on a page, at a third of its usual price."""

from pathlib import Path

import axe_playwright_python

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()

# The template makes these, a hundred times alike: two of each will do, and no piece inside of math
# or code, where there is nothing but text.
LEAN = """() => {
  for (const inner of document.querySelectorAll("math *, .highlight code *"))
    inner.replaceWith(...inner.childNodes)
  for (const all of document.querySelectorAll(".doc-children"))
    for (const more of [...all.children].slice(2)) more.remove()
}"""

# A page has thousands of pieces of text in some fifty looks, and contrast depends on the look
# alone. One sample of each stands by itself: on a page, what lies over it hides it from axe-core.
SAMPLES = """() => {
  const layers = new Map([[document.documentElement, []]])
  const behind = (element) => {
    if (!layers.has(element)) {
      const { backgroundColor, backgroundImage, opacity } = getComputedStyle(element)
      const clear = backgroundColor == "rgba(0, 0, 0, 0)" && backgroundImage == "none"
      const seen = !clear || opacity != 1
      const before = behind(element.parentElement)
      const layer = { backgroundColor, backgroundImage, opacity }
      layers.set(element, seen ? [...before, layer] : before)
    }
    return layers.get(element)
  }
  const looks = new Map()
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  while (walker.nextNode()) {
    const [words, element] = [walker.currentNode.data.trim(), walker.currentNode.parentElement]
    if (!words || !element.checkVisibility()) continue
    const { fontSize, fontWeight, color } = getComputedStyle(element)
    const look = [{ fontSize, fontWeight, color }, behind(element)]
    looks.set(JSON.stringify(look), [...look, words])
  }
  document.body.replaceChildren(...[...looks.values()].map(([style, layers, words]) => {
    const sample = document.createElement("div")
    Object.assign(sample.style, { display: "block", ...style })
    sample.textContent = `sample: ${words.slice(0, 40)}`
    return layers.toReversed().reduce((inner, layer) => {
      const box = document.createElement("div")
      Object.assign(box.style, layer)
      box.append(inner)
      return box
    }, sample)
  }))
  return looks.size
}"""
ALL_THAT_SCROLLS_HAS_A_TAB_STOP = """() =>
  [...document.querySelectorAll(".equation .eq-body, .md-typeset__scrollwrap, .highlight code")]
    .every((box) => box.tabIndex == 0 || box.scrollWidth <= box.clientWidth)
"""
CONTRAST = {"runOnly": ["color-contrast"]}
EVERYTHING_ELSE = {"rules": {"color-contrast": {"enabled": False}}}
# How links look, and how large what one presses is, a third of the time: the template decides it.
OF_THE_TEMPLATE = ("color-contrast", "link-in-text-block", "target-size")
OF_THE_AUTHOR = {"rules": {rule: {"enabled": False} for rule in OF_THE_TEMPLATE}}


def lay_out(page) -> None:
    """Lay out all of a page, also what is far from the screen: axe-core skips what is not."""
    page.add_style_tag(content="* { content-visibility: visible !important }")


def unfolded(page):
    """Unfold all that is folded on a page, and bring axe-core into it."""
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    page.wait_for_function(ALL_THAT_SCROLLS_HAS_A_TAB_STOP)
    page.evaluate(AXE)
    return page


def findings(page, options: dict, where: str = "document") -> list[str]:
    """Return what axe-core finds wrong, one line an element."""
    # Of a sample that stands by itself the contrast can be told.
    kinds = ["violations", "incomplete"] if options is CONTRAST else ["violations"]
    found = page.evaluate(
        f"options => axe.run({where}, options)", {**options, "resultTypes": kinds}
    )
    faults = [rule for kind in kinds for rule in found[kind]]
    return [f"{rule['id']}: {node['html'][:200]}" for rule in faults for node in rule["nodes"]]
