/* Who follows a link into something folded finds it open. A claim's link opens its evidence. The
   browser opens by itself what it finds when the reader searches in the page. */
(() => {
  function target() {
    const id = decodeURIComponent(location.hash.slice(1))
    return id && document.getElementById(id)
  }

  function open() {
    const found = target()
    if (!found) return
    const closed = []
    for (let box = found.closest("details:not([open])"); box; ) {
      closed.push(box)
      box = box.parentElement.closest("details:not([open])")
    }
    closed.push(...(found.matches(".claim") ? found.querySelectorAll("details.evidence") : []))
    for (const box of closed) box.open = true
    if (closed.length) found.scrollIntoView()
  }

  addEventListener("hashchange", open)
  /* The same link a second time changes no hash. */
  addEventListener("click", (event) => {
    const link = event.target.closest?.("a[href]")
    if (link && link.hash && link.href === location.href) setTimeout(open)
  })
  if (window.document$) document$.subscribe(() => requestAnimationFrame(open))
  else open()
})()
