"""Who notices an index that is too large, found by running libraries on the CPU."""

import os
import subprocess
import sys
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
import torch

LIBRARIES = ("numpy", "torch", "jax", "numba")

# Two arrays of 4 words in one piece of memory of 8: reads and writes of word 4 + `step` − 1.
KERNEL = """
import sys
import numpy as np
from numba import cuda

@cuda.jit
def overrun(step, seen):
    memory = cuda.shared.array(8, np.float32)
    for i in range(8):
        memory[i] = 0.0
    memory[3 + step] = 7.0
    for i in range(4):
        seen[i] = memory[4 + i]

seen = np.zeros(4, np.float32)
try:
    overrun[1, 1](int(sys.argv[1]), seen)
    print("changes the neighbour" if seen.any() else "changes nothing")
except IndexError:
    print("`IndexError`")
"""


def simulated(step: int) -> str:
    """Say what Numba's simulator does with a word that far behind the first array."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", KERNEL, str(step)],
        env=os.environ | {"NUMBA_ENABLE_CUDASIM": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def written(write: Callable[[int], float]) -> str:
    """Say what a write at index 4 of the first half of eight numbers does."""
    try:
        neighbour = write(4)
    except IndexError:
        return "`IndexError`"
    return "changes the neighbour" if neighbour == 7.0 else "is dropped"


def in_numpy(index: int) -> float:
    """Write in the first half of an array and return the first number of the second."""
    memory = np.zeros(8)
    first = memory[:4]
    first[index] = 7.0
    return float(memory[4])


def in_torch(index: int) -> float:
    """Likewise."""
    memory = torch.zeros(8)
    first = memory[:4]
    first[index] = 7.0
    return float(memory[4])


def in_jax(index: int) -> float:
    """Likewise, and the second half follows."""
    memory = jnp.zeros(8)
    first = memory[:4].at[index].set(7.0)
    return float(jnp.concatenate([first, memory[4:]])[4])


def in_flat_numpy(index: int) -> float:
    """Write at an index of the whole memory, as a kernel that computes addresses does."""
    memory = np.zeros(8)
    memory[index] = 7.0
    return float(memory[4])


def beyond(write: Callable[[int], float]) -> str:
    """Say what a write outside of all memory does."""
    try:
        write(8)
    except IndexError:
        return "`IndexError`"
    return "is dropped"


def which_convention() -> dict[str, tuple[str, ...]]:
    """Return what a write one word too far does: within the memory of a block, and outside."""
    return {
        "NumPy, a view for each array": (written(in_numpy), beyond(in_numpy)),
        "PyTorch, likewise": (written(in_torch), beyond(in_torch)),
        "JAX, `.at[].set`": (written(in_jax), beyond(in_jax)),
        "NumPy, one buffer and computed offsets": (written(in_flat_numpy), beyond(in_flat_numpy)),
        "Numba's CUDA simulator, one buffer": (simulated(1), simulated(5)),
    }
