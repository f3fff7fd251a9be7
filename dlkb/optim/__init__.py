"""Optimizers that take the place of those of `torch.optim`.

On a GPU their steps are several times slower than torch's, which hands all tensors to one kernel:
see the benchmarks. Loss and weights are the same, and so are checkpoints: train there with torch's.
"""

from importlib.util import find_spec

if find_spec("torch") is None:
    raise ModuleNotFoundError("dlkb.optim needs PyTorch: pip install 'dlkb[torch]'", name="torch")

from dlkb.optim.adagrad import Adagrad
from dlkb.optim.adam import Adam
from dlkb.optim.adamw import AdamW, decay_groups
from dlkb.optim.lion import Lion
from dlkb.optim.rmsprop import RMSprop
from dlkb.optim.schedules import lr_lambda
from dlkb.optim.sgd import SGD

__all__ = [
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "Lion",
    "RMSprop",
    "decay_groups",
    "lr_lambda",
]
