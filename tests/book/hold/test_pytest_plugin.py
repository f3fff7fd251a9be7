import subprocess
import sys


def collect(book, *arguments):
    """Run pytest on the small book in a process of its own; return status and output."""
    command = [sys.executable, "-m", "pytest", "-p", "dlkb.book.hold.pytest_plugin", "-q", "docs"]
    ran = subprocess.run(
        [*command, "-p", "no:cacheprovider", *arguments],
        cwd=book.root,
        capture_output=True,
        text=True,
        check=False,
    )
    return ran.returncode, ran.stdout + ran.stderr


def verify(book):
    """Verify the small book in a process of its own."""
    code = "from pathlib import Path; from dlkb.book.hold.verify import verify; verify(Path())"
    subprocess.run([sys.executable, "-c", code], cwd=book.root, check=True)


def test_one_item_a_fence_and_two_for_the_page(book):
    status, text = collect(book)
    assert status == 0, text
    assert "6 passed" in text


def test_failure_shows_the_page_line(book):
    book.edit("\n9\n", "\n8\n")
    book.edit("## In practice", "## X")
    status, text = collect(book)
    assert status == 1
    assert f"toy.md:{book.line('>>> square(3)')}: under 'Derivation'" in text
    assert "the page lacks the part 'In practice'" in text
    assert "2 failed, 4 passed" in text


def test_one_item_alone_runs_what_it_needs(book):
    line = book.line("print(square(2))")
    status, text = collect(book, "-k", f"line and {line}")
    assert status == 0, text
    assert "1 passed" in text


def test_fragile_number_fails_the_audit(book):
    book.edit(">>> square(3)\n9", ">>> round(0.1250001, 2)\n0.13")
    status, text = collect(book)
    assert status == 1
    assert "another processor may round it the other way" in text


def test_broken_page_fails_the_collection(book):
    book.edit("///\n\n## Derivation", "\n## Derivation")
    status, text = collect(book)
    assert status == 2
    assert "block 'refuted' is not closed" in text


def test_bound_numbers_are_one_item_more(book):
    book.edit("See $\\eqref{eq:square}$.", "See 2.25<!--= square(1.5) -->.")
    status, text = collect(book)
    assert status == 0, text
    assert "7 passed" in text
    book.edit("2.25<", "2.24<")
    status, text = collect(book, "-k", "bindings")
    assert status == 1
    assert f"toy.md:{book.line('See 2.24')}: under 'Numbers in the text'" in text
    assert "shows 2.24, but square(1.5) is 2.25" in text


def test_what_was_verified_as_it_stands_is_not_run_again(book):
    book.edit(">>> square(3)", ">>> _ = open('ran', 'a').write('x')\n>>> square(3)")
    ran = book.root / "ran"
    verify(book)
    assert ran.read_text() == "x"
    assert "6 passed" in collect(book, "--verified")[1]
    assert ran.read_text() == "x"
    assert "6 passed" in collect(book)[1]
    assert ran.read_text() == "xx"
    book.edit("## In practice", "## X")  # changed: it runs
    assert "1 failed, 5 passed" in collect(book, "--verified")[1]
    assert ran.read_text() == "xxx"


def test_what_is_wrong_is_not_taken_for_verified(book):
    book.edit("\n9\n", "\n8\n")
    verify(book)
    assert "1 failed" in collect(book, "--verified")[1]
