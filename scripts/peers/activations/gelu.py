"""Which GELU a library or a model computes, found by running it.

Each cell is decided alike: the activation runs on numbers from −6 to 6, where the forms differ
by 5·10⁻⁴ or more, and is called by the only formula that gives the same values.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import keras
import mlx.core
import mlx.nn
import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from torch import nn
from transformers.activations import ACT2FN

from dlkb.activations.gelu import gelu, quick_gelu, silu

LIBRARIES = ("torch", "keras", "jax", "mlx", "transformers")

Values = NDArray[np.float64]
GRID: Values = np.linspace(-6, 6, 601)
FORMS: dict[str, Values] = {
    "exact": gelu(GRID),
    "tanh": gelu(GRID, approximate="tanh"),
    "sigmoid": quick_gelu(GRID),
    "SiLU": silu(GRID),
    "ReLU": np.maximum(GRID, 0),
}

MODELS = {
    "BERT": ("BertConfig", "hidden_act"),
    "RoBERTa": ("RobertaConfig", "hidden_act"),
    "ViT": ("ViTConfig", "hidden_act"),
    "Swin": ("SwinConfig", "hidden_act"),
    "ConvNeXt": ("ConvNextConfig", "hidden_act"),
    "Whisper": ("WhisperConfig", "activation_function"),
    "GPT-NeoX": ("GPTNeoXConfig", "hidden_act"),
    "GPT-2": ("GPT2Config", "activation_function"),
    "ALBERT": ("AlbertConfig", "hidden_act"),
    "Phi-2": ("PhiConfig", "hidden_act"),
    "SigLIP": ("SiglipVisionConfig", "hidden_act"),
    "Gemma": ("GemmaConfig", "hidden_act"),
    "CLIP": ("CLIPVisionConfig", "hidden_act"),
    "Llama": ("LlamaConfig", "hidden_act"),
    "Mistral": ("MistralConfig", "hidden_act"),
    "Qwen2": ("Qwen2Config", "hidden_act"),
    "EfficientNet": ("EfficientNetConfig", "hidden_act"),
}

NAMED_GELU = {
    "first Gemma": ("GemmaConfig", "hidden_act", {"hidden_act": "gelu"}),
    "T5 v1.1": ("T5Config", "dense_act_fn", {"feed_forward_proj": "gated-gelu"}),
}
"""What the published file says, and where Transformers then keeps the activation's name."""


def form(function: Callable[[Values], object]) -> str:
    """Return the name of the only formula with these values."""
    found = np.asarray(function(GRID), dtype=np.float64)
    same = [name for name, values in FORMS.items() if np.allclose(found, values, atol=1e-5)]
    if len(same) != 1:
        raise LookupError(f"{len(same)} forms have these values: {same}")
    return same[0]


def of_torch(function: Callable[[torch.Tensor], torch.Tensor]) -> str:
    """Run a function of torch."""
    return form(lambda x: function(torch.tensor(x)).numpy())


def of_keras(function: Callable[..., object]) -> str:
    """Run a function of Keras."""
    return form(lambda x: keras.ops.convert_to_numpy(function(keras.ops.convert_to_tensor(x))))


def of_jax(function: Callable[..., object]) -> str:
    """Run a function of JAX."""
    return form(lambda x: function(jnp.asarray(x)))


def of_mlx(function: Callable[[mlx.core.array], mlx.core.array]) -> str:
    """Run a function of MLX."""
    return form(lambda x: function(mlx.core.array(x)))


def of_transformers(name: str) -> str:
    """Run what Transformers calls so."""
    return of_torch(ACT2FN[name])


def grouped(names: dict[str, str]) -> str:
    """Return "form: name, name" for each form, from a name's form."""
    forms = dict.fromkeys(names.values())
    return "; ".join(
        f"{kind}: " + ", ".join(f"`{name}`" for name in names if names[name] == kind)
        for kind in forms
    )


def which_gelu() -> dict[str, tuple[str, ...]]:
    """Return the form by default, and the others, of each library."""
    ours = form(gelu), {'approximate="tanh"': form(partial(gelu, approximate="tanh"))}
    theirs = of_torch(nn.GELU()), {'approximate="tanh"': of_torch(nn.GELU(approximate="tanh"))}
    if ours != theirs:
        raise LookupError(f"this package and torch differ: {ours}, {theirs}")
    names = ("gelu_new", "gelu_pytorch_tanh", "gelu_fast", "quick_gelu")
    return {
        "this package, `torch.nn.GELU`": (theirs[0], grouped(theirs[1])),
        "`keras.activations.gelu`": (
            of_keras(keras.activations.gelu),
            grouped(
                {"approximate=True": of_keras(partial(keras.activations.gelu, approximate=True))}
            ),
        ),
        "`jax.nn.gelu`": (
            f"**{of_jax(jax.nn.gelu)}**",
            grouped({"approximate=False": of_jax(partial(jax.nn.gelu, approximate=False))}),
        ),
        "MLX `nn.GELU`": (
            of_mlx(mlx.nn.GELU()),
            grouped({f'"{how}"': of_mlx(mlx.nn.GELU(how)) for how in ("tanh", "fast")}),
        ),
        'Transformers `"gelu"`': (
            of_transformers("gelu"),
            grouped({f'"{name}"': of_transformers(name) for name in names}),
        ),
    }


def which_model() -> dict[str, tuple[str, ...]]:
    """Return, for each form, the models whose configuration in Transformers has it."""
    forms = {
        model: of_transformers(getattr(getattr(transformers, config)(), field))
        for model, (config, field) in MODELS.items()
    }
    words = {"sigmoid": "sigmoid (QuickGELU)"}
    rows = {
        words.get(kind, kind): (", ".join(model for model in MODELS if forms[model] == kind),)
        for kind in dict.fromkeys(forms.values())
    }
    named, meant = [], set()
    for model, (config, field, published) in NAMED_GELU.items():
        meant.add(of_transformers(getattr(getattr(transformers, config)(**published), field)))
        named += [f'{model}: `{key}="{value}"`' for key, value in published.items()]
    (kind,) = meant
    return {**rows, f'{kind}, though named "gelu"': (", ".join(named),)}
