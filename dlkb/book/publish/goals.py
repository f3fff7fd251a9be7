"""The goals of the benchmarks and what came out."""

from statistics import median
from typing import Any

from dlkb.book.publish.goal import CALL, Goal, judge
from dlkb.book.publish.goals_gpu import gpu_goals
from dlkb.book.publish.measured import (
    COMPILED,
    CONTROL,
    Row,
    as_count,
    geometric_mean,
    ratio,
    rows_of,
)

FUSED = ("dropout", "gelu", "silu", "swiglu", "layer_norm", "rms_norm", "cross_entropy")
"""Formulas of networks for which PyTorch has kernels of its own."""


def goals(measured: dict[str, Any]) -> list[Goal]:
    """Return every goal with what was measured, those of the GPU last."""
    return [*_on_cpu(measured), *gpu_goals(measured)]


def _on_cpu(measured: dict[str, Any]) -> list[Goal]:
    backward = [r for r in rows_of(measured, "cpu", "formulas") if r["backward"]]
    formulas = [r for r in backward if r["name"] != CONTROL]
    large_arrays = [r for r in formulas if r["entries"] >= 2**20]
    fused = [r for r in formulas if r["name"] in FUSED and r["entries"] == 2**22]
    if {r["name"] for r in fused} < set(FUSED):
        fused = []  # a mean of some would be another number
    of_model: dict[str, dict[str, Row]] = {"transformer": {}, "tiny": {}}
    for r in rows_of(measured, "cpu", "optimizers"):
        of_model[r["model"]][f"({r['name']}, {r['dtype']})"] = r
    large, tiny = of_model["transformer"], of_model["tiny"]
    lora = {f"({r['name']}, {r['dtype']})": r for r in rows_of(measured, "cpu", "lora")}
    sharded = rows_of(measured, "cpu", "sharded")
    verified = rows_of(measured, "cpu", "verification")
    site = rows_of(measured, "cpu", "site")
    synthetic = rows_of(measured, "cpu", "growth")
    whole = [r for r in verified if r["name"] == "verification of all topics"]
    refreshed = [r for r in site if r["name"] == "edit to refresh"]
    unchanged = [r for r in site if r["name"] == "site, warm"]
    bound = [1 / ratio(r, "fused", "default").median for r in large.values()]
    return [
        judge(
            "Formulas, compiled forward + backward against PyTorch's own: geometric mean ≤ 1",
            {"": geometric_mean(map(_compiled, formulas))} if formulas else {},
            1.0,
            "{:.2f}",
            _by_size(formulas),
        ),
        judge(
            "… and none worse than 1.3 from a million entries on",
            {_named(r): _compiled(r) for r in large_arrays},
            1.3,
            "worst {:.2f}",
            _control(large_arrays),
        ),
        judge(
            "… of the seven that PyTorch has fused for networks, 4 Mi entries: geometric mean ≤ 1",
            {"": geometric_mean(_compiled(r) for r in fused)} if fused else {},
            1.0,
            "{:.2f}",
            f"{_by_name(fused)} {_control(fused)} Both norms scale each row by its largest entry "
            "before they square it, so that no square overflows, which PyTorch's do not.",
        ),
        judge(
            "Optimizers on the transformer: default / ours ≥ 3",
            {name: 1 / ratio(r, "ours", "default").median for name, r in large.items()},
            3.0,
            "least {:.1f}",
            "The arrays must be read and written once: PyTorch's fused kernel is itself "
            f"{min(bound, default=0):.1f} to {max(bound, default=0):.1f} times as fast as the "
            "default on this machine.",
            least=True,
        ),
        judge(
            "… ours / fused ≤ 1.2",
            {name: ratio(r, "ours", "fused").median for name, r in large.items()},
            1.2,
            "worst {:.2f}",
            "Besides the kernel, a step pays for its calls, for a view of each large tensor and "
            f"for joining the small ones. {CALL}",
        ),
        judge(
            "… peak memory ≤ that of fused plus 5 %",
            {name: peak(r, "ours") / peak(r, "fused") for name, r in large.items()},
            1.05,
            "worst {:.3f} times",
        ),
        judge(
            "Optimizers on the tiny model: ours / default ≤ 1",
            {name: ratio(r, "ours", "default").median for name, r in tiny.items()},
            1.0,
            "worst {:.2f}",
            "A step joins the tensors, checks its arguments and writes the tensors back: a fixed "
            "cost, which six tensors do not repay.",
        ),
        judge(
            "Sharded by FSDP2 over two processes: ours / fused ≤ 1.1",
            {f"({r['dtype']})": ratio(r, "ours", "fused").median for r in sharded},
            1.1,
            "worst {:.2f}",
        ),
        judge(
            "… memory of a process ≤ that of fused plus 5 %",
            {f"({r['dtype']})": _held(r, "ours") / _held(r, "fused") for r in sharded},
            1.05,
            "worst {:.3f} times",
        ),
        judge(
            "LoRA: no slower than peft in any measurement",
            {name: ratio(r, "ours", "peft").median for name, r in lora.items() if "rounds" in r},
            1.0,
            "worst {:.2f}",
            "Forward and backward multiply the same matrices as peft's. bfloat16 weights are "
            "merged in float32 and rounded once; peft rounds the product, then the sum.",
        ),
        judge(
            "… and no more memory",
            {n: r["bytes"]["ours"] / r["bytes"]["peft"] for n, r in lora.items() if "bytes" in r},
            1.0,
            "worst {:.2f} times",
        ),
        judge(
            "Verification: 8 times as fast as executing the notebooks",
            {
                f"({peer})": 1 / ratio(r, "ours", peer).median
                for r in verified
                for peer in ("nbclient", "mkdocs-jupyter")
                if r["name"] == "verification" and peer in r["rounds"]
            },
            8.0,
            "least {:.1f}",
            "The fences' own work, the same for both, is most of the time that is left.",
            least=True,
        ),
        judge(
            "… all topics in 90 s",
            {f"({r['pages']} pages)": median(r["rounds"]["ours"]) for r in whole},
            90.0,
            "{:.0f} s",
            "The fences' own work is most of it.",
        ),
        judge(
            "Edit to refresh ≤ 1 s",
            {f"({r['pages']} pages)": median(r["rounds"]["ours"]) for r in refreshed},
            1.0,
            "worst {:.2f} s",
        ),
        judge(
            "Site of unchanged pages: ours / mkdocs-jupyter ≤ 1",
            {f"({r['pages']} pages)": ratio(r, "ours", "mkdocs-jupyter").median for r in unchanged},
            1.0,
            "{:.2f}",
        ),
        judge(
            "Linear cost: a page more costs among 800 what it costs among 200, ≤ 1.2",
            {f"({name})": late / early for name, (early, late) in growth(synthetic).items()},
            1.2,
            "worst {:.2f} times",
            "mkdocs writes the names of all families into every page, and those of all pages of "
            "its own family.",
        ),
    ]


