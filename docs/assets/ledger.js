/* The ledger of claims: filters it, counts what is left, and keeps the choice in the address.
   Without script a style sheet on the page filters, which takes a browser seconds. */
(() => {
  function enliven() {
    const form = document.querySelector(".ledger-filter")
    if (!form || form.dataset.alive) return
    form.dataset.alive = "yes"
    const items = [...document.querySelectorAll(".ledger li.claim")]
    const texts = items.map((item) => item.textContent.toLowerCase())
    const fields = form.elements

    function choose(asked) {
      for (const name of ["verdict", "topic", "evidence", "words"]) {
        const field = fields[name]
        const before = field.value
        field.value = asked.get(name) || (name == "words" ? "" : "all")
        if (!field.value && name != "words") field.value = before // what the address says is no choice
      }
    }

    function fits({ dataset: { verdict, topic, evidence } }) {
      const wanted = fields.topic.value
      return (
        ["all", verdict].includes(fields.verdict.value) &&
        ["all", evidence].includes(fields.evidence.value) &&
        (wanted == "all" || topic == wanted || topic.startsWith(`${wanted}/`))
      )
    }

    function apply() {
      const words = fields.words.value.toLowerCase().split(/\s+/).filter(Boolean)
      items.forEach((item, i) => (item.hidden = !fits(item) || !words.every((word) => texts[i].includes(word))))
      const left = items.filter((item) => !item.hidden).length
      fields.count.value = left == items.length ? `${left} claims` : `${left} of ${items.length} claims`
    }

    function remember() {
      const asked = new URLSearchParams([...new FormData(form)].filter(([, value]) => value && value != "all"))
      history.replaceState(history.state, "", asked.size ? `?${asked}` : location.pathname)
    }

    form.addEventListener("input", () => (apply(), remember()))
    form.addEventListener("submit", (event) => event.preventDefault())
    choose(new URLSearchParams(location.search))
    apply()
  }

  if (window.document$) document$.subscribe(() => requestAnimationFrame(enliven))
  else enliven()
})()
