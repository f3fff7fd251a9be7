"""Run each kernel once and print what it computed, as JSON: in a process of its own.

Numba decides between GPU and simulator when it is imported.
"""

import json

import numpy as np

from scripts.gpu import kernels


def run_all() -> dict[str, list]:
    """Return what each kernel writes, by its name."""
    x = np.arange(100, dtype=np.float32)
    found = {}

    for name, grid in (("add", (4, 32)), ("add_by_strides", (2, 16))):
        out = np.zeros(100, np.float32)
        getattr(kernels, name)[grid](x, 3 * x, out)
        found[name] = out
        short = np.zeros(7, np.float32)
        getattr(kernels, name)[grid](x[:7].copy(), x[:7].copy(), short)
        found[f"{name}, more threads than entries"] = short

    visits = np.zeros(100, np.int32)
    kernels.count_visits[4, 32](visits)
    found["count_visits"] = visits

    matrix = np.arange(20 * 30, dtype=np.float32).reshape(20, 30)
    turned = np.zeros((30, 20), np.float32)
    kernels.transpose[(1, 1), (32, 32)](matrix, turned)
    found["transpose"] = turned

    for step in (0, 1, 32):
        seen = np.zeros(32, np.float32)
        kernels.neighbours[1, 32](step, seen)
        found[f"neighbours {step}"] = seen

    source = np.arange(200, dtype=np.float32)
    for name, by in (("strided_copy", 3), ("shifted_copy", 5)):
        out = np.zeros(40, np.float32)
        getattr(kernels, name)[2, 32](source, by, out)
        found[name] = out

    ends = np.zeros(64, np.int32)
    kernels.chase[1, 64](3, 4, ends)
    found["chase"] = ends

    value = np.zeros(2, np.float32)
    kernels.spin[2, 64](5, value)
    found["spin"] = value

    ways = np.zeros(64, np.float32)
    kernels.diverge[1, 64](4, 2, ways)
    found["diverge"] = ways

    return {name: values.tolist() for name, values in found.items()}


if __name__ == "__main__":
    print(json.dumps(run_all()))
