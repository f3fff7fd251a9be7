"""What depends on a page's content, seen in its built HTML: no browser is needed."""

import itertools
import re
from urllib.parse import unquote, urldefrag, urljoin

import pytest
from bs4 import BeautifulSoup

from dlkb.book.hold.verify import ran
from dlkb.book.read.book import read_book
from tests.site.test_site import ADDRESSES, ROOT, TOPICS, address


def parsed(built, path: str) -> BeautifulSoup:
    return BeautifulSoup((built / path / "index.html").read_text(), "lxml")


# Of a fixture's values pytest runs all tests before it goes on: each page is parsed once here.
@pytest.fixture(scope="module", params=ADDRESSES)
def soup(built, request) -> BeautifulSoup:
    """A built page."""
    return parsed(built, request.param)


@pytest.fixture(scope="module", params=TOPICS)
def topic(built, request) -> tuple[str, BeautifulSoup]:
    """A topic and its built page."""
    return request.param, parsed(built, address(request.param))


def test_math_is_typeset_everywhere(topic):
    article = topic[1].find("article")
    assert article.find("math")
    skipped = {"code", "pre", "math", "script"}
    pieces = (s for s in article.strings if skipped.isdisjoint(tag.name for tag in s.parents))
    text = "".join(pieces)
    assert not re.search(r"\$|\\[a-z]{3,}|^:::|///", text, re.M), re.findall(r".*[\\$].*", text)


def test_links_and_anchors_lead_somewhere(built):
    anchors, links = {}, []
    for path in built.rglob("*.html"):
        base = f"/{path.relative_to(built).as_posix()}".replace("index.html", "")
        soup = BeautifulSoup(path.read_text(), "lxml")
        anchors[base] = {tag["id"] for tag in soup.find_all(id=True)} | {""}
        for tag in soup.find_all(["a", "link", "img", "script"]):
            target = tag.get("href") or tag.get("src")
            if target and base != "/404.html" and not re.match(r"(https?|mailto|data):", target):
                links.append((base, urljoin(base, target)))
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


def test_each_figure_is_there_for_both_themes_and_both_screens(topic):
    article = topic[1].find("article")
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


def test_bound_numbers_say_what_their_expressions_gave(topic):
    stem, soup = topic
    (page,) = read_book(ROOT, [stem])
    said = {f"{name} = {value}" for name, value in ran(ROOT, page).values.items() if name != value}
    shown = {
        text for tag in soup.select("data.held") for text in tag["aria-description"].split("; ")
    }
    unbound = {text for text in shown if " = " not in text}
    assert shown - unbound <= said
    assert not unbound & {text.rpartition(" = ")[0] for text in said}
