"""Turn an explorable figure's image into axes, curves, sliders and a sentence, in HTML.

All of the first frame is in the page, so that it stands without script. `assets/explore.js`
puts another frame's paths and sentence in their place.
"""

import json
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, SubElement


def read_frames(path: Path) -> dict[str, Any] | None:
    """Return what `dlkb.book.draw.frames` wrote; None if the figure is not explorable."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


def explorable(images: list[Element], data: dict[str, Any]) -> Element:
    """Return the figure: the images of its axes in both themes, and what belongs to them."""
    lengths = [len(slider["values"]) for slider in data["sliders"]]
    first = 0
    for slider, length in zip(data["sliders"], lengths, strict=True):
        first = first * length + slider["start"]
    text, *paths = data["rows"][first]
    frames = {"values": [slider["values"] for slider in data["sliders"]], "rows": data["rows"]}
    # Not a script element: instant navigation would run it.
    written = json.dumps(frames, ensure_ascii=False, separators=(",", ":"))
    root = Element("div", {"class": "explorable", "data-frames": written})
    canvas = SubElement(root, "div", {"class": "canvas"})
    canvas.extend(images)
    _draw(canvas, data, paths)
    controls = SubElement(root, "div", {"class": "controls"})
    for slider in data["sliders"]:
        _control(controls, slider)
    SubElement(root, "p", {"class": "reading", "aria-live": "polite"}).text = text
    return root


def _draw(canvas: Element, data: dict[str, Any], paths: list[str]) -> None:
    """Lay the curves over the axes, each clipped to the box of its own."""
    width, height = data["size"]
    svg = SubElement(canvas, "svg", {"viewBox": f"0 0 {width} {height}", "aria-hidden": "true"})
    for curve, path in zip(data["curves"], paths, strict=True):
        x, y, w, h = map(str, curve["clip"])
        box = {"x": x, "y": y, "width": w, "height": h, "viewBox": f"{x} {y} {w} {h}"}
        colours = {"style": f"--light:{curve['light']};--dark:{curve['dark']}"}
        look = {name: str(value) for name, value in curve["look"].items()}
        kind = {"class": "line" if "stroke-width" in look else "area"}
        SubElement(SubElement(svg, "svg", box), "path", {**kind, **look, **colours, "d": path})


def _control(controls: Element, slider: dict[str, Any]) -> None:
    label = SubElement(controls, "label")
    SubElement(label, "span").text = slider["label"]
    value = slider["values"][slider["start"]]
    attributes = {"class": "value", "aria-hidden": "true"}
    SubElement(label, "span", attributes).text = value
    attributes = {
        "type": "range",
        "min": "0",
        "max": str(len(slider["values"]) - 1),
        "value": str(slider["start"]),
        "aria-label": slider["label"],
        "aria-valuetext": value,
    }
    SubElement(label, "input", attributes)
