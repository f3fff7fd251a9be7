"""The code of the built HTML is the code that ran."""

import markdown
import pytest

from dlkb.book.publish.built import shown_code, unrun_code
from dlkb.book.publish.not_run import MARK
from dlkb.book.read.book import read_book

EXTENSIONS = [
    "pymdownx.highlight",
    "pymdownx.superfences",
    "attr_list",
    "dlkb.book.publish.not_run",
]

CONFIGS = {"pymdownx.highlight": {"pygments_lang_class": True}}


def html_of(text):
    html = markdown.markdown(text, extensions=EXTENSIONS, extension_configs=CONFIGS)
    return f"<article>{html}</article>"


def found(book, html=None):
    """Build the page, without what only blocks need, and compare."""
    page = read_book(book.root)[0]
    folder = book.root / "site" / "optimizers" / "toy"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "index.html").write_text(html or html_of(page.text))
    return [
        (problem.line, problem.message)
        for problem in unrun_code(book.root, book.root / "site", [page])
    ]


def test_a_good_page(book):
    assert found(book) == []


@pytest.mark.parametrize(
    "block",
    [
        "> ```python\n> x = square(2)\n> ```",
        "<pre>x = square(2)</pre>",
        "```js\nimport x\n```",
    ],
)
def test_python_that_did_not_run(book, block):
    book.edit("## In practice\n", f"## In practice\n\nBefore.\n\n{block}\n\n")
    ((line, message),) = found(book)
    assert "the site shows Python that does not run" in message
    code = "import x" if "js" in block else "x = square(2)"
    assert line == book.line(code)


def test_quoted_python_says_that_it_did_not_run(book):
    book.edit("## In practice\n", "## In practice\n\n```text\nx = square(2)\n```\n\n")
    html = html_of(read_book(book.root)[0].text)
    assert html.count(MARK) == 1
    assert found(book) == []
    (line, _), *others = found(book, html.replace(MARK, ""))
    assert (line, others) == (book.line("x = square(2)"), [])


def test_text_that_is_no_python_is_not_marked():
    assert MARK not in html_of("```text\nThe loss falls.\n```\n\n```toml\nx = 2\n```")


def test_code_that_ran_must_be_seen(book):
    html = html_of(read_book(book.root)[0].text.replace("```python\ndef square", "```text\nOf"))
    assert (
        book.line("def square(x):"),
        "this fence runs, but the site does not show it: readers must see it",
    ) in found(book, html)


def test_references_and_what_is_outside_the_article_are_not_the_pages():
    code = "<pre>x = f(1)</pre>"
    html = (
        f'<pre>y = f(1)</pre><article>{code}<img><div class="doc doc-object">{code}</div></article>'
    )
    assert shown_code(html) == ["x = f(1)"]
