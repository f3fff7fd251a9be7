"""Which half of a gated layer is the gate, found by running libraries.

Each cell is decided alike: the input is a value of 2 and a gate of −1 in the one order and in the
other; the order whose result is value · activation(gate) is the library's.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import keras
import mlx.core
import mlx.nn
import numpy as np
import torch
from diffusers.models.activations import GEGLU
from numpy.typing import NDArray
from torch import nn
from transformers import LlamaConfig, Phi3Config, T5Config
from transformers.models.llama.modeling_llama import LlamaMLP
from transformers.models.phi3.modeling_phi3 import Phi3MLP
from transformers.models.t5.modeling_t5 import T5DenseGatedActDense

from dlkb.activations.gelu import gelu
from dlkb.activations.glu import gated, glu

LIBRARIES = ("torch", "keras", "jax", "mlx", "transformers", "diffusers")

Values = NDArray[np.float64]
VALUE, GATE = 2.0, -1.0
ACTIVATIONS = {"σ": "glu", "ReLU": "reglu", "GELU": "geglu", "SiLU": "swiglu"}


def expected(value: float, gate: float) -> dict[str, float]:
    """Return what a gated layer gives, by what the gate goes through."""
    v, g = np.asarray(value), np.asarray(gate)
    found = {words: float(gated(v, g, variant=name)) for words, name in ACTIVATIONS.items()}
    return {**found, "GELU, tanh form": float(v * gelu(g, approximate="tanh"))}


def order(function: Callable[[Values], object]) -> tuple[str, str]:
    """Return which of two entries is the gate, and what it goes through."""
    found = [
        (gate_is, words)
        for gate_is, pair in (("second", (VALUE, GATE)), ("first", (GATE, VALUE)))
        for words, result in expected(VALUE, GATE).items()
        if abs(np.asarray(function(np.asarray([pair]))).item() - result) < 1e-6
    ]
    if len(found) != 1:
        raise LookupError(f"{len(found)} orders fit: {found}")
    return found[0]


def block(module: nn.Module, down: nn.Linear, up: tuple[nn.Linear, ...]) -> tuple[str, str]:
    """Return the order of a block whose projections are made to pass its input on.

    Args:
        module: The block, of width 2.
        down: Its last projection; it is made to return the sum.
        up: One packed projection, or two, in the order in which they are defined.
    """
    eye = torch.eye(2)
    with torch.no_grad():
        down.weight.copy_(torch.ones_like(down.weight))
        if len(up) == 1:
            up[0].weight.copy_(eye)
        else:
            for linear, row in zip(up, eye, strict=True):
                linear.weight.copy_(row[None])

        def run(x: Values) -> object:
            return module(torch.tensor(x, dtype=torch.float32))[..., :1].numpy()

        return order(run)


def llama() -> tuple[str, str]:
    """Run Llama's block: two projections, `gate_proj` and `up_proj`."""
    config = LlamaConfig(hidden_size=2, intermediate_size=1, num_attention_heads=1)
    module = LlamaMLP(config)
    return block(module, module.down_proj, (module.gate_proj, module.up_proj))


def phi3() -> tuple[str, str]:
    """Run Phi-3's block: one packed projection."""
    config = Phi3Config(hidden_size=2, intermediate_size=1, num_attention_heads=1, pad_token_id=0)
    module = Phi3MLP(config)
    return block(module, module.down_proj, (module.gate_up_proj,))


def t5() -> tuple[str, str]:
    """Run the block of T5 1.1: `wi_0` and `wi_1`."""
    config = T5Config(d_model=2, d_ff=1, feed_forward_proj="gated-gelu", dropout_rate=0.0)
    module = T5DenseGatedActDense(config).eval()
    return block(module, module.wo, (module.wi_0, module.wi_1))


def diffusers_geglu() -> tuple[str, str]:
    """Run GEGLU of Diffusers: one packed projection, with a bias, and nothing behind it."""
    module = GEGLU(2, 1)
    with torch.no_grad():
        module.proj.weight.copy_(torch.eye(2))
        module.proj.bias.zero_()
        return order(lambda x: module(torch.tensor(x, dtype=torch.float32)).numpy())


def which_half() -> dict[str, tuple[str, ...]]:
    """Return, for each library, which half is the gate and what it goes through."""
    ours = order(glu)
    theirs = order(lambda x: nn.GLU()(torch.tensor(x)).numpy())
    if ours != theirs:
        raise LookupError(f"this package and torch differ: {ours}, {theirs}")
    names = {"first": "the first projection, `{}`", "second": "the second projection, `{}`"}
    llama_is, phi_is, t5_is, geglu_is = llama(), phi3(), t5(), diffusers_geglu()
    llama_name = {"first": "gate_proj", "second": "up_proj"}[llama_is[0]]
    t5_name = {"first": "wi_0", "second": "wi_1"}[t5_is[0]]
    halves = {"first": "**the first half**", "second": "the second half"}
    return {
        "this package, `torch.nn.GLU`": (halves[theirs[0]], theirs[1]),
        "`keras.activations.glu`": self_named(
            lambda x: keras.ops.convert_to_numpy(
                keras.activations.glu(keras.ops.convert_to_tensor(x))
            ),
            halves,
        ),
        "`jax.nn.glu`": self_named(lambda x: jax.nn.glu(jnp.asarray(x)), halves),
        "MLX `nn.glu`": self_named(lambda x: mlx.nn.glu(mlx.core.array(x)), halves),
        "Transformers, Phi-3, packed": (halves[phi_is[0]], phi_is[1]),
        "Transformers, Llama": (names[llama_is[0]].format(llama_name), llama_is[1]),
        "Transformers, T5 1.1": (names[t5_is[0]].format(t5_name), t5_is[1]),
        "Diffusers, GEGLU, packed": (halves[geglu_is[0]], geglu_is[1]),
    }


def self_named(function: Callable[[Values], object], halves: dict[str, str]) -> tuple[str, str]:
    """Return the words for a function of one array."""
    half, activation = order(function)
    return halves[half], activation
