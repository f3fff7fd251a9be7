"""What depends on a page's content, seen in its built HTML: no browser is needed."""

import itertools
import re
from urllib.parse import unquote, urldefrag, urljoin

import pytest
from bs4 import BeautifulSoup

from dlkb.book.hold.verify import ran
from dlkb.book.read.book import read_book
from tests.site.test_site import ADDRESSES, ROOT, TOPICS, address


def soup_of(built, path: str) -> BeautifulSoup:
    """Parse a built page."""
    return BeautifulSoup((built / path / "index.html").read_text(), "html.parser")


@pytest.mark.parametrize("stem", TOPICS)
def test_math_is_typeset_everywhere(built, stem):
    soup = BeautifulSoup((built / address(stem) / "index.html").read_text(), "html.parser")
    article = soup.find("article")
    assert article.find("math")
    for skipped in article.find_all(["code", "pre", "math", "script"]):
        skipped.decompose()
    text = article.get_text()
    assert not re.search(r"\$|\\[a-z]{3,}|^:::|///", text, re.M), re.findall(r".*[\\$].*", text)


def test_links_and_anchors_lead_somewhere(built):
    anchors, links = {}, []
    for path in built.rglob("*.html"):
        base = f"/{path.relative_to(built).as_posix()}".replace("index.html", "")
        soup = BeautifulSoup(path.read_text(), "html.parser")
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


@pytest.mark.parametrize("path", ADDRESSES)
def test_tables_have_headers_and_figures_say_what_is_seen(built, path):
    article = soup_of(built, path).find("article")
    for table in article.find_all("table"):
        if "highlighttable" not in table.get("class", []):
            assert any(th.get_text(strip=True) for th in table.find_all("th")), table.text[:80]
    for image in article.find_all("img"):
        # A thumbnail stands beside the title that it decorates.
        if not image.find_parent(class_="thumbnail"):
            assert len(image["alt"]) >= 20, image["src"]


@pytest.mark.parametrize("path", ADDRESSES)
def test_ids_are_unique_and_headings_go_down_one_level_at_a_time(built, path):
    soup = soup_of(built, path)
    ids = [tag["id"] for tag in soup.find_all(id=True)]
    assert sorted(ids) == sorted(set(ids))
    levels = [int(tag.name[1]) for tag in soup.find("article").find_all(re.compile("^h[1-6]$"))]
    assert levels[0] == 1 == levels.count(1)
    assert all(b - a <= 1 for a, b in itertools.pairwise(levels)), levels


@pytest.mark.parametrize("stem", TOPICS)
def test_each_figure_is_there_for_both_themes_and_both_screens(built, stem):
    article = soup_of(built, address(stem)).find("article")
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


@pytest.mark.parametrize("stem", TOPICS)
def test_bound_numbers_say_what_their_expressions_gave(built, stem):
    (page,) = read_book(ROOT, [stem])
    said = {f"{name} = {value}" for name, value in ran(ROOT, page).values.items() if name != value}
    soup = BeautifulSoup(built.joinpath(stem, "index.html").read_text(), "html.parser")
    shown = {
        text for tag in soup.select("data.held") for text in tag["aria-description"].split("; ")
    }
    unbound = {text for text in shown if " = " not in text}
    assert shown - unbound <= said
    assert not unbound & {text.rpartition(" = ")[0] for text in said}
