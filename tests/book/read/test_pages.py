import pytest

from dlkb.book.read.pages import PageError, find_root, read_book, resolve


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


def test_root_is_found_from_below(book):
    assert find_root(book.page.parent) == book.root
