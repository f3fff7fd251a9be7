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
    """Return the figure: the images of its axes in all variants, and what belongs to them."""
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
    """Lay the curves over the axes, each clipped to the box of its own, for either screen.

    On a phone a box has another size: its content is stretched, but not the lines' width.
    """
    boxes = [curve["clip"] for curve in data["curves"]]
    narrow = data["narrow"]
    for screen, size, places in (
        ("broad", data["size"], boxes),
        ("narrow", narrow["size"], narrow["boxes"]),
    ):
        svg = SubElement(
            canvas,
            "svg",
            {"class": screen, "viewBox": f"0 0 {size[0]} {size[1]}", "aria-hidden": "true"},
        )
        for curve, path, box, place in zip(data["curves"], paths, boxes, places, strict=True):
            x, y, w, h = map(str, place)
            frame = {"x": x, "y": y, "width": w, "height": h, "preserveAspectRatio": "none"}
            frame["viewBox"] = " ".join(map(str, box))
            colours = {"style": f"--light:{curve['light']};--dark:{curve['dark']}"}
            look = curve["look"] if screen == "broad" else _on_a_phone(curve["look"])
            attributes = {name: str(value) for name, value in look.items()}
            kind = {"class": "line" if "stroke-width" in look else "area"}
            inner = SubElement(svg, "svg", frame)
            SubElement(inner, "path", {**kind, **attributes, **colours, "d": path})


def _on_a_phone(look: dict[str, Any]) -> dict[str, Any]:
    """Return a look in pixels of the screen, which a stretched box does not change."""
    scale = 0.85 * 96 / 720  # the figure's own, see dlkb.book.draw.narrow; tenths of a point
    found = dict(look)
    if "stroke-width" in look:
        found["stroke-width"] = round(scale * look["stroke-width"], 2)
        found["vector-effect"] = "non-scaling-stroke"
    if "stroke-dasharray" in look:
        lengths = [scale * float(length) for length in look["stroke-dasharray"].split()]
        found["stroke-dasharray"] = " ".join(f"{length:.1f}" for length in lengths)
    return found


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
