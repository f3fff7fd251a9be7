import json
import re

from dlkb.book.publish.ledger import claim_rows, ledger_markdown, write_ledger
from dlkb.book.read.pages import read_book


def test_rows_name_page_verdict_source_evidence_and_anchor(book):
    (row,) = claim_rows(read_book(book.root))
    assert row == {
        "id": "c-001",
        "topic": "optimizers/toy",
        "verdict": "refuted",
        "statement": "The square of two is five.",
        "source": "001:16-18",
        "evidence": "checked",
        "fences": 1,
        "anchor": "optimizers/toy/#c-001",
    }


def test_ledger_counts_filters_and_links(book):
    text = ledger_markdown(book.root, read_book(book.root))
    assert "| refuted | false | 1 |" in text
    assert '<li id="c-001" class="claim" data-verdict="refuted" data-family="optimizers"' in text
    assert "[C-001](optimizers/toy.md#c-001) The square of two is five." in text
    values = re.findall(r'<input type="radio" name="(\w+)" value="(\w+)"', text)
    assert set(values) == {
        ("verdict", "all"),
        ("verdict", "refuted"),
        ("family", "all"),
        ("family", "optimizers"),
    }
    # Every filter but "all" has its rule in the style sheet: no script is needed.
    for name, value in values:
        assert (f'[name="{name}"][value="{value}"]:checked' in text) == (value != "all")


def test_ledger_says_what_is_not_yet_answered(book):
    (book.root / "docs" / "claims.toml").write_text(
        '["optimizers/toy"]\nclaims = ["c-001"]\n["vision/swin"]\nclaims = ["c-002", "c-003"]\n'
    )
    text = ledger_markdown(book.root, read_book(book.root))
    assert "2 claims are assigned to pages that are not written: vision/swin (2)." in text


def test_files_are_written_only_if_they_change(book):
    pages = read_book(book.root)
    write_ledger(book.root, pages)
    path = book.root / "docs" / "claims.json"
    assert json.loads(path.read_text()) == claim_rows(pages)
    before = path.stat().st_mtime_ns
    write_ledger(book.root, pages)
    assert path.stat().st_mtime_ns == before
    book.edit("refuted |", "imprecise |")
    write_ledger(book.root, read_book(book.root))
    assert json.loads(path.read_text())[0]["verdict"] == "imprecise"
    assert not list(book.root.rglob("*.part"))


TWO = """\
/// {verdict} | Another statement.
    attrs: {{id: c-000, data-source: "001:1", data-evidence: checked}}

```text
not run
```
///

## In practice"""


def test_claims_in_the_order_of_their_numbers_and_verdicts_in_that_of_the_table(book):
    book.edit("## In practice", TWO.format(verdict="buggy"))
    pages = read_book(book.root)
    assert [row["id"] for row in claim_rows(pages)] == ["c-000", "c-001"]
    assert claim_rows(pages)[0]["fences"] == 0
    text = ledger_markdown(book.root, pages)
    assert text.index("| refuted |") < text.index("| buggy |")


def test_a_filter_hides_all_but_what_it_names(book):
    text = ledger_markdown(book.root, read_book(book.root))
    assert (
        '.ledger:has(input[name="verdict"][value="refuted"]:checked) '
        'li[data-verdict]:not([data-verdict="refuted"])'
    ) in text


def test_a_source_is_no_markup(book):
    book.edit('"001:16-18"', '"<b>&"')
    assert "notes &lt;b&gt;&amp; · checked" in ledger_markdown(book.root, read_book(book.root))
