"""Figures and claim blocks as they reach the reader."""

import re

import markdown
import pytest

from dlkb.book.publish.claim_markup import LABELS
from dlkb.book.publish.figure_markup import size
from dlkb.book.read.parts import VERDICTS

SVG = '<?xml version="1.0"?>\n<svg height="288pt" width="460.8pt" viewBox="0 0 460.8 288">'
PAGE = """\
![A curve that falls.](../assets/figures/optimizers/adam/bias.svg)
/// figure-caption
Watch it fall.
///

![Another](../assets/figures/optimizers/adam/step.svg) tail
"""


def html(text, docs="nowhere"):
    return markdown.markdown(
        text,
        extensions=[
            "attr_list",
            "pymdownx.blocks.caption",
            "pymdownx.blocks.admonition",
            "dlkb.book.publish.figure_markup",
            "dlkb.book.publish.claim_markup",
        ],
        extension_configs={
            "dlkb.book.publish.figure_markup": {"docs": str(docs)},
            "pymdownx.blocks.admonition": {"types": [*VERDICTS, "note"]},
        },
    )


def images(out):
    return [dict(re.findall(r'(\w+)="([^"]*)"', tag)) for tag in re.findall("<img[^>]*>", out)]


def test_four_variants_with_alt_text_and_size(tmp_path):
    folder = tmp_path / "assets/figures/optimizers/adam"
    folder.mkdir(parents=True)
    for variant in ("light", "dark"):
        (folder / f"bias-{variant}.svg").write_text(SVG)
        (folder / f"bias-narrow-{variant}.svg").write_text(SVG.replace("460.8 288", "300 360"))
    out = html(PAGE, tmp_path)
    light, dark, narrow_light, narrow_dark, *later = images(out)
    path = "../assets/figures/optimizers/adam/bias"
    assert light == {
        "alt": "A curve that falls.",
        "src": f"{path}-light.svg#only-light",
        "class": "broad",
        "loading": "lazy",  # what is not displayed is not fetched, in view or not
        "fetchpriority": "high",
        "width": "614",
        "height": "384",
    }
    assert dark == light | {"src": f"{path}-dark.svg#only-dark"}
    assert narrow_light == light | {
        "src": f"{path}-narrow-light.svg#only-light",
        "class": "narrow",
        "width": "400",
        "height": "480",
    }
    assert narrow_dark == narrow_light | {"src": f"{path}-narrow-dark.svg#only-dark"}
    assert [image["loading"] for image in later] == ["lazy"] * 4
    assert not any("fetchpriority" in image for image in later)
    assert "width" not in later[0]
    assert out.count("<figure") == 1
    assert out.endswith(" tail</p>")


@pytest.mark.parametrize(
    "source", ["assets/logo.svg", "https://example.org/assets/figures/a.svg", "a.png"]
)
def test_other_images_are_left_alone(source):
    assert html(f"![a]({source})") == f'<p><img alt="a" src="{source}" /></p>'


def test_attributes_are_kept():
    out = html("![a](assets/figures/a.svg){.wide}")
    assert [image["class"] for image in images(out)] == [
        *["wide broad"] * 2,
        *["wide narrow"] * 2,
    ]


def test_size_of_no_file(tmp_path):
    assert size(tmp_path / "none.svg") is None


def test_each_verdict_has_a_label():
    assert tuple(LABELS) == VERDICTS


@pytest.mark.parametrize("verdict", VERDICTS)
def test_a_claim_shows_verdict_link_source_and_evidence(verdict):
    out = html(
        f"/// {verdict} | Statement.\n    attrs: {{id: c-035, data-source: '001:16-18', "
        "data-evidence: checked}\n\nBecause.\n///"
    )
    assert f'<div class="admonition {verdict} claim"' in out
    assert 'id="c-035"' in out
    assert f'<span class="claim-verdict">{LABELS[verdict]}</span>' in out
    assert '<a class="claim-link" href="#c-035">C-035</a>' in out
    assert "notes 001, lines 16–18 · checked" in out
    assert out.index("claim-verdict") < out.index("Statement.") < out.index("Because.")


def test_a_note_is_no_claim():
    assert "claim" not in html("/// note | Look\n\nBecause.\n///")
