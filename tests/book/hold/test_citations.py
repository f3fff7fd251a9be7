from pathlib import Path

import pytest

from dlkb.book.hold.check import book_problems
from dlkb.book.hold.citations import bibliography_problems, citation_problems
from dlkb.book.read.book import read_book
from tests.book.read.test_references import BIB

ROOT = Path(__file__).parents[3]


@pytest.fixture
def cited(book):
    """A page that cites two of three sources."""
    (book.root / "docs/references.bib").write_text(BIB, encoding="utf-8")
    book.edit("No.\n", "No ([@kingma2015, section 2.1]; [@reddi2018b]).\n")
    return book


def problems(book):
    [page] = read_book(book.root)
    return citation_problems(book.root, page)


def test_page_that_cites_has_no_problem(cited):
    assert problems(cited) == []


@pytest.mark.parametrize(
    ("new", "message"),
    [
        ("[@kingma2014]", "no source 'kingma2014': did you mean kingma2015?"),
        ("[@kingma2015, section 2]", "'section 2' of kingma2015 is not confirmed"),
        ("[@kingma2015, Algorithm 1, section 3]", "'section 3' of kingma2015 is not confirmed"),
        ("[@kingma2015, ection 2.1]", "'ection 2.1' of kingma2015 is not confirmed"),
        ("[@may1976, chapter 1]", "'chapter 1' of may1976 is not confirmed"),
        ("arXiv:1412.6980", "'arXiv:1412.6980': cite the source by its key"),
        ("[x](https://arxiv.org/abs/1412.6980)", "'arxiv.org/abs/1412.6980': cite the source"),
        ("[x](https://doi.org/10.1/2)", "'doi.org/10.1/2': cite the source"),
        ("Nobody (2015) says", "'Nobody (2015': cite it by its key, [@name2000], and add it to"),
        ("Somebody et al., 2016", "'Somebody et al., 2016': cite it by its key"),
        ("as in Ba\n(2015)", "'Ba (2015': cite it by its key, [@kingma2015]"),
        ("of May 1976,", "'May 1976': cite it by its key, [@may1976]"),
        ("Kale 2018", "'Kale 2018': cite it by its key, [@reddi2018b]"),
        ("adam: a method for\nstochastic optimization", "the title of kingma2015 stands here"),
        ("/// refuted | Of [@may1976]", "no citation in alt text or a block's title"),
        ("![As [@may1976] says.](../x.svg)", "no citation in alt text or a block's title"),
    ],
)
def test_each_broken_rule_is_reported_at_its_line(cited, new, message):
    cited.edit("See $", f"Here\n{new}.\n\nSee $".replace("/// refuted | Of [@may1976].", "x"))
    if new.startswith("///"):
        cited.edit("| The square of two", "| The square of two, [@may1976],")
    found = problems(cited)
    assert message in found[0][1], found
    first = "| The square" if new.startswith("///") else new.split("\n")[0]
    assert found[0][0] == cited.line(first)


@pytest.mark.parametrize(
    "new",
    [
        "[@kingma2015, Algorithm 1]",
        "[@kingma2015, section 2.1]",
        "`arXiv:1412.6980`",
        "> as Kingma and Ba (2015) write",
        "Kingma and Ba propose",
        "After 2000 steps, or 2015",
        "Width 2048, In 2018",
        "maps",
        "```text\nBa (2015)\n```",
    ],
)
def test_what_is_no_reference_stays(cited, new):
    cited.edit("See $", f"{new}\n\nSee $")
    assert problems(cited) == []


def test_text_under_the_list(cited):
    cited.page.write_text(cited.page.read_text() + "\n- Somebody's book.\n")
    assert problems(cited) == [
        (cited.line("- Somebody"), "text under `## References`: the list is generated")
    ]


def test_page_that_cites_needs_the_list(cited):
    cited.edit("## References", "## Sources")
    assert "has no part `## References`" in problems(cited)[0][1]


def test_entry_that_nobody_cites(cited):
    found = [str(p) for p in book_problems(cited.root) if "may1976" in p.message]
    path = cited.root / "docs/references.bib"
    assert found == [f"{path}:22: no page cites may1976: cite it, or take it out"]
    assert not [p for p in book_problems(cited.root, ["toy"]) if "may1976" in p.message]


def test_key_is_name_and_year(cited):
    path = cited.root / "docs/references.bib"
    path.write_text(BIB.replace("{may1976", "{may77"), encoding="utf-8")
    found = bibliography_problems(cited.root, read_book(cited.root))
    assert (22, "key 'may77': write may1976") in found


def test_sources_of_the_book_can_be_found():
    from dlkb.book.read.references import read_sources

    sources = read_sources(ROOT)
    assert len(sources) > 90
    without = [key for key, source in sources.items() if not (source.url or source.venue)]
    assert without == []
    assert len({source.url for source in sources.values() if source.url}) == len(
        [source for source in sources.values() if source.url]
    )
    assert len({source.title.lower() for source in sources.values()}) == len(sources)


@pytest.mark.parametrize(("title", "noticed"), [("Why Maps", False), ("Why Maps Fold", True)])
def test_titles_of_three_words_are_said_nowhere_else(cited, title, noticed):
    path = cited.root / "docs/references.bib"
    path.write_text(BIB.replace("title = {Maps}", f"title = {{{title}}}"), encoding="utf-8")
    cited.edit("No (", "Why maps fold is no matter. No (")
    assert ["the title of may1976" in message for _, message in problems(cited)] == [True] * noticed
