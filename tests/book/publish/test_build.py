"""No site, and no zip, of a book that did not pass."""

import pytest

from dlkb.book.hold.check import Problem
from dlkb.book.publish import offline, site
from dlkb.book.read.parts import PageError
from scripts.bench.synthetic import FIGURE
from tests.book.conftest import hold

TIE = """\
/// tied | `dlkb.arrays.erf(x)`
    attrs: {data-equation: "eq:square", data-where: "array -1 < x < 1"}
///
"""


@pytest.fixture
def built(book, monkeypatch):
    """Build the small book without mkdocs; return the exit status."""
    hold(book)
    book.edit("figures/other/wave.svg", "figures/optimizers/toy/wave.svg")
    script = book.root / "scripts" / "figures" / "optimizers" / "toy.py"
    script.parent.mkdir(parents=True)
    script.write_text(FIGURE)
    monkeypatch.setattr(site, "write_benchmarks", lambda root: None)

    def status(returncode=0):
        def build_pages(root, folder):
            folder.mkdir()
            return returncode

        monkeypatch.setattr(site, "build_pages", build_pages)
        return site.build(book.root)

    return status


@pytest.mark.parametrize(
    ("old", "new", "at"),
    [
        ("See $", f"{TIE}\nSee $", "/// tied"),
        ("def square(x):", "raise SystemExit(0)\ndef square(x):", "raise SystemExit"),
        ("## In practice\n", "## In practice\n\n    square(3)\n", "    square(3)\n"),
        ("\n9\n", "\n8\n", ">>> square(3)"),
    ],
)
def test_a_page_that_is_wrong_stops_the_build_at_its_line(book, built, old, new, at):
    book.edit(old, new)
    with pytest.raises(PageError, match=rf"toy\.md:{book.line(at)}: "):
        built()
    assert not (book.root / "site").exists()


def test_a_wrong_front_page_stops_the_build(book, built):
    (book.root / "docs" / "index.md").write_text("# Home\n\n```pycon\n>>> 1 + 1\n3\n```\n")
    with pytest.raises(PageError, match=r"index\.md:4: under 'Home'"):
        built()
    assert not (book.root / "site").exists()


@pytest.mark.parametrize(
    ("status", "problems", "zipped"), [(0, False, True), (1, False, False), (0, True, False)]
)
def test_a_zip_only_of_what_passed(book, built, monkeypatch, status, problems, zipped):
    made = []
    monkeypatch.setattr(site, "write_zip", lambda root, folder: made.append(folder))
    found = [Problem(book.page, 7, "the site shows Python that does not run")]
    monkeypatch.setattr(site, "unrun_code", lambda root, folder, pages: found if problems else [])
    if problems:
        with pytest.raises(PageError, match=r"toy\.md:7: the site shows"):
            built(status)
    else:
        assert built(status) == status
    assert bool(made) == zipped


def test_a_site_that_is_the_same_is_not_compressed_again(tmp_path, monkeypatch):
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "index.html").write_text('<a href="#x">Home</a>')
    first = offline.write_zip(tmp_path, folder).read_bytes()
    made = []
    real = offline._zip
    monkeypatch.setattr(offline, "_zip", lambda *given: [made.append(1), real(*given)])
    (folder / offline.NAME).unlink()
    assert offline.write_zip(tmp_path, folder).read_bytes() == first
    assert not made
    (folder / "index.html").write_text('<a href="#y">Home</a>')
    assert offline.write_zip(tmp_path, folder).read_bytes() != first
    assert made == [1]
