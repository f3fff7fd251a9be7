"""What libraries do with micro-batches of unequal size and with a window that is not full.

One weight θ and the loss θ·x a token: its gradient is the mean of x, so that one step of plain
descent at a rate of one shows which micro-batches the step took, and by what it divided.
"""

import contextlib
import io
import logging
import os
import tempfile
import warnings

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
import numpy as np
import optax
import pytorch_lightning as lightning
import torch
from torch import nn
from transformers import Trainer, TrainingArguments

from dlkb.training.accumulation import accumulated, window_sizes

LIBRARIES = ("transformers", "pytorch-lightning", "keras", "optax")

TOKENS, ACCUMULATE, IGNORED = 4, 2, -100
BATCHES = ([1.0], [2.0, 4.0, 9.0], [8.0, 11.0])
"""What each token of a micro-batch adds to the gradient: three micro-batches, windows of two."""

MEANS = np.asarray([np.mean(x) for x in BATCHES])
COUNTS = np.asarray([float(len(x)) for x in BATCHES])


def which(found: float, conventions: dict[str, float]) -> str:
    """Return the words of the only convention that gives this."""
    same = [words for words, value in conventions.items() if np.isclose(found, value, rtol=1e-5)]
    if len(same) != 1:
        raise LookupError(f"{len(same)} conventions give {found}: {same}")
    return same[0]


def words(steps: list[float]) -> tuple[str, str]:
    """Say what a row of steps, each the change of θ, tells of weights and of the last window."""
    weights = which(
        steps[0],
        {
            "by tokens": float(accumulated(MEANS[:2], COUNTS[:2])),
            "alike, 1/K": float(MEANS[:2].mean()),
            "added up": float(MEANS[:2].sum()),
        },
    )
    if len(steps) == 1:
        return weights, "no step: it waits"
    last = which(
        steps[1],
        {
            "a step, divided by its size": float(MEANS[2]),
            "a step, divided by K": float(MEANS[2] / ACCUMULATE),
        },
    )
    return weights, last


def rows() -> list[dict[str, torch.Tensor]]:
    """Return the micro-batches, padded to one length with labels that do not count."""
    found = []
    for batch in BATCHES:
        x = torch.zeros(TOKENS)
        labels = torch.full((TOKENS,), IGNORED)
        x[: len(batch)] = torch.tensor(batch)
        labels[: len(batch)] = 1
        found.append({"x": x, "labels": labels})
    return found


def total(theta: torch.Tensor, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the loss, summed over the tokens that count."""
    return (theta * x * (labels != IGNORED)).sum()


class Plain(nn.Module):
    """A model whose loss is the mean of its own batch."""

    def __init__(self) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.zeros(()))
        self.seen: list[float] = []

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the mean over the tokens that count."""
        self.seen.append(self.theta.item())
        return {"loss": total(self.theta, x, labels) / (labels != IGNORED).sum()}


class Told(Plain):
    """A model that takes any keyword: then the Trainer tells it the count of the whole step."""

    def forward(
        self, x: torch.Tensor, labels: torch.Tensor, **told: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Return the sum over them, divided by the count of the step."""
        self.seen.append(self.theta.item())
        return {"loss": total(self.theta, x, labels) / told["num_items_in_batch"]}


def steps_of(seen: list[float], last: float) -> list[float]:
    """Return the changes of θ that are not zero."""
    return [-float(d) for d in np.diff([*seen, last]) if d]


def of_trainer(model: Plain) -> list[float]:
    """Run an epoch of the Trainer of Transformers."""
    with tempfile.TemporaryDirectory() as folder:
        options = TrainingArguments(
            folder, per_device_train_batch_size=1, gradient_accumulation_steps=ACCUMULATE,
            num_train_epochs=1, learning_rate=1.0, lr_scheduler_type="constant", optim="sgd",
            max_grad_norm=0.0, save_strategy="no", logging_strategy="no", report_to=[],
            use_cpu=True, disable_tqdm=True, remove_unused_columns=False,
            train_sampling_strategy="sequential",
        )  # fmt: skip
        with contextlib.redirect_stdout(io.StringIO()):
            Trainer(model, options, train_dataset=rows()).train()
    return steps_of(model.seen, model.theta.item())


class Module(lightning.LightningModule):
    """The plain model for Lightning."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Plain()

    def training_step(self, batch: dict[str, torch.Tensor], index: int) -> torch.Tensor:
        """Return the mean loss of a micro-batch."""
        loss: torch.Tensor = self.model(**batch)["loss"]
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Descend plainly."""
        return torch.optim.SGD(self.parameters(), lr=1.0)


def of_lightning() -> list[float]:
    """Run an epoch of Lightning's Trainer."""
    module = Module()
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = lightning.Trainer(
            accelerator="cpu", max_epochs=1, accumulate_grad_batches=ACCUMULATE, logger=False,
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip
        trainer.fit(module, torch.utils.data.DataLoader(rows(), batch_size=1))
    return steps_of(module.model.seen, module.model.theta.item())


def of_keras() -> list[float]:
    """Apply the means of the micro-batches by Keras."""
    theta = keras.Variable(0.0)
    optimizer = keras.optimizers.SGD(1.0, gradient_accumulation_steps=ACCUMULATE)
    seen = []
    for mean in MEANS:
        seen.append(theta.value.item())
        optimizer.apply([keras.ops.convert_to_tensor(mean, dtype="float32")], [theta])
    return steps_of(seen, theta.value.item())


def of_optax() -> list[float]:
    """Apply the means of the micro-batches by optax."""
    rule = optax.MultiSteps(optax.sgd(1.0), every_k_schedule=ACCUMULATE)
    theta, seen = np.zeros(()), []
    state = rule.init(theta)
    for mean in MEANS:
        seen.append(float(theta))
        update, state = rule.update(np.asarray(mean), state, theta)
        theta = theta + np.asarray(update)
    return steps_of(seen, float(theta))


def of_package() -> list[float]:
    """Step as the loop of the page does."""
    found, start = [], 0
    for size in window_sizes(len(BATCHES), accumulate=ACCUMULATE):
        window = slice(start, start + size)
        found.append(float(accumulated(MEANS[window], COUNTS[window])))
        start += size
    return found


def which_convention() -> dict[str, tuple[str, ...]]:
    """Return how micro-batches are weighted, and what becomes of an incomplete window."""
    return {
        "the loop above": words(of_package()),
        "Transformers `Trainer`, model takes loss keywords": words(of_trainer(Told())),
        "Transformers `Trainer`, other models": words(of_trainer(Plain())),
        "PyTorch Lightning": words(of_lightning()),
        "Keras `gradient_accumulation_steps`": words(of_keras()),
        "optax `MultiSteps`": words(of_optax()),
    }
