import json
import textwrap

import pytest

from dlkb.book.hold.check import book_problems
from dlkb.book.hold.peers import (
    functions,
    libraries,
    peers_problems,
    run,
    run_and_compare,
    tables,
    third_party,
    versions,
)
from dlkb.book.hold.peers_server import answer
from dlkb.book.read.book import read_book
from dlkb.book.read.parts import PageError

MODULE = '''\
"""Two libraries."""

LIBRARIES = ("torch", "keras")


def convention() -> dict[str, tuple[str, ...]]:
    """Return what they do."""
    print("a library may print")
    return {"torch": ("$a|b$", f"{1 + 1}"), "Keras `x|y`": ("no", "3")}


def helper() -> int:
    return 1


def _part() -> dict[str, tuple[str, ...]]:
    return {}
'''

TABLE = """\
<!--peers: convention-->
| source | a | b |
|---|---|---|
| torch | $a|b$ |  2 |
| Keras `x|y` | no | 3 |
| MLX | [read](https://example.org/x.py#L12) | 4 |
| A paper | [@may1976] | 5 |
"""


@pytest.fixture
def tabled(book):
    """A page with an executed table."""
    book.module = book.root / "scripts/peers/optimizers/toy.py"
    book.module.parent.mkdir(parents=True)
    book.module.write_text(MODULE)
    (book.root / "constraints.txt").write_text("# Versions.\nkeras==3.15.1\ntorch==2.13.0\n")
    book.edit("```bash\nmake serve", f"{TABLE}\n```bash\nmake serve")
    return book


def page(book):
    return read_book(book.root)[0]


def test_good_table_has_no_problem(tabled):
    assert peers_problems(tabled.root, page(tabled)) == []
    returned, found = run_and_compare(tabled.root, page(tabled))
    assert found == []
    assert returned["convention"]["torch"] == ("$a|b$", "2")


def test_table_is_read_with_its_lines(tabled):
    [table] = tables(page(tabled))
    assert table.name == "convention"
    assert table.line == tabled.line("| source")
    assert table.rows[1] == (tabled.line("| Keras"), ("Keras `x|y`", "no", "3"))


def test_a_bar_that_is_escaped_is_no_end_of_a_cell(tabled):
    tabled.edit("| torch | $a|b$ |", r"| torch | a\|b |")
    [table] = tables(page(tabled))
    assert table.rows[0][1] == ("torch", r"a\|b", "2")


def test_module_is_read_without_running_it(tabled):
    tabled.module.write_text(MODULE + "\nraise SystemExit\n")
    assert functions(tabled.root, "optimizers/toy") == ["convention"]
    assert libraries(tabled.root, "optimizers/toy") == ["torch", "keras"]
    assert versions(tabled.root, "optimizers/toy") == "Run with torch 2.13.0, keras 3.15.1."


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("|  2 |", "| 3 |", "the libraries say: | torch | $a|b$ | 2 |"),
        ("| $a|b$ |", "| $a$ |", "the libraries say: | torch | $a|b$ | 2 |"),
        ("| $a|b$ |  2 |", "| $a|b$ |", "the libraries say: | torch | $a|b$ | 2 |"),
        ("#L12)", ")", "'MLX' is not run: return it, or link to the line that was read"),
        ("[@may1976]", "Nobody", "'A paper' is not run"),
        ("| Keras `x|y` |", "| keras |", "'keras' is not run"),
    ],
)
def test_cell_that_differs_is_reported_at_its_row(tabled, old, new, message):
    line = tabled.line(old)
    tabled.edit(old, new)
    found = run_and_compare(tabled.root, page(tabled))[1]
    assert message in found[0][1]
    assert found[0][0] == line


def test_row_that_is_missing_is_reported(tabled):
    tabled.edit("| Keras `x|y` | no | 3 |\n", "")
    assert run_and_compare(tabled.root, page(tabled))[1] == [
        (tabled.line("| source"), "a row is missing: | Keras `x|y` | no | 3 |")
    ]


def test_function_without_its_table(tabled):
    tabled.edit("<!--peers: convention-->\n", "")
    assert "no table for 'convention'" in run_and_compare(tabled.root, page(tabled))[1][0][1]


@pytest.mark.parametrize(
    ("old", "new", "message", "at"),
    [
        ("peers: convention", "peers: conventions", "'conventions', did you mean con", "| source"),
        (
            "peers: convention",
            "peers: other",
            "no function 'other': write it, -> dict[",
            "| source",
        ),
        ("convention-->\n", "convention-->\n\n", "no table stands on the line after", "<!--peers"),
        ("<!--peers: convention-->\n", "", "a table about libraries is executed", "| torch"),
    ],
)
def test_rules_that_need_no_library(tabled, old, new, message, at):
    tabled.edit(old, new)
    found = [p for p in book_problems(tabled.root) if message in p.message]
    assert [p.line for p in found] == [tabled.line(at)]


