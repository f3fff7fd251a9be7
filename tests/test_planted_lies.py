"""Planted lies: those that something notices and those that nothing does are told apart."""

import json
import signal
import subprocess
from collections import Counter

import matplotlib.pyplot as plt
import pytest

from dlkb.book.hold.reviewed import review
from dlkb.book.read.book import read_book
from dlkb.book.read.pages import read_page
from dlkb.book.run.processes import run_apart
from scripts.lies.drawn import Falsifier
from scripts.lies.equations import equation_lies, held_labels, ties_notice
from scripts.lies.lie import Lie, Verdict, plant, together
from scripts.lies.links import Site, link_lies
from scripts.lies.notice import noticed, rules, tables
from scripts.lies.page import bibliography_verdicts
from scripts.lies.report import GOALS, missed_goals, summary
from scripts.lies.running import at_most, run_lies
from scripts.lies.texts import text_lies
from scripts.lies.words import denied, false_sentences, other_numbers
from scripts.planted_lies import copy_tree
from tests.book.conftest import Book
from tests.book.hold.conftest import MOVED

BIBLIOGRAPHY = """\
@article{kingma2015,
  author = {Kingma, Diederik and Ba, Jimmy},
  title = {Adam},
  year = {2015},
  eprint = {1412.6980},
  confirmed = {section 2.1},
}

@article{loshchilov2019,
  author = {Loshchilov, Ilya},
  title = {Decoupled},
  year = {2019},
  eprint = {1711.05101},
}
"""
SCRIPT = """\
def wave() -> Figure: ...
def wave_says() -> dict[str, bool]: ...
def ring() -> Figure: ...
def ring_says() -> dict[str, bool]: ...
"""


@pytest.fixture
def toy(tmp_path):
    book = Book(tmp_path)
    script = book.root / "scripts" / "figures" / "optimizers" / "toy.py"
    script.parent.mkdir(parents=True)
    script.write_text(SCRIPT)
    book.page.write_text(MOVED.replace("```pycon\n>>> 1 / 3", "``` {.pycon .digits}\n>>> 1 / 3"))
    (book.root / "docs" / "references.bib").write_text(BIBLIOGRAPHY)
    return book


def text_verdicts(book, kind):
    """Plant the lies of one kind that need no run."""
    (page,) = read_book(book.root)
    text = book.page.read_text()
    lies = [lie for lie in text_lies(book.root, page, text) if lie.kind == kind]
    found = noticed(book.page, book.root / "docs", page.stem, lies, rules(book.root), "rules")
    assert book.page.read_text() == text
    return {(one.was, one.says): one.by for one in found}


def run_verdicts(book):
    pages = read_book(book.root)
    text = book.page.read_text()
    found = [item for _, item in run_apart(run_lies, book.root, pages)]
    assert book.page.read_text() == text
    return [item for item in found if isinstance(item, Verdict)]


def outputs(book):
    return {(v.was, v.says): v.by for v in run_verdicts(book) if v.kind == "output"}


# Kinds that the rules notice -------------------------------------------------------------------


def test_a_number_that_is_printed_elsewhere_too_goes_unnoticed(toy):
    toy.edit("Is it 36?", "Is it 35?")
    toy.edit(">>> square(6)\n36", ">>> square(6), square(6) - 1, 37\n(36, 35, 37)")
    found = text_verdicts(toy, "number")
    assert found["36", "37"] == ""  # printed in the same exercise
    assert found["36", "46"] == "rules"
    assert found["35", "45"] == "rules"
    assert found["7.27", "7.28"] == found["7.27", "8.27"] == "rules"


def test_numbers_that_are_bound_are_left_to_the_run(toy):
    assert ("1.5", "1.6") not in text_verdicts(toy, "number")
    found = {(v.was, v.says): v.by for v in run_verdicts(toy) if v.kind == "number"}
    wanted = {("1.5", "1.6"), ("1.5", "2.5"), ("2.25", "2.26"), ("2.25", "3.25")}
    assert found == dict.fromkeys(wanted, "run of the page")