def _compiled(formula: Row) -> float:
    return ratio(formula, "compiled", "torch").median


def _named(formula: Row) -> str:
    return f"({formula['name']}, {formula['dtype']}, {as_count(formula['entries'])})"


def _by_size(formulas: list[Row]) -> str:
    """Say where in size the time is lost."""
    ratios: dict[int, list[float]] = {}
    for r in formulas:
        ratios.setdefault(r["entries"], []).append(_compiled(r))
    said = ", ".join(
        f"{geometric_mean(of_size):.2f} at {as_count(n)}" for n, of_size in sorted(ratios.items())
    )
    return f"By entries: {said}. {CALL} {_control(formulas)}"


def _by_name(formulas: list[Row]) -> str:
    """Say of which formula the time is lost."""
    ratios: dict[str, list[float]] = {}
    for r in formulas:
        ratios.setdefault(r["name"], []).append(_compiled(r))
    said = ", ".join(f"{name} {geometric_mean(found):.2f}" for name, found in ratios.items())
    return f"By formula: {said}."


def _control(formulas: list[Row]) -> str:
    """Say what the same compiler makes of PyTorch's functions: that is not ours."""
    found = {
        _named(r): ratio(r, COMPILED, "torch").median for r in formulas if COMPILED in r["rounds"]
    }
    if not found:
        return ""
    worst = max(found, key=found.__getitem__)
    return (
        "PyTorch's own functions, compiled in the same run, against themselves: geometric mean "
        f"{geometric_mean(found.values()):.2f}, worst {found[worst]:.2f} {worst}."
    )


def growth(rows: list[Row]) -> dict[str, tuple[float, float]]:
    """Return the seconds of a page more, from 50 to 200 pages and from 200 to 800."""
    found = {}
    for name in dict.fromkeys(row["name"] for row in rows):
        points = sorted((r["pages"], r["rounds"]["ours"][0]) for r in rows if r["name"] == name)
        if len(points) == 3:
            (p0, s0), (p1, s1), (p2, s2) = points
            found[name] = ((s1 - s0) / (p1 - p0), (s2 - s1) / (p2 - p1))
    return found


def peak(row: Row, kind: str) -> float:
    """Return the memory of an optimizer at its peak: four arrays, and what the step needs."""
    width = 2 if row["dtype"] == "bfloat16" else 4
    return 4 * width * row["entries"] + row["bytes"][kind]


def _held(row: Row, kind: str) -> float:
    """Return the memory of a sharded optimizer at its peak: its state, and what the step needs."""
    return row["state"][kind] + row["bytes"][kind]
