"""Write the page on benchmarks from the measurements in `benchmarks/<device>.json`.

Nothing on it is typed by hand: a table whose measurement is missing says so.
"""

import json
from collections.abc import Callable, Iterable
from math import exp, log
from pathlib import Path
from statistics import mean, median, quantiles
from typing import Any, NamedTuple

from dlkb.book.read.freshness import write

DEVICES = {"cpu": "CPU", "cuda": "GPU"}
MISSING = "not measured"
CONTROL = "torch.relu"
"""Measured as the formulas are, and not one of them."""

Row = dict[str, Any]


class Spread(NamedTuple):
    """Median and quartiles."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        if self.low == self.high:  # one round
            return _short(self.median)
        return f"{_short(self.median)} <small>{_short(self.low)}–{_short(self.high)}</small>"


def _short(x: float) -> str:
    return f"{x:.2f}" if x < 9.95 else f"{x:.0f}"


def spread(values: list[float]) -> Spread:
    """Return median and quartiles of some values."""
    if len(values) == 1:
        return Spread(values[0], values[0], values[0])
    low, _, high = quantiles(values, n=4, method="inclusive")
    return Spread(median(values), low, high)


def ratio(row: Row, ours: str, peer: str) -> Spread:
    """Return ours / peer, formed round by round, so that a slow second slows both."""
    rounds = row["rounds"]
    return spread([a / b for a, b in zip(rounds[ours], rounds[peer], strict=True)])


def geometric_mean(values: Iterable[float]) -> float:
    """Return exp of the mean logarithm."""
    return exp(mean(log(value) for value in values))


def load(root: Path) -> dict[str, Any]:
    """Return what was measured: device → part → stamp and rows."""
    paths = {device: root / "benchmarks" / f"{device}.json" for device in DEVICES}
    return {
        device: json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        for device, path in paths.items()
    }


def rows_of(measured: dict[str, Any], device: str, part: str) -> list[Row]:
    """Return the rows of one part, none if it was not measured."""
    return measured[device].get(part, {}).get("rows", [])


# Goals: what was wanted, and what came out.


class Goal(NamedTuple):
    """A goal set before the measurement."""

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
    """Return every goal with what was measured on the CPU."""
    backward = [r for r in rows_of(measured, "cpu", "formulas") if r["backward"]]
    formulas = [r for r in backward if r["name"] != CONTROL]
    control = [r for r in backward if r["name"] == CONTROL]
    compiled = {
        f"({r['name']}, {r['dtype']}, {as_count(r['entries'])})": _compiled(r) for r in formulas
    }
    of_model: dict[str, dict[str, Row]] = {"transformer": {}, "tiny": {}}
    for r in rows_of(measured, "cpu", "optimizers"):
        of_model[r["model"]][f"({r['name']}, {r['dtype']})"] = r
    large, tiny = of_model["transformer"], of_model["tiny"]
    lora = {f"({r['name']}, {r['dtype']})": r for r in rows_of(measured, "cpu", "lora")}
    book = rows_of(measured, "cpu", "book")
    refreshed = [r for r in book if r["name"] == "edit to refresh"]
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
            "Verification: 5 times as fast as executing the notebooks",
            {
                f"({peer})": 1 / ratio(r, "ours", peer).median
                for r in book
                for peer in ("nbclient", "mkdocs-jupyter")
                if r["name"] == "verification" and peer in r["rounds"]
            },
            5.0,
            "least {:.1f}",
            "The fences' own work, the same for both, is most of the time that is left.",
            least=True,
        ),
        _goal(
            "Edit to refresh ≤ 2 s",
            {f"({r['pages']} pages)": median(r["rounds"]["ours"]) for r in refreshed},
            2.0,
            "worst {:.1f} s",
        ),
        _goal(
            "Linear cost: a page more costs among 800 what it costs among 200, ≤ 1.2",
            {f"({name})": late / early for name, (early, late) in growth(book).items()},
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


def _masks(control: list[Row]) -> str:
    """Say what the control shows: the compiler's own cost of booleans."""
    most = max((_compiled(r) for r in control if r["dtype"] == "float32"), default=0)
    return (
        "In float32 the compiler keeps booleans for the backward pass, and writes and reads them "
        f"one at a time: PyTorch's own `{CONTROL}`, compiled, takes up to {most:.0f} times as long "
        "as uncompiled. Where the booleans would not be smaller than the input, as two of them "
        "in bfloat16, it keeps that instead."
    )


