/* Copy what runs: a button on each block of code that leaves out prompts and output.
   Long equations, tables and code can be scrolled by keyboard, lists of pages have names.
   Works without Material too. */
(() => {
  const icon =
    '<svg viewBox="0 0 16 16" aria-hidden="true"><path d="M5.5 5.5v-3h8v8h-3m-8-5h8v8h-8z"/></svg>'

  /* A doctest's source: lines after ">>> " or "... "; what lies between is output. A blank line
     ends each block of several lines, so that the text can also be pasted at a prompt. */
  function session(text) {
    return text
      .split("\n")
      .filter((line) => /^(>>>|\.\.\.)( |$)/.test(line))
      .map((line, index, lines) => {
        const ends = line.startsWith(">>>") && index > 0 && lines[index - 1].startsWith("...")
        return (ends ? "\n" : "") + line.slice(4)
      })
      .join("\n")
  }

  /* The example of a docstring runs inside its module; elsewhere it must import it. */
  function imports(block) {
    let heading = ""
    let object = block.closest(".doc-function, .doc-class")
    while (object) {
      heading = object.querySelector(".doc-heading").id
      object = object.parentElement.closest(".doc-function, .doc-class")
    }
    return heading && `from ${heading.slice(0, heading.lastIndexOf("."))} import *\n`
  }

  async function write(text) {
    if (navigator.clipboard && isSecureContext) return navigator.clipboard.writeText(text)
    const area = document.createElement("textarea")
    area.value = text
    document.body.append(area)
    area.select()
    document.execCommand("copy")
    area.remove()
  }

  function addButton(block) {
    const code = block.querySelector("code")
    if (!code || block.querySelector(".copy")) return
    const button = document.createElement("button")
    button.type = "button"
    button.className = "copy"
    button.setAttribute("aria-label", "Copy code")
    button.title = "Copy code"
    button.innerHTML = icon
    const said = document.createElement("span")
    said.setAttribute("role", "status")
    button.addEventListener("click", async () => {
      const text = block.classList.contains("language-pycon")
        ? imports(block) + session(code.textContent)
        : code.textContent
      await write(text.trimEnd() + "\n")
      said.textContent = "Copied"
      setTimeout(() => (said.textContent = ""), 1500)
    })
    block.append(said, button)
  }

  /* Far from the screen a box is not laid out yet, and measuring it takes time: when idle. */
  function letScroll(boxes) {
    const wait = window.requestIdleCallback || ((work) => setTimeout(work, 50))
    wait(() => {
      const end = performance.now() + 4
      while (boxes.length && performance.now() < end) {
        const box = boxes.pop()
        if (box.scrollWidth > box.clientWidth) box.tabIndex = 0
      }
      if (boxes.length) letScroll(boxes)
    })
  }

  /* The theme names the lists of its navigation after labels that are empty. */
  function nameLists() {
    for (const list of document.querySelectorAll(".md-nav__item--nested > .md-nav")) {
      list.removeAttribute("aria-labelledby")
      list.setAttribute("aria-label", list.querySelector(".md-nav__title").textContent.trim())
    }
  }

  function enliven() {
    document
      .querySelectorAll(".highlight:not(.language-output, .language-text, .doc-signature)")
      .forEach(addButton)
    const wide = ".equation .eq-body, .md-typeset__scrollwrap, .highlight code"
    letScroll([...document.querySelectorAll(wide)].reverse())
    nameLists()
  }

  if (window.document$) document$.subscribe(() => requestAnimationFrame(enliven))
  else enliven()
})()
