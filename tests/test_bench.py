"""The benchmarks run, on small sizes: what they time is of no interest here."""

import shutil
import subprocess
import sys

import pytest
import torch

from dlkb.book.publish.search_index import TEXTS, TITLES
from scripts.bench import book, formulas, lora, optimizers, peers, profiles, sharded, timing
from scripts.bench.timers import PARTS


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Shrink what is measured."""
    monkeypatch.setattr(timing, "BLOCK", 0.0)
    monkeypatch.setattr(lora, "WIDTH", {"cpu": 16})
    monkeypatch.setattr(lora, "TOKENS", {"cpu": (2, 3)})
    monkeypatch.setattr(optimizers, "transformer", lambda: [torch.randn(3, 5), torch.randn(5)])
    monkeypatch.setattr(optimizers, "tiny", lambda: [torch.randn(4)])
    for module in (formulas, profiles):
        monkeypatch.setattr(module, "SIZES", {"cpu": (2**11, 2**11)})


def test_peers_run_topics_from_all_over_the_book_and_the_one_that_is_edited():
    found = [page.stem for page in peers.sample(timing.ROOT)]
    assert len(found) == len(peers.topics(timing.ROOT)) // peers.EVERY
    assert len({stem.split("/")[0] for stem in found}) > 8
    assert book.EDITED in found


def test_an_edit_leaves_a_page_that_keeps_the_rules(tmp_path):
    page, (before, last) = tmp_path / "page.md", ("# Page\n\nText.\n", "References\n")
    page.write_text(f"{before}\n## {last}")
    for word in ("word0", "word1"):
        peers.edit_page(page, word)
        assert page.read_text() == f"{before}\n{word}\n\n## {last}"


def test_formulas_are_measured_beside_their_peers(monkeypatch):
    chosen = [pair for pair in formulas.pairs() if pair.name in ("swiglu", "global_norm")]
    monkeypatch.setattr(formulas, "pairs", lambda: iter(chosen))
    monkeypatch.setattr(formulas, "DTYPES", (torch.float32,))
    monkeypatch.setattr(formulas, "SIZES", {"cpu": (2**11,)})
    rows = list(formulas.measure("cpu"))
    assert [(r["name"], r["backward"], r["arrays"]) for r in rows] == [
        ("swiglu", False, 3),
        ("swiglu", True, 3),
        ("global_norm", False, 1),
        ("global_norm", True, 1),
    ]
    assert all(
        r["rounds"].keys() == {"compiled", "eager", "torch", "torch, compiled", "copy"}
        for r in rows
    )


def test_what_computes_something_else_is_not_timed():
    x = torch.linspace(-2, 2, 2**11).reshape(-1, 1024)
    pair = next(p for p in formulas.pairs() if p.name == "silu")
    formulas.check_equal(pair, pair.theirs, {"silu": pair.theirs}, x)
    with pytest.raises(AssertionError):
        formulas.check_equal(pair, pair.theirs, {"silu": torch.nn.functional.gelu}, x)


def test_sharded_steps_are_measured_in_each_process(monkeypatch):
    monkeypatch.setattr(sharded, "SIZES", (7, 4, 1))
    monkeypatch.setattr(sharded, "DTYPES", (torch.float32,))
    (row,) = sharded.measure("cpu")
    assert row["tensors"] == 15
    assert row["rounds"].keys() == row["bytes"].keys() == row["state"].keys()
    assert row["entries"] == 280
    # Two moments of four bytes. Of the seven rows of the embedding this process has four.
    assert set(row["state"].values()) == {2 * 4 * (280 // 2 + 4 // 2)}


def test_lora_is_measured_beside_peft():
    names = [(row["name"], row["dtype"]) for row in lora.measure("cpu")]
    assert len(names) == len(set(names)) == 12


def test_optimizers_are_measured_beside_those_of_torch(monkeypatch):
    monkeypatch.setattr(optimizers, "KINDS", {"AdamW": optimizers.KINDS["AdamW"]})
    rows = list(optimizers.measure("cpu"))
    assert [(r["model"], r["entries"]) for r in rows] == [("transformer", 20)] * 2 + [
        ("tiny", 4)
    ] * 2


def test_every_task_is_profiled():
    found = {name: profiles.operators(work, "cpu") for name, work in profiles.tasks("cpu")}
    assert len(found) == 5
    assert all(sum(parts.values()) > 0 for parts in found.values())


SMALL_SITE = """
import sys
from pathlib import Path
from scripts.bench import search

search.ROUNDS, search.SLOWER, search.QUERIES = 2, 1, ["dropout"]
for row in search.search(Path(sys.argv[1]), 1):
    assert row["rounds"].keys() == {"ours", "lunr"} and len(row["rounds"]["lunr"]) == 2, row
    print(row["name"])
"""


def test_search_is_measured_beside_lunr(tmp_path):
    (tmp_path / "assets").mkdir()
    (tmp_path / "search").mkdir()
    shutil.copy(timing.ROOT / "docs" / "assets" / "rank.js", tmp_path / "assets")
    entries = '[[0, "page", "", "Dropout", "drop path"], [0, "section", "why", "Why", ""]]'
    titles = f'dlkbIndex.titles={{"pages": [["dropout/", "Dropout"]], "entries": {entries}}}'
    (tmp_path / TITLES).write_text(titles)
    (tmp_path / TEXTS).write_text('dlkbIndex.texts=["Dropout drops.", "It is why."]')
    # In a process of its own: the tests of the site hold Playwright's loop in this one.
    command = [sys.executable, "-c", SMALL_SITE, str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=timing.ROOT)
    assert ran.stdout.splitlines() == [
        "search made ready, as on a phone",
        "a search, as on a phone",
    ], ran.stderr


@pytest.mark.parametrize("task", PARTS)
def test_what_is_timed_is_there(task):
    """In a process of its own, since functions are replaced."""
    code = f"from scripts.bench.timers import PARTS, Timers; Timers().time_parts(PARTS['{task}'])"
    subprocess.run([sys.executable, "-c", code], cwd=timing.ROOT, check=True)
