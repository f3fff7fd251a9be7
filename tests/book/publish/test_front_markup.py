import os

import markdown
import pytest
from bs4 import BeautifulSoup

from dlkb.book.publish.front_markup import NAMES, generated, part
from dlkb.book.read.pages import read_page
from tests.book.publish.conftest import card, topic

OURS = ["dlkb.book.publish.math", "dlkb.book.publish.front_markup"]


def place(name):
    return f'<div data-generated="{name}" markdown="1"></div>'


def rendered(docs, stem, text=None):
    """Return a page as the site shows it, with this text if one is given."""
    path = docs / f"{stem}.md"
    if text is not None:
        path.write_text(f"---\ntitle: A page\n---\n{text}\n")
    out = markdown.markdown(
        read_page(path, docs).text,
        extensions=["md_in_html", "attr_list", *OURS],
        extension_configs={name: {"docs": str(docs)} for name in OURS},
    )
    return BeautifulSoup(out, "html.parser")


def hrefs(page):
    return [link["href"] for link in page.find_all("a")]


def test_the_parts_of_a_page_are_known():
    assert generated(f"{place('map')}\n\n{place('topics')}\n") == ["map", "topics"]
    assert generated("A page without.") == []


def test_the_home_page_lists_all_topics(shelf):
    page = rendered(shelf, "index", f"# Home\n\n{place('topics')}\n\nText.")
    assert hrefs(page) == [
        "gradients/index.md",
        "gradients/clipping.md",
        "gradients/loss.md",
        "optimizers/index.md",
        "optimizers/adam.md",
        "optimizers/adamw.md",
    ]
    assert page.find("div", class_="topics").has_attr("data-search-exclude")
    assert not page.find(attrs={"data-generated": True})


def test_a_family_lists_its_own_topics_from_where_it_is(shelf):
    page = rendered(shelf, "optimizers/index", f"# Optimizers\n\n{place('cards')}")
    assert hrefs(page) == ["adam.md", "adamw.md"]


def test_the_map_of_a_family_holds_its_neighbours_and_that_of_the_home_page_all(shelf):
    family = rendered(shelf, "optimizers/index", f"# Optimizers\n\n{place('map')}")
    assert hrefs(family) == ["../gradients/loss.md", "adam.md", "adamw.md"]
    assert [link.text for link in family.select("a.outside")] == ["Loss"]
    home = rendered(shelf, "index", f"# Home\n\n{place('map')}")
    assert len(hrefs(home)) == 4
    assert home.select("a.outside") == []


def test_a_family_without_topics_has_an_empty_map(shelf):
    (shelf / "new").mkdir()
    assert hrefs(rendered(shelf, "new/index", f"# New\n\n{place('map')}")) == []


def test_numbers_and_order(shelf):
    page = rendered(shelf, "index", f"# Home\n\n{place('numbers')}\n\n{place('order')}")
    assert [dd.text for dd in page.find_all("dd")] == ["4", "0", "0"]
    assert len(page.select("ol > li")) == 4


def test_numbers_follow_an_edit(shelf):
    text = f"# Home\n\n{place('numbers')}"
    assert rendered(shelf, "index", text).dd.text == "4"
    path = shelf / "gradients/clipping.md"
    path.write_text(topic("Clipping", cards=card("holds", 9)))
    os.utime(path, ns=(1, 1))
    assert rendered(shelf, "index", text).dd.text == "5"


def test_refuted_statements_are_typeset_and_link_from_the_home_page(shelf):
    page = rendered(shelf, "index", f"# Home\n\n{place('refuted')}\n\nText.")
    first, second = page.select(".daily > .claim")
    assert not first.has_attr("hidden")
    assert second.has_attr("hidden")
    assert first.find("math")
    assert "optimizers/adamw.md#a" in hrefs(first)
    assert page.find("script")
    assert page.find_all("p")[-1].text == "Text."


def test_a_topic_ends_with_its_neighbours_and_nothing_else_does(shelf):
    page = rendered(shelf, "optimizers/adam")
    last = page.find_all(recursive=False)[-1]
    assert last["class"] == ["neighbours"]
    assert hrefs(last) == ["../gradients/loss.md", "adamw.md"]
    assert rendered(shelf, "optimizers/index").find(class_="neighbours") is None


def test_an_unknown_part_is_an_error_that_names_the_known(shelf):
    page = read_page(shelf / "index.md", shelf)
    with pytest.raises(
        ValueError, match=r"index\.md: nothing generates 'card': .*topics, cards, map"
    ):
        part("card", page, shelf)
    assert len(NAMES) == 6


@pytest.mark.parametrize("stem", ["optimizers/index", "optimizers/adam", "gradients/index"])
def test_no_page_but_home_and_map_grows_with_all_topics(shelf, stem):
    path = shelf / f"{stem}.md"
    if stem.endswith("index"):
        path.write_text(path.read_text() + f"\n{place('cards')}\n\n{place('map')}\n")
    before = len(str(rendered(shelf, stem)))
    for number in range(40):
        new = shelf / f"family_{number % 8}/topic_{number}.md"
        new.parent.mkdir(exist_ok=True)
        new.write_text(topic(f"Topic {number}"))
    assert len(str(rendered(shelf, stem))) == before
