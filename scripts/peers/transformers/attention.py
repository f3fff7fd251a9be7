"""What libraries mean by a mask and by "causal", found by running them on values of ones and zeros.

With queries of zeros all scores are equal, and with the unit matrix for values the output is the
row of weights.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import keras
import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from torch import nn

from dlkb.nn import scaled_dot_product_attention

LIBRARIES = ("torch", "jax", "keras", "transformers")

Weights = NDArray[np.float64]
FIRST_KEY = np.asarray([[True, False, False, False], [False, False, False, False]])
"""True at the first key of the first query alone."""


def mask_means(weights: Weights) -> str:
    """Say what True means, from the first row."""
    if np.allclose(weights[0], [1, 0, 0, 0]):
        return "may read"
    if weights[0, 0] == 0 and (weights[0, 1:] > 0).all():
        return "may **not** read"
    raise LookupError(f"no meaning explains {weights[0]}")


def shut_row(weights: Weights) -> str:
    """Say what a query reads that may read nothing."""
    if np.isnan(weights).all():
        return "NaN"
    if not weights.any():
        return "zeros"
    if np.allclose(weights, weights[0]) and np.allclose(weights.sum(), 1):
        return "the mean of all values"
    raise LookupError(f"no rule explains {weights}")


def causal(weights: Weights) -> str:
    """Say from where two queries of four keys are counted, from which keys they read."""
    found = (weights > 0).astype(int).tolist()
    if found == [[1, 0, 0, 0], [1, 1, 0, 0]]:
        return "from the first key"
    if found == [[1, 1, 1, 0], [1, 1, 1, 1]]:
        return "from the last key"
    raise LookupError(f"no rule explains {found}")


def arrays(*, tokens_first: bool) -> list[NDArray[np.float32]]:
    """Return two queries of zeros, four keys, and the unit matrix, for one head of one example."""
    found = [x.astype(np.float32) for x in (np.zeros((2, 4)), np.ones((4, 4)), np.eye(4))]
    return [x[None, :, None] if tokens_first else x[None, None] for x in found]


def of_torch(function: Callable[..., torch.Tensor], **options: object) -> Weights:
    """Return the weights of a function that takes heads before tokens."""
    read = function(*map(torch.tensor, arrays(tokens_first=False)), **options)
    return np.asarray(read[0, 0].double())


def of_module(masked: NDArray[np.bool_]) -> Weights:
    """Return the weights of torch's module."""
    torch.manual_seed(0)
    layer = nn.MultiheadAttention(4, 1, batch_first=True).double()
    rng = np.random.default_rng(0)
    x, y = torch.tensor(rng.normal(size=(1, 2, 4))), torch.tensor(rng.normal(size=(1, 4, 4)))
    return np.asarray(layer(x, y, y, attn_mask=torch.tensor(masked))[1][0].detach())


def hinted() -> str:
    """Say from where torch's module counts, given `is_causal` and a mask from the last key."""
    torch.manual_seed(0)
    layer = nn.MultiheadAttention(4, 1, batch_first=True).double()
    rng = np.random.default_rng(0)
    x, y = torch.tensor(rng.normal(size=(1, 2, 4))), torch.tensor(rng.normal(size=(1, 4, 4)))
    masks = {
        "as the mask says": torch.ones(2, 4, dtype=torch.bool).triu(3),
        "from the first key": torch.ones(2, 4, dtype=torch.bool).triu(1),
    }
    said = []
    for kept in (True, False):
        options = {"need_weights": kept}
        told = layer(x, y, y, attn_mask=masks["as the mask says"], is_causal=True, **options)[0]
        found = (
            name
            for name, mask in masks.items()
            if torch.allclose(told, layer(x, y, y, attn_mask=mask, **options)[0])
        )
        said.append(next(found))
    return f"{said[0]}; {said[1]} with `need_weights=False`"


def of_jax(**options: object) -> Weights:
    """Return the weights of JAX's function."""
    read = jax.nn.dot_product_attention(*map(jnp.asarray, arrays(tokens_first=True)), **options)
    return np.asarray(read[0, :, 0], dtype=np.float64)


def of_keras(**options: object) -> Weights:
    """Return the weights of Keras's operation."""
    given = [keras.ops.convert_to_tensor(x) for x in arrays(tokens_first=True)]
    read = keras.ops.dot_product_attention(*given, **options)
    return np.asarray(keras.ops.convert_to_numpy(read)[0, :, 0], dtype=np.float64)


def of_llama() -> tuple[Weights, Weights]:
    """Return the weights of two queries after two cached tokens, and of a padded token."""
    config = transformers.LlamaConfig(
        hidden_size=4,
        num_attention_heads=1,
        num_key_value_heads=1,
        num_hidden_layers=1,
        vocab_size=5,
        intermediate_size=4,
        attn_implementation="eager",
    )
    torch.manual_seed(0)
    model = transformers.LlamaModel(config).eval()
    ids = torch.tensor([[1, 2, 3, 4]])
    with torch.no_grad():
        past = model(ids[:, :2], use_cache=True).past_key_values
        cached = model(ids[:, 2:], past_key_values=past, output_attentions=True)
        padding = torch.tensor([[0, 0, 1, 1]])
        padded = model(ids, attention_mask=padding, output_attentions=True)
    rows = (out.attentions[0][0, 0].double().numpy() for out in (cached, padded))
    return next(rows), next(rows)


def which_convention() -> dict[str, tuple[str, ...]]:
    """Return the rows of the table on masks."""
    rows: dict[str, tuple[str, ...]] = {}
    functions = {
        "`dlkb.nn.scaled_dot_product_attention`": scaled_dot_product_attention,
        "`F.scaled_dot_product_attention`": nn.functional.scaled_dot_product_attention,
    }
    for name, function in functions.items():
        weights = of_torch(function, attn_mask=torch.tensor(FIRST_KEY))
        rows[name] = (
            mask_means(weights),
            causal(of_torch(function, is_causal=True)),
            shut_row(weights[1]),
        )
    rows["`torch.nn.MultiheadAttention`"] = (
        mask_means(of_module(FIRST_KEY)),
        hinted(),
        shut_row(of_module(np.ones((2, 4), dtype=bool))[0]),
    )
    weights = of_jax(mask=jnp.asarray(FIRST_KEY)[None, None])
    rows["`jax.nn.dot_product_attention`"] = (
        mask_means(weights),
        causal(of_jax(is_causal=True)),
        shut_row(weights[1]),
    )
    weights = of_keras(mask=keras.ops.convert_to_tensor(FIRST_KEY)[None, None])
    rows["`keras.ops.dot_product_attention`"] = (
        mask_means(weights),
        causal(of_keras(is_causal=True)),
        shut_row(weights[1]),
    )
    cached, padded = of_llama()
    means = "1: is read" if np.allclose(padded[2], [0, 0, 1, 0]) else "1: is **not** read"
    rows["Transformers' Llama, eager"] = (means, causal(cached), shut_row(padded[0]))
    return rows