def test_a_binding_that_agrees_with_anything_is_found_out(toy):
    toy.edit("2.25<!--= x; square(x) -->", "2.25<!--= x; str(x) and '2.2500' -->")
    toy.edit("2.25<!--=", "2.2<!--=")
    found = {(v.was, v.says): v.by for v in run_verdicts(toy) if v.kind == "number"}
    assert found["2.2", "2.3"] == "run of the page"
    toy.edit("and '2.2500'", "and '3.2'")
    found = {(v.was, v.says): v.by for v in run_verdicts(toy) if v.kind == "number"}
    assert found["2.2", "3.2"] == ""


def test_the_description(toy):
    found = text_verdicts(toy, "description")
    wanted = {("1.5", "1.6"), ("1.5", "2.5"), ("2.25", "2.26"), ("2.25", "3.25")}
    assert found == dict.fromkeys(wanted, "rules")


def test_what_a_review_sealed_is_noticed_and_what_it_did_not_is_not(toy):
    assert text_verdicts(toy, "verdict") == {
        ("refuted", "holds"): "rules",
        ("refuted", "outdated"): "rules",
    }
    change = (("", " not"),)
    assert text_verdicts(toy, "statement") == dict.fromkeys(change, "")
    assert text_verdicts(toy, "source") == {("001:16-18", "001:16-19"): ""}
    review(toy.root, read_book(toy.root))
    assert text_verdicts(toy, "statement") == dict.fromkeys(change, "rules")
    assert text_verdicts(toy, "source") == {("001:16-18", "001:16-19"): "rules"}


def test_the_ids_of_two_cards_are_exchanged(toy):
    start, end = toy.page.read_text().index("/// refuted"), toy.page.read_text().index("## Deriv")
    card = toy.page.read_text()[start:end]
    toy.edit(card, f"{card}{card.replace('c-001', 'c-004').replace('16-18', '20')}")
    (toy.root / "docs" / "claims.toml").write_text(
        '["optimizers/toy"]\nclaims = ["c-001", "c-004"]\n'
    )
    single = {("c-001", "c-002"): "rules", ("c-004", "c-005"): "rules"}
    before = text_verdicts(toy, "id")
    assert len(before) == 3
    assert before.items() >= single.items()
    assert list(before.values()).count("") == 1
    review(toy.root, read_book(toy.root))
    assert set(text_verdicts(toy, "id").values()) == {"rules"}


def test_descriptions_of_figures_and_exchanged_figures(toy, monkeypatch):
    second = (
        "\n![A ring of 12 points.](../assets/figures/optimizers/toy/ring.svg)\n"
        "/// figure-caption\nIt is round, and never 13 wide.\n///\n\n## In practice"
    )
    toy.edit("\n## In practice", second)
    wave = {"rises and falls": True, "Up to 77": True}
    says = {"wave": wave, "ring": {"A ring of 12 points": True, "It is round": True, "13": True}}
    monkeypatch.setattr("dlkb.book.hold.check.said", lambda root, stem: says)
    assert text_verdicts(toy, "alt text") == {
        ("rises", "falls"): "rules",
        ("falls", "rises"): "rules",
        ("12", "13"): "rules",
        ("12", "22"): "rules",
    }
    assert text_verdicts(toy, "caption") == {
        ("77", "78"): "rules",
        ("77", "87"): "rules",
        ("Up", "Down"): "rules",
        ("13", "14"): "rules",
        ("13", "23"): "rules",
        ("never", "always"): "",  # the phrase ends before it
    }
    assert text_verdicts(toy, "figure exchanged") == {
        ("wave", "ring"): "rules",
        ("ring", "wave"): "rules",
    }


