"""Which rule of early stopping a library follows, found by feeding it losses.

Each library gets the same sequences of losses; the words follow from how many it took in.
"""

import inspect
import logging
import math
import warnings
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import torch
from ignite.engine import Engine
from ignite.handlers import Checkpoint
from ignite.handlers import EarlyStopping as IgniteStopping
from pytorch_lightning.callbacks import EarlyStopping as LightningStopping
from pytorch_lightning.callbacks import ModelCheckpoint
from sklearn.neural_network import MLPClassifier
from torch.optim.lr_scheduler import ReduceLROnPlateau
from transformers import EarlyStoppingCallback, Trainer, TrainerControl, TrainerState
from transformers import TrainingArguments as Arguments

from dlkb.nn import EarlyStopping

LIBRARIES = (
    "torch",
    "keras",
    "pytorch-lightning",
    "pytorch-ignite",
    "transformers",
    "scikit-learn",
)

Scores = Sequence[float]
Rule = Callable[[Scores, int, float], int | None]
"""From losses, patience and smallest gain to how many losses were taken in; None for all."""


def counted(scores: Scores, stops: Callable[[float], bool]) -> int | None:
    """Return after how many scores `stops` is true."""
    return next((i for i, score in enumerate(scores, 1) if stops(score)), None)


def ours(scores: Scores, patience: int, delta: float) -> int | None:
    """Run this package's rule."""
    stopping = EarlyStopping(patience, min_delta=delta)
    return counted(scores, lambda score: stopping.step(score, {}))


def by_keras(scores: Scores, patience: int, delta: float) -> int | None:
    """Run Keras's callback."""
    stopping = keras.callbacks.EarlyStopping(patience=patience, min_delta=delta, mode="min")
    model: Any = SimpleNamespace(stop_training=False, metrics=[])
    stopping.set_model(model)
    stopping.on_train_begin()
    for epoch, score in enumerate(scores):
        stopping.on_epoch_end(epoch, {"val_loss": score})
        if model.stop_training:
            return epoch + 1
    return None


def by_lightning(scores: Scores, patience: int, delta: float) -> int | None:
    """Run Lightning's callback."""
    stopping = LightningStopping("loss", patience=patience, min_delta=delta)
    return counted(
        scores, lambda score: stopping._evaluate_stopping_criteria(torch.tensor(score))[0]
    )


def by_ignite(
    scores: Scores, patience: int, delta: float, *, cumulative: bool = False
) -> int | None:
    """Run Ignite's handler."""
    trainer, engine = Engine(lambda *_: None), Engine(lambda *_: None)
    state: Any = engine.state
    stopping = IgniteStopping(
        patience,
        lambda e: e.state.output,
        trainer,
        threshold=delta,
        cumulative=cumulative,
        mode="min",
    )
    stopping.logger.setLevel(logging.ERROR)

    def stops(score: float) -> bool:
        state.output = score
        stopping(engine)
        return bool(trainer.should_terminate)

    return counted(scores, stops)


def by_transformers(scores: Scores, patience: int, delta: float) -> int | None:
    """Run the callback of Transformers, and what the Trainer does between its calls."""
    stopping = EarlyStoppingCallback(patience, delta)
    arguments: Any = SimpleNamespace(
        metric_for_best_model="eval_loss", greater_is_better=False, save_strategy="no"
    )
    trainer: Any = SimpleNamespace(args=arguments, state=TrainerState())
    control = TrainerControl()

    def stops(score: float) -> bool:
        metrics = {"eval_loss": score}
        stopping.on_evaluate(arguments, trainer.state, control, metrics)
        Trainer._determine_best_metric(trainer, metrics, None)
        return bool(control.should_training_stop)

    return counted(scores, stops)


def by_sklearn(scores: Scores, patience: int, delta: float) -> int | None:
    """Run scikit-learn's rule, which takes scores that are better if larger."""
    model: Any = MLPClassifier(early_stopping=True, n_iter_no_change=patience, tol=delta)
    model.validation_scores_, model._no_improvement_count = [], 0
    model.best_validation_score_, model.coefs_, model.intercepts_ = -np.inf, [], []

    def stops(score: float) -> bool:
        model._score = lambda *_, **__: -score
        model._update_no_improvement_count(True, None, None, None)
        return bool(model._no_improvement_count > model.n_iter_no_change)  # as in _fit_stochastic

    return counted(scores, stops)


