"""Optimizers that take the place of those of `torch.optim`."""

from dlkb.optim.adam import Adam
from dlkb.optim.adamw import AdamW, decay_groups

__all__ = ["Adam", "AdamW", "decay_groups"]