def test_citations(toy):
    toy.edit("Square it.", "As in [@kingma2015, section 2.1], see [@loshchilov2019].")
    assert text_verdicts(toy, "citation's key") == {
        ("kingma2015", "kingma2010"): "rules",
        ("loshchilov2019", "loshchilov2010"): "rules",
    }
    assert text_verdicts(toy, "cited place") == {("2", "3"): "rules"}
    assert text_verdicts(toy, "citation exchanged") == {
        ("kingma2015", "loshchilov2019"): "rules",  # whose section 2.1 nobody looked up
        ("loshchilov2019", "kingma2015"): "",
    }


def test_the_bibliography(toy):
    toy.edit("Square it.", "As in [@kingma2015], see [@loshchilov2019].")
    text = (toy.root / "docs" / "references.bib").read_text()
    found = {(one.kind, one.was): one.by for one in bibliography_verdicts(toy.root)}
    assert (toy.root / "docs" / "references.bib").read_text() == text
    assert found["reference's year", "2015"] == found["reference's year", "2019"] == "rules"
    assert found["reference's author", "K"] == found["reference's author", "L"] == "rules"
    assert found["reference's title", ""] == found["reference's address", "1412.6980"] == ""


def test_comments_and_prose_are_held_by_nobody(toy):
    toy.edit("x = 1.5\n", "x = 1.5  # more than 13\n")
    toy.edit("Two steps.", "It rises.")
    assert text_verdicts(toy, "comment") == {("13", "14"): ""}
    assert text_verdicts(toy, "prose") == {
        ("rises", "falls"): "",
        ("below", "above"): "",
        ("No", "Every"): "",
    }
    assert not {"comment", "prose"} & GOALS.keys()


# Kinds that need more than the rules -------------------------------------------------------------

ERF = r"$$ y = \operatorname{erf}(x) + 1 \label{eq:e} $$" + "\n\n"
TIE = (
    "/// tied | `dlkb.arrays.erf(x)`\n"
    '    attrs: {data-equation: "eq:e", data-where: "array -1 < x < 1"}\n///\n\n'
)


def equation_verdicts(book):
    (page,) = read_book(book.root)
    text, found = book.page.read_text(), {}
    for label, lie in equation_lies(page, text):
        book.page.write_text(plant(text, [lie]))
        false = read_page(book.page, book.root / "docs")
        found[lie.says] = ties_notice(false, label)
    book.page.write_text(text)
    return found


def test_a_tie_notices_and_nothing_else_does(toy):
    square = r"$$ y = \frac{1}{2} \operatorname{erf}(x)^2 - c \ge 3 \label{eq:e} $$"
    toy.edit("Two steps.", square + "\n")
    says = ["+", r"\le", "", "2", "3", "4", r"\frac{1}{2}\frac"]
    assert equation_verdicts(toy) == dict.fromkeys(says, False)
    toy.edit(square, ERF.replace(" + 1", r" - \frac{0}{7}") + TIE)
    (page,) = read_book(toy.root)
    assert held_labels(page) == {"eq:e": "tied"}
    assert equation_verdicts(toy) == {  # 0/7 is 0/8, and half of it
        "+": False,
        "1": True,
        "8": False,
        r"\frac{1}{2}\frac": False,
    }


def test_what_takes_too_long_with_a_lie_ends_and_the_process_keeps_its_own_limit():
    def endless():
        while True:
            pass

    handler = signal.getsignal(signal.SIGALRM)
    signal.setitimer(signal.ITIMER_REAL, 100)
    try:
        with pytest.raises(TimeoutError), at_most(0.05):
            endless()
        left, _ = signal.getitimer(signal.ITIMER_REAL)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    assert 0 < left < 100
    assert signal.getsignal(signal.SIGALRM) == handler


@pytest.mark.parametrize("twice", [True, False])
def test_a_fence_that_reads_an_equation_notices(toy, twice):
    begin = "" if twice else ">>> seen = globals().get('seen', 0) + 1\n>>> seen\n1\n"
    fence = (
        f"```pycon\n{begin}>>> from dlkb.book import equation\n"
        '>>> equation("optimizers/toy", "eq:e").rhs\nx + 1\n```\n'
    )
    toy.edit("Two steps.", f"$$ y = x + 1 \\label{{eq:e}} $$\n\n{fence}")
    found = [v for v in run_verdicts(toy) if v.kind == "equation"]
    assert {v.says: v.by for v in found} == {"-": "run of the page", "2": "run of the page"}
    toy.edit(".rhs\nx + 1\n", ".lhs\ny\n")
    found = [v for v in run_verdicts(toy) if v.kind == "equation"]
    assert {v.says: v.by for v in found} == {"-": "", "2": ""}


