import json
from dataclasses import asdict

import pytest

from dlkb.book.publish.search_index import TEXTS, TITLES, entries, write_search
from dlkb.book.read.book import read_book

HTML = """<html><body><nav>Menu <h2 id="not">Not</h2></nav><article class="md-content__inner">
<h1 id="toy">Toy <math><mi>β</mi></math><a class="headerlink" href="#toy">¶</a></h1>
<div class="about" data-search-exclude=""><p>3 minutes</p></div>
<p>Do this<br>now, for <math data-search-exclude=""><mi>x</mi></math><span hidden>x</span>.</p>
<h2 id="the-idea">The idea</h2><p>First.</p><p>Second.</p>
<pre><code>import numpy</code></pre>
<h2 id="statements">Statements</h2>
<div class="admonition refuted claim" id="c-001"><p class="claim-line">Refuted <a>C-001</a></p>
<p class="admonition-title">Two is <em>five</em>.</p><p>No.</p>
<details class="evidence"><summary>Evidence</summary><div class="x"><p>Count.</p></div></details>
</div><p>After.</p><div class="refuted claim"><p>One of many.</p></div>
<h3 id="dlkb.toy.square" class="doc doc-heading"><code>square</code><span>(x)</span></h3>
<p>Squares.</p>
</article><footer>End</footer></body></html>"""


def test_pages_sections_claims_and_names_are_entries():
    page, idea, statements, claim, name = entries(HTML, "optimizers/toy/")
    assert asdict(page) == {
        "kind": "page",
        "anchor": "",
        "title": "Toy β",
        "also": "",
        "text": "Do thisnow, for x.",
    }
    assert (idea.kind, idea.anchor, idea.title) == ("section", "the-idea", "The idea")
    assert idea.text == "First. Second."
    assert (claim.kind, claim.anchor, claim.title) == ("refuted", "c-001", "Two is five.")
    assert (claim.also, claim.text) == ("C-001", "No. Evidence Count.")
    assert statements.text == "After. One of many.", "after a claim its section goes on"
    assert (name.kind, name.title, name.also) == ("api", "square", "dlkb.toy.square")
    assert name.text == "Squares."


SYMPTOM = """<article><h1>Symptoms</h1><h2 id="nan">The loss is NaN</h2>
<p><em>Also: nan loss, ln(0).</em> Often <em>late</em>.</p><h3 id="more">More</h3></article>"""


@pytest.mark.parametrize(("url", "kind"), [("symptoms/", "symptom"), ("notation/", "section")])
def test_symptoms_have_the_words_people_search_for(url, kind):
    _, found, more = entries(SYMPTOM, url)
    assert found.kind == kind
    if kind == "symptom":
        assert (found.also, found.text) == ("nan loss, ln(0)", "Often late.")
    else:
        assert (found.also, found.text) == ("", "Also: nan loss, ln(0). Often late.")
    assert more.kind == "section"


def test_a_page_without_article_has_nothing_to_find():
    assert entries("<h1>Toy</h1>", "") == []


NAME = '<h3 id="dlkb.x" class="doc-heading">x</h3><p>X.</p>'


@pytest.fixture
def written(book):
    """Write the index of a small site; return both files as data."""
    site = book.root / "site"
    for folder, title in (("optimizers/toy", "Toy"), ("", "Home")):
        path = site / folder / "index.html"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"<article><h1>{title}</h1><p>A “{title}”.</p>{NAME}</article>")
    (site / "404.html").write_text("<article><h1>Lost</h1></article>")
    (book.root / "docs/index.md").write_text("# Home\n")
    book.edit("description: A page", "tags: [moment, 2.303]\ndescription: A page")
    write_search(book.root, site, read_book(book.root))
    found = []
    for name in (TITLES, TEXTS):
        before, _, value = (site / name).read_text().partition("=")
        found.append((before, json.loads(value)))
    return found


def test_the_index_is_two_scripts(written):
    (first, titles), (second, texts) = written
    assert (first, second) == ("dlkbIndex.titles", "dlkbIndex.texts")
    assert titles["pages"] == [["", "Home"], ["optimizers/toy/", "Toy"]]
    assert titles["entries"] == [
        [0, "overview", "", "Home", ""],
        [0, "api", "dlkb.x", "x", "dlkb.x"],
        [1, "page", "", "Toy", "moment, 2.303"],
        [1, "api", "dlkb.x", "x", "dlkb.x"],
    ]
    assert texts == ["A “Home”.", "X.", "A “Toy”.", "X."]


def test_a_page_is_read_again_when_it_changes(book, written):
    path = book.root / "site/optimizers/toy/index.html"
    path.write_text("<article><h1>Other</h1></article>")
    write_search(book.root, book.root / "site", read_book(book.root))
    assert '"Other"' in (book.root / "site" / TITLES).read_text()
