/* The table of symptoms: only the rows stay that hold all words, in the row or in the first paragraph
   of its section. Without script the whole table stands. */
(() => {
  function told(row) {
    const link = row.querySelector("a[href*='#']")
    const heading = link && document.getElementById(decodeURIComponent(link.hash.slice(1)))
    const first = heading?.nextElementSibling
    return `${row.textContent} ${first?.tagName == "P" ? first.textContent : ""}`.toLowerCase()
  }

  function enliven() {
    const form = document.querySelector(".finder")
    const table = form && [...document.querySelectorAll("table")].find((one) => form.compareDocumentPosition(one) & 4)
    if (!table || form.dataset.alive) return
    form.dataset.alive = "yes"
    const rows = [...table.tBodies[0].rows]
    const texts = rows.map(told)
    const { words, count } = form.elements

    function apply() {
      const asked = words.value.toLowerCase().split(/\s+/).filter(Boolean)
      rows.forEach((row, i) => (row.hidden = !asked.every((word) => texts[i].includes(word))))
      const left = rows.filter((row) => !row.hidden).length
      count.value = left == rows.length ? `${left} symptoms` : `${left} of ${rows.length} symptoms`
    }

    form.addEventListener("input", apply)
    form.addEventListener("submit", (event) => event.preventDefault())
    apply()
  }

  if (window.document$) document$.subscribe(() => requestAnimationFrame(enliven))
  else enliven()
})()
