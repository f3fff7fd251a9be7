"""What a reader takes home: notebook, script, source, the site as a zip, and what machines read."""

import json
import re
import subprocess
import sys
import zipfile
from urllib.parse import unquote
from xml.etree import ElementTree

import nbformat
import pytest
from bs4 import BeautifulSoup
from lxml import html

from dlkb.book.publish.downloads import endings
from dlkb.book.publish.export import to_markdown
from dlkb.book.publish.offline import NAME, write_zip
from dlkb.book.read.addresses import addresses
from tests.site.conftest import ROOT, SEEN, Visit, tour, window
from tests.site.test_site import ADDRESSES, PAGES, SHOWN, address

TOPICS = [page for page in PAGES if page.is_topic]
KNOWN = addresses(ROOT)


@pytest.mark.parametrize("page", TOPICS, ids=lambda page: page.stem)
def test_a_topic_offers_notebook_colab_script_and_source(built, page):
    tree = html.document_fromstring((built / page.stem / "index.html").read_text())
    (offer,) = tree.xpath("//ul[@class='take']")
    links = {a.text_content(): a.get("href") for a in offer.iter("a")}
    up = "../../downloads"
    assert links == {
        "Notebook": f"{up}/{page.stem}.ipynb",
        "Colab": f"{KNOWN.colab}/{page.stem}.ipynb",
        "Script": f"{up}/{page.stem}.py",
        "Markdown": f"{up}/{page.stem}.md.txt",
    }
    folder = built / "downloads"
    assert len(nbformat.read(folder / f"{page.stem}.ipynb", as_version=4).cells) > 10
    compile((folder / f"{page.stem}.py").read_text(), page.stem, "exec")
    assert (folder / f"{page.stem}.md.txt").read_text() == to_markdown(page, ROOT)


OFFERED = [page for page in PAGES if endings(page)]
_LINK = re.compile(r"\]\((?!data:)([^)\s]+)\)")


def without_code(text: str) -> str:
    """Return Markdown without fences and code spans."""
    text = re.sub(r"^ *(`{3,}).*?^ *\1 *$", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"`[^`\n]+`", "", text)


@pytest.mark.parametrize("page", OFFERED, ids=lambda page: page.stem)
def test_markdown_has_no_dead_link_and_no_markup_of_the_site(built, page):
    text = (built / "downloads" / f"{page.stem}.md.txt").read_text()
    assert f"\n# {page.title}\n" in text
    for fence in page.runnable:
        assert fence.code.strip() in text
    prose = without_code(text)
    for markup in ("///", "[@", "<!--", "attrs:", "\n::: ", r"\label", r"\eqref", "{."):
        assert markup not in prose, markup
    links = _LINK.findall(prose)
    assert links or page.stem == "glossary"
    for link in links:
        assert link.startswith(("https://", "http://", "mailto:")), link
        if not f"{link}/".startswith(f"{KNOWN.site}/"):
            continue
        path, _, anchor = link.removeprefix(KNOWN.site).strip("/").partition("#")
        file = built / path
        file = file if file.suffix else file / "index.html"
        assert file.is_file(), link
        assert not anchor or f'id="{anchor}"' in file.read_text(), link


def test_only_topics_offer_downloads(built):
    for path in ("", "claims/", "optimizers/"):
        soup = BeautifulSoup((built / path / "index.html").read_text(), "html.parser")
        assert not soup.select("ul.take")


def test_the_address_for_colab_stands_in_one_place():
    tracked = subprocess.run(
        ["git", "grep", "-l", "colab.research.google.com"], cwd=ROOT, capture_output=True, text=True
    )
    assert tracked.stdout.split() in (["mkdocs.yml", "tests/site/test_downloads.py"], [])


