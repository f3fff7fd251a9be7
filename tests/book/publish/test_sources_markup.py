"""Citations and versions on the site, in the notebook and in the Markdown download."""

import markdown
import nbformat
import pytest
from bs4 import BeautifulSoup

from dlkb.book.publish.export import to_markdown, to_script
from dlkb.book.publish.notebook import to_notebook
from dlkb.book.publish.peers_markup import with_versions
from dlkb.book.read.book import read_book
from dlkb.book.read.parts import PageError
from tests.book.conftest import whole
from tests.book.hold.test_peers import MODULE, TABLE
from tests.book.read.test_references import BIB

SAID = "Run with torch 2.13.0, keras 3.15.1."
ENTRY = (
    "Diederik P. Kingma and Jimmy Ba (2015). *Adam: A Method for Stochastic Optimization.* ICLR."
)


@pytest.fixture
def sourced(book):
    """A page with a citation and an executed table."""
    module = book.root / "scripts/peers/optimizers/toy.py"
    module.parent.mkdir(parents=True)
    module.write_text(MODULE)
    (book.root / "constraints.txt").write_text("keras==3.15.1\ntorch==2.13.0\n")
    (book.root / "docs/references.bib").write_text(BIB, encoding="utf-8")
    book.edit("No.\n", "No: [@kingma2015, section 2.1], `[@may1976]`.\n")
    book.edit("```bash\nmake serve", f"{TABLE}\n```bash\n[@may1976]")
    return book


def site(book):
    root = {"root": str(book.root)}
    extensions = [
        "tables",
        "attr_list",
        "pymdownx.superfences",
        "pymdownx.blocks.admonition",
        "pymdownx.blocks.caption",
        "dlkb.book.publish.math",
        "dlkb.book.publish.citations",
        "dlkb.book.publish.peers_markup",
    ]
    configs = {"dlkb.book.publish.citations": root, "dlkb.book.publish.peers_markup": root}
    text = read_book(book.root)[0].text
    html = markdown.markdown(text, extensions=extensions, extension_configs=configs)
    return BeautifulSoup(html, "html.parser")


def test_citation_leads_to_its_entry_on_the_page(sourced):
    soup = site(sourced)
    link = soup.find("a", string="Kingma and Ba (2015, section 2.1)")
    entry = soup.find(id=link["href"].removeprefix("#"))
    assert entry.name == "li"
    assert "Adam: A Method for Stochastic Optimization." in entry.get_text()
    assert entry.find_previous("h2").get_text() == "References"
    assert entry.find("a")["href"] == "https://arxiv.org/abs/1412.6980"
    assert "{:" not in soup.get_text()


def test_code_is_left_alone(sourced):
    found = [code.get_text() for code in site(sourced).find_all("code")]
    assert sum("[@may1976]" in code for code in found) == 2


def test_versions_stand_under_the_table(sourced):
    soup = site(sourced)
    table = soup.find("td", string="torch").find_parent("table")
    assert table.find_next_sibling().get_text() == SAID
    assert table.find_next_sibling()["class"] == ["peers"]
    assert "<!--peers" not in str(soup)


def test_versions_stand_under_the_caption(sourced):
    sourced.edit("| 5 |\n", "| 5 |\n\n/// table-caption\nAll four.\n///\n")
    soup = site(sourced)
    assert soup.find("p", class_="peers").find_parent("figure") is None
    below = [tag for tag in (soup.find("p", class_="peers").find_previous_sibling(),) if tag]
    assert "All four." in below[0].get_text()


def test_table_outside_the_pages_is_an_error(sourced):
    from dlkb.book.publish.peers_markup import PeersExtension

    converter = markdown.Markdown(extensions=[PeersExtension(root=str(sourced.root))])
    with pytest.raises(LookupError, match="outside the pages"):
        converter.convert("<!--peers: other-->\n| a |\n|---|\n")


def test_each_marked_table_gets_its_line():
    table = ["<!--peers: a-->", "| a |", "|---|", "| b |"]
    assert with_versions([*table, "", *table], "Run.") == [
        *table[1:], "", "Run.", "", "", *table[1:], "", "Run.", ""
    ]  # fmt: skip


def test_notebook_script_and_source_say_the_same(sourced):
    [page] = read_book(sourced.root)
    session = whole(page)
    cells = nbformat.reads(to_notebook(session, sourced.root), as_version=4).cells
    notebook = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    script = "\n".join(
        line.removeprefix("# ") for line in to_script(session, sourced.root).split("\n")
    )
    source = to_markdown(page, sourced.root)
    for text in (notebook, script, source):
        cited = "[Kingma and Ba (2015, section 2.1)](https://arxiv.org/abs/1412.6980)"
        assert f"No: {cited}, `[@may1976]`." in text
        assert f"- {ENTRY}" in text
        assert SAID in text
        assert "<!--peers" not in text
        assert "{:" not in text
    assert source.startswith("---\ntitle: Toy\n")
    assert source.count("```") == page.path.read_text().count("```")


def test_page_without_citations_keeps_its_words_and_its_code(book):
    [page] = read_book(book.root)
    text = to_markdown(page, book.root)
    for fence in page.runnable:
        assert f"\n{fence.code}```" in text
    assert "[@" not in text
    assert "The square of two is five." in text
    assert "## References\n" in text


def test_unknown_key_stops_the_build(sourced):
    sourced.edit("[@kingma2015,", "[@kingma2014,")
    with pytest.raises(PageError, match="no source 'kingma2014'"):
        site(sourced)
