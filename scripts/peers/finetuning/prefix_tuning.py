"""What peft's prompt methods train, and how long keys and outputs get, found by running it.

On a GPT-2 of two layers with seven tokens and five virtual ones.
"""

import copy
import warnings
from typing import Any

import peft
import torch
from torch import nn
from transformers import DynamicCache, GPT2Config, GPT2LMHeadModel

from dlkb.finetuning.prefix_tuning import prefix_parameters

LIBRARIES = ("peft", "transformers")

WIDTH, LAYERS, LENGTH, TOKENS, HIDDEN = 32, 2, 5, 7, 16


def _gpt() -> nn.Module:
    torch.manual_seed(0)
    sizes = {"n_positions": 32, "n_embd": WIDTH, "n_layer": LAYERS, "n_head": 2, "vocab_size": 20}
    off = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0)
    return GPT2LMHeadModel(GPT2Config(**sizes, **off, bos_token_id=0, eos_token_id=0)).eval()


def _trained_words(count: int) -> str:
    prompt, prefix = LENGTH * WIDTH, prefix_parameters(WIDTH, length=LENGTH, layers=LAYERS)
    counts = {
        prompt: "ℓd",
        prefix: "2Lℓd",
        7 * LAYERS * WIDTH: "7Ld",
    }
    if count in counts:
        return counts[count]
    if count > prompt:
        return "ℓd and a network"
    raise LookupError(f"{count} parameters are trained")


def _length_words(count: int) -> str:
    return {TOKENS: "n", TOKENS + LENGTH: "n + ℓ"}[count]


def _merges(model: Any, ids: torch.Tensor) -> bool:
    """Whether the method leaves a plain model that computes the same."""
    if not hasattr(model.base_model, "merge_and_unload"):
        return False
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "ia3" in name:
                parameter.uniform_(0.5, 1.5)
        expected = model(input_ids=ids).logits
        merged = copy.deepcopy(model).merge_and_unload()
        same = torch.allclose(merged(input_ids=ids).logits, expected, atol=1e-4)
    return type(merged) is GPT2LMHeadModel and same


def _row(config: Any) -> tuple[str, ...]:
    model: Any = peft.get_peft_model(_gpt(), config).eval()
    ids = torch.arange(TOKENS)[None]
    seen: dict[str, torch.Tensor] = {}
    positions = model.get_base_model().transformer.wpe
    positions.register_forward_pre_hook(lambda _, args: seen.update(at=args[0]))
    with torch.no_grad():
        out = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=True)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    own = int(seen["at"].flatten()[-TOKENS])
    return (
        _trained_words(trained),
        _length_words(out.past_key_values.get_seq_length()),
        _length_words(out.logits.shape[1]),
        {0: "0", LENGTH: "ℓ"}[own],
        "yes" if _merges(model, ids) else "no",
    )


def _check_mask() -> None:
    """Raise an error unless a mask without the columns of a cache is accepted, and wrong."""
    model, ids = _gpt(), torch.arange(TOKENS)[None]
    logits = []
    for columns in (TOKENS, TOKENS + LENGTH):
        generator = torch.Generator().manual_seed(0)
        cache = DynamicCache(config=model.config)
        for layer in range(LAYERS):
            kv = torch.randn(2, 1, 2, LENGTH, WIDTH // 2, generator=generator)
            cache.update(kv[0], kv[1], layer)
        with torch.no_grad():
            mask = torch.ones(1, columns, dtype=torch.long)
            logits.append(model(ids, past_key_values=cache, attention_mask=mask).logits)
    if torch.allclose(*logits, atol=1e-3):
        raise LookupError("a mask without columns for the prefix is right: the page says wrong")


def which_convention() -> dict[str, tuple[str, ...]]:
    """Return what each method trains, its keys, outputs, first own position, and merging."""
    task = {"task_type": "CAUSAL_LM"}
    virtual = task | {"num_virtual_tokens": LENGTH}
    network = virtual | {"encoder_hidden_size": HIDDEN}
    configs = {
        "`PrefixTuningConfig` (P-tuning v2)": peft.PrefixTuningConfig(**virtual),
        "`prefix_projection=True`": peft.PrefixTuningConfig(prefix_projection=True, **network),
        "`PromptTuningConfig`": peft.PromptTuningConfig(**virtual),
        "`PromptEncoderConfig` (P-tuning)": peft.PromptEncoderConfig(**network),
        "`IA3Config`": peft.IA3Config(**task),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _check_mask()
        return {name: _row(config) for name, config in configs.items()}
