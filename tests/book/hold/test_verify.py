"""The gate opens for a page that is right, once, and for no other."""

import json
import time
from functools import partial
from pathlib import Path

import pytest

from dlkb.book.hold import verify as verify_module
from dlkb.book.hold.check import Problem
from dlkb.book.hold.verify import (
    CACHE,
    examine,
    noted,
    noted_stems,
    ran,
    running_since,
    stale,
    verify,
)
from dlkb.book.publish.notebook import PACKAGES
from dlkb.book.read import freshness
from dlkb.book.read.book import read_book
from dlkb.book.read.parts import PageError
from dlkb.book.run.session import Outcome, Session

TIE = """\

/// tied | `dlkb.arrays.erf(x)`
    attrs: {data-equation: "eq:square", data-where: "array -1 < x < 1"}
///
"""


def problems(book):
    return [(problem.path.name, problem.line, problem.message) for problem in verify(book.root)]


def due(book):
    return [page.stem for page in stale(book.root, read_book(book.root))]


def test_a_page_that_is_right_runs_once(book):
    assert due(book) == ["optimizers/toy"]
    assert problems(book) == []
    assert due(book) == []
    page = read_book(book.root)[0]
    assert ran(book.root, page).displayed == {
        book.line(code)
        for code in (">>> square(2) == 5", ">>> verdict(", ">>> square(3)", ">>> 1 / 3")
    }


def test_what_is_wrong_is_said_with_its_line_and_again(book):
    book.edit("\n9\n", "\n8\n")
    for _ in range(2):
        ((name, line, message),) = problems(book)
        assert (name, line) == ("toy.md", book.line(">>> square(3)"))
        assert "under 'Derivation': --- the page shows" in message
        assert due(book) == ["optimizers/toy"]
    assert noted(book.root, "optimizers/toy")["wrong"] == [f"{book.page}:{line}: {message}"]
    book.edit("\n8\n", "\n9\n")
    assert problems(book) == []


@pytest.mark.parametrize(
    ("old", "new", "at", "message"),
    [
        ("## In practice", "## X", None, "the page lacks the part 'In practice'"),
        (">>> square(3)\n9", ">>> round(0.1250001, 2)\n0.13", ">>> round(", "show other digits"),
        (
            "<!--untied eq:square: a term, which no function returns-->",
            TIE,
            "/// tied",
            "eq:square and dlkb.arrays.erf(x) differ",
        ),
        ("\n## In practice", "\n    square(2)\n\n## In practice", "    square(2)", "never runs"),
    ],
)
def test_rules_ties_and_rounding_are_held(book, old, new, at, message):
    book.edit(old, new)
    ((_, line, said),) = problems(book)
    assert message in said
    assert at is None or line == book.line(at)


def test_front_pages_are_held(book):
    (book.root / "docs" / "index.md").write_text("# Home\n\n```pycon\n>>> 1 + 1\n3\n```\n")
    ((name, line, _),) = problems(book)
    assert (name, line) == ("index.md", 4)
    assert "key" in noted(book.root, "optimizers/toy"), "the other page passed"


def test_a_page_runs_again_when_what_it_rests_on_changes(book):
    (book.root / "deep.py").write_text("DATA = 'numbers.json'\n")
    (book.root / "half.py").write_text("import deep\n")
    (book.root / "numbers.json").write_text("[1]")
    book.edit(">>> square(3)", ">>> import half\n>>> square(3)")
    assert problems(book) == []
    for name in ("half.py", "deep.py", "numbers.json", "mkdocs.yml"):
        path = book.root / name
        before = path.read_text()
        path.write_text(before + " \n")
        assert due(book) == ["optimizers/toy"], name
        path.write_text(before)
        assert due(book) == []


def test_a_page_runs_again_when_a_library_changes(book, monkeypatch):
    assert problems(book) == []
    monkeypatch.setattr(freshness, "versions", lambda: ["torch 0"])
    assert due(book) == ["optimizers/toy"]


def test_a_page_runs_again_when_the_engine_changes(book, monkeypatch):
    assert problems(book) == []
    old = freshness.digest_of
    changed = lambda path: "x" if path.name == "rounding.py" else old(path)  # noqa: E731
    monkeypatch.setattr(freshness, "digest_of", changed)
    freshness.engine.cache_clear()  # as in another process
    try:
        assert due(book) == ["optimizers/toy"]
    finally:
        freshness.engine.cache_clear()


def test_what_is_made_of_a_text_is_remembered(tmp_path, monkeypatch):
    made = []

    def shout(text):
        made.append(text)
        return [text.upper()]

    note = tmp_path / "kept" / "note.json"
    remember = partial(freshness.remembered, note, make=shout)
    assert [remember("a"), remember("a"), remember("b")] == [["A"], ["A"], ["B"]]
    assert made == ["a", "b"]
    note.write_text("{")
    assert remember("b") == ["B"]
    monkeypatch.setattr(freshness, "engine", lambda: "another")
    assert remember("b") == ["B"]
    assert made == ["a", "b", "b", "b"]


@pytest.mark.parametrize(
    "code",
    [
        "import half",
        "if True:\n    import half",
        "def f():\n    try:\n        pass\n    except E:\n        from half import x",
        "for i in x:\n    pass\nelse:\n    import half.deep",
        "match x:\n    case 1:\n        import half",
        "try:\n    pass\nfinally:\n    import half as h",
        "with x:\n    class A:\n        import half",
        "x = 1; import half",
        "if True: import half",
        "from half import (  # :)\n    x,\n)",
        "import no_file, \\\n    half",
        '"""It is taken\nfrom the half."""\nimport half',
    ],
)
def test_imports_are_seen_wherever_they_stand(tmp_path, code):
    for name, text in {
        "script.py": code,
        "half.py": "import deep",
        "deep.py": "",
        "no.py": "",
    }.items():
        (tmp_path / name).write_text(text)
    found = freshness.depends_on(tmp_path, tmp_path / "script.py")
    assert sorted(path.name for path in found) == ["deep.py", "half.py", "script.py"]


