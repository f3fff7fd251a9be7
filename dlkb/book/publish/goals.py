"""The goals of the benchmarks and what came out."""

from statistics import median
from typing import Any, NamedTuple

from dlkb.book.publish.measured import (
    CONTROL,
    LIGER,
    MISSING,
    Row,
    as_count,
    geometric_mean,
    ratio,
    rows_of,
)

FUSED = ("dropout", "gelu", "silu", "swiglu", "layer_norm", "rms_norm", "cross_entropy")
"""Formulas of networks for which PyTorch has kernels of its own."""


class Goal(NamedTuple):
    """A goal, and whether the measurement meets it."""

    wanted: str
    holds: bool
    shown: str
    why: str
    """The cause, said where the goal is missed."""


def _goal(
    wanted: str,
    values: dict[str, float],
    limit: float,
    show: str,
    why: str = "",
    *,
    least: bool = False,
) -> Goal:
    """Judge the worst of some measurements, which are named."""
    if not values:
        return Goal(wanted, False, MISSING, "")
    name = (min if least else max)(values, key=lambda key: values[key])
    holds = values[name] >= limit if least else values[name] <= limit
    return Goal(wanted, holds, f"{show.format(values[name])} {name}".strip(), why)


def goals(measured: dict[str, Any]) -> list[Goal]:
    """Return every goal with what was measured, those of the GPU last."""
    return [*_on_cpu(measured), *_on_gpu(measured)]


def _on_gpu(measured: dict[str, Any]) -> list[Goal]:
    formulas = [r for r in rows_of(measured, "cuda", "formulas") if r["name"] != CONTROL]
    gibibyte = {
        f"({r['name']})": _share_of_copy(r)
        for r in formulas
        if not r["backward"] and (r["dtype"], r["entries"]) == ("float32", 2**28)
    }
    steps = [r for r in rows_of(measured, "cuda", "optimizers") if r["model"] == "transformer"]
    return [
        _goal(
            "GPU: formulas, compiled forward + backward, within 1.1 of the faster of PyTorch and "
            "Liger-Kernel",
            {
                f"({r['name']}, {r['dtype']}, {as_count(r['entries'])})": _to_the_fastest(r)
                for r in formulas
                if r["backward"]
            },
            1.1,
            "worst {:.2f}",
            _launches(formulas),
        ),
        _goal(
            "… at least 75 % of a copy's bandwidth on a GiB, forward, float32",
            gibibyte,
            0.75,
            "least {:.0%}",
            "Dropout draws its masks from PyTorch's own generator, which the compiler calls as a "
            "kernel of its own and reads back.",
            least=True,
        ),
        _goal(
            "… optimizers on the transformer: ours / fused ≤ 1.1",
            {
                f"({r['name']}, {r['dtype']})": min(
                    ratio(r, kind, "fused").median for kind in ("ours", "ours, compiled")
                )
                for r in steps
            },
            1.1,
            "worst {:.2f}",
            "PyTorch hands all tensors to one kernel. Ours has a kernel for each large tensor, "
            "whose calls take longer than the arithmetic: on a GPU, take `torch.optim`'s."
            + _uncompiled(steps),
        ),
    ]


def _uncompiled(steps: list[Row]) -> str:
    """Say whose compiled steps needed as much memory as eager ones: they ran uncompiled."""
    names = [r["name"] for r in steps if r["bytes"]["ours, compiled"] >= r["bytes"]["ours"] > 0]
    if not names:
        return ""
    return (
        f" {', '.join(dict.fromkeys(names))} ran uncompiled here: PyTorch 2.11 compiled its step "
        "anew for each value of the bias correction, up to the limit of eight kernels. It is "
        "compiled once since."
    )


def _launches(formulas: list[Row]) -> str:
    """Say what is left on arrays so large that a call no longer counts."""
    large = [
        _to_the_fastest(r)
        for r in formulas
        if r["backward"] and r["entries"] == 2**28 and r["name"] != "dropout"
    ]
    return f"{_CALL} At 256 Mi entries, without dropout: {max(large, default=0):.2f} at the most."


def _to_the_fastest(formula: Row) -> float:
    peers = [name for name in ("torch", LIGER) if name in formula["rounds"]]
    return max(ratio(formula, "compiled", peer).median for peer in peers)


def _share_of_copy(formula: Row) -> float:
    """Return the bandwidth of the compiled formula, that of a plain copy being 1."""
    return formula["arrays"] / 2 / ratio(formula, "compiled", "copy").median


