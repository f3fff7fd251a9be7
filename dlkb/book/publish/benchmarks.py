"""Write the page on benchmarks from the measurements in `benchmarks/<device>.json`.

Nothing on it is typed by hand: a table whose measurement is missing says so.
"""

from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from dlkb.book.publish.goal import Goal
from dlkb.book.publish.goals import FUSED, goals
from dlkb.book.publish.measured import (
    COMPILED,
    CONTROL,
    DEVICES,
    LIGER,
    MISSING,
    Row,
    as_count,
    load,
    ratio,
    rows_of,
    short,
)
from dlkb.book.read.freshness import write


def table(head: list[str], rows: list[list[str]], *, align: str = "--:") -> list[str]:
    """Return a Markdown table, the first column to the left, numbers to the right."""
    line = "|---" + f"|{align}" * (len(head) - 1) + "|"
    return [f"| {' | '.join(head)} |", line, *(f"| {' | '.join(row)} |" for row in rows), ""]


def _formulas(rows: list[Row]) -> list[str]:
    measured = {row["name"] for row in rows}
    graphs = (
        "Where a gradient by hand stands beside the formula, both are compiled as graphs of their "
        "own (`dlkb.nn.compiled`); elsewhere the compiler derives the gradient."
        if measured >= set(FUSED)
        else f"Not measured yet: {', '.join(name for name in FUSED if name not in measured)}."
    )
    lines = [
        "Time of ours divided by that of PyTorch's function: below 1, ours is faster. Small "
        "print: the quartiles of the rounds. The last column divides by a plain copy of the "
        "largest tensor. On the CPU, freed memory stays with the process: else a time hangs on "
        f"what was freed before. {graphs} Controls, that is, what the compiler makes of functions "
        f"that are not ours: PyTorch's functions against themselves, and `{CONTROL}`.",
        "",
    ]
    for dtype in dict.fromkeys(row["dtype"] for row in rows):
        for backward in (False, True):
            chosen = [r for r in rows if r["dtype"] == dtype and r["backward"] == backward]
            sizes = sorted({row["entries"] for row in chosen})
            direction = "forward + backward" if backward else "forward"
            lines += [f"**{dtype}, {direction}**", ""]
            body = []
            for name in dict.fromkeys(row["name"] for row in chosen):
                of = {row["entries"]: row for row in chosen if row["name"] == name}
                of_largest = of[sizes[-1]]
                peer = f"`{of_largest['peer']}`"
                sides = {
                    f"`{name}`, compiled, against {peer}": ("compiled", "torch"),
                    f"`{name}`, eager, against {peer}": ("eager", "torch"),
                }
                if LIGER in of_largest["rounds"]:
                    sides[f"`{name}`, compiled, against {LIGER}"] = ("compiled", LIGER)
                if name != CONTROL and COMPILED in of_largest["rounds"]:
                    sides[f"{peer}, compiled, against itself"] = (COMPILED, "torch")
                for said, (one, other) in sides.items():
                    cells = [str(ratio(of[size], one, other)) for size in sizes]
                    copied = short(ratio(of_largest, one, "copy").median)
                    body.append([said, *cells, copied])
            head = ["entries", *(as_count(size) for size in sizes), "copies"]
            lines += table(head, body)
    return lines


def _optimizers(rows: list[Row]) -> list[str]:
    peers = ("default", "foreach", "fused")
    body = []
    for r in rows:
        for kind in ("ours", "ours, compiled"):
            where = f"{r['name']}, {r['model']}, {r['dtype']}, {kind}"
            time = f"{median(r['rounds'][kind]) * 1e3:.2f} ms"
            extra = f"{r['bytes'][kind] / 2**20:.1f} MiB"
            body.append([where, time, *(str(ratio(r, kind, peer)) for peer in peers), extra])
    head = ["a whole `step()`", "time", *(f"/ {peer}" for peer in peers), "memory of a step"]
    sizes = {r["model"]: (r["tensors"], r["entries"]) for r in rows}
    said = "; ".join(
        f"{model}: {n} tensors, {entries:,} entries" for model, (n, entries) in sizes.items()
    )
    return [
        f"{said}. Ours with `fused=None`, as it comes, and with `fused=True`.",
        "",
        *table(head, body),
    ]


def _sharded(rows: list[Row]) -> list[str]:
    peers = ("default", "foreach", "fused")
    body = []
    for r in rows:
        for kind in r["rounds"]:
            body.append(
                [
                    f"{r['dtype']}, {kind}",
                    f"{median(r['rounds'][kind]) * 1e3:.2f} ms",
                    *("" if kind == peer else str(ratio(r, kind, peer)) for peer in peers),
                    f"{r['state'][kind] / 2**20:.1f} MiB",
                    f"{r['bytes'][kind] / 2**20:.1f} MiB",
                ]
            )
    head = ["a whole `step()`", "time", *(f"/ {peer}" for peer in peers), "state", "memory of it"]
    return [
        f"AdamW on {rows[0]['tensors']} tensors, {rows[0]['entries']:,} entries, which FSDP2 has "
        "sharded over two processes of one thread each. Time is that of the slower process; state, "
        "and what a step needs besides, are those of one process.",
        "",
        *table(head, body),
    ]


