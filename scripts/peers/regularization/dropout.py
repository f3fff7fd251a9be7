"""Which convention of dropout a library follows, found by running it.

Each row is decided alike: ones go through at p = 0.2, where dropping and keeping differ. What is
zero and what has become of the rest says what the argument means.
"""

import inspect
from collections.abc import Callable

import keras
import mlx.core
import mlx.nn
import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from dlkb.nn import Dropout

LIBRARIES = ("torch", "keras", "mlx", "transformers")

P = 0.2
Array = NDArray[np.floating]
Run = Callable[[Array], Array]


def rescales(output: Array) -> str:
    """Say what becomes of ones that are kept, and that a share P of them is dropped."""
    dropped = float((output == 0).mean())
    if abs(dropped - P) > 0.03:
        raise LookupError(f"a share {dropped:.2f} is dropped at p = {P}: does it keep p?")
    kept = np.unique(output[output != 0])
    if np.allclose(kept, 1 / (1 - P), rtol=1e-5):
        return "÷ (1 − p)"
    if np.allclose(kept, 1):
        return "unchanged"
    raise LookupError(f"what is kept becomes {kept}")


def granularity(output: Array) -> str:
    """Say whether entries of (batch, channel, place) are dropped alone or whole channels."""
    share = (output == 0).mean(axis=2)
    if bool(((share == 0) | (share == 1)).all()):
        return "a whole channel"
    return "an entry"


def argument(function: Callable[..., object], name: str) -> str:
    """Return the name of an argument, once the function has one of this name."""
    if name not in inspect.signature(function).parameters:
        raise LookupError(f"{function} has no argument {name}")
    return f"`{name}`"


def row(name: str, run: Run, off: Run, off_words: str) -> tuple[str, ...]:
    """Return argument, what is dropped, what becomes of the rest, and how it is switched off."""
    ones = np.ones((60, 50, 9), dtype=np.float32)
    output = run(ones)
    if not np.array_equal(off(ones), ones):
        raise LookupError(f"{name}: {off_words} does not switch it off")
    return name, granularity(output), rescales(output), off_words


def of_torch(module: nn.Module) -> tuple[Run, Run]:
    """Return a module of torch in training mode and in `eval()`."""

    def run(x: Array, training: bool) -> Array:
        torch.manual_seed(0)
        return module.train(training)(torch.tensor(x)).numpy()

    return (lambda x: run(x, True)), (lambda x: run(x, False))


def of_keras() -> tuple[str, ...]:
    """Run Keras's, which is off unless it is called with `training=True`."""
    layer = keras.layers.Dropout(P, seed=0)

    def run(x: Array, training: bool | None) -> Array:
        return np.asarray(keras.ops.convert_to_numpy(layer(x, training=training)))

    ones = np.ones((2, 3), dtype=np.float32)
    default = "" if not np.array_equal(run(ones, None), ones) else ", the default of a call"
    name = argument(keras.layers.Dropout, "rate")
    return row(name, lambda x: run(x, True), lambda x: run(x, False), f"`training=False`{default}")


def of_mlx() -> tuple[str, ...]:
    """Run MLX's."""
    layer = mlx.nn.Dropout(P)

    def run(x: Array, training: bool) -> Array:
        mlx.core.random.seed(0)
        layer.train(training)
        return np.asarray(layer(mlx.core.array(x)))

    name = argument(mlx.nn.Dropout, "p")
    return row(name, lambda x: run(x, True), lambda x: run(x, False), "`eval()`")


def of_attention() -> tuple[str, ...]:
    """Run torch's function of attention: with the identity as values its weights show."""
    name = "dropout_p"
    if f"{name}=" not in (F.scaled_dot_product_attention.__doc__ or ""):
        raise LookupError(f"scaled_dot_product_attention has no argument {name}")
    q, k, v = torch.zeros(500, 8, 4), torch.zeros(500, 8, 4), torch.eye(8).expand(500, 8, 8)
    torch.manual_seed(0)
    weights = 8 * F.scaled_dot_product_attention(q, k, v, dropout_p=P).numpy()
    plain = 8 * F.scaled_dot_product_attention(q, k, v, dropout_p=0.0).numpy()
    if granularity(weights) != "an entry" or not np.allclose(plain, 1):
        raise LookupError("not the weights of attention, one by one")
    return f"`{name}`", "an attention weight", rescales(weights), f"`{name}=0`, not `eval()`"


