import json

import pytest

from dlkb.book.hold.verify import stale, verify
from dlkb.book.publish.downloads import ENDINGS, write_downloads
from dlkb.book.publish.export import to_markdown
from dlkb.book.read.book import read_book
from dlkb.book.read.parts import PageError
from tests.book.conftest import hold


@pytest.fixture
def book(book):
    return hold(book)


def written(book):
    """Verify and write; return which pages had to run."""
    pages = read_book(book.root)
    due = [page.stem for page in stale(book.root, pages)]
    if not verify(book.root):
        write_downloads(book.root, pages)
    return due


def files(book):
    return {
        ending: book.root / "docs" / "downloads" / "optimizers" / f"toy.{ending}"
        for ending in ENDINGS
    }


def test_a_page_runs_once_and_again_when_it_changes(book):
    assert written(book) == ["optimizers/toy"]
    found = files(book)
    assert json.loads(found["ipynb"].read_text())["nbformat"] == 4
    assert "def square(x):" in found["py"].read_text()
    page = read_book(book.root)[0]
    assert found["md.txt"].read_text() == to_markdown(page, book.root)
    assert written(book) == []
    book.edit("## In practice", "More.\n\n## In practice")
    assert written(book) == ["optimizers/toy"]
    assert "More." in found["md.txt"].read_text()
    found["py"].write_text("")
    assert written(book) == []
    assert "def square(x):" in found["py"].read_text()


def test_a_page_runs_again_when_what_it_imports_changes(book):
    module = book.root / "half.py"
    module.write_text("HALF = 0.5\n")
    book.edit(">>> square(3)", ">>> import half\n>>> square(3)")
    assert written(book) == ["optimizers/toy"]
    module.write_text("HALF = 1 / 2\n")
    assert written(book) == ["optimizers/toy"]
    assert written(book) == []


def test_what_does_not_run_is_not_offered(book):
    written(book)
    book.edit("```output\n4", "```output\n5")
    with pytest.raises(PageError, match=r"toy.md:1: changed since it was verified"):
        write_downloads(book.root, read_book(book.root))
    assert written(book) == written(book) == ["optimizers/toy"], "what failed runs again"
    with pytest.raises(PageError, match=r"toy.md:1: changed since it was verified"):
        write_downloads(book.root, read_book(book.root))


def test_downloads_of_a_page_that_is_gone_are_removed(book):
    written(book)
    book.page.rename(book.page.with_name("toys.md"))
    claims = book.root / "docs" / "claims.toml"
    claims.write_text(claims.read_text().replace("toy", "toys"))
    assert written(book) == ["optimizers/toys"]
    assert not any(path.exists() for path in files(book).values())


def test_llms_txt_leads_to_the_sources(book):
    written(book)
    lines = (book.root / "docs" / "llms.txt").read_text().split("\n")
    assert lines[0] == "# toy"
    assert lines[2] == "> A book for tests."
    address = "https://example.org/toy/downloads/optimizers/toy.md.txt"
    assert f"- [Toy]({address}): A page for tests." in lines
    assert "## Across topics" not in lines, "no heading over nothing"


def test_pages_across_topics_are_offered_as_markdown(book):
    docs = book.root / "docs"
    (docs / "symptoms.md").write_text("---\ndescription: What you see.\n---\n\n# Symptoms\n")
    for name in ("index.md", "optimizers/index.md"):
        (docs / name).write_text(f"# {name}\n")
    written(book)
    names = {path.relative_to(docs / "downloads").as_posix() for path in docs.rglob("*.md.txt")}
    assert names == {"symptoms.md.txt", "optimizers/toy.md.txt"}
    assert not (docs / "downloads" / "symptoms.ipynb").exists()
    text = (docs / "llms.txt").read_text()
    address = "https://example.org/toy/downloads/symptoms.md.txt"
    assert f"## Across topics\n\n- [Symptoms]({address}): What you see.\n" in text
    assert text.index("## Across topics") < text.index("## optimizers/index.md\n")
    (docs / "symptoms.md").unlink()
    written(book)
    assert not (docs / "downloads" / "symptoms.md.txt").exists()


def test_an_address_that_is_missing_is_named(book):
    (book.root / "mkdocs.yml").write_text("site_name: toy\n")
    with pytest.raises(PageError, match="lacks site_description, site_url, repo_url, extra: colab"):
        written(book)
