"""Early stopping that keeps the best weights."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from dlkb.arrays import check_between, check_count
from dlkb.regularization.overfitting import Mode, Progress, progress_init, progress_step


class EarlyStopping:
    """Say when to stop, and go back to the weights of the best validation score.

    The rule is `dlkb.regularization.overfitting.progress_step`. Whenever a score improves, the
    model is copied: what is in a module's `state_dict`, so no buffer that is not persistent, on
    its device; or whatever else is given, such as a dict of arrays, or
    `{"model": model.state_dict(), "optimizer": …}`.

    Args:
        patience: Stop after so many scores in a row without improvement, ≥ 1. Scores are counted,
            not epochs: it depends on how often you validate.
        min_delta: Gains must be larger than this, in the unit of the score.
        mode: "min" for a loss, "max" for an accuracy.

    Raises:
        ValueError: If an argument is out of range.

    Note:
        With several processes give all of them the same score, reduced over the validation set:
        where one stops and another goes on, the next collective waits for ever. Under FSDP2 each
        process keeps its shards.

    Note:
        Differs from Keras in that it always keeps the best weights (there
        `restore_best_weights=False` is the default), in patience ≥ 1 (there 0 acts as 1), and in
        a first score of NaN, which counts as no improvement and is not kept.

    Example:
        >>> model, stopping = nn.Linear(1, 1), EarlyStopping(patience=2)
        >>> for loss in (3.0, 2.0, 1.0, 1.5, 1.6, 0.5):
        ...     _ = nn.init.constant_(model.weight, loss)
        ...     if stopping.step(loss, model):
        ...         break
        >>> loss, stopping
        (1.6, EarlyStopping(patience=2, min_delta=0.0, mode='min', best=1.0, best_step=2, wait=2))
        >>> stopping.restore(model).weight.item()
        1.0
    """

    def __init__(self, patience: int = 10, min_delta: float = 0.0, mode: Mode = "min") -> None:
        check_count("patience", patience, 1)
        check_between("min_delta", min_delta, 0, float("inf"), closed="left")
        self.patience = patience
        self.min_delta = min_delta
        self.mode = mode
        self.progress = progress_init(torch.zeros((), dtype=torch.float64), mode=mode)
        self.best_state: Any = None

    def step(self, score: float | Tensor, model: Any) -> bool:
        """Take in a validation score of the model as it is now.

        Args:
            score: A number, or an array that holds one. Where several processes train, each must
                give the same: reduce it first, or they will not stop together.
            model: A module, or anything that `copy.deepcopy` copies.

        Returns:
            True if training should stop.
        """
        value = score.item() if hasattr(score, "item") else score  # an array may have axes
        number = torch.tensor(float(value), dtype=torch.float64)
        self.progress = progress_step(
            self.progress, number, min_delta=self.min_delta, mode=self.mode
        )
        if self.wait == 0:
            self.best_state = deepcopy(_state(model))
        return self.wait >= self.patience

    def restore(self, model: Any) -> Any:
        """Put the best weights into a module, and return it; of anything else, return the copy.

        Args:
            model: A module: it is changed in place. Arrays are left alone: write
                `weights = stopping.restore(weights)`.

        Raises:
            RuntimeError: If no score has been better than infinitely bad, such as NaN alone.
        """
        if self.best_step < 0:
            raise RuntimeError(
                f"there is no best state: none of {int(self.progress.step)} scores improved "
                f"on {self.best}, call step() with a finite score first"
            )
        if not isinstance(model, nn.Module):
            return deepcopy(self.best_state)
        model.load_state_dict(self.best_state)
        return model

    @property
    def best(self) -> float:
        """The best score so far."""
        return float(self.progress.best)

    @property
    def best_step(self) -> int:
        """The index of the best score, from 0; −1 while there is none."""
        return int(self.progress.best_step)

    @property
    def wait(self) -> int:
        """How many scores have come since the best."""
        return int(self.progress.wait)

    def state_dict(self) -> dict[str, Any]:
        """Return numbers and the best state, to be saved with the model in a checkpoint."""
        numbers = {name: value.item() for name, value in self.progress._asdict().items()}
        return {**numbers, "best_state": self.best_state}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken; the arguments of the constructor stay as they are.

        Raises:
            ValueError: If a key is missing or unknown.
        """
        wanted = {*Progress._fields, "best_state"}
        if set(state) != wanted:
            raise ValueError(f"state has the keys {sorted(state)}: {sorted(wanted)} are needed")
        pairs = zip(Progress._fields, self.progress, strict=True)
        self.progress = Progress(*(torch.tensor(state[k], dtype=old.dtype) for k, old in pairs))
        self.best_state = deepcopy(state["best_state"])

    def __repr__(self) -> str:
        return (
            f"EarlyStopping(patience={self.patience}, min_delta={self.min_delta}, "
            f"mode={self.mode!r}, best={self.best}, best_step={self.best_step}, wait={self.wait})"
        )


def _state(model: Any) -> Any:
    return model.state_dict() if isinstance(model, nn.Module) else model
