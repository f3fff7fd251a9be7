"""What libraries that report perplexity do to a batch, found by running them.

Each cell is decided alike: one batch, or two of unequal length, and the words of the only
convention that gives what the library gives.
"""

import inspect
import tempfile

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics.text import Perplexity
from transformers import Trainer, TrainingArguments
from transformers.loss.loss_utils import ForCausalLMLoss

from dlkb.losses.perplexity import perplexity, pooled_perplexity

LIBRARIES = ("torchmetrics", "transformers")

VOCABULARY, IGNORED = 5, -100


def batch(length: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return logits and labels of one text."""
    rng = np.random.default_rng(seed)
    logits = torch.tensor(3 * rng.normal(size=(1, length, VOCABULARY)), dtype=torch.float32)
    return logits, torch.tensor(rng.integers(0, VOCABULARY, size=(1, length)))


def which(found: float, conventions: dict[str, float]) -> str:
    """Return the words of the only convention that gives this."""
    same = [words for words, value in conventions.items() if np.isclose(found, value, rtol=1e-5)]
    if len(same) != 1:
        raise LookupError(f"{len(same)} conventions give {found}: {same}")
    return same[0]


def mean_loss(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """Return the mean loss where position t predicts the label at t."""
    return F.cross_entropy(logits[0], labels[0], ignore_index=IGNORED).item()


def labels_words(found: float) -> str:
    """Say whether a position is compared with its own label or with the next."""
    logits, labels = batch(6, 0)
    return which(
        found,
        {
            "at the same position": mean_loss(logits, labels),
            "at the next position: it shifts": mean_loss(logits[:, :-1], labels[:, 1:]),
        },
    )


def batches_words(found: float) -> str:
    """Say how two batches of unequal length become one number."""
    losses = [mean_loss(*batch(length, length)) for length in (3, 30)]
    return which(
        found,
        {
            "weighted by tokens": float(np.exp((3 * losses[0] + 30 * losses[1]) / 33)),
            "the mean of perplexities": float(np.exp(losses).mean()),
            "the mean of means": float(np.exp(np.mean(losses))),
        },
    )


def of_torchmetrics(*batches: tuple[torch.Tensor, torch.Tensor], ignored: int | None) -> float:
    """Run the metric of torchmetrics over batches."""
    metric = Perplexity(ignore_index=ignored)
    for logits, labels in batches:
        metric.update(logits, labels)
    return float(metric.compute())


class GivenLogits(nn.Module):
    """A language model whose logits are part of the data."""

    def forward(self, logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Return the loss of Transformers' causal models."""
        return {"loss": ForCausalLMLoss(logits, labels, VOCABULARY)}


def trainer_words() -> str:
    """Say how Transformers' trainer pools a batch of two padded texts and one of a third."""
    texts = [batch(length, seed) for seed, length in enumerate((4, 11, 31))]
    data = [
        {
            "logits": F.pad(logits[0], (0, 0, 0, 31 - logits.shape[1])),
            "labels": F.pad(labels[0], (0, 31 - labels.shape[1]), value=IGNORED),
        }
        for logits, labels in texts
    ]
    with tempfile.TemporaryDirectory() as folder:
        settings = TrainingArguments(
            folder, per_device_eval_batch_size=2, report_to=[], use_cpu=True, disable_tqdm=True
        )
        settings.set_logging(level="error")
        found = Trainer(GivenLogits(), settings, eval_dataset=data).evaluate()["eval_loss"]
    first, second, long = (
        ForCausalLMLoss(logits, labels, VOCABULARY).item() for logits, labels in texts
    )
    together = (3 * first + 10 * second) / 13
    return which(
        found,
        {
            "weighted by tokens": (3 * first + 10 * second + 30 * long) / 43,
            "weighted by texts": (first + second + long) / 3,
            "**batch means, weighted by texts**": (2 * together + long) / 3,
            "the mean of means": (together + long) / 2,
        },
    )


def ignores(loss: float, without: float) -> bool:
    """Whether a loss with an ignored label is that without it."""
    return bool(np.isclose(loss, without, rtol=1e-5))


def which_convention() -> dict[str, tuple[str, ...]]:
    """Return with which label a position is compared, what is ignored, and how batches pool."""
    logits, labels = batch(6, 0)
    padded = labels.clone()
    padded[0, 3:] = IGNORED
    expected = mean_loss(logits[:, :3], labels[:, :3])
    metric_default = inspect.signature(Perplexity).parameters["ignore_index"].default
    if not ignores(np.log(of_torchmetrics((logits, padded), ignored=IGNORED)), expected):
        raise LookupError("torchmetrics counts what it is told to ignore")
    shifted = mean_loss(logits[:, :2], labels[:, 1:3])
    if not ignores(ForCausalLMLoss(logits, padded, VOCABULARY).item(), shifted):
        raise LookupError("transformers counts the label −100")
    each = ForCausalLMLoss(logits, labels, VOCABULARY)
    one_mean = each.ndim == 0 and ignores(each.item(), mean_loss(logits[:, :-1], labels[:, 1:]))
    two = [batch(length, length) for length in (3, 30)]
    ours = pooled_perplexity(np.asarray([mean_loss(*one) for one in two]), np.asarray([3.0, 30.0]))
    own = logits[0].log_softmax(-1)[torch.arange(6), labels[0]]
    return {
        "this package": (
            labels_words(float(np.log(perplexity(own.numpy())))),
            "what `scored` leaves out",
            batches_words(float(ours)),
        ),
        "torchmetrics `Perplexity`": (
            labels_words(float(np.log(of_torchmetrics((logits, labels), ignored=None)))),
            "`ignore_index`, by default nothing" if metric_default is None else "",
            batches_words(of_torchmetrics(*two, ignored=None)),
        ),
        "Transformers, causal loss": (
            labels_words(ForCausalLMLoss(logits, labels, VOCABULARY).item()),
            "−100",
            "a mean a call" if one_mean else "",
        ),
        "Transformers, `Trainer.evaluate`": (
            "by the model's loss",
            "by the model's loss",
            trainer_words(),
        ),
    }
