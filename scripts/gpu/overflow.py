"""Let shared memory overflow in one way, and say what happened: `-m scripts.gpu.overflow HOW`.

Each way runs in a process of its own, since a fault ends the CUDA context.
"""

import json
import sys
import warnings

import numpy as np
from numba import cuda

from scripts.gpu.kernels import Array, neighbours


@cuda.jit
def too_much_static(out: Array) -> None:
    """Ask for 64 KiB when compiling; a kernel may have 48 KiB."""
    memory = cuda.shared.array(16384, np.float32)
    memory[cuda.threadIdx.x] = 1.0
    cuda.syncthreads()
    out[cuda.threadIdx.x] = memory[cuda.threadIdx.x ^ 1]


@cuda.jit
def dynamic(out: Array) -> None:
    """Use what the launch gives."""
    memory = cuda.shared.array(0, np.float32)
    memory[cuda.threadIdx.x] = 1.0
    cuda.syncthreads()
    out[cuda.threadIdx.x] = memory[cuda.threadIdx.x ^ 1]


def happens(how: str) -> str:
    """Return what one overflow does: `static`, `dynamic-BYTES` or `word-STEP`.

    `word-1` is the first word of the array behind, `word-33` the first behind both.
    """
    seen = np.zeros(32, np.float32)
    kind, _, amount = how.partition("-")
    try:
        if kind == "static":
            too_much_static[1, 32](seen)
        elif kind == "dynamic":
            dynamic[1, 32, 0, int(amount)](seen)
        else:
            neighbours[1, 32](int(amount), seen)
        cuda.synchronize()
    except Exception as error:  # what kind it is, is the question
        return f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"
    if kind == "word":
        changed = np.flatnonzero(seen != 2.0)
        return f"no error, changed {changed.tolist()} to {seen[changed].tolist()}"
    return f"no error, sum {seen.sum():g}"


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(json.dumps({"how": sys.argv[1], "happens": happens(sys.argv[1])}))
