"""What depends on a page's content, seen in its built HTML: no browser is needed."""

import itertools
import re
from urllib.parse import unquote, urldefrag, urljoin

import pytest
from bs4 import BeautifulSoup
from lxml import html

from dlkb.book.hold.verify import ran
from tests.site.test_site import ADDRESSES, PAGES, ROOT, TOPICS, address

ELSEWHERE = re.compile(r"(https?|mailto|data):").match
TOPIC = pytest.mark.parametrize("soup", [address(stem) for stem in TOPICS], indirect=True)


# Of a fixture's values pytest runs all tests before it goes on: each page is parsed once here.
@pytest.fixture(scope="module", params=ADDRESSES)
def soup(built, request) -> BeautifulSoup:
    """A built page."""
    return BeautifulSoup((built / request.param / "index.html").read_text(), "lxml")


@TOPIC
def test_math_is_typeset_everywhere(soup):
    article = soup.find("article")
    assert article.find("math")
    skipped = {"code", "pre", "math", "script"}
    pieces = (s for s in article.strings if skipped.isdisjoint(tag.name for tag in s.parents))
    text = "".join(pieces)
    assert not re.search(r"\$|\\[a-z]{3,}|^:::|///", text, re.M), re.findall(r".*[\\$].*", text)


def test_links_and_anchors_lead_somewhere(built):
    anchors, links = {}, []
    for path in built.rglob("*.html"):
        base = f"/{path.relative_to(built).as_posix()}".replace("index.html", "")
        tree = html.document_fromstring(path.read_text())
        anchors[base] = {*tree.xpath("//@id"), ""}
        if base != "/404.html":
            targets = {*tree.xpath("//a/@href | //link/@href | //img/@src | //script/@src")}
            links += [(base, urljoin(base, target)) for target in targets if not ELSEWHERE(target)]
    assert len(links) > 100
    for base, target in links:
        page, fragment = urldefrag(target)
        if page in anchors:
            assert unquote(fragment) in anchors[page] | {"__skip"}, f"{base}: {target}"
        else:
            assert (built / page.lstrip("/")).exists(), f"{base}: {target}"


def test_tables_have_headers_and_figures_say_what_is_seen(soup):
    article = soup.find("article")
    for table in article.find_all("table"):
        if "highlighttable" not in table.get("class", []):
            assert any(th.get_text(strip=True) for th in table.find_all("th")), table.text[:80]
    for image in article.find_all("img"):
        # A thumbnail stands beside the title that it decorates.
        if not image.find_parent(class_="thumbnail"):
            assert len(image["alt"]) >= 20, image["src"]


def test_ids_are_unique_and_headings_go_down_one_level_at_a_time(soup):
    ids = [tag["id"] for tag in soup.find_all(id=True)]
    assert sorted(ids) == sorted(set(ids))
    levels = [int(tag.name[1]) for tag in soup.find("article").find_all(re.compile("^h[1-6]$"))]
    assert levels[0] == 1 == levels.count(1)
    assert all(b - a <= 1 for a, b in itertools.pairwise(levels)), levels


@TOPIC
def test_each_figure_is_there_for_both_themes_and_both_screens(soup):
    article = soup.find("article")
    figures = [f for f in article.find_all("figure") if f.find("img")]
    assert figures
    for figure in figures:
        images = figure.find_all("img")
        kinds = {(theme, screen) for theme in ("light", "dark") for screen in ("broad", "narrow")}
        seen = {
            (re.search(r"-(light|dark)\.svg", image["src"])[1], screen)
            for image in images
            for screen in ("broad", "narrow")
            if screen in image["class"]
        }
        assert seen == kinds, figure.find("img")["src"]
        assert len({image["alt"] for image in images}) == 1
        assert figure.find("figcaption").get_text(strip=True)


@pytest.mark.parametrize("page", [p for p in PAGES if p.is_topic], ids=lambda page: page.stem)
def test_bound_numbers_say_what_their_expressions_gave(built, page):
    tree = html.document_fromstring((built / page.stem / "index.html").read_text())
    said = {f"{name} = {value}" for name, value in ran(ROOT, page).values.items() if name != value}
    shown = {
        text
        for tag in tree.iter("data")
        if "held" in tag.classes
        for text in tag.get("aria-description").split("; ")
    }
    unbound = {text for text in shown if " = " not in text}
    assert shown - unbound <= said
    assert not unbound & {text.rpartition(" = ")[0] for text in said}
