import json
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from markdown import Markdown
from markdown.preprocessors import Preprocessor

from dlkb.book.hold.verify import verify
from dlkb.book.publish.downloads import write_downloads
from dlkb.book.publish.export import to_script
from dlkb.book.publish.held_markup import CACHE, write_values
from dlkb.book.publish.notebook import to_notebook
from dlkb.book.read.book import read_book
from tests.book.conftest import hold, whole

EXTENSIONS = [
    "tables",
    "toc",
    "pymdownx.superfences",
    "dlkb.book.publish.held_markup",
    "dlkb.book.publish.math",
]


def convert(text, root=Path("nowhere")):
    options = {"cache": str(root / CACHE), "docs": str(root / "docs")}
    configs = {"dlkb.book.publish.held_markup": options}
    md = Markdown(extensions=EXTENSIONS, extension_configs=configs)
    return BeautifulSoup(md.convert(text), "html.parser"), md


def held(text, root=Path("nowhere")):
    soup, _ = convert(text, root)
    return [(data.get_text(), data["aria-description"]) for data in soup.select("data.held")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("No more than 7.27<!--= bound(1) -->.", [("7.27", "bound(1)")]),
        ("3.16 at 1 to 1.01<!--= a[0]; a[-1] -->", [("3.16", "a[0]"), ("1.01", "a[-1]")]),
        ("**7.27**<!--= a -->", [("7.27", "a")]),
        ("eighteenfold<!--= a * b * c_d -->", [("eighteenfold", "a * b * c_d")]),
        ("`0.1`<!--= lr -->", [("0.1", "lr")]),
        ("| a |\n|---|\n| 12<!--= a | b --> |", [("12", "a | b")]),
        ("12<!--= f[0](x) if x > '<' else \"&\" -->", [("12", "f[0](x) if x > '<' else \"&\"")]),
        ("# Title of 12<!--= n -->", [("12", "n")]),
        ("12<!--given: the notes-->", []),
        ("`12<!--= a -->`", []),
    ],
)
def test_bound_numbers_say_what_they_are(text, expected):
    assert held(text) == expected


def test_a_formula_is_wrapped_whole_and_once():
    soup, _ = convert(r"with $\beta_1 = 0.9, \beta_2 = 0.999$<!--= b[0]; b[1] --> kept")
    (data,) = soup.select("data.held")
    assert data["aria-description"] == "b[0]; b[1]"
    assert data["tabindex"] == "0"
    assert data.find("math") is not None
    assert data.next_sibling == " kept"


def test_a_display_stays_a_block_of_its_own():
    soup, _ = convert("$$ x = 12.5 $$<!--= x -->\n\nText.")
    assert soup.select_one("div.equation math") is not None
    assert not soup.select("data")
    assert "<!--" not in str(soup)


def test_code_and_table_of_contents_stay_as_they_are():
    soup, md = convert("# Up to 12<!--= n -->\n\n```text\n12<!--= n -->\n```")
    assert soup.select_one("pre").get_text().strip() == "12<!--= n -->"
    assert md.toc_tokens[0]["name"] == "Up to 12"
    assert md.toc_tokens[0]["id"] == "up-to-12"


def test_values_are_shown_of_the_page_as_it_was_verified(book):
    book.edit("See $\\eqref{eq:square}$.", "Up to 2.25<!--= square(1.5) -->.")
    page = read_book(book.root)[0]
    write_values(book.root, page, whole(page).values)
    expected = [("2.25", "square(1.5) = 2.25")]
    assert held(page.text, book.root) == expected
    assert held(page.text.strip() + "\n\n", book.root) == expected
    book.edit("Up to", "Down to")
    assert held(read_book(book.root)[0].text, book.root) == [("2.25", "square(1.5)")]


def test_values_are_those_of_the_page_whatever_others_made_of_its_text(book):
    """Such as the table about libraries, whose mark is gone when numbers are looked for."""
    book.edit("See $\\eqref{eq:square}$.", "Up to 2.25<!--= square(1.5) -->.")
    page = read_book(book.root)[0]
    write_values(book.root, page, whole(page).values)
    soup, md = convert("", book.root)

    class Another(Preprocessor):
        def run(self, lines):
            return [*lines, "More."]

    md.preprocessors.register(Another(), "another", 40)
    soup = BeautifulSoup(md.convert(page.text), "html.parser")
    assert soup.select_one("data.held")["aria-description"] == "square(1.5) = 2.25"


def test_a_value_that_is_the_expression_is_said_once(tmp_path, book):
    page = read_book(book.root)[0]
    write_values(book.root, page, {"n": "n"})
    (file,) = (book.root / CACHE).iterdir()
    assert json.loads(file.read_text()) == {"n": "n"}


def test_downloads_keep_the_values(book):
    hold(book)
    book.edit("See $\\eqref{eq:square}$.", "Up to 2.25<!--= square(1.5) -->.")
    assert verify(book.root) == []
    write_downloads(book.root, read_book(book.root))
    page = read_book(book.root)[0]
    assert held(page.text, book.root) == [("2.25", "square(1.5) = 2.25")]


def test_comments_stay_out_of_what_is_taken_home(book):
    book.edit("See $\\eqref{eq:square}$.", "Up to 2.25<!--= square(\n1.5) --> in `<!--x-->`.")
    book.edit("is five.", "is five, not 4<!--given: so-->.")
    session = whole(read_book(book.root)[0])
    for text in (to_notebook(session, book.root), to_script(session, book.root)):
        assert "Up to 2.25 in `<!--x-->`." in text
        assert "square(1" not in text
        assert "is five, not 4." in text
        assert "given" not in text
    assert session.page.claims[0].statement == "The square of two is five, not 4."
