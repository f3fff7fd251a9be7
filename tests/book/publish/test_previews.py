import io
import re
from xml.etree import ElementTree

import pytest
from PIL import Image

from dlkb.book.publish.previews import (
    HEIGHT,
    WIDTH,
    png,
    preview,
    previews,
    write_previews,
)
from dlkb.book.publish.summaries import summary
from dlkb.book.read.book import read_book
from dlkb.book.read.pages import read_page
from dlkb.book.read.parts import VERDICTS
from tests.book.publish.conftest import card, topic

FIGURE = """\
<?xml version="1.0" encoding="utf-8" standalone="no"?>
<svg width="400pt" height="200pt" viewBox="0 0 400 200"
  xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">
 <metadata><rdf:RDF/></metadata>
 <rect x="0" y="0" width="400" height="200" fill="#ff0000"/>
</svg>
"""
NAMES = [
    "index",
    *(
        f"{family}/{name}"
        for family, name in [
            ("gradients", "clipping"),
            ("gradients", "loss"),
            ("optimizers", "adam"),
            ("optimizers", "adamw"),
        ]
    ),
]


def texts(svg):
    return [node.text for node in ElementTree.fromstring(svg).iter() if node.tag.endswith("text")]


def bars(svg):
    return [
        (int(rect[1]), int(rect[2]))
        for rect in re.finditer(r'<rect x="(\d+)" y="572" width="(\d+)" height="10"', svg)
    ]


@pytest.fixture
def adam(shelf):
    return summary(read_page(shelf / "optimizers/adam.md", shelf))


def test_a_topic_shows_title_line_figure_and_verdicts(adam):
    svg = preview("toy", adam.title, adam.line, FIGURE, adam)
    assert texts(svg)[:1] == ["toy"]
    assert "Adam and its" in texts(svg)
    assert "2 statements, tested" in texts(svg)
    assert 'viewBox="0 0 400 200"' in svg
    assert "metadata" not in svg
    assert len(bars(svg)) == 2


def test_each_verdict_has_a_colour(shelf):
    path = shelf / "gradients/loss.md"
    path.write_text(topic("Loss", cards="".join(card(v, n) for n, v in enumerate(VERDICTS))))
    found = summary(read_page(path, shelf))
    parts = bars(preview("toy", "Loss", "", "", found))
    assert len(parts) == len(VERDICTS)
    ends = [left + width for left, width in parts]
    assert all(end < left for end, (left, _) in zip(ends, parts[1:], strict=False))
    assert (parts[0][0], ends[-1]) == (64, 64 + 460)


def test_one_statement_is_not_called_statements(shelf):
    one = summary(read_page(shelf / "optimizers/adamw.md", shelf))
    assert "Basic" in texts(preview("toy", "AdamW", "", "", one))


def test_a_page_without_figure_has_wider_lines():
    title = "A title that has a length"
    assert title in texts(preview("toy", title, ""))
    assert title not in texts(preview("toy", title, "", FIGURE))


def test_what_is_too_long_ends_in_dots_and_markup_is_escaped():
    svg = preview("toy", "long " * 40, "a < b & c " * 60, FIGURE)
    shown = texts(svg)
    assert sum(text.endswith("…") for text in shown) == 2
    assert any("a < b & c" in text for text in shown)


def test_the_picture_has_the_size_that_is_asked_for_and_holds_the_figure():
    image = Image.open(io.BytesIO(png(preview("toy", "Adam", "A line.", FIGURE))))
    assert image.size == (WIDTH, HEIGHT)
    pixels = image.convert("RGB")
    assert pixels.getpixel((870, 315)) == (255, 0, 0)
    assert pixels.getpixel((1190, 10)) == (255, 255, 255)
    dark = sum(pixels.getpixel((x, y))[0] < 80 for x in range(64, 300) for y in range(140, 200))
    assert dark > 500  # the title is written


def test_each_topic_and_the_rest_have_a_picture(shelf):
    found = previews(shelf.parent, read_book(shelf.parent))
    assert sorted(found) == sorted(NAMES)
    assert "A toy that holds" in texts(found["index"])
    assert "What Loss does." in texts(found["gradients/loss"])


def test_pictures_are_kept_until_they_change_and_removed_with_their_page(shelf):
    root = shelf.parent
    write_previews(root, read_book(root))
    folder = shelf / "assets/previews"
    made = {name: folder / f"{name}.png" for name in NAMES}
    before = {name: path.stat().st_mtime_ns for name, path in made.items()}
    first = made["gradients/loss"].read_bytes()
    made["optimizers/adam"].write_bytes(b"broken")
    (shelf / "gradients/loss.md").write_text(topic("Losses"))
    (shelf / "optimizers/adamw.md").unlink()
    write_previews(root, read_book(root))
    assert made["gradients/loss"].read_bytes() != first
    assert made["optimizers/adam"].read_bytes().startswith(b"\x89PNG")
    assert not made["optimizers/adamw"].exists()
    for name in ("index", "gradients/clipping"):
        assert made[name].stat().st_mtime_ns == before[name]


def test_nothing_is_drawn_twice(shelf, monkeypatch):
    root = shelf.parent
    write_previews(root, read_book(root))
    monkeypatch.setattr("dlkb.book.publish.previews.png", lambda svg: 1 / 0)
    write_previews(root, read_book(root))
