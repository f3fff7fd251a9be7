import pytest

from dlkb.book.hold.budget import unfolded, unfolded_words
from dlkb.book.hold.check import book_problems
from dlkb.book.read.book import read_book


def messages(book):
    return [problem.message for problem in book_problems(book.root)]


def words(book):
    return unfolded_words(read_book(book.root)[0])


IMAGE = "![A wave that rises and falls.](../assets/figures/optimizers/toy/wave.svg)\n"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("level: basic", "level: easy", "'level' must be one of basic, intermediate, advanced"),
        ("size: S", "size: XL", "'size' must be one of L, M, S, not 'XL'"),
        ("size: S\n", "", "'size' must be one of L, M, S, not None"),
        ("level: basic\n", "", "'level' must be one of basic, intermediate, advanced, not None"),
        ("requires: []\n", "", "the front matter lacks 'requires'"),
        ("requires: []", "requires: [optimizers/sgd]", "'requires' names 'optimizers/sgd'"),
        ("requires: []", "requires: [optimizers/toy]", "'requires' names 'optimizers/toy'"),
        ("## Statements, tested", "## What the notes say", "lacks the part 'Statements, tested'"),
        ("## In code", "### In code", "lacks the part 'In code'"),
        (IMAGE, "", "a figure must stand before 'The idea'"),
    ],
)
def test_each_broken_rule(moved, old, new, message):
    moved.edit(old, new)
    assert [said for said in messages(moved) if message in said], messages(moved)


def test_a_figure_below_the_idea_is_no_picture_before_it(moved):
    moved.edit(IMAGE, "")
    moved.edit("Two steps.\n", f"Two steps.\n\n{IMAGE}")
    assert "a figure must stand before 'The idea'" in messages(moved)


def test_parts_in_the_order_for_readers(moved):
    text = moved.page.read_text()
    moved.page.write_text(
        text.replace("## In practice", "## X").replace("## Derivation", "## In practice")
        .replace("## X", "## Derivation")
    )  # fmt: skip
    assert any("parts out of order; keep The idea, In practice" in said for said in messages(moved))


@pytest.mark.parametrize(("columns", "wide"), [(76, False), (77, True)])
def test_width_of_code_and_outputs(moved, columns, wide):
    moved.edit("Two steps.", f"```pycon\n>>> {'x' * (columns - 4)}\n```")
    found = [said for said in messages(moved) if "columns" in said]
    assert found == ([f"code is {columns} columns wide: at most 76 are shown"] if wide else [])
    moved.edit("4 mean 7.2673", "4 mean 7.2673 " + "y" * (columns - 14))
    found = [said for said in messages(moved) if "output of this fence" in said]
    assert bool(found) is wide


@pytest.mark.parametrize(("columns", "wide"), [(76, False), (77, True)])
def test_width_of_examples_in_docstrings(moved, columns, wide):
    module = moved.root / "dlkb" / "optimizers" / "toy.py"
    module.parent.mkdir(parents=True)
    name = "x" * (columns - 4)
    module.write_text(f'def f():\n    """Do it.\n\n    Example:\n        >>> {name}\n    """\n')
    found = [said for said in messages(moved) if "an example is" in said]
    assert bool(found) is wide
    if wide:
        assert found[0].startswith("dlkb/optimizers/toy.py:5: an example is 77 columns wide")


@pytest.mark.parametrize(
    ("table", "cut"),
    [
        ("| a | b |\n|--:|:-:|\n| c | d |\n| e | f |", False),
        ("| a | b |\n|---|---|\n| c | d |\n\n| e | f |", True),
        ("| a | b |\n|---|---|\n| c | d |\n\n| e | f |\n| g | h |", True),
        ("```text\n| e | f |\n```", False),
    ],
)
def test_rows_cut_off_from_their_table(moved, table, cut):
    moved.edit("Square it.", f"Square it.\n\n{table}\n")
    found = [
        problem for problem in book_problems(moved.root) if "without a head" in problem.message
    ]
    assert bool(found) is cut
    for problem in found:
        assert moved.page.read_text().split("\n")[problem.line - 1] == "| e | f |"


def test_what_is_unfolded(moved):
    text = unfolded(read_book(moved.root)[0])
    for shown in ("Square it.", "Up to 77.", "two is five", "No.", "By hand", "Is it 36?"):
        assert shown in text
    for folded in ("Two steps", "It is 36", "verdict", "print(", "wave", "<!--", "data-evidence"):
        assert folded not in text


@pytest.mark.parametrize(
    ("old", "new", "more"),
    [
        ("Square it.", "Square it, and again.", 2),
        ("Square it.", "Square it: $x = 1 + 2$.", 1),
        ("Square it.", "Square it.\n\n$$ x = 1 + 2 $$", 0),
        ("Square it.", "Square [it](../x/y.md).", 0),
        ("Square it.", "Square it.\n\n| two words |\n|---|\n| here |", 3),
        ("Two steps.", "Two steps and more of them.", 0),
        ("It is 36.", "It is 36 or more.", 0),
        ("No.\n", "No, it is four.\n", 3),
        ("'refuted'\n```\n", "'refuted'\n```\n\nSeen after the evidence.\n", 0),
    ],
)
def test_words_that_count(moved, old, new, more):
    before = words(moved)
    moved.edit(old, new)
    assert words(moved) == before + more


@pytest.mark.parametrize(("size", "most"), [("S", 600), ("M", 1200), ("L", 1200)])
def test_budget(moved, size, most):
    moved.edit("size: S", f"size: {size}")
    missing = most - words(moved)
    moved.edit("Square it.", "Square it. " + "word " * missing)
    assert words(moved) == most
    assert messages(moved) == []
    moved.edit("Square it.", "Square it. More")
    assert messages(moved) == [f"{most + 1} words stand unfolded, at most {most}: cut, or fold"]