def test_outputs_are_compared_with_what_was_printed(toy):
    toy.edit(
        "4 mean 7.2673\n```",
        "4 mean 7.2673\n```\n\n``` {.pycon .ellipsis}\n>>> square(2) == 4\nTrue\n>>> 'abc'\n'...'\n"
        ">>> square(1000)\n1...0\n>>> square('a')\nTraceback (most recent call last):\n"
        "TypeError: can't multiply sequence by non-int of type 'str'\n```",
    )
    found = outputs(toy)
    assert found["7.2673", "7.2674"] == "run of the page"
    assert found["True", "False"] == "run of the page"
    assert found["str", "unstr"] == "run of the page"
    assert found["refuted", "unrefuted"] == "run of the page"
    assert ("abc", "unabc") not in found


def test_an_output_that_asks_for_anything_goes_unnoticed(toy):
    toy.edit("Two steps.", "``` {.pycon .ellipsis}\n>>> print('1 x 12 13 2')\n1 ... 12 ...\n```")
    assert outputs(toy)["12", "13"] == ""
    toy.edit("print('1 x 12 13 2')", "print('1 x 12 14 2')")
    assert outputs(toy)["12", "13"] == "run of the page"


def test_links(toy):
    toy.edit("Square it.", "See [b](other.md), [it](#in-code), [c](other.md#there), `[d](e.md)`.")
    (toy.root / "docs" / "optimizers" / "other.md").write_text("# Other\n\n## There\n")
    text = toy.page.read_text()
    site = Site(toy.root)
    page = read_page(toy.page, toy.root / "docs")
    docs = toy.root / "docs"
    lies = link_lies(text)
    found = noticed(toy.page, docs, page.stem, lies, site.warnings, "site")
    assert {one.says: one.by for one in found} == {
        "other-x.md": "site",
        "#in-code-x": "site",
        "other-x.md#there": "site",
        "other.md#there-x": "site",
    }
    true = Lie("link", text.index("#in-code"), text.index("#in-code") + 8, "#in-practice")
    (one,) = noticed(toy.page, docs, page.stem, [true], site.warnings, "site")
    assert one.by == ""


def test_rows_that_the_libraries_gave(toy):
    table = "<!--peers: rows-->\n| a | b |\n|---|---|\n| torch | one |\n| [k](u#L3) | two |\n\n"
    toy.edit("Two steps.", table)
    text = toy.page.read_text()
    lies = [
        Lie("row", text.index(word), text.index(word) + 3, "six", toy.line(word))
        for word in ("one", "two")
    ]
    check = tables({"rows": {"torch": ("one",)}})
    found = noticed(toy.page, toy.root / "docs", "optimizers/toy", lies, check, "libraries")
    assert {one.was: one.by for one in found} == {"one": "libraries", "two": ""}


def test_what_is_drawn(monkeypatch):
    def wave():
        figure, ax = plt.subplots()
        ax.plot([0, 1, 2], [1.0, 2.0, 4.0], label="wave")
        ax.plot([1], [2.0], "o")  # which needs not be compared
        return figure

    lies = Falsifier()
    draw = lies.draws("wave", wave)
    lies.assert_draws(draw(), lines={"wave": [1, 2, 4]})
    assert lies.noticed == {("wave", 0, "_lines", 0): True, ("wave", 0, "_lines", 1): False}
    with pytest.raises(AssertionError):
        lies.assert_draws(draw(), lines={"wave": [1, 2, 5]})
    plt.close("all")


# Parts -------------------------------------------------------------------------------------------


