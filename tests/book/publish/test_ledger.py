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
