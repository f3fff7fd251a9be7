"""What libraries take for PSNR, SSIM, KID and the inception score, found by running them.

Each cell is decided alike: the library's value on one input, and the words of the only convention
that gives it.
"""

import inspect
import math
import os

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
import numpy as np
import torch
from numpy.typing import NDArray
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor, nn
from torchmetrics.functional.image import (
    peak_signal_noise_ratio as psnr_of_torchmetrics,
)
from torchmetrics.functional.image import (
    structural_similarity_index_measure as ssim_of_torchmetrics,
)
from torchmetrics.image.inception import InceptionScore
from torchmetrics.image.kid import KernelInceptionDistance

from dlkb.vision.gan_metrics import inception_score, kid
from dlkb.vision.image_similarity import psnr, ssim

LIBRARIES = ("torchmetrics", "scikit-image", "keras")

Array = NDArray[np.float64]


def which(found: float, conventions: dict[str, float]) -> str:
    """Return the words of the only convention that gives this."""
    same = [words for words, value in conventions.items() if np.isclose(found, value, rtol=2e-5)]
    if len(same) != 1:
        raise LookupError(f"{len(same)} conventions give {found}: {same}, of {conventions}")
    return same[0]


def images() -> tuple[Array, Array]:
    """Return two batches of two images, (2, 1, 24, 24), which use a part of [0, 1]."""
    rng = np.random.default_rng(0)
    x = rng.uniform(0.1, 0.6, size=(2, 1, 24, 24))
    scale = np.asarray([0.02, 0.2]).reshape(2, 1, 1, 1)
    return x, np.clip(x + scale * rng.normal(size=x.shape), 0, 1)


def reflected(x: Array, y: Array, data_range: float) -> float:
    """Return SSIM over the windows that reach over the border, which reflects."""
    width = [(0, 0)] * (x.ndim - 2) + [(5, 5)] * 2
    pair = (np.pad(z, width, mode="reflect") for z in (x, y))
    return float(ssim(*pair, data_range=data_range).mean())


def ssim_words(found: float) -> str:
    """Say which windows the similarity of the second image pair was taken in."""
    x, y = (z[1] for z in images())
    equal = ssim(x, y, data_range=1.0, size=7, sigma=math.inf)
    # Variances times 49/48 are the same quotient as c₂ times 48/49.
    unbiased = ssim(x, y, data_range=1.0, size=7, sigma=math.inf, k2=0.03 * math.sqrt(48 / 49))
    return which(
        found,
        {
            "11 × 11, Gaussian, inside the image": float(ssim(x, y, data_range=1.0)),
            "11 × 11, Gaussian, **border reflected**": reflected(x, y, 1.0),
            "7 × 7, equal weights": float(equal),
            "**7 × 7, equal weights**, variances ÷ 48": float(unbiased),
        },
    )


def psnr_words(found: float) -> str:
    """Say how the ratios of two images become one."""
    x, y = images()
    each = psnr(x, y, data_range=1.0)
    pooled = -10 * math.log10(float(((x - y) ** 2).mean()))
    return which(found, {"each image": float(each.mean()), "of the pooled error": pooled})


def missing_words(psnr_call: object, ssim_call: object) -> str:
    """Say what happens without a range of the data, for either metric that there is."""
    words = []
    for name, call in (("PSNR", psnr_call), ("SSIM", ssim_call)):
        if not callable(call):
            continue
        try:
            found = float(call())
        except (TypeError, ValueError) as error:
            words.append(f"{name} `{type(error).__name__}`")
            continue
        x, y = images()
        batch = max(np.ptp(x), np.ptp(y))
        said = which(found, {"**max − min of the batch**": reflected(x, y, float(batch))})
        words.append(f"{name} {said}")
    return ", ".join(words)


def dtype_words() -> str:
    """Say which range scikit-image takes where none is given, for what is not negative."""
    x, y = (z[0, 0] for z in images())
    one = float(peak_signal_noise_ratio(x, y, data_range=1.0))
    which(float(peak_signal_noise_ratio(x, y)), {"1, for floats": one})
    for kind in (np.uint8, np.int64):
        pair = [np.round(200 * z).astype(kind) for z in (x, y)]
        largest = float(np.iinfo(kind).max)
        for metric in (peak_signal_noise_ratio, structural_similarity):
            same = float(metric(*pair, data_range=largest))
            which(float(metric(*pair)), {"the largest integer": same})
    if structural_similarity(*pair) < 1 - 1e-9:
        raise LookupError("levels kept as int64 do not look perfect")
    return "**range of the dtype**"