def test_other_tables_and_tables_in_fences_are_free(tabled):
    tabled.edit(
        "<!--peers: convention-->\n" + TABLE.split("\n", 1)[1], "| a |\n|---|\n| torches |\n"
    )
    tabled.edit("make serve", "| a |\n|---|\n| torch |")
    assert peers_problems(tabled.root, page(tabled)) == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("keras==3.15.1\n", "", r"constraints\.txt: pin keras, of optimizers/toy's table"),
        ('LIBRARIES = ("torch", "keras")\n', "", r"optimizers/toy\.py: write LIBRARIES = "),
    ],
)
def test_versions_that_are_not_known(tabled, old, new, message):
    for path in (tabled.root / "constraints.txt", tabled.module):
        path.write_text(path.read_text().replace(old, new))
    with pytest.raises(PageError, match=message):
        versions(tabled.root, "optimizers/toy")
    assert peers_problems(tabled.root, page(tabled))[0][0] == tabled.line("| source")


def test_module_that_fails_is_named_with_its_traceback(tabled):
    tabled.module.write_text(textwrap.dedent(MODULE).replace("1 + 1", "1 / 0"))
    with pytest.raises(PageError, match=r"(?s)peers/optimizers/toy\.py fails:.*ZeroDivisionError"):
        run(tabled.root, "optimizers/toy")


def test_what_is_imported_once_is_of_others(tabled):
    first = "import json.decoder, dlkb\nfrom scripts.peers import apart\nfrom math import pi\n"
    tabled.module.write_text(f"{first}from dlkb.arrays import norm\n{MODULE}    import csv\n")
    assert third_party(tabled.root, "optimizers/toy") == ["json.decoder", "math"]


def answered(tabled, text):
    """Return the answer of a process that imports the module `text` for the first time."""
    name = f"toy{len(list(tabled.module.parent.iterdir()))}"
    (tabled.module.parent / f"{name}.py").write_text(text)
    return answer(str(tabled.root), f"peers.optimizers.{name}", ["convention"], ["json", "no_such"])


@pytest.fixture
def apart(tabled):
    """The page's folder of tables, as packages of another name than this repository's."""
    tabled.root /= "scripts"
    return tabled


def test_what_a_module_writes_is_no_answer(apart, capfd):
    status, rows = answered(apart, f"import os\n\nos.write(1, b'[0, {{}}]')\n{MODULE}")
    assert (status, json.loads(rows)["convention"]["torch"]) == (0, ["$a|b$", "2"])
    assert "[0, {}]" not in capfd.readouterr().out


@pytest.mark.parametrize(
    ("end", "message"),
    [
        ("raise SystemExit(0)", "SystemExit: 0"),
        ("os._exit(0)", "the process ended before the functions returned"),
        ("os.write(2, b'why'); os._exit(3)", "why"),
        ("os.kill(os.getpid(), 9)", "killed by signal 9"),
        ("os.kill(os.getpid(), 14)", "not done after 120 s"),
        ("import no_such", "No module named 'no_such'"),
    ],
)
def test_a_module_that_ends_its_process_is_reported(apart, end, message):
    status, said = answered(apart, f"import os\n\n{MODULE}".replace("print(", f"{end}\n    print("))
    assert status == 1
    assert said.strip().endswith(message)


def test_rows_that_are_no_json_are_an_error(apart):
    # What was written of them before must not pass for an answer.
    text = "def convention() -> dict[str, tuple[str, ...]]:\n    return {'a': ('b', object())}\n"
    status, said = answered(apart, text)
    assert status == 1
    assert said.strip().endswith("is not JSON serializable")


def test_what_a_module_changes_does_not_reach_the_next(apart):
    text = f"import math\n\n{MODULE}".replace("1 + 1", "int(math.tau)")
    for _ in range(2):
        status, rows = answered(apart, text.replace("print(", "math.tau += 1\n    ("))
        assert (status, json.loads(rows)["convention"]["torch"][1]) == (0, "7")


def test_one_process_answers_for_more_than_one_tree(tabled):
    for value in ("3", "4"):
        (tabled.module.parent / "told.py").write_text(f"value = {value}\n")
        module = MODULE.replace("1 + 1", "value")
        tabled.module.write_text(f"from scripts.peers.optimizers.told import value\n\n{module}")
        assert run(tabled.root, "optimizers/toy")["convention"]["torch"][1] == value
