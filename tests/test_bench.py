"""The benchmarks run, on small sizes: what they time is of no interest here."""

import pytest
import torch

from scripts.bench import formulas, lora, optimizers, profiles, timing


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
    assert all(r["rounds"].keys() == {"compiled", "eager", "torch", "copy"} for r in rows)


def test_what_computes_something_else_is_not_timed():
    x = torch.linspace(-2, 2, 2**11).reshape(-1, 1024)
    pair = next(p for p in formulas.pairs() if p.name == "silu")
    formulas.check_equal(pair, pair.theirs, {"silu": pair.theirs}, x)
    with pytest.raises(AssertionError):
        formulas.check_equal(pair, pair.theirs, {"silu": torch.nn.functional.gelu}, x)


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
