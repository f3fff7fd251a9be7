/* Search: a dialog that "/" or a button opens. What it needs is fetched then, as scripts, so that it
   works from file:// too. A form or button with data-search opens it with its text, ?q= does so, too. */
(() => {
  const base = new URL("../", document.currentScript.src)
  const version = document.currentScript.src.split("?")[1] || ""
  const LABELS = {
    page: "Page", overview: "Overview", section: "Section", symptom: "Symptom", api: "Code", holds: "Holds",
    conditional: "Holds conditionally", imprecise: "Imprecise", refuted: "Refuted",
    buggy: "Buggy code", opinion: "Opinion", outdated: "Outdated", missing: "Missing",
  }
  let box, field, said, list
  let index // ready to be ranked

  const make = (name, more = {}) => Object.assign(document.createElement(name), more)

  function load(path) {
    return new Promise((done, failed) => {
      const src = new URL(path, base) + (version && `?${version}`)
      document.head.append(make("script", { src, onload: done, onerror: failed }))
    })
  }

  async function fetchIndex() {
    window.dlkbIndex = {}
    const texts = load("search/texts.js")
    await Promise.all([load("assets/rank.js"), load("search/titles.js")])
    index = dlkbRank.prepare(dlkbIndex.titles)
    show()
    await texts
    dlkbRank.addTexts(index, dlkbIndex.texts)
    show()
  }

  function build() {
    box = make("dialog", { className: "search", ariaLabel: "Search" })
    box.innerHTML =
      '<form method="dialog" role="search"><input type="text" aria-label="Search" ' +
      'placeholder="What do you see, or look for?" autocomplete="off" autocapitalize="off" ' +
      'spellcheck="false" enterkeyhint="search"><button type="button">Close</button></form>' +
      '<p role="status"></p><ol></ol>'
    field = box.querySelector("input")
    said = box.querySelector("p")
    list = box.querySelector("ol")
    field.addEventListener("input", show)
    box.querySelector("button").addEventListener("click", () => box.close())
    box.addEventListener("click", (event) => {
      if (event.target == box || event.target.closest("a")) box.close()
    })
    box.addEventListener("keydown", move)
    document.body.append(box)
    fetchIndex().catch(() => (said.textContent = "The search index could not be fetched."))
  }

  /* Arrows walk through the results, Enter follows the first, letters go on with the query. */
  function move(event) {
    event.stopPropagation() // the theme turns pages by letters
    const links = [...list.querySelectorAll("a")]
    const at = links.indexOf(document.activeElement)
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key]
    if (step && links.length) {
      event.preventDefault()
      const next = links[at + step] || (step < 0 ? field : links[at])
      next.focus()
    } else if (event.key == "Enter" && document.activeElement == field) {
      event.preventDefault()
      links[0]?.click()
    } else if (at >= 0 && event.key.length == 1 && event.key != " " && !event.ctrlKey && !event.metaKey) {
      field.focus()
    }
  }

  function marked(text, wanted) {
    const part = make("span")
    const begins = wanted.filter((word) => word.length > 1).join("|").replaceAll(".", "\\.")
    const pieces = begins ? text.split(new RegExp(`(?<![\\p{L}\\p{N}])((?:${begins})[\\p{L}\\p{N}]*)`, "giu")) : [text]
    part.append(...pieces.map((piece, i) => (i % 2 ? make("mark", { textContent: piece }) : piece)))
    return part
  }

  function item(entry, wanted) {
    const [path, hash] = entry.url.split("#")
    const file = location.protocol == "file:" ? "index.html" : ""
    const link = make("a", { href: new URL(path + file + (hash ? `#${hash}` : ""), base) })
    const verdict = entry.group == "claim" ? `verdict ${entry.kind}` : ""
    const title = marked(entry.title, wanted)
    title.className = "search-title"
    const where = ["page", "overview", "symptom"].includes(entry.kind) ? "" : ` · ${entry.page}`
    const about = make("span", { className: "search-about" })
    about.append(make("span", { className: verdict, textContent: LABELS[entry.kind] }), where)
    const piece = marked(dlkbRank.excerpt(entry, wanted), wanted)
    piece.className = "search-piece"
    link.append(title, about, piece)
    const row = make("li")
    row.append(link)
    return row
  }

  function show() {
    const text = field.value.trim()
    if (!index) return (said.textContent = text ? "Fetching the index …" : "")
    const { results, instead, words } = text ? dlkbRank.rank(index, text) : { results: [], instead: [], words: [] }
    const swaps = instead.map(([typed, near]) => near ? `Nothing holds “${typed}”. The nearest: “${near}”.` : `Nothing holds “${typed}”.`)
    const count = results.length == 24 ? "The best 24" : results.length || "No"
    said.textContent = text && [...swaps, `${count} ${count == 1 ? "result" : "results"}`].join(" ")
    list.replaceChildren(...results.map((entry) => item(entry, words)))
    list.scrollTop = 0
  }

  function open(text = "") {
    if (!box) build()
    if (!box.open) box.showModal()
    if (text) field.value = text
    field.focus()
    field.select()
    show()
  }

  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input, textarea, select, [contenteditable]")
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return
    if (event.key == "/" || event.key == "s" || event.key == "f") {
      event.preventDefault()
      open()
    }
  })
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("button[data-search]")
    if (button) open(button.dataset.search)
  })
  document.addEventListener("submit", (event) => {
    if (!event.target.matches("form[data-search], form.ask")) return
    event.preventDefault()
    open(event.target.querySelector("input").value)
  })
  const asked = new URLSearchParams(location.search).get("q")
  if (asked) open(asked)
})()
