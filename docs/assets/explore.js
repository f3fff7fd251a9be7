/* Explorable figures: sliders choose among frames that Python has computed. The page holds the
   first one; a frame is a sentence and the path of each curve. Works without Material too. */
(() => {
  function enliven(figure) {
    if (figure.dataset.alive) return
    figure.dataset.alive = "true"
    const { values, rows } = JSON.parse(figure.dataset.frames)
    const sliders = figure.querySelectorAll("input")
    const paths = figure.querySelectorAll(".canvas path")
    const reading = figure.querySelector(".reading")

    function show() {
      let row = 0
      sliders.forEach((slider, i) => {
        const value = values[i][slider.valueAsNumber]
        row = row * values[i].length + slider.valueAsNumber
        slider.setAttribute("aria-valuetext", value)
        slider.parentElement.querySelector(".value").textContent = value
      })
      const [text, ...curves] = rows[row]
      // Each curve is there twice, for either screen.
      paths.forEach((path, i) => path.setAttribute("d", curves[i % curves.length]))
      if (reading.textContent !== text) reading.textContent = text
    }

    sliders.forEach((slider) => slider.addEventListener("input", show))
    show() // a browser that goes back may have kept the sliders where they were
  }

  function start() {
    document.querySelectorAll(".explorable").forEach(enliven)
  }

  if (window.document$) document$.subscribe(() => requestAnimationFrame(start))
  else start()
})()
