"""Measure on one device and keep the results: `make bench`, `make bench DEVICE=cuda`.

    python -m scripts.bench.run [--device cuda] [--only PART …] [--beside TEXT]

Each part replaces what `benchmarks/<device>.json` held of it, once it is complete.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

import torch

from dlkb.book.publish.benchmarks import ON_CPU
from dlkb.book.publish.measured import load
from dlkb.book.read.freshness import write
from scripts.bench import book, formulas, lora, optimizers, profiles, sharded
from scripts.bench.timing import ROOT, stamp

PARTS: dict[str, Callable[[str], Iterator[dict[str, Any]]]] = {
    "formulas": formulas.measure,
    "optimizers": optimizers.measure,
    "sharded": sharded.measure,
    "lora": lora.measure,
    "verification": book.in_a_copy(book.verification),
    "site": book.in_a_copy(book.figures, book.sites, book.refresh),
    "growth": book.growth,
    "profiles": profiles.measure,
}


def main() -> None:
    """Measure the parts that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART")
    parser.add_argument("--beside", help="what else the machine is doing, shown on the page")
    given = parser.parse_args()
    if given.device == "cuda" and not torch.cuda.is_available():
        sys.exit("--device cuda: torch sees no CUDA device, leave it out to measure the CPU")
    path = ROOT / "benchmarks" / f"{given.device}.json"
    kept = load(ROOT)[given.device]
    for part in given.only:
        if part in ON_CPU and given.device == "cuda":
            continue
        if part == "sharded" and given.device == "cuda" and torch.cuda.device_count() < 2:
            print("sharded: not measured, it takes two GPUs")
            continue
        before = stamp(given.device)  # the working tree may change while it is measured
        if given.beside:
            before["beside"] = given.beside
        rows = []
        for row in PARTS[part](given.device):
            rows.append(row)
            print(part, {key: value for key, value in row.items() if key != "rounds"}, flush=True)
        kept[part] = {"stamp": before, "rows": rows}
        write(path, (json.dumps(kept, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
