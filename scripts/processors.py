"""Verify pages with the arithmetic of other processors: `make processors`.

Libraries sum in another order with each instruction set, so a page that shows what rounding
decides shows something else on a reader's machine. They choose their kernels when they are
imported, by these variables; each set is a run of `dlkb verify` of its own. A set that this
processor lacks falls back to what it has.

    python -m scripts.processors [PAGE ...]
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

KERNELS = {
    "SSE": {
        "ATEN_CPU_CAPABILITY": "default",
        "MKL_CBWR": "COMPATIBLE",
        "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "OPENBLAS_CORETYPE": "Nehalem",
    },
    "AVX2": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "MKL_CBWR": "AVX2",
        "NPY_DISABLE_CPU_FEATURES": "X86_V4",
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


def main() -> int:
    """Verify the pages named, or all; return 1 where one shows something else."""
    failed = failing([sys.executable, "-m", "dlkb.book", "verify", *sys.argv[1:]])
    print(f"differs with the kernels for {', '.join(failed)}" if failed else "the same with all")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