class Rows(nn.Module):
    """Rows are their own features."""

    num_features = 4

    def forward(self, x: Tensor) -> Tensor:
        """Return the rows."""
        return x.float()


def kid_words() -> str:
    """Say what torchmetrics' kernel distance averages, by default and of all rows."""
    defaults = inspect.signature(KernelInceptionDistance).parameters
    subsets, size = (defaults[name].default for name in ("subsets", "subset_size"))
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(2, 30, 4))

    def of_torchmetrics(largest: int) -> tuple[float, float]:
        metric = KernelInceptionDistance(feature=Rows(), subsets=3, subset_size=largest)
        for rows, real in ((x, True), (y, False)):
            metric.update(torch.tensor(rows), real=real)
        mean, deviation = metric.compute()
        return float(mean), float(deviation)

    mean, deviation = of_torchmetrics(len(x))
    which(mean, {"all rows": float(kid(x, y))})
    if deviation > 1e-5 or of_torchmetrics(len(x) // 2)[1] < 1e-2:
        raise LookupError("the deviation is not that among subsets")
    try:
        of_torchmetrics(len(x) + 1)
    except ValueError as error:
        return (
            f"mean, deviation of {subsets} subsets of {size}; {size} images: deviation 0; "
            f"fewer: `{type(error).__name__}`"
        )
    raise LookupError("a subset that is larger than the sample is accepted")


def score_words() -> str:
    """Say what torchmetrics' inception score averages, by ten equal parts."""
    splits = inspect.signature(InceptionScore).parameters["splits"].default
    row = torch.tensor(np.random.default_rng(2).normal(size=(1, 4)))
    logits = torch.cat([row, -row]).repeat(20, 1)  # 40 rows of two kinds: shuffled in the metric
    metric = InceptionScore(feature=Rows(), splits=splits)
    metric.update(logits)
    torch.manual_seed(0)
    found = float(metric.compute()[0])
    whole = float(inception_score(logits.softmax(1)))
    if not found < whole:
        raise LookupError(f"the mean of the parts, {found}, is not below {whole}")
    return f"mean of {splits} parts"


def which_convention() -> dict[str, tuple[str, ...]]:
    """Return what each library's metrics are, by default."""
    x, y = images()
    one, other = torch.tensor(x), torch.tensor(y)
    second = one[1:], other[1:]
    similarity = ssim_of_torchmetrics(*second, data_range=1.0)
    of_torchmetrics = float(similarity if isinstance(similarity, Tensor) else similarity[0])
    of_skimage = structural_similarity(x[1], y[1], data_range=1.0, channel_axis=0)
    batched = psnr_of_torchmetrics(one, other, data_range=1.0)
    of_keras = keras.ops.convert_to_numpy(keras.ops.psnr(x, y, 1.0))
    return {
        "this package": (
            ssim_words(float(ssim(x[1], y[1], data_range=1.0))),
            psnr_words(float(psnr(x, y, data_range=1.0).mean())),
            missing_words(lambda: psnr(x, y), lambda: ssim(x, y)),  # type: ignore[call-arg]
            "all pairs",
            "one number",
        ),
        "torchmetrics": (
            ssim_words(of_torchmetrics),
            psnr_words(float(batched)),
            missing_words(
                lambda: psnr_of_torchmetrics(one, other),  # type: ignore[call-arg]
                lambda: ssim_of_torchmetrics(one, other),
            ),
            kid_words(),
            score_words(),
        ),
        "scikit-image": (
            ssim_words(float(of_skimage)),
            psnr_words(float(peak_signal_noise_ratio(x, y, data_range=1.0))),
            f"PSNR, SSIM of integers {dtype_words()}; of floats "
            + missing_words(None, lambda: structural_similarity(x[0], y[0], channel_axis=0)),
            "–",
            "–",
        ),
        "Keras `ops.psnr`": (
            "–",
            psnr_words(float(of_keras)),
            missing_words(lambda: keras.ops.psnr(x, y), None),
            "–",
            "–",
        ),
    }