@pytest.mark.parametrize("stem", ["systems/asyncio", "systems/cuda"])
def test_a_script_runs_by_itself(built, tmp_path, stem):
    """Also with the name of a library, which others in the process import."""
    page = next(page for page in TOPICS if page.stem == stem)
    ran = subprocess.run(
        [sys.executable, built / "downloads" / f"{page.stem}.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("\n") >= sum(fence.shown is not None for fence in page.runnable)


def test_llms_txt_and_sitemap_and_claims_lead_to_every_topic(built):
    index = (built / "llms.txt").read_text()
    sitemap = {node.text for node in ElementTree.parse(built / "sitemap.xml").iter()}
    claims = json.loads((built / "claims.json").read_text())
    assert {page.stem for page in OFFERED} > {"symptoms", "notation", "api", "glossary"}
    for page in OFFERED:
        assert f"({KNOWN.download(page.stem, 'md.txt')}): {page.meta['description']}" in index
        assert KNOWN.page(page.stem) in sitemap
    for row in claims:
        path, _, anchor = row["anchor"].partition("#")
        assert f'id="{anchor}"' in (built / path / "index.html").read_text()
    for address_ in index.split("](")[1:]:
        target = address_.split(")")[0]
        if target.startswith(KNOWN.site):
            assert (built / target.removeprefix(f"{KNOWN.site}/")).is_file()


@pytest.fixture(scope="module")
def unpacked(built, tmp_path_factory):
    """Unpack the zip as a double click does."""
    folder = tmp_path_factory.mktemp("offline")
    with zipfile.ZipFile(built / NAME) as archive:
        archive.extractall(folder)
    return folder / "dlkb"


def test_zip_is_the_same_every_time(built, tmp_path):
    before = (built / NAME).read_bytes()
    write_zip(tmp_path, built)  # from nothing: nothing is kept there
    assert (built / NAME).read_bytes() == before


def test_all_that_a_page_of_the_zip_names_is_in_it(unpacked):
    for path in ADDRESSES:
        page = unpacked / path / "index.html"
        tree = html.document_fromstring(page.read_text())
        for target in set(tree.xpath("//a/@href | //link[@rel!='canonical']/@href | //@src")):
            if not re.match("https?://|mailto:|data:|#", target):
                assert (page.parent / unquote(re.split("[?#]", target)[0])).is_file(), (
                    path,
                    target,
                )
        fetched = tree.xpath("//link[@rel='stylesheet']/@href | //@src")
        assert not [name for name in fetched if name.startswith(("http", "//"))], path


# What the browser makes of each page is seen in a tour of the site, in test_site.py: here, of each
# kind of page.
def test_a_page_of_the_zip_opens_from_a_file(browser, unpacked):
    opened = ["", "claims/", "api/", "symptoms/", "optimizers/", *map(address, SHOWN)]
    with window(browser, unpacked.as_uri()) as first:
        for here, path in tour(first, [f"{path}index.html" for path in opened]):
            assert here.page.locator("article h1").count() == 1
            assert here.complaints == [], path
            assert here.strangers == [], path


def test_zip_has_math_figures_and_search(browser, unpacked):
    here = Visit(browser.new_page(), unpacked.as_uri())
    page = TOPICS[0]
    here.go(f"{address(page.stem)}index.html")
    fonts = here.page.evaluate(
        "document.fonts.ready.then(all => [...all].map(f => [f.family, f.status]))"
    )
    assert [status for family, status in fonts if "dlkb Math" in family] == ["loaded"]
    figure = here.page.locator("article img:visible").first
    figure.scroll_into_view_if_needed()
    assert figure.evaluate(SEEN) > 100
    here.page.keyboard.press("/")
    here.page.keyboard.type("bias correction")
    result = here.page.locator("dialog.search a[href*='/adam/index.html']").first
    result.wait_for()
    result.click()
    here.page.wait_for_url("**/optimizers/adam/index.html*")
    assert here.page.locator("article h1").inner_text().startswith("Adam")
    assert here.complaints == []
    assert here.strangers == []
    here.page.close()
