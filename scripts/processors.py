"""Verify pages and captions with the arithmetic of other processors: `make processors`.

Libraries sum in another order with each instruction set, so a page that shows what rounding
decides shows something else on a reader's machine. They choose their kernels when they are
imported, by these variables; each set is a run of its own. A set that this processor lacks falls
back to what it has.

    python -m scripts.processors [PAGE ...]
    python -m scripts.processors --captions [PAGE ...]   # with the kernels of this processor
"""

import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path

from dlkb.book.draw.drawing import Says, environment_with, says_of
from dlkb.book.draw.figures import figure_stems, figures_of
from dlkb.book.draw.kept import AFRESH
from dlkb.book.hold.sayings import saying_problems
from dlkb.book.read.book import read_book

ROOT = Path(__file__).resolve().parents[1]

KERNELS = {
    "SSE": {
        "ATEN_CPU_CAPABILITY": "default",
        "MKL_CBWR": "COMPATIBLE",
        "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "OPENBLAS_CORETYPE": "Nehalem",
    },
    "AVX2": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "MKL_CBWR": "AVX2",
        "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "OPENBLAS_CORETYPE": "Haswell",
    },
}
"""By instruction set: what torch, MKL, NumPy, oneDNN and OpenBLAS read."""


def failing(command: Sequence[str], root: Path = ROOT) -> list[str]:
    """Run a command with each set of kernels; return the sets with which it failed."""
    failed = []
    for name, kernels in KERNELS.items():
        print(f"With the kernels for {name}:", flush=True)
        if subprocess.run(command, cwd=root, env=os.environ | kernels, check=False).returncode:
            failed.append(name)
    return failed


def says_afresh(root: Path, stem: str) -> dict[str, Says]:
    """Return what the figures of a script say of data that this process computes.

    What is kept was computed with other kernels, or other random numbers.
    """
    module = import_module(f"scripts.figures.{stem.replace('/', '.')}")
    with environment_with({AFRESH: "1"}):
        says = {figure.name: says_of(module, figure.name) for figure in figures_of(root, stem)}
    return {name: phrases for name, phrases in says.items() if phrases is not None}


def caption_problems(names: Iterable[str] = (), root: Path = ROOT) -> list[str]:
    """Return what alt texts and captions say and their data, computed anew, does not."""
    found = []
    for page in read_book(root, list(names) or None):
        if page.stem in figure_stems(root):
            problems = saying_problems(root, page, says_afresh(root, page.stem))
            found += [f"{page.path}:{line}: {text}" for line, text in problems]
    return found


def main() -> int:
    """Verify the pages named, or all; return 1 where one shows or says something else."""
    arguments = sys.argv[1:]
    if "--captions" in arguments:
        problems = caption_problems(name for name in arguments if name != "--captions")
        print("\n".join(problems) or "the captions hold")
        return 1 if problems else 0
    python = [sys.executable, "-m"]
    failed = failing([*python, "dlkb.book", "verify", *arguments])
    failed += failing([*python, "scripts.processors", "--captions", *arguments])
    failed = list(dict.fromkeys(failed))
    print(f"differs with the kernels for {', '.join(failed)}" if failed else "the same with all")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
