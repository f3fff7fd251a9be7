import json
import subprocess
import sys

import pytest

from dlkb.book import cli
from tests.book.conftest import hold


@pytest.fixture
def dlkb(book, monkeypatch, capsys):
    """Run the command line in the small book; return its exit status and what it printed."""
    hold(book)
    monkeypatch.chdir(book.root)
    monkeypatch.setattr(cli, "console", cli.Console(width=200, highlight=False))

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["dlkb", *arguments])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        printed = capsys.readouterr()
        return stop.value.code or 0, printed.out + printed.err

    return run


def test_list(dlkb):
    status, text = dlkb("list")
    assert status == 0
    assert "optimizers/toy" in text


def test_list_shows_words_and_numbers_held(dlkb, book):
    book.edit("See $", "Nine is 9.0<!--= square(3) -->, ten is not 12.5. See $")
    _, text = dlkb("list")
    row = next(row.split() for row in text.split("\n") if row.startswith("optimizers/toy"))
    assert row[1] == "28"  # words
    assert row[-4:] == ["1", "of", "2", "Toy"]


def test_run_prints_bound_numbers(dlkb, book):
    book.edit("See $", "Nine is 9.0<!--= square(3) -->. See $")
    status, text = dlkb("run", "toy")
    assert status == 0
    assert "1 bound number" in text
    book.edit("is 9.0<", "is 9.1<")
    status, text = dlkb("run", "toy")
    assert status == 1
    assert f"toy.md:{book.line('Nine is')}: wrong" in text
    assert "shows 9.1, but square(3) is 9" in text


def test_run_prints_headings_output_and_time(dlkb):
    status, text = dlkb("run", "toy")
    assert status == 0, text
    for part in ("Derivation", "0.3333333333333333", " s", "4 fences agree with the page"):
        assert part in text


def test_run_stops_with_a_diff(dlkb, book):
    book.edit("```output\n4", "```output\n5")
    status, text = dlkb("run", "optimizers/toy")
    assert status == 1
    assert "-5" in text
    assert "+4" in text
    assert f"toy.md:{book.line('print(square(2))')}" in text


def test_run_takes_several_pages_and_reports_each(dlkb, book):
    other = book.page.with_name("other.md")
    other.write_text(book.page.read_text().replace("print(square(2))", "print(square(3))"))
    status, text = dlkb("run", "other", "toy")
    assert status == 1
    assert "+9" in text
    assert "4 fences agree with the page" in text


def test_unknown_page_suggests(dlkb):
    status, text = dlkb("run", "optimizers/toi")
    assert status == 2
    assert "did you mean optimizers/toy?" in text


def test_absent_device_says_so(dlkb):
    import torch

    if not torch.cuda.is_available():
        status, text = dlkb("run", "toy", "--device", "cuda")
        assert status == 2
        assert "device cuda is absent" in text
    assert dlkb("run", "toy", "--device", "tpu")[0] == 2


def test_check(dlkb, book):
    assert dlkb("check")[0] == 0
    book.edit("## Derivation", "## Proof")
    status, text = dlkb("check", "toy")
    assert status == 1
    assert "the page lacks the part 'Derivation'" in text


def test_claims_as_json(dlkb):
    status, text = dlkb("claims", "--json")
    assert status == 0
    assert [row["id"] for row in json.loads(text)] == ["c-001"]
    assert "refuted" in dlkb("claims")[1]


def test_export(dlkb, book):
    assert dlkb("export", "toy", "--to", "py")[0] == 0
    script = book.root / "optimizers_toy.py"
    ran = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    lines = ran.stdout.split("\n")
    assert [lines[0], lines[1], *lines[3:6]] == [
        "4",
        "False",
        "'refuted'",
        "9",
        "0.3333333333333333",
    ]
    assert dlkb("export", "toy", "--to", "ipynb", "-o", "x.ipynb")[0] == 0
    assert json.loads((book.root / "x.ipynb").read_text())["nbformat"] == 4
    status, text = dlkb("export", "toy", "--to", "pdf")
    assert status == 2
    assert "choose ipynb or py" in text


def test_a_page_that_fails_is_not_exported(dlkb, book):
    book.edit("```output\n4", "```output\n5")
    status, text = dlkb("export", "toy", "--to", "py")
    assert status == 2
    assert "under 'In code'" in text
    assert f"toy.md:{book.line('print(square(2))')}" in text
    assert not list(book.root.glob("*.py"))


def test_outside_a_checkout(tmp_path):
    """With an editable install the checkout beside it serves; the message is for other installs."""
    from dlkb.book.read.pages import find_root

    assert (find_root(tmp_path) / "mkdocs.yml").is_file()
