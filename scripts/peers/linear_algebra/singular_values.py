"""What routines about singular values return by default, found by running them.

Each cell is decided by a matrix on which the conventions differ.
"""

import warnings
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

LIBRARIES = ("numpy", "torch")

Matrix = NDArray[np.float64]
TALL = np.array([[3.0, 1.0, 2.0], [0.0, 4.0, 1.0], [0.0, 2.0, -5.0], [1.0, 0.0, 1.0]])
EPS = float(np.finfo(float).eps)


def only(words: list[str]) -> str:
    """Return the one convention that fits."""
    if len(words) != 1:
        raise LookupError(f"{len(words)} conventions fit: {words}")
    return words[0]


def norm_words(norm: Callable[..., float]) -> str:
    """Say which norm of a matrix is the default, and which one `ord=2` asks for."""
    sigma = np.linalg.svd(TALL)[1]
    kinds = {"Frobenius": np.sqrt((sigma**2).sum()), "spectral": sigma[0], "nuclear": sigma.sum()}
    default, two = (
        only([word for word, value in kinds.items() if np.isclose(found, value)])
        for found in (norm(TALL), norm(TALL, ord=2))
    )
    return f"{default}; `ord=2` is {two}"


def svd_words(svd: Callable[[Matrix], tuple[Matrix, ...]]) -> str:
    """Say whether the third result is transposed, and whether a tall matrix gets a square U."""
    U, sigma, third = svd(TALL)
    first = U[:, : len(sigma)] * sigma
    kinds = {"$V^\\top$": first @ third, "$V$, not transposed": first @ third.T}
    word = only([word for word, W in kinds.items() if np.allclose(W, TALL)])
    shape = "square $U$" if U.shape == (4, 4) else "$U$ of the matrix's shape"
    return f"third result {word}; {shape}"


def cutoff_words(keeps: Callable[[Matrix], bool]) -> str:
    """Say which singular values count, by diagonal matrices just above and below a cutoff.

    Args:
        keeps: Whether the smallest singular value of a square matrix counts.
    """
    fits = []
    for word, cut in (
        ("$\\sigma_1\\max(m,n)$ eps", lambda n: n * EPS),
        ("$10^{-15}\\,\\sigma_1$", lambda _: 1e-15),
    ):
        found = [
            keeps(scale * np.diag([1.0] * (n - 1) + [factor * cut(n)]))
            for n in (3, 30)
            for scale in (1.0, 1e6)
            for factor in (1.02, 0.98)
        ]
        if found == [True, False] * 4:
            fits.append(f"σ above {word}")
    return only(fits)


def torch_svd(W: Matrix) -> tuple[Matrix, ...]:
    """Run the deprecated function."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return tuple(x.numpy() for x in torch.svd(torch.tensor(W)))


def spectral_words() -> str:
    """Say when the estimate of the norm is improved, and which matrix a convolution becomes."""
    torch.manual_seed(0)
    conv = spectral_norm(nn.Conv2d(3, 4, 2, bias=False).double())
    vectors = conv.parametrizations.weight[0]

    def moved() -> bool:
        before = vectors._u.clone()
        _ = conv.weight
        return not torch.equal(before, vectors._u)

    with torch.no_grad():
        in_training = moved()
        conv.eval()
        in_evaluation = moved()
        conv.train()
        for _ in range(500):
            _ = conv.weight
        norm = float(torch.linalg.matrix_norm(conv.weight.flatten(1), 2))
    if (in_training, in_evaluation, vectors.n_power_iterations) != (True, False, 1):
        raise LookupError("spectral_norm does not improve its estimate once a reading in training")
    if not np.isclose(norm, 1, atol=1e-6):
        raise LookupError(f"the reshaped weight of a convolution has norm {norm}")
    return "one round a reading in training mode; of a convolution, the reshaped weight"


def which_convention() -> dict[str, tuple[str, ...]]:
    """Return what each routine does by default."""

    def of_torch(function: Callable[..., torch.Tensor]) -> Callable[..., float]:
        return lambda W, **options: float(function(torch.tensor(W), **options))

    norms = {norm_words(np.linalg.norm), norm_words(of_torch(torch.linalg.norm))}
    ranks = {
        cutoff_words(lambda W: int(np.linalg.matrix_rank(W)) == len(W)),
        cutoff_words(lambda W: int(torch.linalg.matrix_rank(torch.tensor(W))) == len(W)),
    }
    svds = {
        svd_words(np.linalg.svd),
        svd_words(lambda W: tuple(x.numpy() for x in torch.linalg.svd(torch.tensor(W)))),
    }
    return {
        "`linalg.norm` of NumPy, PyTorch": (only(list(norms)),),
        "`linalg.svd` of NumPy, PyTorch": (only(list(svds)),),
        "`torch.svd` (deprecated)": (svd_words(torch_svd),),
        "`linalg.matrix_rank` of NumPy, PyTorch": (only(list(ranks)),),
        "`numpy.linalg.pinv`": (cutoff_words(lambda W: np.linalg.pinv(W)[-1, -1] > 0),),
        "`torch.linalg.pinv`": (
            cutoff_words(lambda W: bool(torch.linalg.pinv(torch.tensor(W))[-1, -1] > 0)),
        ),
        "`parametrizations.spectral_norm`": (spectral_words(),),
    }
