"""How diffusers counts, schedules and guides, found by running it."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dlkb.vision.diffusion import diffuse, guide, parts
from dlkb.vision.noise_schedules import alpha_bar, linear_beta

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of its own imports
    from diffusers import DDIMScheduler, DDPMScheduler
    from diffusers.guiders.classifier_free_guidance import ClassifierFreeGuidance

LIBRARIES = ("diffusers",)

Scheduler = Any  # its attributes are made at run time
Vector = NDArray[np.float64]


def close(a: object, b: object) -> bool:
    """Whether two arrays are equal to the digits of float32."""
    return bool(np.allclose(np.asarray(a), np.asarray(b), rtol=1e-4, atol=1e-5))


def first_state(scheduler: Scheduler) -> str:
    """Say which t gives the state after one step of noise."""
    x, noise = torch.ones(1, 3), torch.full((1, 3), 2.0)
    share = 1 - float(scheduler.betas[0])
    for t in (0, 1):
        if close(scheduler.add_noise(x, noise, torch.tensor([t])), diffuse(x, noise, share)):
            return f"t = {t}"
    raise LookupError("neither t = 0 nor t = 1 is the state after one step")


def schedule(scheduler: Scheduler) -> str:
    """Say which schedule is the default."""
    steps = scheduler.config.num_train_timesteps
    beta = linear_beta(np.arange(1.0, steps + 1), steps=steps)
    if not close(scheduler.betas, beta):
        raise LookupError("the default is not the linear schedule")
    return f"linear, 1e-4 to 0.02, T = {steps}"


def steps_back(scheduler: Scheduler, t: int, noise: float) -> Vector:
    """Take a default step from 0.3 and the same predicted noise, 20,000 times."""
    x = torch.full((1, 20_000), 0.3)
    scheduler.set_timesteps(1000)
    generator = torch.Generator().manual_seed(0)
    result = scheduler.step(torch.full_like(x, noise), t, x, generator=generator)
    return np.asarray(result.prev_sample.double())


def default_step(scheduler: Scheduler) -> tuple[str, str]:
    """Say which variance a default step has, and whether it clips the data."""
    share = np.concatenate([[1.0], alpha_bar(scheduler.betas.double().numpy())])
    now, before = share[2], share[1]  # here the variances differ by a factor of two
    beta = 1 - now / before
    deviations = {
        "0 (η = 0)": 0.0,
        "posterior, $\\tilde\\beta_t$": ((1 - before) / (1 - now) * beta) ** 0.5,
        "$\\beta_t$": beta**0.5,
    }
    found = steps_back(scheduler, 1, 0.1).std()
    gap = {name: abs(found - value) for name, value in deviations.items()}
    variance = min(gap, key=gap.__getitem__)
    if gap[variance] > 0.03 * beta**0.5:
        raise LookupError(f"no variance gives the deviation {found}")
    now, before = share[500], share[499]  # this noise leaves data beyond 1
    state, told = np.full(1, 0.3), np.full(1, -2.0)
    sigma_squared = 0.0 if "η" in variance else (1 - before) / (1 - now) * (1 - now / before)
    x0 = parts(state, told, now).x0
    clipped = np.clip(x0, -1, 1)
    implied = parts(state, clipped, now, predicts="x0").noise
    direction = (1 - before - sigma_squared) ** 0.5
    means = {
        "no": before**0.5 * x0 + direction * told,
        "to ±1, and the noise with it": before**0.5 * clipped + direction * implied,
        "to ±1, but not the noise": before**0.5 * clipped + direction * told,
    }
    mean = steps_back(scheduler, 499, -2.0).mean()
    near = [words for words, value in means.items() if abs(mean - value.item()) < 4e-3]
    if len(near) != 1:
        raise LookupError(f"{len(near)} ways of clipping give {mean}: {means}")
    return variance, near[0]


def first_of_twenty(scheduler: Scheduler) -> str:
    """Say at which t sampling in 20 steps starts, by default and with "trailing"."""
    starts = []
    for options in ({}, {"timestep_spacing": "trailing"}):
        own = type(scheduler)(**options)
        own.set_timesteps(20)
        starts.append(f"t = {int(own.timesteps[0])}")
    return f'{starts[0]}; `timestep_spacing="trailing"`: {starts[1]}'


def which_convention() -> dict[str, tuple[str, ...]]:
    """Return how each scheduler counts, and what it does by default."""
    found: dict[str, tuple[str, ...]] = {}
    for kind in (DDPMScheduler, DDIMScheduler):
        name = f"diffusers `{kind.__name__}`"
        found[name] = (
            first_state(kind()),
            schedule(kind()),
            *default_step(kind()),
            first_of_twenty(kind()),
        )
    return found


def guidance() -> dict[str, tuple[str, ...]]:
    """Return at which scale a guider returns the conditional prediction."""
    given, free = torch.tensor([2.0]), torch.tensor([0.5])
    found = {"this package, `scale`": tuple(_none_at(lambda s: guide(given, free, scale=s), given))}
    for original in (False, True):
        name = "diffusers `ClassifierFreeGuidance`"
        if original:
            name += ", `use_original_formulation=True`"

        def guided(scale: float, original: bool = original) -> torch.Tensor:
            guider = ClassifierFreeGuidance(guidance_scale=scale, use_original_formulation=original)
            return guider.forward(given, free).pred

        found[name] = tuple(_none_at(guided, given))
    return found


def _none_at(guided: Callable[[float], torch.Tensor], given: torch.Tensor) -> list[str]:
    return [f"{s:g}" for s in (0.0, 1.0) if close(guided(s), given)]
