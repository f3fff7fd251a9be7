"""The goals of the benchmarks on a GPU and what came out."""

from typing import Any

from dlkb.book.publish.goal import CALL, Goal, judge
from dlkb.book.publish.measured import CONTROL, LIGER, Row, as_count, ratio, rows_of


def gpu_goals(measured: dict[str, Any]) -> list[Goal]:
    """Return every goal of a GPU with what was measured."""
    formulas = [r for r in rows_of(measured, "cuda", "formulas") if r["name"] != CONTROL]
    gibibyte = {
        f"({r['name']})": _share_of_copy(r)
        for r in formulas
        if not r["backward"] and (r["dtype"], r["entries"]) == ("float32", 2**28)
    }
    steps = [r for r in rows_of(measured, "cuda", "optimizers") if r["model"] == "transformer"]
    return [
        judge(
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
        judge(
            "… at least 75 % of a copy's bandwidth on a GiB, forward, float32",
            gibibyte,
            0.75,
            "least {:.0%}",
            "Dropout draws its masks from PyTorch's own generator, which the compiler calls as a "
            "kernel of its own and reads back.",
            least=True,
        ),
        judge(
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
    return f"{CALL} At 256 Mi entries, without dropout: {max(large, default=0):.2f} at the most."


def _to_the_fastest(formula: Row) -> float:
    peers = [name for name in ("torch", LIGER) if name in formula["rounds"]]
    return max(ratio(formula, "compiled", peer).median for peer in peers)


def _share_of_copy(formula: Row) -> float:
    """Return the bandwidth of the compiled formula, that of a plain copy being 1."""
    return formula["arrays"] / 2 / ratio(formula, "compiled", "copy").median