def growth(book: list[Row]) -> dict[str, tuple[float, float]]:
    """Return the seconds of a page more, from 50 to 200 pages and from 200 to 800."""
    found = {}
    rows = [row for row in book if "synthetic" in row["name"]]
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


# Tables


def table(head: list[str], rows: list[list[str]], *, align: str = "--:") -> list[str]:
    """Return a Markdown table, the first column to the left, numbers to the right."""
    line = "|---" + f"|{align}" * (len(head) - 1) + "|"
    return [f"| {' | '.join(head)} |", line, *(f"| {' | '.join(row)} |" for row in rows), ""]


def as_count(n: int) -> str:
    """Return a count of entries as it is said: 256 Ki, 4 Mi."""
    return f"{n / 2**20:.3g} Mi" if n >= 2**20 else f"{n / 2**10:.3g} Ki"


def _formulas(rows: list[Row]) -> list[str]:
    lines = [
        "Time of ours divided by that of PyTorch's function: below 1, ours is faster. Small "
        "print: the quartiles of the rounds. The last column divides by a plain copy of the "
        "largest tensor. GELU, softmax, layer norm, RMS norm and cross-entropy have no formula in "
        f"this package yet, so they are missing here. `{CONTROL}` is a control: what the compiler "
        "makes of a function that is not ours.",
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
                for kind in ("compiled", "eager"):
                    cells = [str(ratio(of[size], kind, "torch")) for size in sizes]
                    copied = _short(ratio(of[sizes[-1]], kind, "copy").median)
                    peer = of[sizes[0]]["peer"]
                    body.append([f"`{name}`, {kind}, against `{peer}`", *cells, copied])
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


def _lora(rows: list[Row]) -> list[str]:
    body = []
    for r in rows:
        name = f"{r['name']}, {r['dtype']}"
        if "bytes" in r:
            ours, peft = (f"{r['bytes'][k] / 2**20:.2f} MiB" for k in ("ours", "peft"))
            share = _short(r["bytes"]["ours"] / r["bytes"]["peft"])
        else:
            ours, peft = (f"{median(r['rounds'][k]) * 1e3:.2f} ms" for k in ("ours", "peft"))
            share = str(ratio(r, "ours", "peft"))
        body.append([name, ours, peft, share])
    return table(["measured", "ours", "peft", "ours / peft"], body)


def _book(rows: list[Row]) -> list[str]:
    body = []
    for r in rows:
        ours = f"{median(r['rounds']['ours']):.1f} s"
        pages = str(r.get("pages", ""))
        peers = [
            [peer, f"{median(r['rounds'][peer]):.1f} s", str(ratio(r, "ours", peer))]
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
    "lora": ("LoRA against peft", _lora),
    "book": ("The book", _book),
    "profiles": ("Where the time goes", _profiles),
}


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
    "book": (
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
    return (
        f"*{hardware}, {stamp['threads']} threads, PyTorch {stamp['torch']}, Python "
        f"{stamp['python']}, {stamp['compiler']}; {stamp['date']}, commit {stamp['commit']}"
        f"{changed}.*"
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
        "eager, beside the kernel that somebody wrote by hand. All ratios come from one run in "
        "which the contestants take turns; `make bench` repeats it.",
        "",
        "## Goals",
        "",
        f"{sum(g.holds for g in met)} of {len(met)} goals are met on the CPU. They were set before "
        "anything was measured.",
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
            if part == "book" and device == "cuda":
                continue
            lines += [f"### {title} on the {name}" if part != "book" else "### On the CPU", ""]
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
