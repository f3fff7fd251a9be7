"""The page on benchmarks says what was measured, and nothing else."""

import json
import math
from pathlib import Path

import pytest

from dlkb.book.publish.benchmarks import benchmarks_markdown, write_benchmarks
from dlkb.book.publish.goals import FUSED, goals, peak
from dlkb.book.publish.measured import geometric_mean, load, ratio, spread

ROOT = Path(__file__).parents[3]
STAMP = {
    "processor": "Some CPU",
    "threads": 2,
    "torch": "2.13.0",
    "python": "3.11.7",
    "compiler": "c++ 12",
    "date": "2026-11-22",
    "commit": "abc1234",
    "changed": False,
}


def formula(
    ours: float, *, backward: bool = True, entries: int = 2**20, name: str = "soft_threshold"
) -> dict:
    rounds = {"compiled": [ours] * 3, "eager": [4.0] * 3, "torch": [2.0] * 3, "copy": [0.5] * 3}
    rounds["torch, compiled"] = [5.0 if entries == 2**22 else 1.0] * 3
    return {
        "name": name,
        "peer": "F.softshrink",
        "dtype": "float32",
        "entries": entries,
        "backward": backward,
        "rounds": rounds,
    }


def optimizer(model: str, ours: float, extra: int = 0) -> dict:
    times = {"ours": ours, "ours, compiled": ours, "default": 6.0, "foreach": 5.0, "fused": 2.0}
    return {
        "name": "AdamW",
        "model": model,
        "tensors": 100,
        "entries": 2**20,
        "dtype": "float32",
        "rounds": {kind: [seconds] * 3 for kind, seconds in times.items()},
        "bytes": dict.fromkeys(times, 0) | {"ours": extra},
    }


def page(**parts) -> str:
    return benchmarks_markdown(
        {"cpu": {k: {"stamp": STAMP, "rows": rows} for k, rows in parts.items()}, "cuda": {}}
    )


def verdicts(**parts) -> dict[str, tuple[str, bool]]:
    measured = {"cpu": {k: {"rows": rows} for k, rows in parts.items()}, "cuda": {}}
    return {goal.wanted.split(":")[0]: (goal.shown, goal.holds) for goal in goals(measured)}


def test_ratio_is_formed_round_by_round():
    # In the second round the machine was ten times slower for both.
    row = {"rounds": {"ours": [1.0, 10.0, 1.0], "peer": [2.0, 20.0, 4.0]}}
    assert ratio(row, "ours", "peer") == (0.5, 0.375, 0.5)
    assert spread([3.0]) == (3.0, 3.0, 3.0)
    assert geometric_mean([0.5, 2.0]) == pytest.approx(1.0)


def test_nothing_measured_says_so_and_meets_no_goal():
    text = page()
    assert text.count("Not measured.") == 13  # eight parts, five of them on two devices
    assert "0 of 19 goals" in text
    assert "yes" not in text.split("## Formulas")[0].split("|---|")[1]
    assert all(shown == "not measured" for shown, _ in verdicts().values())


def test_goals_are_judged_by_the_measured_ratios():
    found = verdicts(
        formulas=[formula(1.0), formula(4.0, entries=2**22), formula(9.0, backward=False)]
    )
    assert found["Formulas, compiled forward + backward against PyTorch's own"] == ("1.00", True)
    assert found["… and none worse than 1.3 from a million entries on"] == (
        "worst 2.00 (soft_threshold, float32, 4 Mi)",
        False,
    )
    small = verdicts(formulas=[formula(1.0), formula(9.0, entries=2**14)])
    assert small["… and none worse than 1.3 from a million entries on"] == (
        "worst 0.50 (soft_threshold, float32, 1 Mi)",
        True,
    )
    text = page(formulas=[formula(1.0), formula(4.0, entries=2**22)])
    assert "geometric mean 1.12, worst 2.50 (soft_threshold, float32, 4 Mi)" in text
    assert "| `F.softshrink`, compiled, against itself | 0.50 | 2.50 | 10 |" in text
    seven = [formula(2.0 * (1 + i), entries=2**22, name=name) for i, name in enumerate(FUSED)]
    larger = [formula(99.0, entries=2**24, name=name) for name in FUSED]
    goal = "… of the seven that PyTorch has fused for networks, 4 Mi entries"
    assert verdicts(formulas=seven + larger)[goal] == (f"{math.factorial(7) ** (1 / 7):.2f}", False)
    assert verdicts(formulas=seven[1:] + larger[1:])[goal] == ("not measured", False)
    assert "Not measured yet: dropout." in page(formulas=seven[1:])
    assert "`dlkb.nn.compiled`" in page(formulas=seven)
    assert "By formula: dropout 1.00, gelu 2.00, silu 3.00" in page(formulas=seven)
    found = verdicts(optimizers=[optimizer("transformer", 1.5), optimizer("tiny", 7.0)])
    assert found["Optimizers on the transformer"] == ("least 4.0 (AdamW, float32)", True)
    assert found["… ours / fused ≤ 1.2"] == ("worst 0.75 (AdamW, float32)", True)
    assert found["Optimizers on the tiny model"] == ("worst 1.17 (AdamW, float32)", False)
    gpu = optimizer("transformer", 9.0, extra=8)
    for needed, said in ((8, True), (1, False)):
        gpu["bytes"]["ours, compiled"] = needed
        measured = {"cpu": {}, "cuda": {"optimizers": {"rows": [gpu]}}}
        why = next(g.why for g in goals(measured) if g.wanted.startswith("… optimizers on the"))
        assert ("AdamW ran uncompiled here" in why) == said
    split = {"name": "AdamW", "dtype": "float32", "tensors": 3, "entries": 2**20}
    split |= {"rounds": {"ours": [3.0] * 2, "fused": [2.0] * 2}}
    split |= {"bytes": {"ours": 1, "fused": 4}, "state": {"ours": 80, "fused": 76}}
    found = verdicts(sharded=[split])
    assert found["Sharded by FSDP2 over two processes"] == ("worst 1.50 (float32)", False)
    memory = "… memory of a process ≤ that of fused plus 5 %"
    assert found[memory] == ("worst 1.012 times (float32)", True)
    found = verdicts(
        lora=[
            {"name": "merge", "dtype": "float32", "rounds": {"ours": [1.0] * 2, "peft": [2.0] * 2}}
        ]
    )
    assert found["LoRA"] == ("worst 0.50 (merge, float32)", True)
    verification = [
        {"name": "verification", "rounds": {"ours": [1.0], "nbclient": [4.0]}},
        {"name": "verification of all topics", "pages": 57, "rounds": {"ours": [80.0, 99.0]}},
    ]
    site = [
        {
            "name": "edit to refresh",
            "pages": 14,
            "rounds": {"ours": [1.0, 1.5, 9.0], "mkdocs": [9.0] * 3},
        },
        {"name": "site, warm", "pages": 57, "rounds": {"ours": [2.0], "mkdocs-jupyter": [3.0]}},
        {"name": "site, cold", "pages": 57, "rounds": {"ours": [9.0], "mkdocs-jupyter": [3.0]}},
    ]
    found = verdicts(verification=verification, site=site)
    assert found["Verification"] == ("least 4.0 (nbclient)", False)
    assert found["… all topics in 90 s"] == ("90 s (57 pages)", True)
    assert found["Edit to refresh ≤ 1 s"] == ("worst 1.50 s (14 pages)", False)
    assert found["Site of unchanged pages"] == ("0.67 (57 pages)", True)
    growth = [
        {"name": "site of synthetic pages", "pages": pages, "rounds": {"ours": [seconds]}}
        for pages, seconds in ((50, 3.0), (200, 6.0), (800, 30.0))
    ]
    assert "the names of all families into every page" in page(growth=growth)
    assert verdicts(growth=growth)["Linear cost"] == (
        "worst 2.00 times (site of synthetic pages)",
        False,
    )


