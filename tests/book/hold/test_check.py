import pytest

from dlkb.book.hold import check
from dlkb.book.hold.check import book_problems, figure_names
from dlkb.book.hold.reviewed import review
from dlkb.book.read.book import read_book


def messages(book):
    return [problem.message for problem in book_problems(book.root)]


def test_good_book_has_no_problem(book):
    assert messages(book) == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "```bash\nmake serve",
            "```py\nmake serve",
            "this `py` fence looks like Python, but never runs",
        ),
        ("```bash\nmake serve", "```\nmake serve", "a fence needs a language"),
        ("## Exercises", "```output\n9\n```\n\n## Exercises", "must follow a `python` fence"),
        ("c-001, ", "c-002, ", "claim c-002 is not assigned to this page"),
        ("c-001, ", "c-002, ", "claim c-001 is assigned to this page but absent"),
        ("data-evidence: checked", "data-evidence: guessed", "evidence 'guessed' is none of"),
        ('"001:16-18"', '"page 4"', "source 'page 4' is not like"),
        ("data-evidence: checked", "data-evidence: cited", "names no reference"),
        (" | The square of two is five.", "", "has no statement"),
        ("## Derivation", "## Proof", "the page lacks the part 'Derivation'"),
        ("title: Toy\n", "", "the front matter lacks 'title'"),
        ("x^2 \\label", "\\nosuchcommand{x}^2 \\label", "nosuchcommand"),
        ("eqref{eq:square}", "eqref{eq:cube}", "no equation is labelled 'eq:cube'"),
        (
            "## Derivation",
            "![short](../assets/figures/optimizers/toy/wave.svg)\n\n## Derivation",
            "the alt text must say what is to be seen",
        ),
        (
            "## Derivation",
            "![A wave that rises and falls.](../assets/figures/optimizers/toy/wav.svg)\n\n"
            "## Derivation",
            "draws no figure 'wav', did you mean wave?",
        ),
    ],
)
def test_each_broken_rule_is_reported_at_its_line(book, old, new, message):
    script = book.root / "scripts" / "figures" / "optimizers" / "toy.py"
    script.parent.mkdir(parents=True)
    script.write_text("def wave() -> Figure: ...\n")
    book.edit(old, new)
    found = [p for p in book_problems(book.root) if message in p.message]
    assert found, messages(book)
    assert str(found[0]).startswith(f"{book.page}:")
    assert found[0].line >= 1


def test_math_problem_names_the_line_of_the_file(book):
    book.edit("x^2 \\label", "\\nosuchcommand{x}^2 \\label")
    assert book_problems(book.root)[0].line == book.line("\\nosuchcommand")


def test_checked_claim_without_a_running_fence(book):
    text = book.page.read_text()
    start = text.index("No.\n\n```pycon")
    end = text.index("///\n\n## Derivation")
    book.page.write_text(text[:start] + "No.\n" + text[end:])
    assert messages(book) == ["claim c-001 is checked, but no fence in its block runs"]


def test_parts_out_of_order(book):
    text = book.page.read_text().replace("## In practice", "## X").replace("## Exercises", "## Y")
    book.page.write_text(text.replace("## X", "## Exercises").replace("## Y", "## In practice"))
    assert "parts out of order" in messages(book)[0]


def test_claim_on_two_pages(book):
    copy = book.page.with_name("copy.md")
    copy.write_text(book.page.read_text())
    assert "claim c-001 has 2 blocks: keep one" in messages(book)


def test_figures_are_functions_that_return_a_figure(book):
    script = book.root / "scripts" / "figures" / "optimizers" / "toy.py"
    script.parent.mkdir(parents=True)
    script.write_text(
        "def wave() -> Figure: ...\ndef data() -> float: ...\ndef _part() -> Figure: ...\n"
        "def full() -> matplotlib.figure.Figure: ...\n"
    )
    assert figure_names(book.root, "optimizers/toy") == ["wave", "full"]


