"""What routines for eigenvalues read and return, found by running them.

A matrix with another number in each triangle tells what is read, a diagonal one the order.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import torch
from numpy.typing import NDArray
from scipy import linalg  # type: ignore[import-untyped]

LIBRARIES = ("numpy", "scipy", "torch", "jax")

Values = NDArray[Any]
Routine = Callable[[NDArray[np.float64]], Values]

ASYMMETRIC = np.asarray([[1.0, 5.0], [2.0, -4.0]])
DIAGONAL = np.diag([2.0, 3.0, 1.0])


def mirrored(*, upper: bool) -> NDArray[np.float64]:
    """Return the symmetric matrix that has one triangle of the asymmetric one."""
    W = ASYMMETRIC.T if upper else ASYMMETRIC
    return np.tril(W) + np.tril(W, -1).T


def reads(routine: Routine) -> tuple[str, str]:
    """Say which entries count, and of which matrix the result is right."""
    mine = np.sort(routine(ASYMMETRIC).real)
    truth = np.linalg.eigvals(ASYMMETRIC)
    candidates = {
        ("lower triangle", "silently another matrix"): np.linalg.eigvalsh(mirrored(upper=False)),
        ("upper triangle", "silently another matrix"): np.linalg.eigvalsh(mirrored(upper=True)),
        ("both: their mean", "silently its symmetric part"): np.linalg.eigvalsh(
            (ASYMMETRIC + ASYMMETRIC.T) / 2
        ),
        ("all", "right"): np.sort(truth.real),
        ("all: σ", "right"): np.sort(np.linalg.norm(ASYMMETRIC @ singular_directions(), axis=0)),
    }
    same = [words for words, value in candidates.items() if np.allclose(mine, value, rtol=1e-4)]
    if len(same) != 1:
        raise LookupError(f"{len(same)} matrices have the eigenvalues {mine}: {same}")
    return same[0]


def singular_directions() -> NDArray[np.float64]:
    """Return the right singular vectors of the asymmetric matrix, one a column."""
    return np.linalg.eigh(ASYMMETRIC.T @ ASYMMETRIC)[1]


def order(routine: Routine) -> str:
    """Say in which order the values come."""
    found = routine(DIAGONAL).real.tolist()
    if found == sorted(found):
        return "ascending"
    return "descending" if found == sorted(found, reverse=True) else "none"


def kind(routine: Routine) -> str:
    """Say whether the values are real numbers, of real and of complex eigenvalues."""
    turn = np.asarray([[0.0, -1.0], [1.0, 0.0]])  # its eigenvalues are ±i
    if np.iscomplexobj(routine(DIAGONAL)):
        return "complex"
    if not np.iscomplexobj(routine(turn)):
        return "real"
    low_rank = np.random.default_rng(0).normal(size=(50, 8, 2))  # all eigenvalues of AAᵀ are real
    rounded = any(np.iscomplexobj(routine(A @ A.T + (A @ A.T).T)) for A in low_rank)
    return "real if all come out so" if rounded else "real if all are"


def row(routine: Routine) -> tuple[str, str, str, str]:
    """Return the cells of one routine."""
    read, right = reads(routine)
    return read, order(routine), kind(routine), right


def which_convention() -> dict[str, tuple[str, ...]]:
    """Return what each routine reads, its order, its type, and what asymmetry does to it."""
    return {
        "`numpy.linalg.eigh`": row(lambda W: np.linalg.eigvalsh(W)),
        "`scipy.linalg.eigh`": row(lambda W: linalg.eigvalsh(W)),
        "`torch.linalg.eigh`": row(lambda W: torch.linalg.eigvalsh(torch.tensor(W)).numpy()),
        "`jax.numpy.linalg.eigh`": row(
            lambda W: np.asarray(jax.numpy.linalg.eigh(jax.numpy.asarray(W))[0])
        ),
        "`numpy.linalg.eig`": row(lambda W: np.linalg.eig(W)[0]),
        "`torch.linalg.eig`": row(lambda W: torch.linalg.eig(torch.tensor(W))[0].numpy()),
        "`numpy.linalg.svd`": row(lambda W: np.linalg.svd(W)[1]),
    }
