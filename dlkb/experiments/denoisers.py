"""Small diffusion models: two moons and digits, learned in seconds, and the way back from noise."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from dlkb.arrays import check_between, check_count
from dlkb.vision.diffusion import Form, Parts, ddim_step, diffuse, parts

MIDDLE, SPREAD = np.asarray([0.5, 0.25]), np.asarray([0.75, 0.5625 - 1 / np.pi]) ** 0.5
"""Mean and standard deviation of two half circles of radius 1."""


def moons(count: int, *, noise: float = 0.05, seed: int = 0) -> NDArray[np.float64]:
    """Draw points near two half circles that reach into each other, centred and scaled.

    Without noise the mean of each coordinate is 0 and its variance 1; noise adds to the variance.

    Args:
        count: Number of points ≥ 0.
        noise: Standard deviation around the half circles, in units of their radius.
        seed: Decides the draw.

    Returns:
        Points, shape (count, 2).

    Example:
        >>> points = moons(4000)
        >>> points.shape, abs(points.mean(0)).max() < 0.05, points.std(0).round(1)
        ((4000, 2), np.True_, array([1., 1.]))
    """
    rng = np.random.default_rng(seed)
    angle, lower = np.pi * rng.random(count), rng.random(count) < 0.5
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    circle = np.where(lower[:, None], [1.0, 0.5] - circle, circle)
    return (circle + noise * rng.normal(size=(count, 2)) - MIDDLE) / SPREAD


def moon_distance(points: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return how far points are from the nearer half circle, in units of its radius.

    Args:
        points: As `moons` returns them, shape (..., 2).

    Returns:
        Distances, shape (...,).

    Example:
        >>> bool(moon_distance(moons(100, noise=0.0)).max() < 1e-12)
        True
    """
    upper = points * SPREAD + MIDDLE
    return np.minimum(*(_half_circle(half) for half in (upper, [1.0, 0.5] - upper)))


