"""Kernels and measurements on a GPU."""

import numpy as np

# numba-cuda 0.30 asks for it when it is imported, and NumPy 2.5 has it no more.
if not hasattr(np, "row_stack"):
    np.row_stack = np.vstack
