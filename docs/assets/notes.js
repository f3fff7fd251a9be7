/* Notes: what an equation is tested against, what a letter or an abbreviation means. An equation's
   note is a popover that opens without script; here it also opens on hover and on focus, and
   stands below what it explains. Copied math is TeX. Works without Material too. */
(() => {
  const ABOUT = ".eq-more, [data-symbol], abbr[title], abbr[data-note]"
  const TOOLS = ".eq-more, .eq-note, .headerlink, .copy, [role=status]"
  let word // the note of a letter or an abbreviation, one for all
  let waiting

  function wordNote() {
    if (!word?.isConnected) {
      word = document.createElement("div")
      word.className = "word-note"
      word.popover = "auto"
      word.setAttribute("role", "status")
      document.body.append(word)
    }
    return word
  }

  /* The note of an element, filled. A letter's row stands in the note of its equation. */
  function noteOf(element) {
    if (element.matches(".eq-more")) return element.nextElementSibling
    const note = wordNote()
    if (element.matches("abbr")) {
      note.textContent = `${element.textContent}: ${element.dataset.note}`
    } else {
      const row = `[data-row="${element.dataset.symbol}"]`
      const found = element.closest(".equation").querySelector(row)
      note.replaceChildren(...found.cloneNode(true).childNodes)
    }
    return note
  }

  function show(element) {
    clearTimeout(waiting)
    if (element.title) {
      element.dataset.note = element.title // else the browser shows it as well
      element.removeAttribute("title")
    }
    const note = noteOf(element)
    if (note.matches(":popover-open") && note.about === element) return
    if (!note.matches(":popover-open")) note.showPopover()
    note.about = element
    const box = element.getBoundingClientRect()
    const size = note.getBoundingClientRect()
    const right = document.documentElement.clientWidth - size.width - 8
    const below = box.bottom + size.height + 12 < innerHeight
    note.style.left = `${scrollX + Math.max(8, Math.min(box.left, right))}px`
    note.style.top = `${scrollY + (below ? box.bottom + 4 : box.top - size.height - 4)}px`
  }

  function hideSoon() {
    clearTimeout(waiting)
    waiting = setTimeout(() => {
      for (const note of document.querySelectorAll(":popover-open:is(.eq-note, .word-note)")) {
        const held = note.matches(":hover") || note.contains(document.activeElement)
        if (!held && note.about !== document.activeElement) note.hidePopover()
      }
    }, 250)
  }

  const about = (event) => event.target.closest?.(ABOUT)

  document.addEventListener("pointerover", (event) => {
    if (event.pointerType !== "mouse") return
    const element = about(event)
    if (element) {
      clearTimeout(waiting)
      waiting = setTimeout(() => show(element), 120)
    } else hideSoon()
  })
  document.addEventListener("focusin", (event) => {
    const element = about(event)
    const back = event.relatedTarget?.closest?.(".eq-note") // open still, or closed on purpose
    if (element?.matches(":focus-visible") && !back) show(element)
    else hideSoon()
  })
  document.addEventListener("click", (event) => {
    const element = about(event)
    if (element) show(element)
    const button = event.target.closest?.(".copy-tex")
    if (button) copyTex(button)
  })

  async function copyTex(button) {
    const math = button.closest(".equation").querySelector("math")
    await navigator.clipboard.writeText(math.dataset.tex)
    button.textContent = "Copied"
    setTimeout(() => (button.textContent = "Copy TeX"), 1500)
  }

  /* A selection that holds math is copied with TeX in its place. Half of an equation is all of it. */
  document.addEventListener("copy", (event) => {
    const selection = getSelection()
    if (!selection.rangeCount || selection.isCollapsed) return
    const range = selection.getRangeAt(0).cloneRange()
    const whole = (node) => (node.closest ? node : node.parentElement).closest("math, .eq-body")
    const [first, last] = [whole(range.startContainer), whole(range.endContainer)]
    if (first) range.setStartBefore(first)
    if (last) range.setEndAfter(last)
    const box = document.createElement("div")
    box.className = "copied md-typeset"
    box.append(range.cloneContents())
    const all = box.querySelectorAll("math[data-tex]")
    if (!all.length) return
    for (const math of all) {
      const number = math.closest(".equation")?.querySelector(".eq-number")
      const tag = number ? ` \\tag{${number.textContent.slice(1, -1)}}` : ""
      const around = math.getAttribute("display") === "block" ? "$$" : "$"
      math.replaceWith(around + math.dataset.tex + tag + around)
      number?.remove()
    }
    for (const tool of box.querySelectorAll(TOOLS)) tool.remove()
    document.body.append(box)
    event.clipboardData.setData("text/plain", box.innerText)
    event.preventDefault()
    box.remove()
  })
})()
