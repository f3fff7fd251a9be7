"""Where schedules begin, peak and end, found by running libraries.

Each gets a warm-up of 4 steps and a length of 12, and is asked for its factor at each update.
"""

from collections.abc import Callable
from functools import partial

import keras
import numpy as np
import optax
import torch
import transformers
from numpy.typing import NDArray
from torch.optim import lr_scheduler

from dlkb.optim import lr_lambda
from dlkb.training.schedules import cosine

LIBRARIES = ("torch", "transformers", "keras", "optax")

Values = NDArray[np.float64]
WARMUP, LENGTH, COUNT = 4, 12, 30


def scheduled(make: Callable[[torch.optim.Optimizer], lr_scheduler.LRScheduler]) -> Values:
    """Return the rate of each update under a scheduler of torch, up to the first error."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = make(optimizer)
    found = []
    for _ in range(COUNT):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        try:
            scheduler.step()
        except ValueError:
            break
    return np.asarray(found)


def words(rates: Values, *, cut: float = 1e-3) -> tuple[str, ...]:
    """Say of the rates of each update what the table says."""
    peak = int(rates.argmax())
    low = [k for k in range(peak, len(rates)) if rates[k] < cut]
    end = low[0]
    stays = np.allclose(rates[end:], rates[end], atol=1e-6)
    if len(rates) < COUNT:
        after = "raises an error"
        if not stays and rates[end:-1].max() < cut:
            after = f"**rises once**, then {after}"
    else:
        after = "stays" if stays else "**rises again**"
    return f"{rates[0]:g}", f"{peak}", f"{end}", after


def called(schedule: Callable[[int], object]) -> Values:
    """Return what a function of the step gives."""
    return np.asarray([float(schedule(step)) for step in range(COUNT)])  # type: ignore[arg-type]


def sequence(optimizer: torch.optim.Optimizer) -> lr_scheduler.LRScheduler:
    """Return warm-up, then cosine, one after the other."""
    parts = [
        lr_scheduler.LinearLR(optimizer, start_factor=0.25, total_iters=WARMUP),
        lr_scheduler.CosineAnnealingLR(optimizer, T_max=LENGTH),
    ]
    return lr_scheduler.SequentialLR(optimizer, parts, milestones=[WARMUP])


def keras_cosine(step: int) -> object:
    """Return Keras's rate; its length does not count the warm-up."""
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, LENGTH, warmup_target=1.0, warmup_steps=WARMUP
    )
    return schedule(step)


def which_step() -> dict[str, tuple[str, ...]]:
    """Return, for each schedule, first factor, update of the peak, update of the end, and after."""
    counts = {"num_warmup_steps": WARMUP, "num_training_steps": LENGTH}
    ours = scheduled(
        partial(
            lr_scheduler.LambdaLR,
            lr_lambda=lr_lambda(partial(cosine, warmup=WARMUP, total=LENGTH)),
        )
    )
    optax_cosine = optax.warmup_cosine_decay_schedule(0.0, 1.0, WARMUP, LENGTH)
    return {
        "this package, `cosine`": words(ours),
        "torch, `LinearLR` and `CosineAnnealingLR` in `SequentialLR`": words(scheduled(sequence)),
        "torch, `OneCycleLR`": words(
            scheduled(
                partial(
                    lr_scheduler.OneCycleLR,
                    max_lr=1.0,
                    total_steps=LENGTH,
                    pct_start=(WARMUP + 1) / LENGTH,
                )
            )
        ),
        "Transformers, `get_cosine_schedule_with_warmup`": words(
            scheduled(partial(transformers.get_cosine_schedule_with_warmup, **counts))
        ),
        "Transformers, `get_linear_schedule_with_warmup`": words(
            scheduled(partial(transformers.get_linear_schedule_with_warmup, **counts))
        ),
        "Keras, `CosineDecay`": words(called(keras_cosine)),
        "optax, `warmup_cosine_decay_schedule`": words(called(optax_cosine)),
    }