def test_a_hash_is_of_what_the_file_holds_now(tmp_path, monkeypatch):
    file = tmp_path / "file.py"
    file.write_text("a = 1")
    status = file.stat()  # the clock of many systems stands still for milliseconds
    monkeypatch.setattr(Path, "stat", lambda path: status)
    before = freshness.digest_of(file)
    file.write_text("a = 2")
    assert freshness.digest_of(file) != before


def test_the_libraries_that_pages_import_are_those_whose_versions_count():
    said = {row.rpartition(" ")[0] for row in freshness.versions()}
    assert {"numpy", "torch", *PACKAGES.values()} <= said


def test_what_was_not_verified_is_not_given(book):
    assert problems(book) == []
    book.edit("See $", "Look: $")
    with pytest.raises(PageError, match=r"toy\.md:1: changed since it was verified"):
        ran(book.root, read_book(book.root)[0])


def test_what_was_found_stays_until_a_run_ends(book, monkeypatch):
    """`dlkb prepare` reads what it found while a `dlkb serve` beside it runs the page again."""
    assert problems(book) == []
    found, run_apart, seen = noted(book.root, "optimizers/toy"), verify_module.run_apart, []

    def watched(*arguments):
        for event in run_apart(*arguments):
            yield event
            since = running_since(book.root, "optimizers/toy")
            seen.append((since, noted(book.root, "optimizers/toy") == found))

    monkeypatch.setattr(verify_module, "run_apart", watched)
    book.edit("See $", "Look: $")
    before = time.time()
    assert problems(book) == []
    *during, after = seen
    assert all(since >= before - 1 and same for since, same in during)
    assert after == (None, False)
    assert noted_stems(book.root) == {"optimizers/toy"}


def test_a_broken_cache_is_no_cache(book):
    assert problems(book) == []
    (book.root / CACHE / "optimizers/toy.json").write_text(json.dumps({})[:-1])
    assert due(book) == ["optimizers/toy"]


def test_the_book_itself_stays_verified(tmp_path):
    """The engine is under this root, and names files that it writes; none makes a page stale."""
    root = Path(__file__).parents[3]
    page = read_book(root, ["optimizers/adam"])[0]
    before = verify_module._key(root, page)
    engine = tmp_path / "engine.py"
    engine.write_text("CACHE = 'written.json'\n")
    keys = []
    for text in ("1", "2"):
        (tmp_path / "written.json").write_text(text)
        keys.append(freshness.page_key(tmp_path, page, [engine]))
    assert keys[0] == keys[1]
    note = root / CACHE / "none.json"
    freshness.write(note, b"{}")
    try:
        assert verify_module._key(root, page) == before
    finally:
        note.unlink()


def examined(moved):
    """Return what comes of the page, run in this process."""
    return list(examine(Session(read_book(moved.root)[0])))


def test_all_that_needs_a_run_is_held_after_it(moved):
    moved.edit("```pycon\n>>> 1 / 3", "``` {.pycon .digits}\n>>> 1 / 3")
    assert not [item for item in examined(moved) if isinstance(item, Problem)]
    assert not [item for item in examined(moved) if isinstance(item, Outcome) and item.error]
    moved.edit("square(x) -->", "square(x) + 1 -->")
    faults = [item.error for item in examined(moved) if isinstance(item, Outcome) and item.error]
    line = moved.line("square(x) + 1 -->")
    assert faults == [f"line {line}: shows 2.25, but square(x) + 1 is 3.25"]
    moved.edit(">>> square(6)\n36\n", ">>> square(6)\n36\n>>> round(0.12500000001, 2)\n0.13\n")
    (problem,) = [item for item in examined(moved) if isinstance(item, Problem)]
    assert "another processor may round it the other way" in problem.message


FALSE = (
    "$$ y = -\\operatorname{erf}(x) \\label{eq:e} $$\n\n/// tied | `dlkb.arrays.erf(x)`\n"
    '    attrs: {data-equation: "eq:e", data-where: "array -1 < x < 1"}\n///\n'
)


def test_ties_are_held_with_and_without_code(moved):
    moved.edit("Two steps.", FALSE)
    assert [i for i in examined(moved) if isinstance(i, Problem) and "eq:e and" in i.message]
    index = moved.root / "docs" / "optimizers" / "index.md"
    index.write_text(f"# Optimizers\n\n{FALSE}")
    found = verify(moved.root, ["optimizers/index"])
    assert [problem.path for problem in found if "eq:e and" in problem.message] == [index]


def test_pages_are_noted_beside_each_other(book):
    other = book.page.with_name("other.md")
    other.write_text(book.page.read_text().replace("c-001", "c-002"))
    verify(book.root)
    assert noted_stems(book.root) == {"optimizers/toy", "optimizers/other"}


def test_what_the_engine_writes_is_no_data_of_a_page_that_imports_it(book, monkeypatch):
    (book.root / "engine.py").write_text("CACHE = 'written.json'\n")
    monkeypatch.setattr(freshness, "ENGINE", (book.root / "engine.py",))
    book.edit(">>> square(3)", ">>> import engine\n>>> square(3)")
    (page,) = read_book(book.root)
    before = freshness.page_key(book.root, page, [])
    (book.root / "written.json").write_text("1")
    assert freshness.page_key(book.root, page, []) == before
    (book.root / "engine.py").write_text("CACHE = 'other.json'\n")
    assert freshness.page_key(book.root, page, []) != before