def _on_cpu(measured: dict[str, Any]) -> list[Goal]:
    backward = [r for r in rows_of(measured, "cpu", "formulas") if r["backward"]]
    formulas = [r for r in backward if r["name"] != CONTROL]
    control = [r for r in backward if r["name"] == CONTROL]
    compiled = {
        f"({r['name']}, {r['dtype']}, {as_count(r['entries'])})": _compiled(r) for r in formulas
    }
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
        _goal(
            "Formulas, compiled forward + backward against PyTorch's own: geometric mean ≤ 1",
            {"": geometric_mean(compiled.values())} if compiled else {},
            1.0,
            "{:.2f}",
            _by_size(formulas),
        ),
        _goal("… and none worse than 1.3", compiled, 1.3, "worst {:.2f}", _masks(control)),
        _goal(
            "… of the seven that PyTorch has fused for networks, 4 Mi entries: geometric mean ≤ 1",
            {"": geometric_mean(_compiled(r) for r in fused)} if fused else {},
            1.0,
            "{:.2f}",
            f"{_by_name(fused)} Both norms divide each row by its largest entry before they square "
            "it, so that no square overflows, which PyTorch's do not.",
        ),
        _goal(
            "Optimizers on the transformer: default / ours ≥ 3",
            {name: 1 / ratio(r, "ours", "default").median for name, r in large.items()},
            3.0,
            "least {:.1f}",
            "The arrays must be read and written once: PyTorch's fused kernel is itself "
            f"{min(bound, default=0):.1f} to {max(bound, default=0):.1f} times as fast as the "
            "default on this machine.",
            least=True,
        ),
        _goal(
            "… ours / fused ≤ 1.2",
            {name: ratio(r, "ours", "fused").median for name, r in large.items()},
            1.2,
            "worst {:.2f}",
            "Besides the kernel, a step pays for its calls, for a view of each large tensor and "
            f"for joining the small ones. {_CALL}",
        ),
        _goal(
            "… peak memory ≤ that of fused plus 5 %",
            {name: peak(r, "ours") / peak(r, "fused") for name, r in large.items()},
            1.05,
            "worst {:.3f} times",
        ),
        _goal(
            "Optimizers on the tiny model: ours / default ≤ 1",
            {name: ratio(r, "ours", "default").median for name, r in tiny.items()},
            1.0,
            "worst {:.2f}",
            "A step joins the tensors, checks its arguments and writes the tensors back: a fixed "
            "cost, which six tensors do not repay.",
        ),
        _goal(
            "Sharded by FSDP2 over two processes: ours / fused ≤ 1.1",
            {f"({r['dtype']})": ratio(r, "ours", "fused").median for r in sharded},
            1.1,
            "worst {:.2f}",
        ),
        _goal(
            "… memory of a process ≤ that of fused plus 5 %",
            {f"({r['dtype']})": _held(r, "ours") / _held(r, "fused") for r in sharded},
            1.05,
            "worst {:.3f} times",
        ),
        _goal(
            "LoRA: no slower than peft in any measurement",
            {name: ratio(r, "ours", "peft").median for name, r in lora.items() if "rounds" in r},
            1.0,
            "worst {:.2f}",
            "bfloat16 weights are merged in float32 and rounded once; peft rounds the product, "
            "then the sum.",
        ),
        _goal(
            "… and no more memory",
            {n: r["bytes"]["ours"] / r["bytes"]["peft"] for n, r in lora.items() if "bytes" in r},
            1.0,
            "worst {:.2f} times",
        ),
        _goal(
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
        _goal(
            "… all topics in 90 s",
            {f"({r['pages']} pages)": median(r["rounds"]["ours"]) for r in whole},
            90.0,
            "{:.0f} s",
            "The fences' own work is most of it.",
        ),
        _goal(
            "Edit to refresh ≤ 1 s",
            {f"({r['pages']} pages)": median(r["rounds"]["ours"]) for r in refreshed},
            1.0,
            "worst {:.2f} s",
        ),
        _goal(
            "Site of unchanged pages: ours / mkdocs-jupyter ≤ 1",
            {f"({r['pages']} pages)": ratio(r, "ours", "mkdocs-jupyter").median for r in unchanged},
            1.0,
            "{:.2f}",
        ),
        _goal(
            "Linear cost: a page more costs among 800 what it costs among 200, ≤ 1.2",
            {f"({name})": late / early for name, (early, late) in growth(synthetic).items()},
            1.2,
            "worst {:.2f} times",
            "mkdocs writes the names of all families into every page, and those of all pages of "
            "its own family.",
        ),
    ]


_CALL = "A call of a compiled function costs some tens of microseconds, whatever its size."


def _compiled(formula: Row) -> float:
    return ratio(formula, "compiled", "torch").median


def _by_size(formulas: list[Row]) -> str:
    """Say where in size the time is lost."""
    ratios: dict[int, list[float]] = {}
    for r in formulas:
        ratios.setdefault(r["entries"], []).append(_compiled(r))
    said = ", ".join(
        f"{geometric_mean(of_size):.2f} at {as_count(n)}" for n, of_size in sorted(ratios.items())
    )
    return f"By entries: {said}. {_CALL}"


def _by_name(formulas: list[Row]) -> str:
    """Say of which formula the time is lost."""
    ratios: dict[str, list[float]] = {}
    for r in formulas:
        ratios.setdefault(r["name"], []).append(_compiled(r))
    said = ", ".join(f"{name} {geometric_mean(found):.2f}" for name, found in ratios.items())
    return f"By formula: {said}."


def _masks(control: list[Row]) -> str:
    """Say what the control shows: the compiler's own cost of booleans."""
    most = max((_compiled(r) for r in control if r["dtype"] == "float32"), default=0)
    return (
        "In float32 the compiler keeps booleans for the backward pass, and writes and reads them "
        f"one at a time: PyTorch's own `{CONTROL}`, compiled, takes up to {most:.0f} times as long "
        "as uncompiled. Where the booleans would not be smaller than the input, as two of them "
        "in bfloat16, it keeps that instead."
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
