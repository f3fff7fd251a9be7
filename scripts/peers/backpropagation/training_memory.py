"""What libraries keep for the backward pass, found by running them on float32 entries."""

import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import GPT2Config, GPT2Model

from dlkb.nn import saved_memory

LIBRARIES = ("torch", "jax", "keras", "transformers")

X = np.random.default_rng(0).normal(size=(64, 256)).astype(np.float32)
KEY = jax.random.key(0)


class Of(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        """Return the function of the input."""
        return self.function(x)


def torch_keeps(model: nn.Module) -> float:
    """Return the bytes that are kept for an entry, the input's own included."""
    x = torch.tensor(X, requires_grad=True)
    saved = saved_memory(model, x)
    return (saved.inputs + saved.activations) / x.numel()


def compiled(model: nn.Module) -> Any:
    """Return a module whose kept tensors the compiler chooses."""
    torch._dynamo.reset()
    return torch.compile(model, backend="aot_eager_decomp_partition")


def jax_keeps(function: Callable[[Any], Any]) -> float:
    """Return the bytes that the pullback holds for an entry."""
    _, pullback = jax.vjp(function, jnp.asarray(X))
    held = {id(leaf): leaf for leaf in jax.tree_util.tree_leaves(pullback)}
    return sum(leaf.nbytes for leaf in held.values()) / X.size


def _jax_dropout(x: Any) -> Any:
    return jnp.where(jax.random.bernoulli(KEY, 0.9, x.shape), x / 0.9, 0)


OPERATIONS: dict[str, tuple[nn.Module, Callable[[Any], Any]]] = {
    "ReLU": (nn.ReLU(), jax.nn.relu),
    "tanh": (nn.Tanh(), jnp.tanh),
    "GELU, exact": (nn.GELU(), lambda x: jax.nn.gelu(x, approximate=False)),
    "SiLU": (nn.SiLU(), jax.nn.silu),
    "softmax": (nn.Softmax(-1), jax.nn.softmax),
    "dropout": (nn.Dropout(0.1), _jax_dropout),
    "adding a number": (Of(lambda x: x + 1), lambda x: x + 1),
}


def what_is_kept() -> dict[str, tuple[str, ...]]:
    """Return bytes an entry that three ways of differentiating keep."""
    if torch_keeps(Of(lambda x: torch.native_dropout(x, 0.1, True)[0])) != 1:
        raise LookupError("native_dropout, which CUDA takes, keeps no byte an entry: mend the page")
    rows = {}
    for name, (layer, function) in OPERATIONS.items():
        found = (torch_keeps(layer), torch_keeps(compiled(layer)), jax_keeps(function))
        rows[name] = tuple(f"{value:.0f}" for value in found)
    return rows


def _three(x: Any, tanh: Callable[[Any], Any]) -> Any:
    return tanh(tanh(tanh(x)))


def _mask_again(reentrant: bool) -> bool:
    """Whether the recomputation drops what the forward pass dropped."""
    torch.manual_seed(0)
    layer, x = nn.Dropout(0.5), torch.ones(1000, requires_grad=True)
    y = checkpoint(lambda x: layer(x).exp(), x, use_reentrant=reentrant)
    y.sum().backward()
    expected = torch.where(y == 1, 0.0, 2 * y)
    return torch.equal(x.grad, expected.detach())


def _learns_from_data(reentrant: bool) -> bool:
    """Whether weights inside get a gradient where the input requires none."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "None of the inputs have requires_grad")
        y = checkpoint(nn.Linear(2, 2), torch.ones(1, 2), use_reentrant=reentrant)
    return bool(y.requires_grad)


def _says(again: bool, learns: bool) -> tuple[str, str]:
    return ("the same" if again else "another", "works" if learns else "**no gradient**")


def _torch_row(reentrant: bool) -> tuple[str, ...]:
    kept = torch_keeps(Of(lambda x: checkpoint(_three, x, torch.tanh, use_reentrant=reentrant)))
    return (f"{kept / 4:.0f}", *_says(_mask_again(reentrant), _learns_from_data(reentrant)))


def _jax_row() -> tuple[str, ...]:
    kept = jax_keeps(jax.checkpoint(lambda x: _three(x, jnp.tanh)))

    def dropped(x: Any) -> Any:
        return jnp.exp(_jax_dropout(x)).sum()

    x = jnp.ones((1000,))
    again = bool(jnp.array_equal(jax.grad(jax.checkpoint(dropped))(x), jax.grad(dropped)(x)))
    inside = jax.grad(lambda w: jax.checkpoint(lambda w, x: (w * x).sum())(w, x))(2.0)
    return (f"{kept / 4:.0f}", *_says(again, bool(inside != 0)))


def _keras_row() -> tuple[str, ...]:
    if keras.backend.backend() != "torch":
        raise LookupError("the row is that of Keras on PyTorch: set KERAS_BACKEND=torch")
    kept = torch_keeps(Of(keras.remat(lambda x: _three(x, torch.tanh))))
    torch.manual_seed(0)
    x = torch.ones(1000, requires_grad=True)
    y = keras.remat(lambda x: nn.functional.dropout(x, 0.5).exp())(x)
    y.sum().backward()
    again = torch.equal(x.grad, torch.where(y == 1, 0.0, 2 * y).detach())
    learns = keras.remat(nn.Linear(2, 2))(torch.ones(1, 2)).requires_grad
    return (f"{kept / 4:.0f}", *_says(again, learns))


def _transformers_row() -> tuple[str, ...]:
    sizes, tokens = [], torch.zeros(1, 8, dtype=torch.long)
    for depth in (2, 3):
        config = GPT2Config(
            n_embd=16,
            n_layer=depth,
            n_head=2,
            vocab_size=10,
            n_positions=8,
            bos_token_id=0,
            eos_token_id=0,
            use_cache=False,
        )
        model = GPT2Model(config)
        model.activation_checkpointing_enable()
        sizes.append(saved_memory(model.train(), tokens).activations)
    reentrant = bool(model.h[0]._gradient_checkpointing_func.keywords["use_reentrant"])
    kept = (sizes[1] - sizes[0]) / (8 * 16 * 4)
    return (f"{kept:.0f}", *_says(_mask_again(reentrant), _learns_from_data(reentrant)))


def which_convention() -> dict[str, tuple[str, ...]]:
    """Return what is kept of a segment, the mask in the recomputation, and data as input."""
    return {
        "`torch.utils.checkpoint`, `use_reentrant=False`": _torch_row(False),
        "`torch.utils.checkpoint`, `use_reentrant=True`": _torch_row(True),
        "`jax.checkpoint`": _jax_row(),
        "`keras.remat` on PyTorch": _keras_row(),
        "Transformers, `activation_checkpointing_enable()`": _transformers_row(),
    }
