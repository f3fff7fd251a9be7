from xml.etree import ElementTree

import pytest

from dlkb.book.publish.thumbnails import MARGIN, thumbnail, write_thumbnails
from dlkb.book.read.book import read_book

SVG = """\
<?xml version="1.0" encoding="utf-8" standalone="no"?>
<svg xmlns:xlink="http://www.w3.org/1999/xlink" width="400pt" height="200pt" viewBox="0 0 400 200"
  xmlns="http://www.w3.org/2000/svg" version="1.1">
 <metadata>made by</metadata>
 <defs><style type="text/css">*{stroke-linejoin: round}</style></defs>
 <g id="figure_1">
  <g id="patch_1"><path d="M 0 200 L 400 200 L 400 0 z"/></g>
  AXES
  <g id="text_9"><path d="M 1 1"/></g>
 </g>
</svg>
"""
AXES = """\
<g id="axes_1">
 <g id="patch_2"><path d="M 40 180 L 190 180 L 190 20 L 40 20 z"/></g>
 <g id="matplotlib.axis_1"><g id="xtick_1"><g id="text_1"/></g></g>
 <g id="line2d_5"><path d="M 50 50 L 60 60" style="stroke: #376acb"/></g>
 <g id="legend_1"><g id="text_2"/></g>
</g>
"""
SECOND = AXES.replace("axes_1", "axes_2").replace("190", "390.5").replace("40", "230.25")


def ids(svg):
    return [node.get("id") for node in ElementTree.fromstring(svg).iter() if node.get("id")]


def test_words_go_and_curves_stay():
    small = thumbnail(SVG.replace("AXES", AXES))
    assert ids(small) == ["figure_1", "patch_1", "axes_1", "patch_2", "line2d_5"]
    assert "stroke: #376acb" in small
    assert "made by" not in small
    assert small.startswith("<svg xmlns=")  # no prefix: browsers show nothing else


@pytest.mark.parametrize(
    ("axes", "box"),
    [(AXES, (40, 20, 150, 160)), (AXES + SECOND, (40, 20, 350.5, 160))],
)
def test_the_drawing_is_cut_to_its_axes(axes, box):
    root = ElementTree.fromstring(thumbnail(SVG.replace("AXES", axes)))
    x, y, width, height = box
    found = [float(number) for number in root.get("viewBox").split()]
    assert found == [x - MARGIN, y - MARGIN, width + 2 * MARGIN, height + 2 * MARGIN]
    assert [float(root.get("width")), float(root.get("height"))] == found[2:]


NO_BACKGROUND = AXES.replace('id="patch_2"', 'id="line2d_4"')  # axes switched off


@pytest.mark.parametrize("axes", ["", NO_BACKGROUND])
def test_without_axes_the_whole_drawing_is_kept(axes):
    root = ElementTree.fromstring(thumbnail(SVG.replace("AXES", axes)))
    assert (
        root.get("viewBox") == f"{-MARGIN:g} {-MARGIN:g} {400 + 2 * MARGIN:g} {200 + 2 * MARGIN:g}"
    )


def test_lines_keep_their_width_at_any_size():
    assert "vector-effect: non-scaling-stroke" in thumbnail(SVG.replace("AXES", AXES))


def test_topics_with_a_figure_get_two_and_others_are_removed(shelf):
    root = shelf.parent
    figures = shelf / "assets/figures/optimizers/adam"
    figures.mkdir(parents=True)
    for theme in ("light", "dark"):
        (figures / f"step-{theme}.svg").write_text(SVG.replace("AXES", AXES))
    old = shelf / "assets/thumbnails/gone/page-light.svg"
    old.parent.mkdir(parents=True)
    old.write_text("")
    write_thumbnails(root, read_book(root))
    found = sorted(
        path.relative_to(shelf).as_posix() for path in shelf.rglob("thumbnails/**/*.svg")
    )
    assert found == [f"assets/thumbnails/optimizers/adam-{t}.svg" for t in ("dark", "light")]
