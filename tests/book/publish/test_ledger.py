import json
import re
from pathlib import Path

import pytest

from dlkb.book.publish.ledger import MEANING, claim_rows, ledger_markdown, write_ledger
from dlkb.book.read.book import read_book


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


def test_ledger_filters_and_links(book):
    text = ledger_markdown(book.root, read_book(book.root))
    assert f"| Refuted | {MEANING['refuted']} |" in text
    assert "| Holds |" not in text, "no verdict without a claim"
    assert (
        '<li id="c-001" class="claim" data-verdict="refuted" data-topic="optimizers/toy" '
        'data-evidence="checked"'
    ) in text
    assert (
        "[C-001](optimizers/toy.md#c-001) · Toy · notes 001, lines 16–18 · checked</small>" in text
    )
    assert re.findall(r'<input type="radio" name="(\w+)" value="(\w+)"( checked)?', text) == [
        ("verdict", "all", " checked"),
        ("verdict", "refuted", ""),
    ]
    assert re.findall(r'<option value="([^"]+)"( selected)?>([^<]*)', text) == [
        ("all", " selected", "All"),
        ("optimizers", "", "All of optimizers (1)"),
        ("optimizers/toy", "", "Toy (1)"),
        ("all", " selected", "All"),
        ("checked", "", "Checked (1)"),
    ]


def test_verdicts_mean_what_contributing_says():
    text = (Path(__file__).parents[3] / "CONTRIBUTING.md").read_text()
    table = text[text.index("| type | the notes' statement") :]
    said = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", table, re.MULTILINE))
    for name in ("holds", "conditional", "imprecise", "refuted", "buggy"):
        assert said[name] == MEANING[name]
    rare = re.search(r"^\| `outdated`, `opinion`, `missing` \| (.*) \|$", table, re.MULTILINE)
    assert rare[1].split(" · ") == [MEANING[name] for name in ("outdated", "opinion", "missing")]


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
    assert text.index("| Refuted |") < text.index("| Buggy code, repaired |")
    assert text.index('dict" value="refuted"') < text.index('dict" value="buggy"')
    assert "Toy (2)" in text
    assert "All of optimizers (2)" in text


@pytest.mark.parametrize(
    ("choice", "kept"),
    [
        ('[name="verdict"][value="refuted"]:checked', '[data-verdict="refuted"]'),
        ('[name="topic"] [value="optimizers/toy"]:checked', '[data-topic="optimizers/toy"]'),
        ('[name="topic"] [value="optimizers"]:checked', '[data-topic^="optimizers/"]'),
        ('[name="evidence"] [value="checked"]:checked', '[data-evidence="checked"]'),
    ],
)
def test_a_filter_hides_all_but_what_it_names(book, choice, kept):
    text = ledger_markdown(book.root, read_book(book.root))
    assert f".ledger:has({choice}) li:not({kept})" in text
    assert '"all"]:checked' not in text


def test_a_source_is_no_markup(book):
    book.edit('"001:16-18"', '"<b>&"')
    text = ledger_markdown(book.root, read_book(book.root))
    assert "notes &lt;b&gt;&amp; · checked" in text


def test_search_does_not_find_claims_twice(book):
    text = ledger_markdown(book.root, read_book(book.root))
    assert '<div class="ledger" data-search-exclude ' in text