TIE = '/// tied | `dlkb.arrays.erf(x)`\n    attrs: {data-equation: "eq:%s"%s}\n///\n\nSee $'


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"001:16-18"', '"001:16-18 or so"', "source '001:16-18 or so' is not like"),
        ("description: A page for tests.\n", "", "the front matter lacks 'description'"),
        ("See $", TIE % ("cube", ', data-where: "0 < x < 1"'), "tied to 'eq:cube', but no"),
        (
            "See $",
            TIE % ("square", ', data-where: "0 < x < 1", data-with: "eq:root"'),
            "tied to 'eq:root', but no equation has this label",
        ),
        ("See $", "<!--peers: rows-->\n\nSee $", "no table stands on the line after this marker"),
    ],
)
def test_more_rules(book, old, new, message):
    book.edit(old, new)
    assert [said for said in messages(book) if message in said], messages(book)


def test_an_alt_text_of_twenty_characters_will_do(book):
    for length, short in ((20, False), (19, True)):
        text = book.page.read_text()
        book.edit(
            "## In code", f"![{'x' * length}](../assets/figures/other/wave.svg)\n\n## In code"
        )
        assert ("the alt text must say what is to be seen" in messages(book)) is short
        book.page.write_text(text)


def test_a_page_runs_something(book):
    text = book.page.read_text()
    for language in ("python", "pycon"):
        text = text.replace(f"```{language}", "```text").replace(f"{{.{language} .digits}}", "text")
    book.page.write_text(text)
    assert "a topic's page must have a fence that runs" in messages(book)


def test_the_bibliography_of_the_whole_book_is_held(book):
    bib = book.root / "docs" / "references.bib"
    bib.write_text("@book{ba, author = {Ba, J}, title = {T}, year = {2016}}\n")
    assert messages(book) == [
        "key 'ba': write ba2016",
        "no page cites ba: cite it, or take it out",
    ]
    assert book_problems(book.root, ["optimizers/toy"]) == []


def test_a_moved_page_keeps_its_contract_and_its_reviews(moved):
    review(moved.root, read_book(moved.root))
    moved.edit("is five, not 16", "is six, not 16")
    assert any("is not what was reviewed" in said for said in messages(moved))
    moved.edit("or 7.27,", "or 7.28,")
    assert any(said.startswith("nothing holds 7.28") for said in messages(moved))


def test_a_page_that_kept_the_rules_is_looked_at_when_what_they_read_changes(book, monkeypatch):
    looked = []
    real = check.page_problems

    def page_problems(root, page):
        looked.append(page.stem)
        return real(root, page)

    monkeypatch.setattr(check, "page_problems", page_problems)
    (book.root / "docs" / "first.md").write_text("# First\n")
    book.page.write_text(book.page.read_text().replace("requires: []", "requires: [first]"))
    script = book.root / "scripts" / "figures" / "optimizers" / "toy.py"
    for path in (book.root / "helper.py", script, book.root / "docs" / "reviewed.toml"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    script.write_text("import helper\n")
    assert messages(book) == []
    toy = "optimizers/toy"
    assert sorted(looked) == ["first", toy]
    for name, text in {
        "docs/optimizers/toy.md": book.page.read_text() + "\n",
        "docs/reviewed.toml": "# none\n",
        "docs/claims.toml": (book.root / "docs/claims.toml").read_text() + "# more\n",
        "docs/references.bib": "% none\n",
        "mkdocs.yml": (book.root / "mkdocs.yml").read_text() + "# more\n",
        "dlkb/optimizers/toy.py": "# a formula\n",
        "docs/optimizers/index.md": "# Optimizers\n",
        "scripts/figures/optimizers/toy.py": "import helper  # more\n",
        "helper.py": "A = 1\n",
    }.items():
        path = book.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        looked.clear()
        assert messages(book) == []
        assert toy in looked, name
        looked.clear()
        assert messages(book) == []
        assert looked == [], name
    monkeypatch.setattr(check, "said", lambda root, stem: {"wave": {"rises": True}})
    assert messages(book) == []
    assert toy in looked
    (book.root / "docs" / "first.md").unlink()
    assert [text for text in messages(book) if "first" in text]


def test_a_page_that_breaks_a_rule_breaks_it_each_time(book):
    book.edit("## Exercises", "## Tasks")
    assert messages(book) == messages(book) != []
