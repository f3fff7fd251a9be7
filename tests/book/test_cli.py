import json
import subprocess
import sys
from pathlib import Path

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


def test_where_an_export_cannot_be_written_is_said(dlkb, book):
    for place in ("nowhere/x.ipynb", ".", "/proc/x.ipynb"):
        status, text = dlkb("export", "toy", "-o", place)
        assert status == 2
        assert place in text
        assert "--output" in text
    assert not list(book.root.glob("*.part"))
    status, text = dlkb("export", "toy", "-o", "x[b].ipynb")
    assert status == 0
    assert "wrote x[b].ipynb" in text


def test_a_page_that_fails_is_not_exported(dlkb, book):
    book.edit("```output\n4", "```output\n5")
    status, text = dlkb("export", "toy", "--to", "py")
    assert status == 2
    assert "under 'In code'" in text
    assert f"toy.md:{book.line('print(square(2))')}" in text
    assert not list(book.root.glob("*.py"))


def test_export_draws_the_page_s_figures_first(dlkb, book):
    script = book.root / "scripts" / "figures" / "optimizers" / "toy.py"
    script.parent.mkdir(parents=True)
    drawing = "def line() -> 'Figure':\n    from matplotlib.figure import Figure\n\n"
    says = "def line_says():\n    return {'nothing at all': not len('')}\n"
    script.write_text(f"{drawing}    return Figure()\n\n\n{says}")
    image = "![A picture of nothing at all.](../assets/figures/optimizers/toy/line.svg)"
    book.edit("## Derivation", f"{image}\n\n## Derivation")
    status, text = dlkb("export", "toy")
    assert status == 0, text
    assert "data:image/svg+xml" in (book.root / "optimizers_toy.ipynb").read_text()
    script.write_text(drawing + "    raise ValueError('no ink')\n")
    status, text = dlkb("export", "toy", "-o", "other.ipynb")
    assert status == 1
    assert "no ink" in text
    assert not (book.root / "other.ipynb").exists()


OLDER = """\
```python
import torch

torch.newer_than_yours()
```

```python
from torch import newer_than_yours
```
"""


def test_verify_says_what_holds_with_the_installed_versions(dlkb, book):
    status, text = dlkb("verify")
    assert status == 0, text
    assert "torch 2." in text
    assert ["optimizers/toy", "1", "of", "1", "4", "of", "4"] in [
        r.split() for r in text.split("\n")
    ]
    book.edit("## Exercises\n", f"## Exercises\n\n{OLDER}")
    status, text = dlkb("verify")
    assert status == 1
    assert ["optimizers/toy", "1", "of", "1", "4", "of", "6"] in [
        r.split() for r in text.split("\n")
    ]
    line = book.line("torch.newer_than_yours()")
    assert f"toy.md:{line}: fence Exercises: differs" in text
    assert "AttributeError: module 'torch' has no attribute 'newer_than_yours'" in text
    assert "ImportError: cannot import name 'newer_than_yours'" in text


def test_verify_names_the_statement_that_does_not_hold(dlkb, book):
    book.edit("x * x\n", "x * x + 1\n")
    status, text = dlkb("verify", "toy")
    assert status == 1
    line = book.line("/// refuted")
    assert f"toy.md:{line}: statement c-001: differs The square of two is five." in text


def test_verify_as_json(dlkb, book):
    status, text = dlkb("verify", "--json")
    assert status == 0
    whole = json.loads(text)
    assert any(row.startswith("numpy 2.") for row in whole["versions"])
    assert whole["counts"]["fence"] == {"holds": 4, "differs": 0, "undecided": 0}
    assert {row["page"] for row in whole["found"]} == {"optimizers/toy"}
    book.edit("```output\n4", "```output\n5")
    status, text = dlkb("verify", "--json")
    assert status == 1
    (row,) = [row for row in json.loads(text)["found"] if row["state"] != "holds"]
    assert row["line"] == book.line("print(square(2))")
    assert "+4" in row["output"]


@pytest.mark.parametrize("module", ["dlkb", "dlkb.book"])
def test_as_a_module(module):
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", module, "run", "--help"]
    ran = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    assert "Run the code of pages" in ran.stdout


def test_what_edits_the_book_needs_a_checkout(dlkb, monkeypatch):
    def none(start=None):
        raise cli.PageError("no dlkb checkout")

    monkeypatch.setattr(cli, "find_checkout", none)
    for command in (["review", "toy"], ["prepare"], ["build"], ["serve"]):
        status, text = dlkb(*command)
        assert status == 2
        assert "no dlkb checkout" in text
