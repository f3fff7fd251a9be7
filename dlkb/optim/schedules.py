"""The schedules of `dlkb.training.schedules` in PyTorch."""

from collections.abc import Callable

import torch
from torch import Tensor


def lr_lambda(schedule: Callable[[Tensor], Tensor]) -> Callable[[int], float]:
    """Make of a schedule what `torch.optim.lr_scheduler.LambdaLR` takes.

    Args:
        schedule: Takes a tensor of steps and returns factors: a function of
            `dlkb.training.schedules`, its options given by `functools.partial`.

    Returns:
        A function from the number of the step, an integer, to the factor, a float. It computes
        on the CPU in float64.

    Example:
        >>> from functools import partial
        >>> import torch
        >>> from dlkb.training.schedules import cosine
        >>> optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.5)
        >>> factor = lr_lambda(partial(cosine, total=100, warmup=10))
        >>> scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        >>> for _ in range(5):
        ...     optimizer.step()
        ...     scheduler.step()
        >>> scheduler.get_last_lr()
        [0.25]
    """

    def factor(step: int) -> float:
        return schedule(torch.tensor(step, dtype=torch.float64, device="cpu")).item()

    return factor