def _lora(rows: list[Row]) -> list[str]:
    body = []
    for r in rows:
        name = f"{r['name']}, {r['dtype']}"
        if "bytes" in r:
            ours, peft = (f"{r['bytes'][k] / 2**20:.2f} MiB" for k in ("ours", "peft"))
            share = short(r["bytes"]["ours"] / r["bytes"]["peft"])
        else:
            ours, peft = (f"{median(r['rounds'][k]) * 1e3:.2f} ms" for k in ("ours", "peft"))
            share = str(ratio(r, "ours", "peft"))
        body.append([name, ours, peft, share])
    return table(["measured", "ours", "peft", "ours / peft"], body)


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 0.095 else f"{1e3 * seconds:.0f} ms"


def _book(rows: list[Row]) -> list[str]:
    body = []
    for r in rows:
        ours = _duration(median(r["rounds"]["ours"]))
        pages = str(r.get("pages", ""))
        peers = [
            [peer, _duration(median(r["rounds"][peer])), str(ratio(r, "ours", peer))]
            for peer in r["rounds"]
            if peer != "ours"
        ]
        body += [[r["name"], pages, ours, *peer] for peer in peers or [["", "", ""]]]
    return table(["measured", "pages", "ours", "against", "theirs", "ours / theirs"], body)


def _profiles(rows: list[Row]) -> list[str]:
    body = []
    for r in rows:
        whole = sum(r["parts"].values())
        parts = sorted(r["parts"].items(), key=lambda item: -item[1])
        large = [(part, share / whole) for part, share in parts if share >= 0.01 * whole]
        shares = ", ".join(f"{part} {share:.0%}" for part, share in large)
        body.append([r["name"], shares])
    return table(["task", "where the time goes"], body, align="---")


PARTS: dict[str, tuple[str, Callable[[list[Row]], list[str]]]] = {
    "formulas": ("Formulas", _formulas),
    "optimizers": ("Optimizer steps", _optimizers),
    "sharded": ("Sharded optimizer steps", _sharded),
    "lora": ("LoRA against peft", _lora),
    "verification": ("Verification of pages", _book),
    "site": ("Figures and site", _book),
    "growth": ("Growth", _book),
    "profiles": ("Where the time goes", _profiles),
}


ON_CPU = ("verification", "site", "growth")
"""What no GPU has a part in."""

FIGURES = {
    "formulas": (
        "ratios",
        "Time of each compiled formula divided by that of PyTorch's function, forward and "
        "backward: points left of the line at 1 are faster than PyTorch.",
    ),
    "optimizers": (
        "steps",
        "Time of a step of AdamW divided by that of torch.optim as it comes: points left of the "
        "line at 1 are faster.",
    ),
    "growth": (
        "growth",
        "Seconds to verify and to build synthetic books of 50, 200 and 800 pages: straight "
        "lines mean that a page costs the same in a large book.",
    ),
}


def _met(goal: Goal) -> str:
    if goal.shown == MISSING:
        return ""
    return "yes" if goal.holds else f"**no** {goal.why}".strip()


def _stamp(stamp: dict[str, Any]) -> str:
    hardware = stamp.get("gpu") or stamp["processor"]
    changed = ", with uncommitted changes" if stamp["changed"] else ""
    beside = f"; beside it ran {stamp['beside']}" if "beside" in stamp else ""
    return (
        f"*{hardware}, {stamp['threads']} threads, PyTorch {stamp['torch']}, Python "
        f"{stamp['python']}, {stamp['compiler']}; {stamp['date']}, commit {stamp['commit']}"
        f"{changed}{beside}.*"
    )


def benchmarks_markdown(measured: dict[str, Any]) -> str:
    """Return the page."""
    met = goals(measured)
    lines = [
        "---",
        "title: Benchmarks",
        "description: What one readable formula costs, side by side with hand-written kernels.",
        "---",
        "",
        "# Benchmarks",
        "",
        "Each formula of this package is a few lines of the array API. Here it runs, compiled and "
        "eager, beside the kernel that somebody wrote by hand. The two sides of a ratio take turns "
        "in one run; the line below each table says when and where. `make bench` repeats all.",
        "",
        "## Goals",
        "",
        f"{sum(g.holds for g in met)} of {len(met)} goals are met. They were set before "
        "anything was measured; those of the book have become stricter since. They are those of "
        "the CPU unless they name the GPU.",
        "",
        *table(
            ["goal", "measured", "met"],
            [[g.wanted, g.shown, _met(g)] for g in met],
            align="---",
        ),
    ]
    for part, (title, tables) in PARTS.items():
        lines += [f"## {title}", ""]
        for device, name in DEVICES.items():
            if part in ON_CPU and device == "cuda":
                continue
            lines += [f"### {title} on the {name}", ""]
            rows = rows_of(measured, device, part)
            if not rows:
                lines += [f"{MISSING.capitalize()}.", ""]
                continue
            if device == "cpu" and part in FIGURES:
                name, alt = FIGURES[part]
                lines += [f"![{alt}](assets/figures/front/benchmarks/{name}.svg)", ""]
            lines += [*tables(rows), _stamp(measured[device][part]["stamp"]), ""]
    return "\n".join(lines)


def write_benchmarks(root: Path) -> None:
    """Write `docs/benchmarks.md`, where there are measurements."""
    if (root / "benchmarks").is_dir():
        write(root / "docs" / "benchmarks.md", (benchmarks_markdown(load(root)) + "\n").encode())