def _half_circle(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distance to the upper half of the unit circle."""
    x, y = np.abs(points[..., 0]), points[..., 1]
    return np.where(y >= 0, np.abs(np.hypot(x, y) - 1), np.hypot(x - 1, y))


class Denoiser(nn.Module):
    """A network of two hidden layers that sees the noisy array, the step, and maybe a label.

    Args:
        size: Entries of an array.
        steps: Number of steps T; t = 0 … T may be asked for.
        classes: Number of labels; the label `classes` stands for none.
        width: Units of a hidden layer.
        waves: Sines and cosines of these multiples of each entry are seen too: in two dimensions
            a small network learns sharp shapes from them.

    Example:
        >>> Denoiser(2, steps=100, waves=(1, 2))(torch.zeros(5, 2), torch.ones(5).long()).shape
        torch.Size([5, 2])
    """

    times: Tensor

    def __init__(
        self,
        size: int,
        *,
        steps: int,
        classes: int = 0,
        width: int = 64,
        waves: Sequence[float] = (),
    ) -> None:
        super().__init__()
        angle = torch.pi / 2 * torch.arange(steps + 1)[:, None] / steps * torch.arange(1, 5)
        self.register_buffer("times", torch.cat([angle.cos(), angle.sin()], 1), persistent=False)
        self.classes, self.waves = classes, tuple(waves)
        labels = classes + 1 if classes else 0
        self.layers = nn.Sequential(
            nn.Linear(size * (1 + 2 * len(self.waves)) + 8 + labels, width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Linear(width, size),
        )

    def forward(self, x: Tensor, t: Tensor, label: Tensor | None = None) -> Tensor:
        """Predict, for arrays (n, size), steps (n,) and labels (n,); no label is none."""
        seen = [x, self.times[t]]
        for wave in self.waves:
            seen += [(wave * x).sin(), (wave * x).cos()]
        if self.classes:
            label = torch.full_like(t, self.classes) if label is None else label
            seen.append(nn.functional.one_hot(label, self.classes + 1).to(x.dtype))
        return self.layers(torch.cat(seen, 1))


def fit(
    denoiser: Denoiser,
    data: NDArray[np.floating],
    labels: NDArray[np.integer] | None = None,
    *,
    share: NDArray[np.float64],
    predicts: Form = "noise",
    steps: int = 1000,
    batch: int = 256,
    lr: float = 1e-2,
    drop: float = 0.15,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Train a denoiser with Adam, the learning rate falling to zero on a straight line.

    Args:
        denoiser: Trained in place. Its first parameters are its own affair: set torch's seed.
        data: Shape (n, size), scaled to a variance near 1.
        labels: 0 … classes − 1, shape (n,), for a denoiser with classes.
        share: Of the data, at t = 0 … T, shape (T + 1,).
        predicts: "noise", "x0" or "velocity".
        steps: Number of steps of Adam ≥ 1.
        batch: Arrays in a step ≥ 1; each gets its own t and noise.
        lr: Learning rate at the start.
        drop: Probability that a label is replaced by none.
        seed: Decides rows, steps, noise and dropped labels.

    Returns:
        The loss of each step.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> share = np.linspace(1.0, 0.0, 11)
        >>> loss = fit(Denoiser(2, steps=10), moons(100), share=share, steps=50)
        >>> loss.shape
        (50,)
    """
    check_between("drop", drop, 0, 1)
    check_count("steps", steps, 1)
    check_count("batch", batch, 1)
    if predicts not in Parts._fields:
        raise ValueError(f"predicts is {predicts!r}: it must be one of {Parts._fields}")
    rng = np.random.default_rng(seed)
    optimizer = torch.optim.Adam(denoiser.parameters(), lr=lr, fused=True)
    decay = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, steps)
    rows, kept = torch.tensor(data, dtype=torch.float32), torch.tensor(share, dtype=torch.float32)
    own = None if labels is None else torch.tensor(labels)
    losses = []
    for _ in range(steps):
        i = torch.tensor(rng.integers(len(rows), size=batch))
        t = torch.tensor(rng.integers(1, len(share), size=batch))
        noise = torch.tensor(rng.standard_normal((batch, rows.shape[1]), dtype=np.float32))
        label = None
        if own is not None:
            none = torch.tensor(rng.random(batch) < drop)
            label = torch.where(none, denoiser.classes, own[i])
        now = kept[t][:, None]
        x = diffuse(rows[i], noise, now)
        velocity = now**0.5 * noise - (1 - now) ** 0.5 * rows[i]
        target = getattr(Parts(rows[i], noise, velocity), predicts)
        loss = (denoiser(x, t, label) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        decay.step()
        losses.append(loss.item())
    return np.asarray(losses)


def sample(
    predict: Callable[[Tensor, int], Tensor],
    x: Tensor,
    *,
    share: NDArray[np.float64],
    times: Sequence[int],
    predicts: Form = "noise",
    eta: float = 0.0,
    clip: float | None = None,
    seed: int = 0,
) -> list[Tensor]:
    """Go back from noise to data.

    Args:
        predict: From a state and its t to what `predicts` says.
        x: The first state, shape (n, size).
        share: Of the data, at t = 0 … T; above 0 at the first of `times`.
        times: The steps that are visited, falling, from that of `x` on; 0 is the data.
        predicts: "noise", "x0" or "velocity".
        eta: 0 for DDIM, 1 for DDPM's steps with the posterior's variance.
        clip: Largest modulus that predicted data may have; None for any.
        seed: Decides the fresh noise.

    Returns:
        The states at `times`, the first included.

    Raises:
        ValueError: If a share does not allow its step, or `eta` or `predicts` is out of its range.

    Example:
        >>> share = np.linspace(1.0, 0.01, 11)
        >>> x = torch.tensor([[3.0, -1.0]])
        >>> states = sample(lambda x, t: 0 * x, x, share=share, times=[10, 5, 0], predicts="x0")
        >>> states[-1]
        tensor([[0., 0.]])
    """
    rng = np.random.default_rng(seed)
    states = [x]
    for now, before in pairwise(times):
        with torch.no_grad():
            found = parts(x, predict(x, now), share[now].item(), predicts=predicts)
        if clip is not None:
            found = parts(x, found.x0.clip(-clip, clip), share[now].item(), predicts="x0")
        z = torch.tensor(rng.standard_normal(tuple(x.shape)), dtype=x.dtype)
        x = ddim_step(x, found.noise, z, share[now].item(), share[before].item(), eta=eta)
        states.append(x)
    return states


def gaussian_law(
    step: Callable[..., NDArray[np.float64]],
    *,
    share: NDArray[np.float64],
    times: Sequence[int],
    mean: ArrayLike = 0.0,
    std: ArrayLike = 1.0,
) -> NDArray[np.float64]:
    r"""Return mean and standard deviation of each state of a sampler, without drawing any.

    The data is N(mean, std²), the first state N(0, 1), and the predictions are the best there
    are, linear in the state. Then a step is affine in state and fresh noise: three rows tell all.

    Args:
        step: From state, predicted noise, fresh noise, and the shares now and before, as
            `dlkb.vision.diffusion.ddpm_step` takes them, to the state before.
        share: Of the data, at t = 0 … T.
        times: The steps that are visited, falling.
        mean: Of the data; several laws at once, shape (laws,), cost little more than one.
        std: Of the data, ≥ 0, in the shape of `mean`.

    Returns:
        Shape (2, states), or (2, states, laws): means, standard deviations.

    Example:
        >>> from dlkb.vision.diffusion import ddpm_step
        >>> share, times = np.linspace(1.0, 0.001, 201), range(200, -1, -1)
        >>> law = gaussian_law(ddpm_step, share=share, times=times, mean=2.0, std=0.5)
        >>> law[:, -1].round(1)
        array([2. , 0.5])
    """
    mean, std = np.asarray(mean, dtype=np.float64), np.asarray(std, dtype=np.float64)
    column = (3, *(1 for _ in mean.shape))
    x = np.reshape([0.0, 1.0, 0.0], column) + 0 * mean
    z = np.reshape([0.0, 0.0, 1.0], column) + 0 * mean
    middle, deviation = 0 * mean, 0 * mean + 1
    law = [(middle, deviation)]
    for now, before in pairwise(share[list(times)].tolist()):
        spread = now * std**2 + 1 - now
        noise = (1 - now) ** 0.5 / spread * (x - now**0.5 * mean)
        at_zero, at_one, with_noise = step(x, noise, z, now, before)
        middle = (at_one - at_zero) * middle + at_zero
        deviation = np.hypot((at_one - at_zero) * deviation, with_noise - at_zero)
        law.append((middle, deviation))
    return np.moveaxis(np.asarray(law), 0, 1)
