import pytest

from dlkb.book.read.order import learning_order, nav_titles
from dlkb.book.read.pages import read_page
from dlkb.book.read.parts import PageError

NAV = """\
nav:
  - Home: index.md
  - Part:
      - Family:
          - a/index.md
          - First: a/x.md
      - b/y.md
"""


@pytest.fixture
def pages(tmp_path):
    def write(**requires):
        found = []
        for stem, needed in requires.items():
            path = tmp_path / "docs" / "a" / f"{stem}.md"
            path.parent.mkdir(parents=True, exist_ok=True)
            listed = ", ".join(f"a/{name}" for name in needed)
            path.write_text(f"---\nrequires: [{listed}]\n---\n# {stem}\n")
            found.append(read_page(path, tmp_path / "docs"))
        return found

    return write


def order(pages, *listed):
    return [page.stem[2:] for page in learning_order(pages, [f"a/{name}" for name in listed])]


def test_the_navigation_is_read_with_its_titles(tmp_path):
    (tmp_path / "mkdocs.yml").write_text(NAV)
    found = nav_titles(tmp_path)
    assert list(found) == ["index", "a/index", "a/x", "b/y"]
    assert found == {"index": "Home", "a/index": "", "a/x": "First", "b/y": ""}
    (tmp_path / "mkdocs.yml").write_text("site_name: x\n")
    assert nav_titles(tmp_path) == {}


def test_without_requirements_the_navigation_is_the_order(pages):
    assert order(pages(x="", y="", z=""), "z", "x", "y") == ["z", "x", "y"]


def test_what_is_required_stands_before(pages):
    assert order(pages(x="z", y="", z=""), "x", "y", "z") == ["y", "z", "x"]
    assert order(pages(x="yz", y="z", z=""), "x", "y", "z") == ["z", "y", "x"]


def test_a_page_comes_as_soon_as_it_can_before_later_ones(pages):
    assert order(pages(x="y", y="", z=""), "x", "y", "z") == ["y", "x", "z"]


def test_pages_out_of_the_navigation_come_last_in_their_order(pages):
    assert order(pages(q="", p="", x=""), "x") == ["x", "q", "p"]


def test_a_requirement_that_is_no_topic_holds_nothing_up(pages):
    assert order(pages(x=["gone"]), "x") == ["x"]


def test_a_circle_is_named(pages):
    found = pages(x="", y="z", z="y")
    with pytest.raises(PageError, match=r"y\.md:1: .*a/y, a/z: take one out of 'requires'"):
        learning_order(found, ["a/x", "a/y", "a/z"])