def test_goals_of_the_gpu_are_set_beside_the_fastest_peer_and_a_copy():
    both = formula(3.0, entries=2**28) | {"arrays": 3}
    both["rounds"] = {**both["rounds"], "Liger-Kernel": [2.5] * 3}
    forward = {**both, "backward": False} | {"rounds": {**both["rounds"], "compiled": [0.6] * 3}}
    small = {**forward, "entries": 2**20} | {"rounds": {**both["rounds"], "compiled": [9.0] * 3}}
    parts = {
        "formulas": {"rows": [both, forward, small]},
        "optimizers": {"rows": [optimizer("transformer", 2.1), optimizer("tiny", 9.0)]},
    }
    fastest, bandwidth, steps = goals({"cpu": {}, "cuda": parts})[-3:]
    assert (fastest.shown, fastest.holds) == ("worst 1.50 (soft_threshold, float32, 256 Mi)", False)
    # Three arrays in 0.6 s beside a copy's two in 0.5 s.
    assert (bandwidth.shown, bandwidth.holds) == ("least 125% (soft_threshold)", True)
    assert (steps.shown, steps.holds) == ("worst 1.05 (AdamW, float32)", True)
    text = benchmarks_markdown(
        {"cpu": {}, "cuda": {name: {"stamp": STAMP, **part} for name, part in parts.items()}}
    )
    assert "compiled, against Liger-Kernel | 3.60 " in text


def test_peak_memory_counts_what_is_held_beside_what_a_step_needs():
    row = optimizer("transformer", 1.0, extra=2**20)
    assert peak(row, "fused") == 4 * 4 * 2**20
    assert peak(row, "ours") / peak(row, "fused") == pytest.approx(1 + 1 / 16)


def test_tables_hold_the_ratios_and_the_stamp():
    text = page(formulas=[formula(1.0), formula(3.0, entries=2**22)])
    row = next(line for line in text.split("\n") if line.startswith("| `soft_threshold`, compiled"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1:] == ["0.50", "1.50", "6.00"]
    assert str(spread([1.0, 2.0, 3.0, 30.0, 40.0])) == "3.00 <small>2.00–30</small>"
    assert "Some CPU, 2 threads, PyTorch 2.13.0" in text
    assert "commit abc1234.*" in text


def test_what_ran_beside_a_measurement_is_said():
    rows = [{"name": "verification", "pages": 14, "rounds": {"ours": [1.0], "nbclient": [4.0]}}]
    part = {"stamp": {**STAMP, "beside": "a build"}, "rows": rows}
    text = benchmarks_markdown({"cpu": {"verification": part}, "cuda": {}})
    assert "commit abc1234; beside it ran a build.*" in text


def test_what_is_committed_has_a_stamp_and_is_shown(tmp_path):
    measured = load(ROOT)
    assert measured["cpu"], "make bench writes benchmarks/cpu.json"
    for part in measured["cpu"].values():
        assert {"processor", "torch", "date", "commit"} <= part["stamp"].keys()
        for row in part["rows"]:
            for seconds in row.get("rounds", {}).values():
                assert all(math.isfinite(s) and s > 0 for s in seconds)
    (tmp_path / "docs").mkdir()
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "cpu.json").write_text(json.dumps(measured["cpu"]))
    write_benchmarks(tmp_path)
    assert (
        measured["cpu"]["formulas"]["stamp"]["commit"]
        in (tmp_path / "docs" / "benchmarks.md").read_text()
    )