def test_lies_that_cannot_be_told_apart_are_planted_one_after_the_other():
    first = Lie("number", 0, 2, "1", 3, "says 1")
    assert together([first, Lie("number", 5, 6, "2", 3, "says 2")]) == [
        [first, Lie("number", 5, 6, "2", 3, "says 2")]
    ]
    for other in (
        Lie("number", 1, 3, "2", 4),  # overlaps
        Lie("number", 5, 6, "1", 3, "says 1"),  # would be told in the same words
        Lie("id", 5, 6, "2", 4),
        Lie("number", 5, 6, "2"),  # any message would be about it
    ):
        assert len(together([first, other])) == 2


def test_a_page_that_cannot_be_read_notices_too(toy):
    text = toy.page.read_text()
    at = text.index("data-source")
    lies = [Lie("x", at, at + 11, "source", sign="1"), Lie("x", 0, 3, "...", 5, sign="2")]
    found = noticed(toy.page, toy.root / "docs", "toy", lies, rules(toy.root), "rules")
    assert [bool(one.by) for one in found] == [True, False]
    assert toy.page.read_text() == text


@pytest.mark.parametrize(
    ("text", "others"),
    [
        ("38", ["39", "48"]),
        ("9", ["8"]),
        ("0.90", ["0.91", "0.80"]),
        ("10^{-3}", ["10^{-4}", "20^{-3}"]),
        ("10⁻³", ["10⁻⁴", "20⁻³"]),
        ("a thousand", ["a million"]),
        ("a billion", ["a million"]),
        ("Twenty", ["thirty"]),
    ],
)
def test_other_numbers(text, others):
    assert other_numbers(text) == others


def test_each_sentence_turns_false():
    text = "It rises to 12. No change. It is round."
    assert [text[:a] + says + text[b:] for a, b, says in false_sentences(text)] == [
        "It rises to 13. No change. It is round.",
        "It rises to 22. No change. It is round.",
        "It falls to 12. No change. It is round.",
        "It rises to 12. Every change. It is round.",
        "It rises to 12. No change. It is not round.",
    ]
    assert denied("Adam does not converge.") == (0, 0, "It is false that: ")


def test_the_report_counts_what_was_noticed():
    found = [
        Verdict("number", "a/b", 3, "1", "2", "rules"),
        Verdict("number", "a/b", 4, "1", "2", ""),
        Verdict("prose", "a/c", 5, "is", "is not", ""),
    ]
    whole = summary(found, "abc")
    assert json.loads(json.dumps(whole))["kinds"]["number"] == {
        "planted": 2,
        "noticed": 1,
        "by": {"rules": 1},
        "goal": GOALS["number"],
    }
    assert whole["pages"] == {"a/b": {"number": [2, 1]}, "a/c": {"prose": [1, 0]}}
    assert [row["line"] for row in whole["unnoticed"]] == [4]  # prose is left to readers
    assert (whole["planted"], whole["noticed"], whole["commit"]) == (3, 1, "abc")
    message = "number: 97 of 100 noticed, 98% wanted"
    assert missed_goals({"number": 100}, {"number": 97}) == [message]
    assert missed_goals({"number": 100}, {"number": 98}) == []
    assert missed_goals(Counter(prose=5), Counter()) == []


def test_a_copy_holds_what_git_would_commit(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    (old / "docs").mkdir(parents=True)
    for name in ("docs/a.md", "new.py", "junk.o"):
        (old / name).write_text(name)
    (old / ".gitignore").write_text("*.o\n.cache\n")
    (old / ".cache").mkdir()
    (old / ".cache" / "figures.json").write_text("{}")
    subprocess.run(["git", "init", "-q"], cwd=old, check=True)
    subprocess.run(["git", "add", "docs"], cwd=old, check=True)
    copy_tree(old, new)
    names = {path.relative_to(new).as_posix() for path in new.rglob("*") if path.is_file()}
    assert names == {"docs/a.md", "new.py", ".gitignore", ".cache/figures.json"}
