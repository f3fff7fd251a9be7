from dlkb.book.publish.export import parts
from dlkb.book.publish.solutions import BELOW, apart
from dlkb.book.read.book import read_book
from dlkb.book.read.parts import Fence

EXERCISES = """\
## Exercises

**1.** How much?

/// details | Solution
    open: true

Nine.

```pycon
>>> square(-3)
9
```

/// note | Remark
Too.
///
///

**2.** Why?

/// details | Hint
Because.
///

/// details | Solution
So.
///

## References
"""


def pieces(book):
    book.edit("## Exercises\n\n## References\n", EXERCISES)
    page = read_book(book.root)[0]
    return page, *apart(page)


def test_solutions_are_taken_out_and_stand_alone(book):
    page, body, alone = pieces(book)
    assert body.text.count(BELOW) == 2
    for gone in ("Nine.", "square(-3)", "Remark", "So.", "| Solution"):
        assert gone not in body.text
    for kept in ("**1.** How much?", "**2.** Why?", "Because.", "## References"):
        assert kept in body.text
        assert kept not in alone.text
    assert alone.text.split() == [
        *"**Solution of exercise 1** Nine. ```pycon >>> square(-3) 9 ```".split(),
        *"/// note | Remark Too. /// **Solution of exercise 2** So.".split(),
    ]
    assert page.text.count("\n") == body.text.count("\n") == alone.text.count("\n")


def test_fences_go_with_their_text(book):
    page, body, alone = pieces(book)
    assert [fence.code for fence in alone.fences] == [">>> square(-3)\n9\n"]
    assert len(body.fences) + 1 == len(page.fences)
    (fence,) = (part for part in parts(alone) if isinstance(part, Fence))
    assert page.path.read_text().split("\n")[fence.line - 1] == ">>> square(-3)"


def test_a_page_without_solutions_stays(book):
    page = read_book(book.root)[0]
    body, alone = apart(page)
    assert body == page
    assert alone.text.strip() == ""
    assert alone.fences == ()
