"""What pytest makes of pages: it runs here, while pages run in processes of their own."""

import pytest

from dlkb.book.hold.verify import verify


@pytest.fixture
def collect(book, capfd, monkeypatch):
    """Return a function that runs pytest on the small book; it returns status and output."""
    monkeypatch.chdir(book.root)

    def run(*arguments):
        plugin = ["-p", "dlkb.book.hold.pytest_plugin", "-p", "no:cacheprovider"]
        status = pytest.main([*plugin, "-q", "docs", *arguments])
        return status, "".join(capfd.readouterr())

    return run


def test_one_item_a_fence_and_two_for_the_page(book, collect):
    status, text = collect()
    assert status == 0, text
    assert "6 passed" in text


def test_failure_shows_the_page_line(book, collect):
    book.edit("\n9\n", "\n8\n")
    book.edit("## In practice", "## X")
    status, text = collect()
    assert status == 1
    assert f"toy.md:{book.line('>>> square(3)')}: under 'Derivation'" in text
    assert "the page lacks the part 'In practice'" in text
    assert "2 failed, 4 passed" in text


def test_one_item_alone_runs_what_it_needs(book, collect):
    line = book.line("print(square(2))")
    status, text = collect("-k", f"line and {line}")
    assert status == 0, text
    assert "1 passed" in text


def test_fragile_number_fails_the_audit(book, collect):
    book.edit(">>> square(3)\n9", ">>> round(0.1250001, 2)\n0.13")
    status, text = collect()
    assert status == 1
    assert "another processor may round it the other way" in text


def test_broken_page_fails_the_collection(book, collect):
    book.edit("///\n\n## Derivation", "\n## Derivation")
    status, text = collect()
    assert status == 2
    assert "block 'refuted' is not closed" in text


def test_bound_numbers_are_one_item_more(book, collect):
    book.edit("See $\\eqref{eq:square}$.", "See 2.25<!--= square(1.5) -->.")
    status, text = collect()
    assert status == 0, text
    assert "7 passed" in text
    book.edit("2.25<", "2.24<")
    status, text = collect("-k", "bindings")
    assert status == 1
    assert f"toy.md:{book.line('See 2.24')}: under 'Numbers in the text'" in text
    assert "shows 2.24, but square(1.5) is 2.25" in text


def test_what_was_verified_as_it_stands_is_not_run_again(book, collect):
    book.edit(">>> square(3)", ">>> _ = open('ran', 'a').write('x')\n>>> square(3)")
    ran = book.root / "ran"
    verify(book.root)
    assert ran.read_text() == "x"
    assert "6 passed" in collect("--verified")[1]
    assert ran.read_text() == "x"
    assert "6 passed" in collect()[1]
    assert ran.read_text() == "xx"
    book.edit("## In practice", "## X")  # changed: it runs
    assert "1 failed, 5 passed" in collect("--verified")[1]
    assert ran.read_text() == "xxx"


def test_what_is_wrong_is_not_taken_for_verified(book, collect):
    book.edit("\n9\n", "\n8\n")
    verify(book.root)
    assert "1 failed" in collect("--verified")[1]