def of_function() -> tuple[str, ...]:
    """Run torch's function, which drops unless it is told that this is no training."""
    ones = torch.ones(9)
    torch.manual_seed(0)
    if torch.equal(F.dropout(ones, 0.9), ones):
        raise LookupError("F.dropout is off by default")

    def run(x: Array, training: bool) -> Array:
        torch.manual_seed(0)
        return F.dropout(torch.tensor(x), P, training).numpy()

    name = argument(F.dropout, "p")
    words = "`training=False`, not `eval()`"
    return row(name, lambda x: run(x, True), lambda x: run(x, False), words)


def of_recurrent() -> tuple[str, ...]:
    """Run torch's recurrent networks, which drop what passes from one layer to the next."""
    x = torch.ones(4, 3, 2)
    for kind in (nn.RNN, nn.LSTM, nn.GRU):
        torch.manual_seed(0)
        network = kind(2, 5, num_layers=2, dropout=0.5)
        with torch.no_grad():
            (first, states), (second, again) = network(x), network(x)
        before, after = (s[0] if kind is nn.LSTM else s for s in (states, again))
        if not torch.equal(before[0], after[0]) or torch.equal(first, second):
            raise LookupError(f"{kind.__name__} drops elsewhere than between its layers")
    # With these weights each layer hands on its inputs, so that the mask shows.
    network = nn.RNN(9, 9, num_layers=2, nonlinearity="relu", dropout=P, bias=False)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            weight.copy_(torch.eye(9) if "ih" in name else torch.zeros(9, 9))

    def run(x: Array, training: bool) -> Array:
        with torch.no_grad():
            return network.train(training)(torch.tensor(x))[0].numpy()

    name = argument(nn.RNNBase, "dropout")
    found = row(name, lambda x: run(x, True), lambda x: run(x, False), "`eval()`")
    return found[0], f"{found[1]} between two layers", *found[2:]


def which_convention() -> dict[str, tuple[str, ...]]:
    """Return argument, what is dropped, what becomes of the rest, and how to switch it off."""
    rows = {}
    for kind in (Dropout, nn.Dropout, nn.Dropout1d):
        on, off = of_torch(kind(P))
        rows[kind] = row(argument(kind, "p"), on, off, "`eval()`")
    if rows[Dropout] != rows[nn.Dropout]:
        raise LookupError(f"this package and torch differ: {rows[Dropout]}, {rows[nn.Dropout]}")
    return {
        "this package, `torch.nn.Dropout`": rows[nn.Dropout],
        "`torch.nn.Dropout1d`, `2d`, `3d`": rows[nn.Dropout1d],
        "`torch.nn.RNN`, `LSTM`, `GRU`": of_recurrent(),
        "`F.dropout`": of_function(),
        "`F.scaled_dot_product_attention`": of_attention(),
        "Keras `Dropout`": of_keras(),
        "MLX `nn.Dropout`": of_mlx(),
    }


def defaults() -> dict[str, tuple[str, ...]]:
    """Return the dropout of hidden layers and of attention in Transformers' configurations."""
    names = {"hidden_dropout", "hidden_dropout_prob", "resid_pdrop"}
    names |= {"attention_dropout", "attention_probs_dropout_prob", "attn_pdrop"}
    families = {
        "BERT, GPT-2": (transformers.BertConfig, transformers.GPT2Config),
        "GPT-NeoX, Llama, Mistral, Qwen2, Gemma": (
            transformers.GPTNeoXConfig,
            transformers.LlamaConfig,
            transformers.MistralConfig,
            transformers.Qwen2Config,
            transformers.GemmaConfig,
        ),
    }
    rows: dict[str, tuple[str, ...]] = {}
    for title, kinds in families.items():
        values = {v for kind in kinds for k, v in kind().to_dict().items() if k in names}
        if len(values) != 1:
            raise LookupError(f"{title}: the defaults differ, {values}")
        rows[title] = (f"{values.pop():g}",)
    return rows
