import pytest

from dlkb.book.read.book import read_book, resolve
from dlkb.book.read.parts import PageError


def read(book):
    return read_book(book.root)[0]


def test_page_is_read_whole(book):
    page = read(book)
    assert (page.stem, page.title, page.is_topic) == ("optimizers/toy", "Toy", True)
    assert page.meta["description"] == "A page for tests."
    assert [h.text for h in page.headings][:3] == ["Toy", "The idea", "Derivation"]
    assert [f.language for f in page.fences] == ["python", "pycon", "python", "pycon", "bash"]
    assert len(page.runnable) == 4


def test_lines_are_those_of_the_file(book):
    page = read(book)
    lines = book.page.read_text().split("\n")
    for fence in page.fences:
        assert lines[fence.line - 1] == fence.code.split("\n")[0]
    for heading in page.headings:
        assert heading.text in lines[heading.line - 1]


def test_output_fence_belongs_to_the_python_fence_before_it(book):
    assert read(book).fences[2].shown == "4\n"


def test_claim_has_its_attributes_and_its_fences(book):
    (claim,) = read(book).claims
    assert (claim.id, claim.verdict, claim.source) == ("c-001", "refuted", "001:16-18")
    assert claim.statement == "The square of two is five."
    assert claim.evidence == "checked"
    assert len(claim.fences) == 1
    assert claim.body.startswith("No.")
    assert "square(2) == 5" in claim.body


def test_indented_fence_is_dedented(book):
    book.edit("```bash\nmake serve\n```", "- item\n\n  ```python\n  y = 1\n  ```")
    assert read(book).fences[-1].code == "y = 1\n"


def test_longer_fence_holds_a_shorter_one(book):
    book.edit("```bash\nmake serve\n```", "````text\n```python\nx\n```\n````")
    assert read(book).fences[-1].code == "```python\nx\n```\n"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("```bash\nmake serve\n```", "```bash\nmake serve\n", "this fence is not closed"),
        ("///\n\n## In practice", "\n## In practice", "block 'refuted' is not closed"),
        ("## In practice", "///\n\n## In practice", "nothing to close here"),
        ("id: c-001, ", "", "'refuted' lacks id"),
        (", data-evidence: checked", "", "'refuted' lacks data-evidence"),
        ("description: A page", "description: [A page", "front matter is not YAML"),
    ],
)
def test_broken_page_names_file_and_line(book, old, new, message):
    book.edit(old, new)
    with pytest.raises(PageError, match=message) as error:
        read(book)
    assert "toy.md:" in str(error.value)


def test_front_matter_must_end(book):
    book.page.write_text("---\ntitle: x\n")
    with pytest.raises(PageError, match="three dashes"):
        read(book)


@pytest.mark.parametrize("name", ["optimizers/adam", "adam", "docs/optimizers/adam.md", "adam.md"])
def test_a_page_is_found_by_stem_file_or_last_part(name):
    assert resolve(name, ["index", "optimizers/adam", "optimizers/sgd"]) == "optimizers/adam"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("optimizers/adm", "did you mean optimizers/adam"),
        ("dropot", "did you mean regularization/dropout"),
        ("zzz", "dlkb list"),
        ("index", "did you mean optimizers/index or vision/index"),
    ],
)
def test_unknown_page_suggests_the_nearest(name, hint):
    stems = ["optimizers/adam", "regularization/dropout", "optimizers/index", "vision/index"]
    with pytest.raises(PageError, match=hint):
        resolve(name, stems)


def test_an_output_below_prompts_is_nobody_s(book):
    book.edit("0.333\n```\n", "0.333\n```\n\n```output\n5\n```\n")
    pycon, output = read(book).fences[1:3]
    assert (pycon.language, pycon.shown) == ("pycon", None)
    assert output.language == "output"


def test_a_tie_knows_its_attributes(book):
    options = '{data-equation: "eq:square", data-where: "0 < x < 1", data-wear: "x"}'
    book.edit("See $", f"/// tied | `f(x)`\n    attrs: {options}\n///\n\nSee $")
    with pytest.raises(PageError, match=r"'tied' knows no data-wear: it knows data-equation, "):
        read(book)


def test_a_statement_is_read_without_its_bindings(book):
    book.edit("is five.\n", "is 25<!--= square(5) -->.\n")
    assert read(book).claims[0].statement == "The square of two is 25."


def test_generated_pages_are_no_part_of_the_book(book):
    for name in ("claims", "benchmarks"):
        (book.root / "docs" / f"{name}.md").write_text("# Generated\n")
    assert [page.stem for page in read_book(book.root)] == ["optimizers/toy"]


def test_a_line_in_a_block_is_no_heading_of_the_page(book):
    book.edit("No.\n", "No.\n\n## Within\n")
    assert "Within" not in [heading.text for heading in read(book).headings]


def test_a_family_s_page_is_no_topic(book):
    (book.root / "docs" / "optimizers" / "index.md").write_text("# Optimizers\n")
    assert [(p.stem, p.is_topic) for p in read_book(book.root)] == [
        ("optimizers/index", False),
        ("optimizers/toy", True),
    ]


def test_the_text_begins_behind_the_front_matter(book):
    page = read(book)
    assert page.first_line == book.line("# Toy") - 1
    lines = book.page.read_text().split("\n")
    assert lines[page.first_line - 1 :] == page.text.split("\n")