def by_torch(
    scores: Scores, patience: int, delta: float, *, threshold_mode: str = "abs"
) -> int | None:
    """Run PyTorch's scheduler until it lowers the rate."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = ReduceLROnPlateau(
        optimizer, patience=patience, threshold=delta, threshold_mode=threshold_mode
    )

    def stops(score: float) -> bool:
        scheduler.step(score)
        return bool(optimizer.param_groups[0]["lr"] < 1)

    return counted(scores, stops)


def limit(rule: Rule) -> str:
    """Say after how many checks without a gain the rule stops."""
    found = {p: rule([1.0] + 20 * [1.1], p, 0.0) for p in (2, 3, 5)}
    if found == {p: p + 1 for p in found}:
        return "patience, at least 1" if least(rule) else "patience"
    if found == {p: p + 2 for p in found}:
        return "patience + 1"
    raise LookupError(f"losses that are worse stop after {found}")


def least(rule: Rule) -> bool:
    """Whether a patience of 0 is taken for 1: one loss that is worse stops, not the first one."""
    try:
        return rule([1.0] + 20 * [1.1], 0, 0.0) == 2
    except ValueError:
        return False  # refused


def watched_by_sklearn() -> str:
    """Say whose loss stops MLPClassifier by default: it holds no validation set out."""
    rng = np.random.default_rng(0)
    model = MLPClassifier(max_iter=2).fit(rng.normal(size=(40, 3)), np.arange(40) % 2)
    return {True: "the training loss"}[model.validation_scores_ is None and bool(model.loss_curve_)]


def reference(rule: Rule) -> str:
    """Say what a loss must be better than by the smallest gain: it falls by half of that."""
    slow = [1 - 0.005 * k for k in range(40)]
    found = rule(slow, 5, 0.01)
    if found is None:
        return "the best that counted"
    if found in (6, 7):
        return "the best seen, which **moves with each gain**"
    raise LookupError(f"a loss that falls slowly stops after {found}")


def with_nan(rule: Rule) -> str:
    """Say what a NaN is taken for, after a finite loss and as the first."""
    nan = [1.0, 1.1, 1.1] + 20 * [math.nan]
    found, bad = rule(nan, 5, 0.0), rule([1.0] + 22 * [1.1], 5, 0.0)
    one = rule([1.0, math.nan, *20 * [1.1]], 5, 0.0)  # does the rule count again after it?
    gain = "**a gain**, " + ("for ever" if one is None else "each time")
    words = {bad: "no gain", 4: "**stops at once**", None: gain}
    falling = [1 - 0.01 * k for k in range(20)]
    first = found == bad and rule([math.nan, *falling], 3, 0.0) == 4
    return words[found] + ("; if first, **the best**" if first else "")


def default(kind: Callable[..., object], *names: str) -> str:
    """Write arguments with their defaults."""
    parameters = inspect.signature(kind).parameters
    shown = []
    for name in names:
        value = parameters[name].default
        shown.append(f"`{name}`" if value is inspect.Parameter.empty else f"`{name}={value!r}`")
    return ", ".join(shown).replace("0.0001", "1e-4")


def keeps(module: type, word: str) -> str:
    """Say that a flag of a class, off by default, keeps the best weights."""
    if inspect.signature(module).parameters[word].default is not False:
        raise LookupError(f"{module.__name__}({word}) is not off by default")
    return f"only with `{word}=True`"


def stopping_rules() -> dict[str, tuple[str, ...]]:
    """Return arguments, limit, reference, NaN and what becomes of the best weights."""
    warnings.simplefilter("ignore")
    slow = [1 - 0.005 * k for k in range(40)]
    if by_ignite(slow, 5, 0.01, cumulative=True) is not None:
        raise LookupError("Ignite with cumulative=True moves its reference, too")
    # Losses near 100 that fall by 0.5 a check: a gain of 0.01, but not of one in a hundred.
    large = [100 - 0.5 * k for k in range(5)] + 20 * [98.0]
    if by_torch(large, 3, 0.01, threshold_mode="rel") == by_torch(large, 3, 0.01):
        raise LookupError("torch's relative threshold is absolute")
    if inspect.signature(ReduceLROnPlateau).parameters["threshold_mode"].default != "rel":
        raise LookupError("torch's threshold is not relative by default")

    def row(arguments: str, rule: Rule, weights: str, *, more: str = "") -> tuple[str, ...]:
        return arguments, limit(rule), reference(rule) + more, with_nan(rule), weights

    return {
        "this package": row(default(EarlyStopping, "patience", "min_delta"), ours, "kept"),
        "Keras": row(
            default(keras.callbacks.EarlyStopping, "patience", "min_delta"),
            by_keras,
            keeps(keras.callbacks.EarlyStopping, "restore_best_weights"),
        ),
        "Lightning": row(
            default(LightningStopping, "patience", "min_delta"),
            by_lightning,
            f"left to `{ModelCheckpoint.__name__}`",
        ),
        "Ignite": row(
            default(IgniteStopping, "patience", "threshold"),
            by_ignite,
            f"left to `{Checkpoint.__name__}`",
            more=", unless `cumulative=True`",
        ),
        "Transformers": row(
            default(EarlyStoppingCallback, "early_stopping_patience"),
            by_transformers,
            keeps(Arguments, "load_best_model_at_end"),
        ),
        "scikit-learn `MLPClassifier`": row(
            default(MLPClassifier, "n_iter_no_change", "tol"),
            by_sklearn,
            f"{keeps(MLPClassifier, 'early_stopping')}; else {watched_by_sklearn()} decides",
        ),
        "`ReduceLROnPlateau` (lowers the rate)": row(
            default(ReduceLROnPlateau, "patience", "threshold"),
            by_torch,
            "not its task",
            more=", **relative** by default",
        ),
    }
